"""Threads that compute: they stand back behind the media engine and the event loop."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

NICE = 5
"""How far the engines of all plugins stand back: alike, since the less favoured of two hardly runs at all."""


def stand_back(nice: int = NICE) -> None:
    """Give this thread, and those that it starts, a lower priority, as ``nice`` counts. Linux alone counts by thread.

    It cannot be undone without privileges: call it in a thread that does nothing else.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)

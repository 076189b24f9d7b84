"""Threads that compute stand back, with all that they start."""

import os
import threading

from sipcore.plugins.threads import stand_back


def test_a_thread_stands_back_with_all_that_it_starts() -> None:
    found: list[int] = []

    def look() -> None:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    def work() -> None:
        stand_back(15)
        stand_back(3)  # less is not allowed, and no reason to fail
        inner = threading.Thread(target=look)
        inner.start()
        inner.join()

    before = os.getpriority(os.PRIO_PROCESS, 0)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found[0] > before
    assert os.getpriority(os.PRIO_PROCESS, 0) == before

"""What clients of the WebSocket are told of a call."""

from __future__ import annotations

from typing import Any

from sipcore.errors import RemoteProtocolError
from sipcore.plugins.interfaces import CallInfo
from sipcore.sip.uri import Uri


def party(info: CallInfo) -> str:
    """Return the name or number of the far end, as its URI has it."""
    try:
        uri = Uri.parse(info.caller if info.direction == "incoming" else info.callee)
    except RemoteProtocolError:
        return ""
    return uri.username


def details(info: CallInfo) -> dict[str, Any]:
    """What CALL_INFO tells of who calls whom."""
    return {
        "caller": info.caller,
        "callee": info.callee,
        "headers": dict(info.headers),
        "assistant": "",
        "playing": "",
        "on_hold": False,
        "joined": None,
    }

"""Checks that look at more than one setting, or at the machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from sipcore.app.config_errors import given
from sipcore.app.config_sources import KeyPath, Origin
from sipcore.net.access import is_loopback

if TYPE_CHECKING:
    from sipcore.app.config import Settings

_ELSEWHERE = "192.0.2.1"
"""An address of TEST-NET-1 (RFC 5737): routed like any other, owned by nobody."""


def local_address() -> str:
    """Return the address that this machine would use to reach others. Nothing is sent; 127.0.0.1 without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_ELSEWHERE, 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def is_own_address(address: str) -> bool:
    """Whether a socket can be bound to ``address`` here."""
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def find_problems(settings: Settings, origins: Mapping[KeyPath, Origin], failed: Collection[str] = ()) -> list[str]:
    """Return one line a problem.

    Args:
        settings: each value right by itself.
        origins: where each value was set.
        failed: settings that are known to be wrong: what depends on them is not checked.
    """
    found: list[str] = []
    if "sip_local_ip" not in failed:
        found += _address_problems(settings, origins)
    if not {"rtp_port_start", "rtp_port_end"}.intersection(failed):
        found += _port_problems(settings, origins)
    if settings.websocket.enabled and not {"ws_host", "ws_token", "websocket"}.intersection(failed):
        found += _websocket_problems(settings, origins)
    if settings.recording.enabled and not {"recording_dir", "recording"}.intersection(failed):
        reason = unwritable(settings.recording_dir)
        if reason:
            text = "a folder that can be written was expected. Correct it, or set recording.enabled = false."
            found.append(f"{given(('recording_dir',), settings.recording_dir, origins)}: {reason}; {text}")
    return found


def _address_problems(settings: Settings, origins: Mapping[KeyPath, Origin]) -> list[str]:
    address = ip_address(settings.sip_local_ip)
    said = given(("sip_local_ip",), settings.sip_local_ip, origins)
    if address.is_unspecified and settings.sip_advertised_ip is None:
        text = "phones need one address to send audio to. Set it to this machine's"
        return [f"{said}: {text} ({local_address()}), or set SIP_ADVERTISED_IP too."]
    if not is_own_address(settings.sip_local_ip):
        text = "an address that a router forwards here belongs in SIP_ADVERTISED_IP"
        return [f"{said}: this machine has no such address. Set it to {local_address()}, or leave it out; {text}."]
    return []


def _port_problems(settings: Settings, origins: Mapping[KeyPath, Origin]) -> list[str]:
    start, end = settings.rtp_port_start, settings.rtp_port_end
    if start % 2:
        said = given(("rtp_port_start",), start, origins)
        return [f"{said}: an even port was expected (RFC 3550 §11). Set it to {min(start + 1, 65534)}."]
    if end <= start:
        said = given(("rtp_port_end",), end, origins)
        text = f"a port above RTP_PORT_START ({start}) was expected, for RTP and RTCP of at least one call"
        return [f"{said}: {text}. Set it to {min(start + 10, 65535)} or more."]
    if start <= settings.sip_local_port <= end:
        said = given(("sip_local_port",), settings.sip_local_port, origins)
        return [f"{said}: it lies within the RTP ports {start}–{end}. Move one of them."]
    return []


def _websocket_problems(settings: Settings, origins: Mapping[KeyPath, Origin]) -> list[str]:
    if is_loopback(settings.ws_host) or settings.ws_token is not None:
        return []
    said = given(("ws_host",), settings.ws_host, origins)
    text = "whoever reaches this address could steer calls. Set WS_TOKEN to a secret, or WS_HOST to 127.0.0.1"
    return [f"{said}: {text}."]


def unwritable(folder: Path) -> str:
    """Say why files cannot be made in ``folder`` (which may not exist yet); empty when they can. Makes nothing."""
    existing = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
    if not existing.is_dir():
        return f"{existing} is not a folder"
    return "" if os.access(existing, os.W_OK | os.X_OK) else f"{existing} may not be written"


def find_warnings(settings: Settings) -> list[str]:
    """Return one line for each thing that works but is probably not meant."""
    found: list[str] = []
    if ip_address(settings.advertised_ip).is_loopback:
        name = "SIP_ADVERTISED_IP" if settings.sip_advertised_ip else "SIP_LOCAL_IP"
        found.append(
            f"{name} is {settings.advertised_ip}: phones on other machines cannot send audio here. "
            "Set it to this machine's address."
        )
    if settings.sip.max_calls > settings.session_room:
        found.append(
            f"sip.max_calls is {settings.sip.max_calls}, but the RTP ports {settings.rtp_port_start}–"
            f"{settings.rtp_port_end} have room for {settings.session_room}. Raise RTP_PORT_END."
        )
    return found

"""``sipcore run``: from settings to a server that answers until it is told to stop."""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import anyio

from sipcore import __version__
from sipcore.app.config import PLUGIN_KINDS, Settings, load_settings
from sipcore.app.engines import Plan, plan
from sipcore.app.logs import setup_logging
from sipcore.app.server import open_server
from sipcore.app.terminal import err, out, pull_with_bars
from sipcore.errors import ConfigError, ModelMissingError
from sipcore.plugins.manager import PluginManager
from sipcore.sip.uri import Uri

logger = logging.getLogger(__name__)


def run_server(config: Path | None, plugins: list[str] | None, pull: bool) -> None:
    """Load everything, say how to call, answer until SIGINT or SIGTERM.

    Raises:
        SipcoreError: it cannot start; the text says why and what to do.
    """
    settings = load_settings(config_file=config)
    with setup_logging(settings, settings.sip_log_file, terminal=True):
        manager = PluginManager()
        manager.load(plugins)
        tell_warnings(settings, manager)
        chosen = plan(settings, manager)
        fetch_models(chosen.models, pull)
        anyio.run(_serve, settings, chosen)


def serve_clients(config: Path | None) -> None:
    """SIP, RTP and the WebSocket, whose clients hold the calls; until SIGINT or SIGTERM.

    Raises:
        SipcoreError: it cannot start; the text says why and what to do.
    """
    settings = load_settings(config_file=config)
    if not settings.websocket.enabled:
        raise ConfigError("websocket.enabled is false: `sipcore serve` has nobody to give its calls to")
    with setup_logging(settings, settings.sip_log_file, terminal=True):
        for warning in settings.warnings():
            logger.warning("%s", warning)
        anyio.run(_serve, settings, None)


async def _serve(settings: Settings, chosen: Plan | None) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop_on_signal, tasks.cancel_scope)
        async with open_server(settings, chosen, websocket=settings.websocket.enabled) as server:
            _tell_how_to_call(settings, chosen)
            if server.gateway is not None:
                _tell_how_to_steer(settings, server.gateway.address)
            out.print("Stop it:       Ctrl-C\n")
            await anyio.sleep_forever()


async def stop_on_signal(scope: anyio.CancelScope) -> None:
    """Stop at the first signal; a second one finds the system's own handlers and ends the program at once."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            logger.info("%s: hanging up and stopping", signal.Signals(number).name)
            break
    scope.cancel()


def fetch_models(missing: Sequence[str], pull: bool = True) -> None:
    """Fetch models, with progress. In the main thread: Ctrl-C ends it at once, and what is here already stays.

    Raises:
        ModelMissingError: one is missing and must not be fetched.
    """
    if missing and not pull:
        names = " ".join(missing)
        raise ModelMissingError(f"not on this machine: {names}. Run `sipcore models pull {names}`")
    if missing:
        pull_with_bars(missing, err)


def tell_warnings(settings: Settings, manager: PluginManager) -> None:
    """Log what works and is probably not meant."""
    known = {kind: list(manager.providers(kind)) for kind in PLUGIN_KINDS}
    for warning in settings.warnings(known):
        logger.warning("%s", warning)


def _tell_how_to_call(settings: Settings, chosen: Plan | None) -> None:
    out.print(f"sipcore {__version__}")
    if chosen is not None:
        tell_engines(chosen)
    out.print(f"  room for     {settings.session_room} calls (RTP {settings.rtp_port_start}-{settings.rtp_port_end})")
    out.print(f"\nCall it:       {_uri(settings.advertised_ip, settings)}", markup=False)
    here = _uri(_local_address(settings), settings)
    errand = "--play hello.wav --record heard.wav --duration 20"
    out.print(f"  from here:   sipcore call {here} {errand}", markup=False, soft_wrap=True)
    out.print("  a softphone: dial that address; no account and no registration are needed")


def _tell_how_to_steer(settings: Settings, address: tuple[str, int]) -> None:
    host, port = address
    out.print(
        f"Steer it:      ws://{host}:{port}{' with the token WS_TOKEN' if settings.ws_token else ''}", markup=False
    )
    out.print(f"  an AI:       sipcore call-center --url ws://{host}:{port}", markup=False, soft_wrap=True)
    out.print(f"  is it well?  http://{host}:{port}/healthz /readyz /metrics", markup=False)


def tell_engines(chosen: Plan) -> None:
    """Say what was loaded."""
    for choice in chosen.choices.values():
        out.print(f"  {choice.kind:<13}{choice.provider.name}", markup=False)
    if chosen.missing:
        out.print(f"  echo         (no {', '.join(chosen.missing)} plugin: callers hear themselves)", markup=False)
    elif not chosen.choices.get("vad") and "conversation" not in chosen.choices:
        out.print("  vad          energy (the core's own)")


def _uri(address: str, settings: Settings) -> Uri:
    return Uri(user="assistant", host=address, port=settings.sip_local_port)


def _local_address(settings: Settings) -> str:
    """Where this machine reaches the server: not always the address that others are told."""
    return "127.0.0.1" if ip_address(settings.sip_local_ip).is_unspecified else settings.sip_local_ip

"""``sipcore run``: from settings to a server that answers until it is told to stop."""

from __future__ import annotations

import logging
import signal
from pathlib import Path

import anyio

from sipcore import __version__
from sipcore.app.config import PLUGIN_KINDS, Settings, load_settings
from sipcore.app.engines import Plan, plan
from sipcore.app.logs import setup_logging
from sipcore.app.server import open_server
from sipcore.app.terminal import err, out, pull_with_bars
from sipcore.errors import ModelMissingError
from sipcore.plugins.manager import PluginManager

logger = logging.getLogger(__name__)


async def run_server(config: Path | None, plugins: list[str] | None, pull: bool) -> None:
    """Load everything, say how to call, answer until SIGINT or SIGTERM.

    Raises:
        SipcoreError: it cannot start; the text says why and what to do.
    """
    settings = load_settings(config_file=config)
    with setup_logging(settings, settings.sip_log_file, terminal=True):
        manager = PluginManager()
        manager.load(plugins)
        _tell_warnings(settings, manager)
        chosen = plan(settings, manager)
        await fetch_models(chosen, pull)
        async with open_server(settings, chosen):
            _tell_how_to_call(settings, chosen)
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for number in signals:
                    logger.info("%s: hanging up and stopping", signal.Signals(number).name)
                    break


async def fetch_models(chosen: Plan, pull: bool) -> None:
    """Fetch the models that the chosen engines need and that are not here.

    Raises:
        ModelMissingError: one is missing and must not be fetched.
    """
    missing = chosen.models
    if not missing:
        return
    if not pull:
        names = " ".join(missing)
        raise ModelMissingError(f"not on this machine: {names}. Run `sipcore models pull {names}`")
    await anyio.to_thread.run_sync(pull_with_bars, missing, err)


def _tell_warnings(settings: Settings, manager: PluginManager) -> None:
    known = {kind: list(manager.providers(kind)) for kind in PLUGIN_KINDS}
    for warning in settings.warnings(known):
        logger.warning("%s", warning)


def _tell_how_to_call(settings: Settings, chosen: Plan) -> None:
    uri = f"sip:assistant@{settings.advertised_ip}:{settings.sip_local_port}"
    out.print(f"sipcore {__version__}")
    for choice in chosen.choices.values():
        out.print(f"  {choice.kind:<13}{choice.provider.name}", markup=False)
    if chosen.missing:
        out.print(f"  echo         (no {', '.join(chosen.missing)} plugin: callers hear themselves)", markup=False)
    elif not chosen.choices.get("vad") and "conversation" not in chosen.choices:
        out.print("  vad          energy (the core's own)")
    out.print(f"  room for     {settings.session_room} calls (RTP {settings.rtp_port_start}-{settings.rtp_port_end})")
    out.print(f"\nCall it:       {uri}", markup=False)
    out.print(f"  from here:   sipcore call {uri} --play hello.wav --record heard.wav --duration 20", markup=False)
    out.print("  a softphone: dial that address; no account and no registration are needed")
    out.print("Stop it:       Ctrl-C\n")

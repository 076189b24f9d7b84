"""The server's parts, as the settings describe them."""

from __future__ import annotations

from collections.abc import Callable

from sipcore import __version__
from sipcore.app.config import Settings
from sipcore.app.dial_plan import DialPlan, DialSettings
from sipcore.app.gateway import Gateway, GatewaySettings
from sipcore.app.sound_files import SoundFiles
from sipcore.audio.frame import AudioFrame
from sipcore.call.call import Call
from sipcore.media.link import MediaSettings
from sipcore.net.access import Access
from sipcore.net.udp import SipEndpoint
from sipcore.net.websocket import Page, Pages, WebSocketSettings
from sipcore.sip.timers import TimerValues
from sipcore.sip.uri import Uri
from sipcore.sip.user_agent import UserAgentSettings

CALL_RATE = 8000
FRAME_SECONDS = 0.02


def endpoint_of(settings: Settings) -> SipEndpoint:
    """The SIP endpoint that the settings describe."""
    agent = UserAgentSettings(
        address=(settings.advertised_ip, settings.sip_local_port),
        product=f"sipcore/{__version__}",
        timers=TimerValues(t1=settings.sip.t1, t2=settings.sip.t2),
    )
    return SipEndpoint((settings.sip_local_ip, settings.sip_local_port), agent)


def media_settings(settings: Settings) -> MediaSettings:
    """The media engine's share of the settings."""
    return MediaSettings(
        address=settings.sip_local_ip,
        rtp_port_start=settings.rtp_port_start,
        rtp_port_end=settings.rtp_port_end,
        ports_per_session=settings.media.ports_per_session,
        mode=settings.media.mode,
        playout_seconds=settings.rtp_send_queue_max * FRAME_SECONDS,
        heard_seconds=settings.rtp_recv_queue_max * FRAME_SECONDS,
        silence_seconds=settings.media.silence_seconds,
    )


def gateway_of(
    settings: Settings,
    pages: Pages,
    greeting: AudioFrame | None,
    on_answered: Callable[[Call], None],
    on_ended: Callable[[Call], None],
) -> Gateway:
    """The WebSocket control that the settings describe; see `Gateway`."""
    outgoing = settings.outgoing
    token = settings.ws_token.get_secret_value() if settings.ws_token else ""
    websocket = WebSocketSettings(
        bind=(settings.ws_host, settings.ws_port),
        access=Access(settings.ws_host, token, settings.websocket.origins),
        send_queue=settings.ws_send_queue_max,
        receive_queue=settings.ws_recv_queue_max,
        max_clients=settings.websocket.max_clients,
    )
    rules = GatewaySettings(
        websocket=websocket,
        ring_seconds=settings.websocket.ring_seconds,
        owner_seconds=settings.ws_owner_timeout,
        outgoing_seconds=outgoing.ring_seconds,
        caller=Uri.parse(outgoing.caller) if outgoing.caller else None,
        most_queued=settings.rtp_send_queue_max * FRAME_SECONDS,
    )
    plan = DialPlan(
        DialSettings(
            allow=settings.call_allow,
            server=settings.sip_server_ip,
            port=settings.sip_transfer_port,
            max_calls=outgoing.max_calls,
            calls_per_second=outgoing.calls_per_second,
        )
    )
    return Gateway(rules, plan, SoundFiles(settings.output_dir, CALL_RATE), pages, greeting, on_answered, on_ended)


def probe_pages(unready: Callable[[], str], metrics: Callable[[], str]) -> Pages:
    """What probes are answered with.

    Args:
        unready: why no call can be taken; empty when one can.
        metrics: all figures, for Prometheus.
    """

    def ready() -> Page:
        reason = unready()
        return Page(503 if reason else 200, f"{reason or 'ready'}\n")

    return {
        "/healthz": lambda: Page(200, "alive\n"),
        "/readyz": ready,
        "/metrics": lambda: Page(200, metrics(), "text/plain; version=0.0.4; charset=utf-8"),
    }

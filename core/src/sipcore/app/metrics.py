"""What Prometheus may read: calls, clients, media and turns."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sipcore.media.messages import MediaStatistics
from sipcore.plugins.interfaces import CallAnswered, CallEnded, CallEvent, CallRang, TurnFinished

TURN_SECONDS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


class Metrics:
    """Counts what happens; `observe` is an observer of call events."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._rang = self._counter("calls", "Calls, by direction.", "direction")
        self._answered = self._counter("calls_answered", "Calls that were answered, by direction.", "direction")
        self._ended = self._counter("calls_ended", "Calls that are over, by direction.", "direction")
        self._packets = self._counter("rtp_packets", "RTP packets, by what became of them.", "kind")
        self._turn = Histogram(
            "sipcore_turn_seconds",
            "From the end of the caller's speech to the first packet of the reply.",
            registry=self._registry,
            buckets=TURN_SECONDS,
        )

    def _counter(self, name: str, text: str, label: str) -> Counter:
        return Counter(f"sipcore_{name}", text, (label,), registry=self._registry)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a figure that is read when it is asked for."""
        Gauge(f"sipcore_{name}", text, registry=self._registry).set_function(value)

    def observe(self, event: CallEvent) -> None:
        """Count an event."""
        direction = event.info.direction
        match event:
            case CallRang():
                self._rang.labels(direction).inc()
            case CallAnswered():
                self._answered.labels(direction).inc()
            case CallEnded():
                self._ended.labels(direction).inc()
            case TurnFinished(timing=timing) if timing.first_packet is not None:
                self._turn.observe(timing.first_packet - timing.speech_end)
            case _:
                pass

    def count_media(self, statistics: MediaStatistics) -> None:
        """Count a call's packets, when it is over."""
        for kind in ("sent", "received", "lost", "late"):
            self._packets.labels(kind).inc(getattr(statistics, f"packets_{kind}"))

    def page(self) -> str:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry).decode()

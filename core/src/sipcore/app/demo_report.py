"""What the demo measured, for a person and for a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sipcore.app.scripted_caller import Spoken
from sipcore.plugins.interfaces import TurnFinished, TurnTiming
from sipcore.plugins.words import word_error_rate

STEPS = ("transcript", "first_token", "first_audio", "first_packet")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the caller, and the turn that the assistant made of it (None: it made none)."""

    text: str
    spoken: Spoken
    turn: TurnFinished | None

    @property
    def latency(self) -> dict[str, int | None]:
        """Milliseconds from the end of the caller's speech, as the caller's side saw it, to each step."""
        timing = self.turn.timing if self.turn else TurnTiming(0.0)
        times: dict[str, float | None] = {step: getattr(timing, step) for step in STEPS}
        return {step: None if at is None else round(1000 * (at - self.spoken.end)) for step, at in times.items()}

    @property
    def answered(self) -> bool:
        """Whether the caller heard a reply to it."""
        return self.turn is not None and bool(self.turn.heard) and self.turn.timing.first_packet is not None


@dataclass(frozen=True, slots=True)
class Report:
    """The whole call.

    Args:
        lines: what the caller said, in order.
        barge_in: seconds from the first word of the interruption to the last that was heard of the assistant.
        recording: the WAV file of the call.
        seconds: its length.
    """

    lines: Sequence[Line]
    barge_in: float | None
    recording: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the call worked: all was answered, the interruption too, and it was recorded."""
        return all(line.answered for line in self.lines) and self.barge_in is not None and self.seconds > 1

    def as_json(self) -> dict[str, Any]:
        """What ``sipcore demo --json`` ends with."""
        return {
            "ok": self.ok,
            "turns": [
                {
                    "said": line.text,
                    "understood": line.turn.said if line.turn else "",
                    "reply": line.turn.heard if line.turn else "",
                    "latency_ms": line.latency,
                }
                for line in self.lines
            ],
            "word_error_rate": round(word_error_rate([(n.text, n.turn.said if n.turn else "") for n in self.lines]), 4),
            "barge_in_ms": None if self.barge_in is None else round(1000 * self.barge_in),
            "recording": {"path": self.recording, "seconds": round(self.seconds, 2)},
        }

    def rows(self) -> list[tuple[str, ...]]:
        """A row a turn: what was understood, and milliseconds to each step."""
        return [
            (line.turn.said if line.turn else "-", *("-" if ms is None else str(ms) for ms in line.latency.values()))
            for line in self.lines
        ]


def match(lines: Sequence[tuple[str, Spoken]], turns: Sequence[TurnFinished]) -> list[Line]:
    """Give each line the turn whose speech ended nearest to it, within two seconds."""
    found: list[Line] = []
    for text, spoken in lines:
        near = [turn for turn in turns if abs(turn.timing.speech_end - spoken.end) < 2.0]
        best = min(near, key=lambda turn: abs(turn.timing.speech_end - spoken.end), default=None)
        found.append(Line(text, spoken, best))
    return found

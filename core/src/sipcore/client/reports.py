"""TRANSCRIPT and TURN: what their JSON holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sipcore.plugins.interfaces import CallInfo, Transcript, TranscriptMade, TurnFinished, TurnTiming

STEPS = ("transcript", "first_token", "first_sentence", "first_audio", "first_packet")


def transcript_data(event: TranscriptMade) -> dict[str, Any]:
    """Return what TRANSCRIPT tells: ``speaker``, ``text``, ``language``, ``confidence``, ``final``."""
    transcript = event.transcript
    return {
        "speaker": event.speaker,
        "text": transcript.text,
        "language": transcript.language,
        "confidence": round(transcript.confidence, 3),
        "final": event.final,
    }


def transcript_event(info: CallInfo, data: Mapping[str, Any]) -> TranscriptMade:
    """Return the event that a TRANSCRIPT tells of; what it does not say gets a default."""
    transcript = Transcript(
        str(data.get("text", "")), str(data.get("language", "")), _number(data.get("confidence")) or 0.0
    )
    speaker = "assistant" if data.get("speaker") == "assistant" else "caller"
    return TranscriptMade(info, speaker, transcript, data.get("final") is not False)


def turn_data(event: TurnFinished) -> dict[str, Any]:
    """Return what TURN tells: ``said``, ``heard``, ``interrupted``, and milliseconds from the end of the speech."""
    timing = event.timing
    passed = {step: getattr(timing, step) for step in STEPS}
    return {
        "said": event.said,
        "heard": event.heard,
        "interrupted": event.interrupted,
        "timing_ms": {
            step: None if at is None else round(1000 * (at - timing.speech_end)) for step, at in passed.items()
        },
    }


def turn_event(info: CallInfo, data: Mapping[str, Any], speech_end: float = 0.0) -> TurnFinished:
    """Return the event that a TURN tells of; its times count from ``speech_end``."""
    given = data.get("timing_ms")
    steps: Mapping[str, Any] = given if isinstance(given, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]
    passed = {step: _number(steps.get(step)) for step in STEPS}
    timing = TurnTiming(speech_end, **{s: None if ms is None else speech_end + ms / 1000 for s, ms in passed.items()})
    said, heard = str(data.get("said", "")), str(data.get("heard", ""))
    return TurnFinished(info, said, heard, data.get("interrupted") is True, timing)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

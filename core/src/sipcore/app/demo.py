"""``sipcore demo``: a caller asks, interrupts and hangs up; an AI answers. Real SIP and RTP on loopback, no network."""

from __future__ import annotations

import json
import socket
import tempfile
import wave
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from rich.console import Console

from sipcore.app.config import Settings, load_settings
from sipcore.app.demo_report import STEPS, Report, match
from sipcore.app.engines import Plan, plan
from sipcore.app.logs import setup_logging
from sipcore.app.phone import open_phone
from sipcore.app.phone_call import speak
from sipcore.app.scripted_caller import NothingHeardError, ScriptedCaller, Spoken, trim
from sipcore.app.server import open_server
from sipcore.app.terminal import err, out, print_table, pull_with_bars
from sipcore.audio.frame import AudioFrame
from sipcore.plugins.interfaces import CallEvent, RecordingStarted, TranscriptMade, TurnFinished, Voice
from sipcore.plugins.manager import PluginManager

LOOPBACK = "127.0.0.1"
PLUGINS = ["stt_whisper", "tts_piper", "vad_silero", "llm_qwen"]

PROMPT = """You answer the phone of Miller's Workshop, a demonstration. Reply in one or two short sentences.
Opening hours: We are open Monday to Friday from nine to five.
Address: You find us at 12 Mill Street in Springfield, next to the station.
Company: We are a small family business. We repair chairs, tables and bicycles, and an estimate is free.
Anything else: A colleague will call you back."""
GREETING = "Hello, this is Miller's Workshop, a demonstration of sipcore. How can I help you?"
FIRST = "What are your opening hours?"
SECOND = "Tell me about your company."
INTERRUPTION = "Wait a moment. Where can I find you?"
HEAR_BEFORE_INTERRUPTING = 0.7


def run_demo(as_json: bool) -> int:
    """Set up, hold the call, report; the exit status: 0 only if the call worked.

    Raises:
        SipcoreError: the set-up failed; the text says what to do.
    """
    console = err if as_json else out
    manager = PluginManager()
    manager.load(PLUGINS)
    with tempfile.TemporaryDirectory(prefix="sipcore-demo-") as scratch:
        settings = demo_settings(Path(scratch), Path.cwd() / "recording")
        chosen = plan(settings, manager)
        if chosen.models:
            console.print(f"Fetching what the demo needs, once: {', '.join(chosen.models)}", markup=False)
            pull_with_bars(chosen.models, console)
        with setup_logging(settings, Path(scratch) / "demo.log", terminal=False):
            report = anyio.run(hold_call, settings, chosen, console)
    if as_json:
        print(json.dumps(report.as_json()))  # noqa: T201
    else:
        show(report)
    return 0 if report.ok else 1


def demo_settings(scratch: Path, recordings: Path) -> Settings:
    """The demo's own settings: nothing of the user's environment has a say."""
    overrides: dict[str, Any] = {
        "SIP_LOCAL_IP": LOOPBACK,
        "SIP_LOCAL_PORT": free_udp_port(),
        "RTP_PORT_START": 22000,
        "RTP_PORT_END": 22998,
        "OUTPUT_DIR": str(scratch),
        "RECORDING_DIR": str(recordings),
        "recording": {"channels": 2},
        "stt": {"whisper": {"model": "tiny.en"}},
        "llm": {"qwen": {"engine": "llama.cpp", "temperature": 0.0}},
        "assistant": [{"name": "demo", "prompt": PROMPT, "greeting": GREETING}],
    }
    return load_settings(overrides=overrides, environ={}, cwd=scratch)


def free_udp_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


class Ears:
    """Sees the server's events: prints the transcript as it is made, keeps the turns."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.turns: list[TurnFinished] = []
        self.recording = ""

    def on_event(self, event: CallEvent) -> None:
        """Take the next event."""
        match event:
            case TranscriptMade(speaker="caller", transcript=transcript, final=True):
                self._console.print(f"  understood  {transcript.text}", markup=False, style="dim")
            case TranscriptMade(speaker="assistant", transcript=transcript):
                self._console.print(f"  assistant   {transcript.text}", markup=False, style="green")
            case TurnFinished():
                self.turns.append(event)
            case RecordingStarted(path=path):
                self.recording = path
            case _:
                pass


async def hold_call(settings: Settings, chosen: Plan, console: Console) -> Report:
    """Start the server, let the caller run through its script, and measure."""
    ears = Ears(console)
    async with AsyncExitStack() as stack:
        console.print("Loading the models", style="dim")
        tts = await _caller_voice(stack, chosen)
        lines = {text: trim(await speak(tts, text, Voice("en"))) for text in (FIRST, SECOND, INTERRUPTION)}
        await stack.enter_async_context(open_server(settings, chosen, [ears.on_event]))
        phone = await stack.enter_async_context(open_phone(LOOPBACK, "caller", (23000, 23998)))
        uri = f"sip:assistant@{LOOPBACK}:{settings.sip_local_port}"
        console.print(f"Calling {uri}\n", markup=False)
        said: list[tuple[str, Spoken]] = []
        barge_in: list[float] = []
        async with phone.dial(uri, 10) as call, anyio.create_task_group() as tasks:
            caller = ScriptedCaller(call)
            tasks.start_soon(caller.listen)
            try:
                await _script(caller, lines, said, barge_in, console)
            except NothingHeardError as error:
                console.print(f"  {error}", markup=False, style="red")
            await call.hang_up()
            tasks.cancel_scope.cancel()
    seconds = await anyio.to_thread.run_sync(wav_seconds, ears.recording)
    return Report(match(said, ears.turns), barge_in[0] if barge_in else None, ears.recording, seconds)


async def _caller_voice(stack: AsyncExitStack, chosen: Plan) -> Any:
    choice = chosen.choices["tts"]
    return await stack.enter_async_context(choice.provider.open(choice.config))


async def _script(
    caller: ScriptedCaller,
    lines: dict[str, AudioFrame],
    said: list[tuple[str, Spoken]],
    barge_in: list[float],
    console: Console,
) -> None:
    await caller.hear_out()
    console.print(f"  caller      {FIRST}", markup=False, style="cyan")
    said.append((FIRST, await caller.say(lines[FIRST])))
    await caller.hear_out()
    console.print(f"  caller      {SECOND}", markup=False, style="cyan")
    said.append((SECOND, await caller.say(lines[SECOND])))
    await caller.hear_start()
    await anyio.sleep(HEAR_BEFORE_INTERRUPTING)
    console.print(f"  caller      {INTERRUPTION}   (interrupting)", markup=False, style="cyan")
    spoken, seconds = await caller.interrupt(lines[INTERRUPTION])
    said.append((INTERRUPTION, spoken))
    barge_in.append(seconds)
    await caller.hear_out()


def wav_seconds(path: str) -> float:
    """The length of a WAV file; 0 when there is none."""
    try:
        with wave.open(path) as file:
            return file.getnframes() / file.getframerate()
    except (OSError, EOFError, wave.Error):
        return 0.0


def show(report: Report) -> None:
    """Print the latency table and where the recording lies."""
    out.print("\nMilliseconds from the end of the caller's speech:")
    print_table(("understood", *(step.replace("_", " ") for step in STEPS)), report.rows())
    facts = report.as_json()
    out.print(f"\nword error rate   {facts['word_error_rate']:.1%}")
    out.print(f"barge-in          {facts['barge_in_ms']} ms until the assistant was silent")
    path, here = Path(report.recording), Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    out.print(f"recording         {shown} ({report.seconds:.1f} s; caller left, assistant right)", markup=False)
    out.print("\nThe call worked." if report.ok else "\nThe call did not work.", style="bold")
    if report.ok:
        out.print("Next: `sipcore run`, and dial the address that it prints with your softphone.")

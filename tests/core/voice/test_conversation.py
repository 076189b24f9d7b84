"""A caller and an assistant take turns, in virtual time."""

from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest
from sipcore.audio.frame import AudioFrame
from sipcore.errors import CallEndedError, PluginError
from sipcore.plugins import Delta, Message, Transcript, TranscriptMade, TurnFinished, Voice
from sipcore.testing.clock import VirtualTimeLoop
from sipcore.testing.fakes import FakeCall, FakeLLM, FakeSTT, FakeTTS, FakeVAD, loud, quiet
from sipcore.voice.assistant import Assistant, TurnTaking
from sipcore.voice.conversation import SAYINGS_WAITING, Pipeline
from sipcore.voice.turn import Engines

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return ("asyncio", {"loop_factory": VirtualTimeLoop})


class Talk:
    """One conversation, and what came of it."""

    def __init__(self, script, texts=("question",), replies=("An answer.",), **assistant):
        self.call = FakeCall(script)
        self.stt, self.llm, self.tts = FakeSTT(list(texts)), FakeLLM(list(replies)), FakeTTS()
        self.assistant = Assistant(prompt="P", **assistant)

    async def run(self):
        await Pipeline(self.assistant, Engines(self.stt, self.llm, self.tts), FakeVAD()).converse(self.call)
        assert self.llm.running == 0
        return self

    @property
    def said(self):
        return [(e.speaker, e.transcript.text) for e in self.call.events if isinstance(e, TranscriptMade)]

    @property
    def turns(self):
        return [e for e in self.call.events if isinstance(e, TurnFinished)]


async def test_a_model_that_can_reads_the_prompt_before_the_first_call():
    class Warm(FakeLLM):
        async def warm(self, messages):
            self.asked.append(list(messages))

    llm = Warm(["x"])
    await Pipeline(Assistant(prompt="P", greeting="Hi."), Engines(FakeSTT([]), llm, FakeTTS()), FakeVAD()).warm_up()
    assert llm.asked == [[Message("system", "P"), Message("assistant", "Hi."), Message("user", "Hello?")]]


async def test_a_voice_that_is_not_there_is_told_before_the_first_call():
    class NoSuchVoice(FakeTTS):
        def synthesize(self, text, voice):
            if voice.name:
                raise PluginError(f"no voice is called {voice.name!r}")
            return super().synthesize(text, voice)

    assistant = Assistant(prompt="P", voices={"de": "nobody"})
    pipeline = Pipeline(assistant, Engines(FakeSTT([]), FakeLLM(["x"]), NoSuchVoice()), FakeVAD())
    with pytest.raises(PluginError, match="nobody"):
        await pipeline.warm_up()


async def test_a_question_is_answered():
    talk = await Talk([quiet(1), loud(1), quiet(5)]).run()
    assert talk.said == [("caller", "question"), ("assistant", "An answer.")]
    (turn,) = talk.turns
    assert (turn.said, turn.heard, turn.interrupted) == ("question", "An answer.", False)


async def test_every_step_of_a_turn_is_timed():
    talk = await Talk([quiet(1), loud(1), quiet(5)]).run()
    t = talk.turns[0].timing
    assert t.speech_end == pytest.approx(2.0, abs=0.05)
    assert t.speech_end < t.transcript < t.first_token <= t.first_sentence <= t.first_audio <= t.first_packet
    assert t.first_packet - t.speech_end == pytest.approx(0.65, abs=0.1)


async def test_the_reply_is_prepared_while_the_caller_may_still_go_on_and_played_after_that():
    talk = await Talk([quiet(1), loud(1), quiet(5)], turn_taking=TurnTaking(end_silence=2.0)).run()
    t = talk.turns[0].timing
    assert t.first_audio - t.speech_end < 1.0
    assert t.first_packet - t.speech_end >= 2.0


async def test_a_caller_who_goes_on_is_answered_once_and_as_a_whole():
    talk = await Talk([quiet(1), loud(1), quiet(0.45), loud(1), quiet(5)], texts=["half", "whole"]).run()
    assert talk.said == [("caller", "whole"), ("assistant", "An answer.")]
    assert talk.stt.heard[-1].audio.duration > 2.4


async def test_noise_that_is_no_words_gets_no_answer():
    talk = await Talk([quiet(1), loud(1), quiet(3)], texts=[""]).run()
    assert talk.call.events == []
    assert talk.llm.asked == []


async def test_the_greeting_is_spoken_first_and_remembered():
    talk = await Talk([quiet(3), loud(1), quiet(4)], greeting="Hello.").run()
    assert talk.said[0] == ("assistant", "Hello.")
    assert talk.llm.asked[-1] == [Message("system", "P"), Message("assistant", "Hello."), Message("user", "question")]


async def test_a_recorded_greeting_is_played_as_it_is():
    talk = await Talk([quiet(4)], greeting_audio=loud(2.0), greeting="Recorded.").run()
    assert talk.said == [("assistant", "Recorded.")]
    assert talk.tts.spoken == []


async def test_barge_in_stops_playout_and_the_history_holds_what_was_heard():
    reply = "one two three four five six seven eight nine ten."
    talk = await Talk([quiet(1), loud(1), quiet(2), loud(1), quiet(5)], replies=[reply, "Sorry?"]).run()
    first, second = talk.turns
    assert first.interrupted
    assert reply.startswith(first.heard) and 0 < len(first.heard) < len(reply)
    assert talk.call.cleared_at == [pytest.approx(4.0 + 0.25, abs=0.06)]
    assert talk.llm.asked[-1][2] == Message("assistant", first.heard)
    assert second.heard == "Sorry?"


async def test_a_cough_over_the_assistant_does_not_stop_it():
    reply = "one two three four five six seven eight nine ten."
    talk = await Talk([quiet(1), loud(1), quiet(2), loud(0.15), quiet(5)], replies=[reply]).run()
    (turn,) = talk.turns
    assert turn.heard == reply
    assert talk.call.cleared_at == []


async def test_barge_in_can_be_switched_off():
    rules = TurnTaking(barge_in=False)
    talk = await Talk([quiet(0.5), loud(1), quiet(5)], greeting="A legal notice to the end.", turn_taking=rules).run()
    assert talk.said[0] == ("assistant", "A legal notice to the end.")


async def test_the_greeting_can_be_interrupted_too():
    talk = await Talk([quiet(1), loud(1), quiet(5)], greeting="A very long greeting that nobody wants to hear.").run()
    speaker, heard = talk.said[0]
    assert speaker == "assistant"
    assert "A very long greeting".startswith(heard[:10]) and len(heard) < 40
    assert talk.turns[0].heard == "An answer."


async def test_an_utterance_whose_turn_was_interrupted_before_it_was_understood_is_not_lost():
    talk = Talk([quiet(1), loud(1), quiet(0.9), loud(1), quiet(6)], texts=["both"])
    talk.stt.delay = 2.0
    await talk.run()
    assert [e.said for e in talk.turns] == ["both"]
    assert talk.stt.heard[-1].audio.duration > 2.4


async def test_a_failing_model_is_apologised_for_and_the_call_goes_on(caplog):
    script = [quiet(1), loud(1), quiet(5), loud(1), quiet(4)]
    talk = await Talk(script, replies=[RuntimeError("broken"), "Fine."], apology="Sorry.").run()
    assert [turn.heard for turn in talk.turns] == ["Sorry.", "Fine."]
    assert "no reply could be made" in caplog.text


async def test_the_caller_hanging_up_in_the_middle_of_a_reply_ends_everything():
    talk = await Talk([quiet(1), loud(1), quiet(1)], replies=["word " * 100]).run()
    assert talk.turns == []


async def test_a_call_that_ends_while_it_is_answered_is_no_failure(caplog):
    talk = Talk([quiet(1), loud(1), quiet(5)])

    async def played(position):
        raise CallEndedError("the caller hung up")

    talk.call.played = played
    await talk.run()
    assert talk.said == [("caller", "question")] and not caplog.records


async def test_audio_of_a_voice_with_another_rate_is_resampled():
    class WideTTS(FakeTTS):
        async def _frames(self, text):
            async for _ in text:
                yield AudioFrame(bytes(22050 * 2), 22050)

    talk = Talk([quiet(1), loud(1), quiet(4)])
    talk.tts = WideTTS()
    await talk.run()
    assert talk.call.heard == pytest.approx(1.0, abs=0.02)


async def test_an_utterance_that_was_kept_survives_a_caller_who_pauses_and_goes_on():
    script = [quiet(1), loud(1), quiet(0.9), loud(1), quiet(0.45), loud(1), quiet(9)]
    talk = Talk(script, texts=["all"])
    talk.stt.delay = 2.0
    await talk.run()
    assert [e.said for e in talk.turns] == ["all"]
    assert talk.stt.heard[-1].audio.duration > 3.4


async def test_someone_who_never_stops_speaking_fills_no_memory():
    rules = TurnTaking(max_utterance=3.0)
    talk = Talk([quiet(1), loud(20), quiet(5)], turn_taking=rules)
    talk.stt.delay = 1.0
    await talk.run()
    assert len(talk.stt.heard) > 3
    assert max(speech.audio.duration for speech in talk.stt.heard) <= 3.0 + 0.5


async def test_what_is_too_long_to_join_keeps_its_end():
    rules = TurnTaking(max_utterance=3.0)
    talk = Talk([quiet(1), loud(2), quiet(0.9), loud(2), quiet(5)], turn_taking=rules)
    talk.stt.delay = 2.0
    await talk.run()
    assert talk.stt.heard[-1].audio.duration == pytest.approx(3.0)


async def test_an_apology_for_what_was_not_understood_is_told_and_remembered():
    class Deaf(FakeSTT):
        async def transcribe(self, speech):
            if not self.heard:
                self.heard.append(speech)
                raise RuntimeError("deaf")
            return await super().transcribe(speech)

    talk = Talk([quiet(1), loud(1), quiet(4), loud(1), quiet(4)], apology="Sorry.")
    talk.stt = Deaf(["question"])
    await talk.run()
    assert talk.said == [("assistant", "Sorry."), ("caller", "question"), ("assistant", "An answer.")]
    assert talk.llm.asked[-1][1] == Message("assistant", "Sorry.")


async def test_without_an_apology_nothing_is_said():
    talk = await Talk([quiet(1), loud(1), quiet(4)], replies=[RuntimeError("broken")], apology="").run()
    assert talk.tts.spoken == []
    assert [turn.heard for turn in talk.turns] == [""]


@pytest.mark.parametrize("garbage", [None, AudioFrame(b"", 8000), "text"])
async def test_a_voice_that_gives_garbage_does_not_end_the_call(garbage, caplog):
    class Broken(FakeTTS):
        async def _frames(self, text):
            async for _ in text:
                yield garbage

    talk = Talk([quiet(1), loud(1), quiet(4), loud(1), quiet(4)], greeting="Hello.")
    talk.tts = Broken()
    await talk.run()
    assert [turn.said for turn in talk.turns] == ["question", "question"]


@pytest.mark.parametrize("garbage", [None, 42])
async def test_a_transcript_that_is_none_is_apologised_for(garbage):
    talk = Talk([quiet(1), loud(1), quiet(4)], apology="Sorry.")

    async def transcribe(speech):
        return garbage

    talk.stt.transcribe = transcribe
    await talk.run()
    assert talk.said == [("assistant", "Sorry.")]


async def test_a_greeting_that_breaks_off_is_remembered_as_far_as_it_was_heard(caplog):
    class Breaks(FakeTTS):
        async def _frames(self, text):
            async for piece in text:
                if piece == "Hello there.":
                    yield loud(1.0)
                    raise RuntimeError("broken")
                yield loud(0.5)

    talk = Talk([quiet(2), loud(1), quiet(4)], greeting="Hello there.")
    talk.tts = Breaks()
    await talk.run()
    assert talk.said == [("assistant", "Hello there."), ("caller", "question"), ("assistant", "An answer.")]
    assert "the announcement could not be spoken" in caplog.text


async def test_a_caller_who_hangs_up_during_an_interruption_has_ended_the_call_and_nothing_else(caplog):
    talk = Talk([quiet(1), loud(1), quiet(2), loud(1), quiet(1)], replies=["word " * 50])

    async def clear():
        raise CallEndedError("the caller hung up")

    talk.call.clear = clear
    await talk.run()
    assert not caplog.records


async def test_a_voice_whose_own_tasks_see_the_end_of_the_call_has_not_failed(caplog):
    talk = Talk([quiet(4)], greeting="Hello.")

    async def play(audio):
        raise ExceptionGroup("", [CallEndedError("the caller hung up")])

    talk.call.play = play
    await talk.run()
    assert not caplog.records


async def test_a_detector_that_fails_ends_the_conversation():
    class Broken:
        def detector(self):
            return self

        sample_rate, frame_samples = 8000, 256

        def probability(self, frame):
            raise RuntimeError("broken")

    talk = Talk([quiet(1)])
    with pytest.raises(ExceptionGroup) as caught:
        await Pipeline(talk.assistant, Engines(talk.stt, talk.llm, talk.tts), Broken()).converse(talk.call)
    assert caught.group_contains(RuntimeError, match="broken")


async def test_interrupting_from_the_first_sound_on_is_possible():
    rules = TurnTaking(barge_in_speech=0.0)
    talk = await Talk([quiet(1), loud(1), quiet(2), loud(1), quiet(5)], turn_taking=rules, greeting="Hi.").run()
    assert talk.said[0] == ("assistant", "Hi.")
    assert talk.turns[0].heard == "An answer."


async def test_talking_on_while_the_reply_is_made_ends_it_before_a_word_of_it_was_heard():
    talk = Talk([quiet(1), loud(1), quiet(0.9), loud(1), quiet(5)], texts=["one", "two"])
    talk.llm.delay = 1.0
    await talk.run()
    first, second = talk.turns
    assert (first.said, first.heard, first.interrupted) == ("one", "", True)
    assert first.timing.first_packet is None
    assert talk.llm.asked[-1] == [Message("system", "P"), Message("user", "one two")]
    assert second.heard == "An answer."


async def test_speech_that_begins_in_the_greeting_and_ends_after_it_is_answered():
    rules = TurnTaking(barge_in=False)
    talk = await Talk([quiet(0.5), loud(2), quiet(4)], greeting="A greeting of 1.5 s.", turn_taking=rules).run()
    assert [turn.said for turn in talk.turns] == ["question"]
    assert talk.stt.heard[0].audio.duration > 2.0


async def test_a_greeting_that_is_interrupted_before_its_first_sound_was_not_said():
    class Slow(FakeTTS):
        async def _frames(self, text):
            await anyio.sleep(3)
            async for frame in super()._frames(text):
                yield frame

    talk = Talk([quiet(0.2), loud(1), quiet(8)], greeting="Hello.")
    talk.tts = Slow()
    await talk.run()
    assert talk.said[0] == ("caller", "question")


async def test_the_end_of_speech_is_timed_to_half_a_frame_of_the_detector():
    errors = []
    for length in (0.96, 1.0, 1.04, 1.1):
        began = anyio.current_time()
        talk = await Talk([quiet(1), loud(length), quiet(4)]).run()
        errors.append(talk.turns[0].timing.speech_end - began - 1.0 - length)
    assert max(map(abs, errors)) < 0.017


class Hangs:
    """Engines that never go on."""

    async def transcribe(self, speech):
        await anyio.sleep_forever()

    @asynccontextmanager
    async def reply(self, messages, tools=()):
        async def stuck():
            yield Delta("One sentence is made. Another is")
            await anyio.sleep_forever()

        yield stuck()

    @asynccontextmanager
    async def synthesize(self, text, voice):
        await anyio.sleep_forever()
        yield


async def test_speech_recognition_that_hangs_is_given_up_and_apologised_for(caplog):
    talk = Talk([quiet(1), loud(1), quiet(10)], apology="Sorry.", patience=5.0)
    talk.stt = Hangs()
    await talk.run()
    assert talk.said == [("assistant", "Sorry.")]
    assert "an engine did nothing for 5 s" in caplog.text


async def test_a_model_that_stops_in_the_middle_is_given_up_and_apologised_for():
    talk = Talk([quiet(1), loud(1), quiet(12)], apology="Sorry.", patience=5.0)
    talk.llm.reply = Hangs().reply
    await talk.run()
    assert talk.said == [("caller", "question"), ("assistant", "One sentence is made. Sorry.")]


async def test_a_voice_that_hangs_leaves_the_caller_the_floor_even_without_barge_in(caplog):
    rules = TurnTaking(barge_in=False)
    talk = Talk([quiet(6), loud(1), quiet(16)], greeting="Hello.", patience=5.0, turn_taking=rules)
    talk.tts = Hangs()
    await talk.run()
    assert talk.said == [("caller", "question")]
    assert "the announcement could not be spoken" in caplog.text
    assert "not even the apology could be spoken" in caplog.text


async def test_a_caller_who_holds_or_listens_long_is_no_fault_of_an_engine(caplog):
    talk = Talk([quiet(1), loud(1), quiet(20)], patience=2.0, replies=["word " * 60])
    await talk.run()
    assert not caplog.records
    assert talk.turns[0].heard.count("word") == 60


async def test_a_caller_is_answered_in_the_voice_of_the_language_that_was_heard():
    voices = []

    class Voices(FakeTTS):
        def synthesize(self, text, voice):
            voices.append(voice)
            return super().synthesize(text, voice)

    talk = Talk([quiet(3), loud(1), quiet(5)], greeting="Hello.", voices={"de-DE": "eva"}, speed=1.5)
    talk.tts = Voices()

    async def transcribe(speech):
        assert list(speech.languages) == ["en", "de-DE"]
        return Transcript("Guten Tag", "de")

    talk.stt.transcribe = transcribe
    await talk.run()
    assert voices == [Voice("en", "", 1.5), Voice("de-DE", "eva", 1.5)]
    told = [e.transcript.language for e in talk.call.events if isinstance(e, TranscriptMade)]
    assert told == ["en", "de-DE", "de-DE"]


async def test_markup_of_the_model_is_not_spoken():
    talk = await Talk([quiet(1), loud(1), quiet(5)], replies=["**Yes**, we are `open`. \n\n---\n\n"]).run()
    assert talk.tts.spoken == ["Yes, we are open."]
    assert talk.turns[0].heard == "Yes, we are open."


async def test_a_greeting_is_spoken_a_sentence_at_a_time():
    talk = await Talk([quiet(5)], greeting="Hello, this is a test.  How are you?").run()
    assert talk.tts.spoken == ["Hello, this is a test.", "How are you?"]
    assert talk.said == [("assistant", "Hello, this is a test. How are you?")]


def transcripts(talk, *, final):
    return [e.transcript.text for e in talk.call.events if isinstance(e, TranscriptMade) and e.final is final]


async def test_a_caller_who_speaks_for_long_is_written_down_meanwhile_and_answered_once():
    script = [quiet(1), loud(5.5), quiet(5)]
    texts = ["one", "one two", "one two three"]
    talk = await Talk(script, texts=texts, turn_taking=TurnTaking(interim=2.4)).run()
    assert transcripts(talk, final=False) == ["one", "one two"]
    assert talk.said[-2:] == [("caller", "one two three"), ("assistant", "An answer.")]
    lengths = [speech.audio.duration for speech in talk.stt.heard]
    assert lengths == [pytest.approx(2.8, abs=0.2), pytest.approx(5.2, abs=0.2), pytest.approx(6.1, abs=0.2)]


async def test_interim_transcripts_delay_no_answer():
    script, rules = [quiet(1), loud(2.5), quiet(8)], TurnTaking(interim=2.4)
    times = []
    for turn_taking in (rules, TurnTaking()):
        talk = Talk(script, turn_taking=turn_taking)
        talk.stt.delay = 1.0
        times.append((await talk.run()).turns[0].timing)
        assert transcripts(talk, final=False) == []
    assert times[0].transcript - times[0].speech_end == pytest.approx(times[1].transcript - times[1].speech_end)


async def test_an_interim_transcript_that_fails_is_told_and_the_caller_is_answered(caplog):
    talk = Talk([quiet(1), loud(3), quiet(5)], turn_taking=TurnTaking(interim=2.4))
    transcribe = talk.stt.transcribe

    async def fails_once(speech):
        talk.stt.transcribe = transcribe
        raise RuntimeError("no memory")

    talk.stt.transcribe = fails_once
    await talk.run()
    assert "no interim transcript could be made" in caplog.text
    assert talk.turns[0].heard == "An answer."


class Polyglot(FakeSTT):
    """Hears the next of several languages."""

    async def transcribe(self, speech):
        transcript = await super().transcribe(speech)
        language, _, text = transcript.text.partition(":")
        return Transcript(text, language, 0.8)


class Spy(FakeTTS):
    """Notes in which language it speaks."""

    def synthesize(self, text, voice):
        self.languages = [*getattr(self, "languages", []), voice.language]
        return super().synthesize(text, voice)


async def test_the_model_is_told_the_language_and_an_odd_word_changes_nothing():
    said = ["fr:Bonjour à tous", "en:OK", "es:Buenos días señora"]
    script = [quiet(1), *[part for _ in said for part in (loud(1), quiet(5))]]
    talk = Talk(script, replies=["A.", "B.", "C."], speaks=("fr", "es"))
    talk.stt, talk.tts = Polyglot(said), Spy()
    await talk.run()
    prompts = [messages[0].content for messages in talk.llm.asked]
    assert prompts == ["P\nReply in French.", "P\nReply in French.", "P\nReply in Spanish."]
    assert talk.tts.languages == ["fr", "fr", "es"]
    languages = [e.transcript.language for e in talk.call.events if isinstance(e, TranscriptMade)]
    assert languages == ["fr", "fr", "fr", "fr", "es", "es"]


async def test_the_apology_is_in_the_language_of_the_caller():
    talk = Talk(
        [quiet(1), loud(1), quiet(5)], replies=[RuntimeError("no")], speaks=("fr",), apologies={"fr": "Pardon."}
    )
    talk.stt, talk.tts = Polyglot(["fr:Bonjour à tous"]), Spy()
    await talk.run()
    assert talk.tts.spoken == ["Pardon."]
    assert talk.tts.languages == ["fr"]


async def test_what_the_caller_heard_of_each_reply_is_kept():
    kept = []
    reply = "one two three four five six seven eight nine ten."
    talk = Talk([quiet(1), loud(1), quiet(2), loud(1), quiet(5)], replies=[reply, "Sorry?"])
    engines = Engines(talk.stt, talk.llm, talk.tts)
    keep = lambda info, number, audio: kept.append((info, number, audio))  # noqa: E731
    await Pipeline(talk.assistant, engines, FakeVAD(), keep).converse(talk.call)
    assert [(info.call_id, number) for info, number, _ in kept] == [("call-1", 1), ("call-1", 2)]
    first, second = (audio.duration for _, _, audio in kept)
    assert 0.5 < first < len(reply) * talk.tts.seconds - 0.5, "it was interrupted"
    assert second == pytest.approx(len("Sorry?") * talk.tts.seconds)


async def test_a_call_that_somebody_else_began_is_opened_with_an_apology():
    talk = Talk([quiet(5)], greeting="Hello.", apology="Sorry for that.")
    talk.call.info = replace(talk.call.info, taken_over=True)
    await talk.run()
    assert talk.said == [("assistant", "Sorry for that.")]


async def test_what_others_want_said_is_said_after_what_is_being_said_and_remembered():
    talk = Talk([quiet(4), loud(1), quiet(5)], greeting="Hello there.")
    pipeline = Pipeline(talk.assistant, Engines(talk.stt, talk.llm, talk.tts), FakeVAD())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipeline.converse, talk.call)
        await anyio.sleep(0.1)
        assert pipeline.say("call-1", "We close soon.")
        assert not pipeline.say("call-2", "Nobody hears this.")
    assert not pipeline.say("call-1", "It is over.")
    assert talk.said[:2] == [("assistant", "Hello there."), ("assistant", "We close soon.")]
    assert talk.llm.asked[0][1] == Message("assistant", "Hello there. We close soon.")


async def test_of_too_much_that_others_want_said_the_oldest_is_dropped():
    talk = Talk([quiet(30)], greeting="Hello.")
    pipeline = Pipeline(talk.assistant, Engines(talk.stt, talk.llm, talk.tts), FakeVAD())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipeline.converse, talk.call)
        await anyio.sleep(0.1)
        for number in range(SAYINGS_WAITING + 5):
            assert pipeline.say("call-1", f"{number}.")
    assert [text for _, text in talk.said] == ["Hello.", *(f"{n}." for n in range(5, SAYINGS_WAITING + 5))]

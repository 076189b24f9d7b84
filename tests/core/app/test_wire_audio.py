"""app/wire_audio.py: the audio of RTP messages."""

import numpy as np
import pytest
from sipcore.app.wire_audio import from_wire, to_wire
from sipcore.audio.frame import AudioFrame
from sipcore.audio.tones import sine
from sipcore.errors import RemoteProtocolError

TONE = AudioFrame.from_samples(sine(440, 0.02), 8000)


def test_pcm_goes_both_ways_as_it_is():
    assert to_wire(TONE, "pcm") == TONE.pcm
    assert from_wire(TONE.pcm, "pcm") == TONE


@pytest.mark.parametrize("audio_format", ["pcmu", "pcma"])
def test_g711_is_an_octet_a_sample_and_sounds_the_same(audio_format):
    octets = to_wire(TONE, audio_format)
    assert len(octets) == 160
    there = from_wire(octets, audio_format)
    assert there.sample_rate == 8000
    assert np.abs(there.samples.astype(int) - TONE.samples).max() < 400
    assert to_wire(there, audio_format) == octets


def test_the_silence_of_g711_is_that_of_the_standard():
    silence = AudioFrame(bytes(320), 8000)
    assert set(to_wire(silence, "pcmu")) == {0xFF}
    assert set(to_wire(silence, "pcma")) == {0xD5}


def test_half_a_sample_is_refused_in_pcm_alone():
    with pytest.raises(RemoteProtocolError) as caught:
        from_wire(b"\0" * 321, "pcm")
    assert caught.value.status == 400
    assert len(from_wire(b"\0" * 321, "pcmu").samples) == 321


@pytest.mark.parametrize(("audio_format", "size"), [("pcm", 16_000), ("pcmu", 8_000), ("pcma", 8_000)])
def test_a_second_is_taken_and_more_is_not(audio_format, size):
    assert from_wire(b"\0" * size, audio_format).duration == 1.0
    with pytest.raises(RemoteProtocolError) as caught:
        from_wire(b"\0" * (size + 2), audio_format)
    assert caught.value.status == 413

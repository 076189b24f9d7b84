"""G.711 against the ITU's sweep of every sample and code: no difference."""

from pathlib import Path

import numpy as np
import pytest
from sipcore.audio.g711 import PCMA, PCMA_SILENCE, PCMU, PCMU_SILENCE

SWEEP = np.load(Path(__file__).parents[2] / "vectors" / "g711_itu" / "sweep.npz")
SAMPLES = np.arange(-32768, 32768).astype(np.int16)


@pytest.mark.parametrize(("codec", "law"), [(PCMU, "ulaw"), (PCMA, "alaw")])
def test_every_sample_is_encoded_and_decoded_as_the_itu_does(codec, law) -> None:
    codes = codec.encoder().encode(SAMPLES)

    assert np.count_nonzero(np.frombuffer(codes, np.uint8) != SWEEP[law]) == 0
    assert np.count_nonzero(codec.decoder().decode(codes) != SWEEP[f"{law}_decoded"]) == 0


@pytest.mark.parametrize(("codec", "number", "silence"), [(PCMU, 0, PCMU_SILENCE), (PCMA, 8, PCMA_SILENCE)])
def test_the_records_say_what_rfc_3551_says(codec, number, silence) -> None:
    assert (codec.payload_type, codec.clock_rate, codec.sample_rate) == (number, 8000, 8000)
    assert codec.encoder().encode(np.zeros(160, np.int16)) == bytes([silence]) * 160


@pytest.mark.parametrize("codec", [PCMU, PCMA])
def test_a_second_coding_changes_nothing(codec) -> None:
    once = codec.decoder().decode(codec.encoder().encode(SAMPLES))
    assert (codec.decoder().decode(codec.encoder().encode(once)) == once).all()

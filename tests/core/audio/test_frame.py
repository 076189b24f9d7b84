"""AudioFrame."""

import numpy as np
import pytest
from sipcore.audio.frame import AudioFrame
from sipcore.errors import LocalProtocolError


def test_samples_go_in_and_come_out() -> None:
    frame = AudioFrame.from_samples(np.array([1, -2, 3], np.int16), 8000)

    assert frame.pcm == b"\x01\x00\xfe\xff\x03\x00"
    assert frame.samples.tolist() == [1, -2, 3]
    assert frame.duration == pytest.approx(3 / 8000)


@pytest.mark.parametrize(("pcm", "rate"), [(b"abc", 8000), (b"ab", 0)])
def test_what_is_no_audio_is_refused(pcm: bytes, rate: int) -> None:
    with pytest.raises(LocalProtocolError):
        AudioFrame(pcm, rate)

"""WAV files that are cut anywhere, and what their repair makes of them."""

import io
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sipcore.audio.riff import HEADER_SIZE, WavWriter, header, repair
from sipcore.errors import MediaError

BLOCK = b"\x01\x02" * 400


def written(blocks: int, channels: int = 1) -> bytes:
    file = io.BytesIO()
    writer = WavWriter(file, 8000, channels)
    for _ in range(blocks):
        writer.write(BLOCK)
    return file.getvalue()


def samples(data: bytes) -> int:
    with wave.open(io.BytesIO(data)) as file:
        return len(file.readframes(file.getnframes()))


@pytest.mark.parametrize("channels", [1, 2])
def test_the_file_is_playable_after_every_block(channels: int) -> None:
    for blocks in range(4):
        data = written(blocks, channels)
        with wave.open(io.BytesIO(data)) as file:
            assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (channels, 8000, 2)
            assert file.readframes(file.getnframes()) == BLOCK * blocks
        assert not repair(io.BytesIO(data))


class Slow(io.BytesIO):
    """Takes a few octets at a time, as a full pipe or disk may."""

    def write(self, data, /) -> int:
        return super().write(data[:7])


def test_a_short_write_is_continued() -> None:
    file = Slow()
    WavWriter(file, 8000, 1).write(BLOCK)
    assert file.getvalue() == header(len(BLOCK), 8000, 1) + BLOCK


@given(st.integers(HEADER_SIZE, len(written(3))), st.sampled_from([1, 2]))
def test_a_file_that_is_cut_anywhere_plays_all_that_is_left(cut: int, channels: int) -> None:
    file = io.BytesIO(written(3, channels)[:cut])

    repair(file)

    assert samples(file.getvalue()) == (cut - HEADER_SIZE) // (2 * channels) * 2 * channels
    assert not repair(file)


def test_samples_that_the_header_does_not_know_of_come_back() -> None:
    file = io.BytesIO(written(2) + BLOCK + b"\x05")

    assert repair(file)
    assert samples(file.getvalue()) == 3 * len(BLOCK)
    assert not repair(file)


def test_chunks_before_and_after_the_samples_stay() -> None:
    start = written(1)
    extra = b"LIST\x04\x00\x00\x00abcd"
    data = start[:12] + extra + start[12:] + extra
    file = io.BytesIO(data)

    assert repair(file)
    assert samples(file.getvalue()) == len(BLOCK)
    assert file.getvalue()[8:] == data[8:]
    assert not repair(file)


def test_a_file_of_more_than_four_gigabytes_claims_what_fits() -> None:
    assert header(1 << 33, 8000, 1)[40:] == (0xFFFFFFFF - HEADER_SIZE).to_bytes(4, "little")


@pytest.mark.parametrize("data", [b"", b"RIFF", b"OggS" + bytes(60), written(0)[:30], written(0)[:36]])
def test_what_is_no_wav_file_is_said_so(data: bytes) -> None:
    with pytest.raises(MediaError, match="WAV file"):
        repair(io.BytesIO(data))


@given(st.binary(max_size=100) | st.binary(max_size=100).map(lambda data: written(0)[:20] + data))
def test_any_bytes_are_repaired_or_refused(data: bytes) -> None:
    file = io.BytesIO(data)
    try:
        repair(file)
    except MediaError:
        return
    assert not repair(file)

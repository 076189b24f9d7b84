"""FrameRings: the same as sample by sample, wherever a frame lies."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sipcore.media.frames import FrameRings
from sipcore.rtp.jitter import FRAME

SIZE = 400
POSITIONS = st.lists(st.integers(-1000, 10_000), min_size=4, max_size=4)


@given(POSITIONS, st.lists(st.booleans(), min_size=4, max_size=4), st.booleans())
def test_frames_are_read_and_written_where_they_lie(positions, chosen, fill) -> None:
    rings = np.random.default_rng(1).integers(-99, 99, (4, SIZE)).astype(np.int16)
    expected = rings.copy()
    rows = np.flatnonzero(chosen)
    at = np.array(positions, np.int64)[rows]
    frames = np.arange(len(rows) * FRAME, dtype=np.int16).reshape(-1, FRAME)
    frame_rings = FrameRings(rings)

    got = frame_rings.read(rows, at)
    frame_rings.write(rows, at, 0 if fill else frames)

    for index, (row, position) in enumerate(zip(rows, at, strict=True)):
        where = (position + np.arange(FRAME)) % SIZE
        assert (got[index] == expected[row, where]).all()
        expected[row, where] = 0 if fill else frames[index]
    assert (rings == expected).all()

"""The frames on the pipe."""

from hypothesis import given
from hypothesis import strategies as st
from sipcore.media.messages import Closed, Decoder, MediaStatistics, Open, Woken, encode


@given(st.lists(st.integers(0, 1000), max_size=6), st.integers(1, 50))
def test_messages_come_out_whole_however_the_stream_is_cut(handles, size) -> None:
    messages = [Open(handle) for handle in handles] + [Woken((1, 2)), Closed(1, MediaStatistics(dropped={"late": 1}))]
    stream = b"".join(encode(message) for message in messages)
    decoder = Decoder()

    got = [message for at in range(0, len(stream), size) for message in decoder.feed(stream[at : at + size])]

    assert got == messages

"""Lines and events come out whole, however the bytes arrive, and none is longer than allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sipcore.errors import PluginError
from sipcore.plugins.event_stream import EventReader, LineReader


def fed(reader, data, cuts=()):
    ends = [*sorted(min(cut, len(data)) for cut in cuts), len(data)]
    items, at = [], 0
    for end in ends:
        items += reader.feed(data[at:end])
        at = end
    return items + reader.flush()


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\n\nb\r\n", ["a", "", "b"]),
        (b"a\rb\n", ["a\rb"]),
        ("ß\n😀".encode(), ["ß", "😀"]),
        (b"\xff\n", ["\ufffd"]),
    ],
)
def test_lines(data, lines):
    assert fed(LineReader(99), data) == lines


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"data: a\n\ndata: b\n\n", ["a", "b"]),
        (b"data:a\r\n\r\n", ["a"]),
        (b"data:  a\n\n", [" a"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b": ping\n\nevent: x\nid: 3\nretry: 4\ndata: a\n\n\n\n", ["a"]),
        (b"data\n\n", [""]),
        (b"data: last", ["last"]),
        (b"database: a\n\n", []),
    ],
)
def test_events(data, events):
    assert fed(EventReader(99), data) == events


@given(st.lists(st.integers(0, 60), max_size=6))
def test_it_does_not_matter_how_the_bytes_arrive(cuts):
    assert fed(EventReader(99), "data: Grüß\r\n\r\n:\ndata: 😀\ndata: b\n\n".encode(), cuts) == ["Grüß", "😀\nb"]


@given(st.binary(max_size=99), st.lists(st.integers(0, 99), max_size=4))
def test_no_line_is_lost(data, cuts):
    whole = data.decode(errors="replace").replace("\r\n", "\n")
    assert "\n".join(fed(LineReader(99), data, cuts)).rstrip("\r\n") == whole.rstrip("\r\n")


@pytest.mark.parametrize("data", [b"x" * 10, b"x" * 10 + b"\n", b"a\n" + b"x" * 10])
def test_a_line_that_is_too_long_is_refused_before_it_is_whole(data):
    with pytest.raises(PluginError, match="longer than 9 bytes"):
        LineReader(9).feed(data)
    assert fed(LineReader(10), data)


def test_an_event_that_does_not_end_is_refused():
    reader = EventReader(9)
    reader.feed(b"data: abc\n" * 3)
    with pytest.raises(PluginError, match="longer than 9 characters"):
        reader.feed(b"data: d\n")

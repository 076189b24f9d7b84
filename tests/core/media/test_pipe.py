"""The engine's end of the pipe."""

import socket

from sipcore.media.messages import Close, Closed, Decoder, Happened, MediaStatistics, Open, RecordingFailed, encode
from sipcore.media.pipe import Pipe


def test_what_the_server_does_not_read_waits_and_comes_whole_and_in_order() -> None:
    ours, theirs = socket.socketpair()
    pipe = Pipe(ours)
    count = 0
    while not pipe.behind:
        pipe.tell(Happened(count, RecordingFailed("x" * 1000)))
        pipe.flush()
        count += 1
    pipe.tell(Closed(count, MediaStatistics()))
    decoder, got = Decoder(), []
    while len(got) <= count:
        got += decoder.feed(theirs.recv(100_000))
        pipe.flush()

    assert [message.handle for message in got] == list(range(count + 1))
    assert not pipe.behind
    pipe.close()
    theirs.close()


def test_commands_are_read_until_the_server_is_gone() -> None:
    ours, theirs = socket.socketpair()
    pipe = Pipe(ours)
    assert list(pipe.read()) == []
    theirs.send(encode(Open(1)) + encode(Close(1)))
    assert list(pipe.read()) == [Open(1), Close(1)]
    assert not pipe.closed
    theirs.close()
    assert list(pipe.read()) == []
    assert pipe.closed
    pipe.close()


def test_a_server_that_goes_while_we_speak_is_gone() -> None:
    ours, theirs = socket.socketpair()
    pipe = Pipe(ours)
    theirs.send(b"unread")
    pipe.tell(Closed(1, MediaStatistics()))
    theirs.close()
    pipe.flush()
    assert pipe.closed
    pipe.close()


def test_a_broken_pipe_is_a_server_gone() -> None:
    ours, theirs = socket.socketpair()
    pipe = Pipe(ours)
    ours.send(b"unread")
    theirs.close()

    assert list(pipe.read()) == []
    assert pipe.closed
    pipe.close()

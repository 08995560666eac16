"""Frames: whatever is sent arrives, and nothing that is no frame gets through."""

import asyncio
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind.workers import channel
from localmind.workers.channel import (
    MAX_FRAME,
    Call,
    Cancel,
    Channel,
    Error,
    Frame,
    Heartbeat,
    Item,
    ProtocolViolation,
    Ready,
    Result,
    pack,
    unpack,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
ids = st.integers(0, 2**31)
frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Call, ids, st.text(), st.dictionaries(st.text(max_size=8), values, max_size=4)),
    st.builds(Cancel, ids),
    st.builds(Item, ids, values),
    st.builds(Result, ids, values),
    st.builds(Error, ids, st.dictionaries(st.text(max_size=8), values, max_size=3)),
    st.builds(Heartbeat, st.floats(allow_nan=False)),
    st.builds(Ready, ids),
)


class FakeTransport(asyncio.Transport):
    aborted = False

    def abort(self) -> None:
        self.aborted = True


def read_all(data: bytes, pieces: int = 1) -> list[Frame]:
    """All frames in `data`, which arrives in so many pieces."""

    got: list[Frame] = []
    ends: list[ProtocolViolation | None] = []
    reading = channel.Frames(got.append, ends.append)
    transport = FakeTransport()
    reading.connection_made(transport)
    for number in range(pieces):
        reading.data_received(data[len(data) * number // pieces : len(data) * (number + 1) // pieces])
    reading.connection_lost(None)
    [violation] = ends
    assert transport.aborted == (violation is not None)
    if violation is not None:
        raise violation
    return got


@given(st.lists(frames, max_size=5), st.integers(1, 7))
def test_frames_arrive_as_they_were_sent_however_they_are_cut(sent: list[Frame], pieces: int) -> None:
    assert read_all(b"".join(map(pack, sent)), pieces) == sent


@given(frames, st.data())
def test_a_frame_cut_short_is_the_end_and_not_a_frame(frame: Frame, data: Any) -> None:
    whole = pack(frame)
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert read_all(whole[:cut]) == []
    assert read_all(whole + whole[:cut]) == [frame]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_frame_are_a_violation(body: bytes) -> None:
    try:
        frame = unpack(body)
    except ProtocolViolation:
        return
    assert unpack(pack(frame)[4:]) == frame  # by chance they were one


def test_a_length_beyond_the_limit_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ProtocolViolation, match="claims 4294967295 bytes"):
        read_all(b"\xff\xff\xff\xff")


def test_what_is_sent_together_leaves_in_one_piece_and_in_order() -> None:
    ours, theirs = socket.socketpair()
    end = Channel(theirs)
    with end.together():
        end.send(Item(1, "a"))
        end.send(Item(2, "b"))
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(1)
    assert ours.recv(1 << 16) == pack(Item(1, "a")) + pack(Item(2, "b"))
    end.send(Item(3, "c"))
    assert ours.recv(1 << 16) == pack(Item(3, "c"))
    ours.close()
    end.close()


def test_a_frame_that_could_not_be_read_back_is_not_sent() -> None:
    with pytest.raises(ProtocolViolation, match="over the limit"):
        pack(Item(1, bytes(MAX_FRAME)))


def test_the_blocking_end_reads_what_the_other_sends_and_then_the_end() -> None:
    ours, theirs = socket.socketpair()
    end = Channel(theirs)
    ours.sendall(pack(Call(1, "echo", {"a": 1})) + pack(Cancel(1))[:3])
    assert end.read() == Call(1, "echo", {"a": 1})
    ours.close()
    assert end.read() is None
    end.send(Heartbeat(0.0))  # nobody reads any more: not an error
    end.close()

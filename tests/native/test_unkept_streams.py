"""A native stream that its owner drops although something of the core's still knows it."""

from __future__ import annotations

import gc
import socket
from typing import Any

import pytest

from proactor import (
    CompletionPort,
    LengthFraming,
    OverlappedSocket,
    Stream,
    StreamGroup,
    StreamLimits,
)
from tests.streams.serving import Recorder
from tests.support.sockets import LIMIT, plain_pair

pytestmark = pytest.mark.engine("epoll")


@pytest.fixture
def port(opened: Any) -> CompletionPort:
    """Return a port."""
    made: CompletionPort = opened(CompletionPort())
    return made


def never_started(port: CompletionPort, opened: Any) -> tuple[Stream, socket.socket]:
    """Return a stream whose framing and limits are nobody else's, and its peer."""
    server, client = plain_pair()
    opened(client)
    client.settimeout(LIMIT)
    stream = port.open_stream(
        OverlappedSocket.adopt(server), Recorder(), LengthFraming(1234), StreamLimits()
    )
    return stream, client


def test_a_turn_of_a_stream_that_nobody_keeps_is_given_up(port, opened):
    stream, peer = never_started(port, opened)
    assert stream.post(lambda: None)

    del stream
    gc.collect()

    assert list(port.serve(timeout=0)) == []
    assert peer.recv(1) == b""  # Its descriptor is closed.


def test_a_turn_that_nobody_keeps_comes_out_as_no_packet(port, opened):
    stream, _ = never_started(port, opened)
    assert stream.post(lambda: None)

    del stream
    gc.collect()

    assert list(port.get_many(8, timeout=0)) == []


def test_a_group_forgets_a_member_that_nobody_keeps(port, opened):
    stream, peer = never_started(port, opened)
    group = StreamGroup(port)
    group.add(stream)

    del stream
    gc.collect()

    assert len(group) == 0
    assert group.broadcast_frame(b"x" * 100) == []
    assert peer.recv(1) == b""

"""Any bytes in any pieces over a connection: the stream gives what the decoder in Python gives."""

from __future__ import annotations

import socket
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proactor import StreamEnd
from tests.streams.serving import Recorder, Served
from tests.words.framing_streams import CUTS, any_stream, cut_at, outcome, streams


# The port is the same for all examples, on purpose: what one leaves behind, the next one gets.
@settings(
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(case=st.one_of(streams(), any_stream()), cuts=CUTS)
def test_a_stream_cuts_any_bytes_as_the_decoder_does(served: Served, case, cuts) -> None:
    framing, sent = case
    sink = Recorder()
    _, peer = served.open(sink, framing)
    with peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):  # It is reset as soon as a frame is none.
            for piece in cut_at(sent, cuts):
                peer.sendall(piece)
            peer.shutdown(socket.SHUT_WR)
        end = sink.wait_for_end()

    expected = outcome(framing, [sent])
    assert sink.items == expected.items
    assert end is (StreamEnd.PROTOCOL_ERROR if expected.reason else StreamEnd.PEER_CLOSED)
    assert sink.detail == (expected.reason or expected.broken_off)

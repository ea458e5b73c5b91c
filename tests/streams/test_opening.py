"""Opening a stream: what is refused, and that a refusal leaves everything as it was."""

from __future__ import annotations

import gc
import weakref

import pytest

from proactor import (
    CompletionPort,
    InvalidParameter,
    Overlapped,
    OverlappedSocket,
    PortClosed,
    ProactorError,
    SocketClosed,
    StreamEnd,
)
from proactor.engines import choose
from tests.streams.serving import Echo, Recorder, Served, open_stream
from tests.support.refusals import refused_with
from tests.support.sockets import plain_pair, read_to_end
from tests.support.streams import eventually


@pytest.fixture
def port(opened):
    return opened(CompletionPort())


@pytest.fixture
def pair(opened):
    server, client = plain_pair()
    return opened(OverlappedSocket.adopt(server)), opened(client)


def still_works(sock: OverlappedSocket, peer) -> bool:
    """Say whether a socket that was refused is as it was: it moves bytes both ways."""
    peer.sendall(b"in")
    buffer = bytearray(10)
    assert sock.recv(buffer) == 2
    sock.send(b"out")
    return peer.recv(10) == b"out"


def test_the_socket_is_closed_as_an_object(port, pair):
    sock, peer = pair

    stream = port.open_stream(sock, Recorder())

    assert sock.fileno() == -1
    with pytest.raises(SocketClosed):
        sock.recv(bytearray(1))
    sock.close()
    assert stream.send(b"but the connection lives")
    assert peer.recv(100) == b"but the connection lives"


def test_a_socket_that_is_not_connected_is_refused(port, opened):
    sock = opened(OverlappedSocket())

    with refused_with(10057):
        port.open_stream(sock, Recorder())

    assert sock.fileno() >= 0


def test_a_closed_socket_is_refused(port, pair):
    pair[0].close()

    with pytest.raises(SocketClosed):
        port.open_stream(pair[0], Recorder())


def test_a_socket_that_is_attached_is_refused(port, pair):
    port.attach(pair[0], "key")

    with pytest.raises(InvalidParameter):
        port.open_stream(pair[0], Recorder())

    overlapped = Overlapped()
    pair[0].recv(bytearray(9), overlapped)
    pair[1].sendall(b"x")
    packet = port.get(5)
    assert (packet.key, packet.overlapped, packet.transferred) == ("key", overlapped, 1)


def test_a_socket_with_an_operation_in_flight_is_refused(port, pair):
    sock, peer = pair
    overlapped, buffer = Overlapped(), bytearray(9)
    sock.recv(buffer, overlapped)

    with pytest.raises(InvalidParameter):
        port.open_stream(sock, Recorder())

    peer.sendall(b"x")
    assert eventually(lambda: overlapped.is_complete)
    assert overlapped.get_result() == 1
    assert still_works(sock, peer)


def test_a_closed_port_is_refused(pair):
    port = CompletionPort()
    port.close()

    with pytest.raises(PortClosed):
        port.open_stream(pair[0], Recorder())

    assert still_works(*pair)


def test_arguments_of_another_type_are_refused(port, pair):
    sock, peer = pair
    with pytest.raises(TypeError, match="framing"):
        port.open_stream(sock, Recorder(), "lines")
    with pytest.raises(TypeError, match="limits"):
        port.open_stream(sock, Recorder(), None, 5)
    with pytest.raises(TypeError, match="OverlappedSocket"):
        port.open_stream(peer, Recorder())

    assert still_works(sock, peer)


def test_serving_needs_a_limit_of_one_or_more(port):
    with pytest.raises(InvalidParameter):
        port.serve(0)


def test_serving_a_port_without_streams_is_getting(port):
    port.post("a", 1)
    port.post("b", 2)

    assert [packet.key for packet in port.serve(64, 5)] == ["a", "b"]
    assert port.serve(64, 0) == []
    assert port.serve(64, 0.01) == []


def test_serving_a_closed_port_raises(port):
    port.close()

    with pytest.raises(PortClosed):
        port.serve(1, 0)


def test_a_port_that_is_closed_ends_its_streams_without_a_call(port, opened):
    sinks = [Recorder() for _ in range(3)]
    pairs = [open_stream(port, sink) for sink in sinks]
    for _, peer in pairs:
        opened(peer)

    port.close()

    for stream, peer in pairs:
        assert not stream.send(b"x")
        assert not stream.post(print)
        assert read_to_end(peer) == b""
        stream.abort()
        stream.close()
    assert [sink.calls for sink in sinks] == [[], [], []]


def test_closing_the_port_in_a_turn_stops_delivery(opened):
    port = CompletionPort()
    sink = Recorder()
    _, peer = open_stream(port, sink)
    opened(peer)
    sink.on_received = lambda _: port.close()

    peer.sendall(b"x")
    with pytest.raises(PortClosed):
        while True:
            port.serve(64, 5)

    assert [name for name, _ in sink.calls] == ["received"]
    assert read_to_end(peer) == b""


def test_nothing_of_a_stream_is_left_when_it_has_ended(served: Served, connected):
    # Method: sinks and streams are watched by weak references; nothing else may hold them.
    watched = []
    for _ in range(10):
        sink = Echo()
        stream, peer = connected(sink)
        peer.sendall(b"x")
        assert peer.recv(1) == b"x"
        peer.close()
        assert sink.wait_for_end() is StreamEnd.PEER_CLOSED
        watched += [weakref.ref(sink), weakref.ref(stream)]
        del sink, stream
    # A worker may still hold the last turn in its hands.
    served.port.post("next")
    served.wait_for_packets(1)

    def all_are_gone() -> bool:
        gc.collect()
        return not any(ref() for ref in watched)

    assert eventually(all_are_gone)


def test_a_stream_lives_while_nobody_holds_it(served: Served, connected):
    sink = Recorder()
    _, peer = connected(sink)
    sink.stream = None
    gc.collect()

    peer.sendall(b"x")

    assert sink.wait_for("received") == [b"x"]


def test_what_an_engine_counts_as_in_flight_goes_back_to_nothing(served: Served, connected):
    def in_flight() -> int:
        return choose.current().statistics().get("in_flight", 0)

    before = in_flight()
    sinks = [Recorder() for _ in range(10)]
    streams = [connected(sink)[0] for sink in sinks]
    for stream in streams[:5]:
        stream.abort()
    for sink in sinks[:5]:
        sink.wait_for_end()
    for stream in streams[5:]:
        stream.abort()
    for sink in sinks[5:]:
        sink.wait_for_end()

    assert eventually(lambda: in_flight() <= before)


def test_a_peer_that_is_gone_before_the_start_ends_the_stream(connected):
    sink = Recorder()
    stream, peer = connected(sink, start=False)
    peer.close()

    stream.start()

    assert sink.wait_for_end() is StreamEnd.PEER_CLOSED


def test_the_error_of_a_refusal_is_a_proactor_error(port, opened):
    with pytest.raises(ProactorError, match="not connected"):
        port.open_stream(opened(OverlappedSocket()), Recorder())

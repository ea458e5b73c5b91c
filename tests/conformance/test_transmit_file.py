"""Files sent over a connection: head, part of a file and tail in one operation."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from proactor import (
    CompletionPort,
    Event,
    OperationKind,
    Overlapped,
    OverlappedSocket,
    SocketClosed,
)
from tests.support.packets import no_packet, take, take_count
from tests.support.refusals import refused_with
from tests.support.sockets import PeerPair, loopback, pattern, plain_pair, read_exactly, read_to_end
from tests.support.system import family_parameters
from tests.support.threads import Running

Opened = Callable[[Any], Any]
InThread = Callable[..., Running[Any]]

TEXT = pattern(10_000)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[BinaryIO]:
    """Return an open file that holds `TEXT`."""
    path = tmp_path / "sent"
    path.write_bytes(TEXT)
    with path.open("rb") as opened_file:
        yield opened_file


@pytest.mark.parametrize("family", family_parameters())
def test_D05_head_file_and_tail_arrive_in_order(
    opened: Opened, engine: str, file: BinaryIO, family: int
) -> None:
    server, peer = plain_pair(family)
    opened(peer)
    ours = opened(OverlappedSocket.adopt(server))
    whole = b"head" + TEXT + b"tail"
    with Event() as event:
        overlapped = Overlapped(event=event)
        ours.transmit_file(file, overlapped, head=b"head", tail=b"tail")

        assert overlapped.get_result(wait=True) == len(whole)

    assert overlapped.kind is OperationKind.TRANSMIT_FILE
    assert read_exactly(peer, len(whole)) == whole


def test_a_file_indicates_once_at_the_port(
    port: CompletionPort, peer_pair: PeerPair, file: BinaryIO
) -> None:
    ours, peer = peer_pair
    port.attach(ours, "key")
    overlapped = Overlapped()

    ours.transmit_file(file, overlapped)
    packet = take(port)

    assert (packet.key, packet.overlapped, packet.result()) == ("key", overlapped, len(TEXT))
    assert read_exactly(peer, len(TEXT)) == TEXT
    assert no_packet(port)


@pytest.mark.parametrize("way", ["overlapped", "synchronous"])
def test_D06_nothing_at_all_is_a_success(
    port: CompletionPort, peer_pair: PeerPair, way: str
) -> None:
    ours, peer = peer_pair
    port.attach(ours)

    if way == "overlapped":
        ours.transmit_file(None, Overlapped())
        assert take(port).result() == 0
    else:
        assert ours.transmit_file(None) == 0

    assert port.get(0.0) is None
    ours.shutdown(socket.SHUT_WR)
    assert peer.recv(16) == b""


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["TCP", "UDP"])
def test_D08_an_unconnected_socket_transmits_no_file(
    port: CompletionPort, opened: Opened, file: BinaryIO, kind: int
) -> None:
    sock = opened(OverlappedSocket(type=kind))
    sock.bind(loopback())
    port.attach(sock)
    overlapped = Overlapped()

    with refused_with(10057):
        sock.transmit_file(file, overlapped)
    with refused_with(10057):
        sock.transmit_file(file)

    assert not overlapped.is_in_flight
    assert port.get(0.0) is None


@pytest.mark.parametrize("way", ["overlapped", "synchronous"])
@pytest.mark.parametrize(
    ("offset", "count"), [(0, 10), (9_990, 0), (123, 4567), (0, 10_000), (None, 100)]
)
def test_a_part_of_a_file_is_what_was_asked_for(
    port: CompletionPort,
    peer_pair: PeerPair,
    file: BinaryIO,
    way: str,
    offset: int | None,
    count: int,
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    first = offset or 0
    expected = b"<" + (TEXT[first : first + count] if count else TEXT[first:]) + b">"

    if way == "overlapped":
        ours.transmit_file(file, Overlapped(), offset=offset, count=count, head=b"<", tail=b">")
        transferred = take(port).result()
    else:
        transferred = ours.transmit_file(file, offset=offset, count=count, head=b"<", tail=b">")

    assert transferred == len(expected)
    ours.shutdown(socket.SHUT_WR)
    assert read_to_end(peer) == expected


def test_without_an_offset_a_synchronous_call_starts_at_the_position_of_the_file(
    peer_pair: PeerPair, file: BinaryIO
) -> None:
    ours, peer = peer_pair
    file.seek(9_000)

    assert ours.transmit_file(file) == 1_000

    assert read_exactly(peer, 1_000) == TEXT[9_000:]


def test_without_an_offset_an_overlapped_call_starts_at_the_begin_of_the_file(
    port: CompletionPort, peer_pair: PeerPair, file: BinaryIO
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    file.seek(9_000)

    ours.transmit_file(file, Overlapped(), count=50)

    assert take(port).result() == 50
    assert read_exactly(peer, 50) == TEXT[:50]


def test_a_head_and_a_tail_go_without_a_file(port: CompletionPort, peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    port.attach(ours)

    ours.transmit_file(None, Overlapped(), head=b"head", tail=b"tail")

    assert take(port).result() == 8
    assert read_exactly(peer, 8) == b"headtail"


def test_head_and_tail_may_be_several_buffers(
    port: CompletionPort, peer_pair: PeerPair, file: BinaryIO
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    expected = b"head" + TEXT[:3] + b"tail"

    ours.transmit_file(
        file, Overlapped(), count=3, head=[b"he", b"", b"ad"], tail=(b"ta", bytearray(b"il"))
    )

    assert take(port).result() == len(expected)
    assert read_exactly(peer, len(expected)) == expected


def test_an_empty_file_is_head_and_tail_alone(
    port: CompletionPort, peer_pair: PeerPair, tmp_path: Path
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    path = tmp_path / "empty"
    path.touch()

    with path.open("rb") as empty:
        ours.transmit_file(empty, Overlapped(), head=b"head", tail=b"tail")

        assert take(port).result() == 8
    assert read_exactly(peer, 8) == b"headtail"


@pytest.mark.parametrize("way", ["overlapped", "synchronous"])
def test_a_big_file_to_a_slow_reader_arrives_whole_and_in_its_turn(
    port: CompletionPort, peer_pair: PeerPair, tmp_path: Path, in_thread: InThread, way: str
) -> None:
    # Goal: a file stands in the queue of sends like any other, cut into short writes.
    ours, peer = peer_pair
    port.attach(ours)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    text = pattern(8 << 20, 3)
    path = tmp_path / "big"
    path.write_bytes(text)
    before, after = pattern(1 << 20, 1), pattern(1 << 20, 2)
    whole = before + b"head" + text + b"tail" + after

    with path.open("rb") as file:
        ours.send(before, Overlapped("before"))
        if way == "overlapped":
            ours.transmit_file(file, Overlapped("file"), head=b"head", tail=b"tail")
            ours.send(after, Overlapped("after"))
            assert read_exactly(peer, len(whole)) == whole
            packets = take_count(port, 3)
            assert [packet.overlapped.owner for packet in packets] == ["before", "file", "after"]
            assert packets[1].result() == len(text) + 8
        else:
            calling = in_thread(lambda: ours.transmit_file(file, head=b"head", tail=b"tail"))
            assert read_exactly(peer, len(whole) - len(after)) == whole[: -len(after)]
            assert calling.result() == len(text) + 8
            take(port)


def test_a_file_without_a_descriptor_is_refused(port: CompletionPort, peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    overlapped = Overlapped()

    with pytest.raises((OSError, ValueError, TypeError)):
        ours.transmit_file(io.BytesIO(b"memory"), overlapped)

    assert not overlapped.is_in_flight
    assert port.get(0.0) is None
    ours.send(b"still works")
    assert peer.recv(16) == b"still works"


def test_a_closed_socket_transmits_no_file(peer_pair: PeerPair, file: BinaryIO) -> None:
    ours, _ = peer_pair
    ours.close()
    overlapped = Overlapped()

    with pytest.raises(SocketClosed):
        ours.transmit_file(file, overlapped)
    with pytest.raises(SocketClosed):
        ours.transmit_file(file)

    assert not overlapped.is_in_flight

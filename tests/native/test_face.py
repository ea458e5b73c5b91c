"""The native engine's face: its short way for plain operations, its threads, what it lets go of."""

from __future__ import annotations

import array
import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any, ClassVar

import pytest

import proactor
from proactor import CompletionPort, Event, OperationKind, Overlapped, OverlappedSocket, statuses
from tests.support.packets import take
from tests.support.sockets import LIMIT, plain_pair, wait_readable
from tests.support.streams import eventually
from tests.support.system import NATIVE

pytestmark = pytest.mark.engine(*NATIVE)

SOURCE = Path(proactor.__file__).parents[1]


@pytest.fixture
def port(opened: Any) -> CompletionPort:
    """Return a port."""
    made: CompletionPort = opened(CompletionPort(8))
    return made


@pytest.fixture
def pair(opened: Any, port: CompletionPort) -> tuple[OverlappedSocket, Any]:
    """Return an overlapped socket attached to `port`, and the plain one at its other end."""
    server, client = plain_pair()
    opened(client)
    ours = opened(OverlappedSocket.adopt(server))
    port.attach(ours, "key")
    return ours, client


def in_new_process(code: str) -> str:
    """Run `code` on the native engine alone, and return what it prints."""
    path = [str(SOURCE), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    environment["PROACTOR_ENGINE"] = "epoll"
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def went_the_short_way(overlapped: Overlapped) -> bool:
    """Say whether the operation in flight has no `Operation`."""
    return type(overlapped._operation).__name__ == "Flight"


@pytest.mark.parametrize("kind", [bytearray, lambda count: memoryview(bytearray(count))])
def test_a_plain_receive_and_a_plain_send_on_a_port_go_the_short_way(
    port: CompletionPort, pair: Any, kind: Any
) -> None:
    # Goal: nothing falls back to the long way unseen; both ways indicate the same.
    ours, peer = pair
    overlapped, buffer = Overlapped(), kind(8)

    assert ours.recv(buffer, overlapped) is None
    assert went_the_short_way(overlapped)
    assert (overlapped.status, overlapped.is_in_flight) == (statuses.STATUS_PENDING, True)
    peer.sendall(b"hello")
    packet = take(port)
    assert (packet.key, packet.overlapped, packet.result()) == ("key", overlapped, 5)
    assert (overlapped.kind, overlapped.socket) == (OperationKind.RECV, ours)
    assert (overlapped.status, overlapped.transferred, overlapped.flags) == (0, 5, 0)
    assert not overlapped.is_in_flight

    assert ours.send(buffer[:5], overlapped) == 5
    assert went_the_short_way(overlapped)
    assert (overlapped.get_result(), overlapped.is_in_flight) == (5, True)
    assert take(port).result() == 5
    assert peer.recv(8) == b"hello"


@pytest.mark.parametrize(
    "buffer",
    [
        [bytearray(4), bytearray(4)],
        array.array("H", [0] * 4),
        memoryview(array.array("B", [0] * 8)),
    ],
    ids=["several", "array", "view of an array"],
)
def test_any_other_buffer_goes_the_long_way(port: CompletionPort, pair: Any, buffer: Any) -> None:
    ours, peer = pair
    overlapped = Overlapped()

    assert ours.recv(buffer, overlapped) is None
    assert not went_the_short_way(overlapped)
    peer.sendall(b"12345678")

    assert take(port).result() == 8


def test_a_view_of_a_read_only_or_released_buffer_is_refused_as_ever(pair: Any) -> None:
    ours, _ = pair
    released = memoryview(bytearray(8))
    released.release()

    with pytest.raises(OSError, match="read-only"):
        ours.recv(memoryview(b"12345678"), Overlapped())
    with pytest.raises(ValueError, match="released"):
        ours.send(released, Overlapped())


def test_a_buffer_in_flight_can_not_be_resized(port: CompletionPort, pair: Any) -> None:
    ours, peer = pair
    buffer = bytearray(8)
    ours.recv(buffer, Overlapped())

    with pytest.raises(BufferError):
        buffer.extend(b"more")

    peer.sendall(b"hello")
    take(port)
    buffer.extend(b"more")


def test_an_overlapped_of_a_class_that_has_a_field_of_its_own_goes_the_long_way(
    port: CompletionPort, pair: Any
) -> None:
    # Method: a property hides the slot, which the short way would write past.
    class Watched(Overlapped):
        seen: ClassVar[list[Any]] = []

        @property
        def socket(self) -> Any:
            return self.seen[-1]

        @socket.setter
        def socket(self, value: Any) -> None:
            self.seen.append(value)

    ours, _ = pair
    overlapped = Watched()

    ours.send(b"hello", overlapped)

    assert not went_the_short_way(overlapped)
    assert take(port).overlapped is overlapped
    assert overlapped.socket is ours


def test_receives_that_only_wait_find_what_is_there_already(
    port: CompletionPort, pair: Any
) -> None:
    # Goal: after several receives that found nothing the next ones do not look first; data that
    # has come before they are made is theirs all the same, in order.
    ours, peer = pair
    for turn in range(40):
        buffer, overlapped = bytearray(8), Overlapped()
        if turn % 3 == 0:
            peer.sendall(b"%d" % turn)
            wait_readable(ours)
            ours.recv(buffer, overlapped)
        else:
            ours.recv(buffer, overlapped)
            peer.sendall(b"%d" % turn)
        assert take(port).overlapped is overlapped
        assert buffer.rstrip(b"\0") == b"%d" % turn


def test_what_ends_after_its_port_was_closed_is_let_go(pair: Any, port: CompletionPort) -> None:
    ours, peer = pair
    short, long = Overlapped(), Overlapped()
    ours.recv(bytearray(8), short)
    ours.recv([bytearray(8)], long)

    port.close()
    peer.sendall(b"hello")
    ours.close()

    assert eventually(lambda: not (short.is_in_flight or long.is_in_flight))


def test_a_port_that_is_dropped_with_packets_lets_go_of_them() -> None:
    class Thing:
        pass

    thing = Thing()
    reference = weakref.ref(thing)
    port = CompletionPort()
    port.post(thing)
    del thing, port
    gc.collect()

    assert reference() is None


def test_an_event_that_is_set_stays_set_by_a_refused_call(pair: Any) -> None:
    ours, _ = pair
    ours.shutdown(1)
    with Event(signaled=True) as event:
        with pytest.raises(BrokenPipeError):
            ours.send(b"late", Overlapped(event=event))
        assert event.is_set()


def test_one_thread_at_a_port_needs_no_thread_of_ours() -> None:
    # Goal: no hop in the fast path: the thread that waits moves the bytes itself.
    said = in_new_process(
        """
import socket, threading
from proactor import *
with CompletionPort() as port, socket.create_server(("127.0.0.1", 0)) as listener:
    with socket.create_connection(listener.getsockname()) as client:
        with OverlappedSocket.adopt(listener.accept()[0]) as ours:
            port.attach(ours)
            for _ in range(20):
                buffer = bytearray(8)
                ours.recv(buffer, Overlapped())
                client.sendall(b"hello")
                ours.send(buffer[:port.get(5).result()], Overlapped())
                port.get(5)
                assert client.recv(8) == b"hello"
print([thread.name for thread in threading.enumerate()])
"""
    )

    assert said == "['MainThread']"


def test_without_the_extension_the_engine_says_so() -> None:
    said = in_new_process(
        """
import sys
sys.modules["proactor.engines.native._engine"] = None
import proactor
try:
    proactor.CompletionPort()
except proactor.EngineUnavailable as error:
    print(error)
"""
    )

    assert said.startswith("PROACTOR_ENGINE=epoll cannot run here: the native part is not there")
    assert "unset it" in said


def test_the_counters_of_the_core_are_told(port: CompletionPort, pair: Any) -> None:
    from proactor.engines import choose

    before = choose.current().statistics()
    ours, peer = pair
    ours.recv(bytearray(8), Overlapped())
    peer.sendall(b"hello")
    take(port, LIMIT)

    after = choose.current().statistics()

    assert after["submitted"] == before["submitted"] + 1
    assert after["bytes_received"] == before["bytes_received"] + 5

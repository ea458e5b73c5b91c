"""A port that is closed: nobody waits for ever, and nothing that was in flight is kept."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "win32":
    pytest.skip("the iocp engine runs on Windows", allow_module_level=True)

import ctypes
import gc

from proactor import CompletionPort, Overlapped, OverlappedSocket, PortClosed
from proactor.engines import choose
from tests.support.packets import wait_for_waiters
from tests.support.sockets import LIMIT, PeerPair, plain_pair
from tests.support.streams import InThread, eventually


def _handles() -> int:
    count = ctypes.c_ulong()
    kernel32 = ctypes.WinDLL("kernel32")
    kernel32.GetProcessHandleCount(ctypes.c_void_p(-1), ctypes.byref(count))
    return count.value


@pytest.mark.parametrize("limit", [1, 64])
def test_closing_wakes_every_waiter(in_thread: InThread, limit: int) -> None:
    # Goal: also where one of them could take the wake-up calls of all the others.
    port = CompletionPort(8)
    waiters = [in_thread(port.get_many, limit, None) for _ in range(8)]
    wait_for_waiters(port, 8)

    port.close()

    for waiter in waiters:
        with pytest.raises(PortClosed) as caught:
            waiter.result()
        assert caught.value.winerror == 735


def test_an_operation_whose_packet_nobody_can_take_is_let_go(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    port = CompletionPort()
    port.attach(ours)
    engine = choose.current()
    before = engine.statistics()["closed_ports_draining"]
    first, second = Overlapped(), Overlapped()
    ours.recv(bytearray(4), first)
    ours.recv(bytearray(4), second)

    port.close()
    peer.sendall(b"lost")
    assert eventually(lambda: not first.is_in_flight)
    assert engine.statistics()["closed_ports_draining"] == before + 1
    ours.close()

    assert eventually(lambda: not second.is_in_flight)
    assert engine.statistics()["closed_ports_draining"] == before


def test_ports_and_sockets_give_their_handles_back() -> None:
    def use_some() -> None:
        with CompletionPort() as port:
            for sock in map(OverlappedSocket.adopt, plain_pair()):
                with sock:
                    port.attach(sock)
                    sock.recv(bytearray(8), Overlapped())

    for _ in range(3):
        use_some()  # What is made once a process is there from now on.
    before = _handles()

    for _ in range(20):
        use_some()

    def are_given_back() -> bool:
        choose.current().statistics()  # Takes what the closed ports still got.
        gc.collect()
        return _handles() <= before + 2

    assert eventually(are_given_back), f"{_handles()} handles, {before} before"


def test_a_port_that_is_dropped_gives_its_handle_back() -> None:
    CompletionPort()
    gc.collect()
    before = _handles()

    for _ in range(20):
        CompletionPort()
    gc.collect()

    assert _handles() <= before + 2


def test_posting_while_others_close_is_delivered_or_refused(in_thread: InThread) -> None:
    # Goal: a handle's number is used again at once; nothing may be posted to another port by it.
    with CompletionPort(8) as other:
        for _ in range(30):
            port = CompletionPort(8)

            def post(to: CompletionPort = port) -> None:
                with pytest.raises(PortClosed):
                    for number in range(100_000):
                        to.post(number)

            posting = in_thread(post)
            port.get(LIMIT)
            port.close()
            posting.result()
        assert other.get(0) is None

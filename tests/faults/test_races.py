"""Operations that end in two threads at once, and threads that leave while others need them."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from proactor import CompletionPort, Event, Overlapped, OverlappedSocket
from tests.support.packets import take, wait_for_waiters
from tests.support.sockets import LIMIT, plain_pair
from tests.support.streams import InThread, Opened

ROUNDS = 2000


def test_cancelled_and_completed_at_once_it_is_indicated_once(
    opened: Opened, in_thread: InThread
) -> None:
    server, client = plain_pair()
    ours = opened(OverlappedSocket.adopt(server))
    gate, stop = threading.Barrier(2), threading.Event()
    outcomes: Counter[str] = Counter()

    def send_when_told() -> None:
        while True:
            gate.wait(LIMIT)
            if stop.is_set():
                return
            client.send(b"x")

    with CompletionPort(8) as port, client:
        port.attach(ours)
        sending = in_thread(send_when_told)
        for turn in range(ROUNDS):
            first, second = Overlapped(turn), Overlapped(-turn)
            buffers = bytearray(1), bytearray(1)
            ours.recv(buffers[0], first)
            gate.wait(LIMIT)
            if turn % 2:
                ours.cancel(first)
            else:
                ours.cancel()
            packet = take(port)
            assert packet.overlapped is first
            if packet.error is None:
                outcomes["completed"] += 1
                assert buffers[0] == b"x"
                continue
            outcomes["cancelled"] += 1
            assert packet.error.winerror == 995 and buffers[0] == b"\0"
            ours.recv(buffers[1], second)  # The byte is not lost: it goes to the next one.
            packet = take(port)
            assert packet.overlapped is second and buffers[1] == b"x"
        stop.set()
        gate.wait(LIMIT)
        sending.result()
        assert port.get(0) is None
    assert outcomes.total() == ROUNDS


def test_another_thread_polls_when_the_one_that_polled_ends(
    opened: Opened, in_thread: InThread
) -> None:
    # Goal: the kernel's news reaches those who wait, whoever has gone. Method: the newest waiter,
    # which polls, ends while an older one waits; only then something comes.
    for _ in range(20):
        server, client = plain_pair()
        ours = opened(OverlappedSocket.adopt(server))
        with CompletionPort(8) as port, CompletionPort(8) as other, client:
            port.attach(ours, "key")
            older = in_thread(port.get, LIMIT)
            wait_for_waiters(port, 1)
            newer = in_thread(other.get, 0.01)
            ours.recv(bytearray(8), Overlapped())
            assert newer.result() is None
            client.sendall(b"news")
            packet = older.result()
            assert packet is not None and packet.result() == 4


def test_when_every_thread_has_left_an_event_is_set_all_the_same(
    opened: Opened, in_thread: InThread
) -> None:
    server, client = plain_pair()
    ours = opened(OverlappedSocket.adopt(server))
    with CompletionPort(8) as port, CompletionPort(8) as other, client, Event() as event:
        port.attach(ours, "key")
        assert in_thread(other.get, 0.01).result() is None
        overlapped = Overlapped(event=event)
        ours.recv(bytearray(8), overlapped)
        assert in_thread(other.get, 0.01).result() is None  # It polls last, and ends.
        client.sendall(b"news")

        assert event.wait(LIMIT)
        assert take(port).overlapped is overlapped


def test_a_thread_that_fails_while_it_owns_packets_leaves_the_others_at_work(
    opened: Opened, in_thread: InThread
) -> None:
    class Broken(Exception):
        pass

    server, client = plain_pair()
    ours = opened(OverlappedSocket.adopt(server))
    with CompletionPort(1, stall_timeout=None) as port, client:
        port.attach(ours, "key")

        def take_one_and_die() -> None:
            take(port)
            raise Broken

        dying = in_thread(take_one_and_die)
        port.post("first")
        with pytest.raises(Broken):
            dying.result()
        ours.recv(bytearray(8), Overlapped())
        living = in_thread(take, port)  # The only slot was the dead one's.
        client.sendall(b"news")
        assert living.result().result() == 4

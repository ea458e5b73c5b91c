"""What the differential test has found, one plain test each, on the engine of this process."""

from __future__ import annotations

import time
from contextlib import ExitStack

from proactor import CompletionPort, Event, Overlapped, OverlappedSocket
from tests.support.packets import take
from tests.support.refusals import numbers
from tests.support.sockets import LIMIT, plain_pair, reset, wait_readable
from tests.support.streams import InThread, Opened


def test_a_look_at_another_port_takes_no_wake_from_the_thread_that_polls(
    in_thread: InThread,
) -> None:
    # Goal: a zero-time-out get in one thread never eats the wake that is meant for the thread that
    # sleeps in the selector. Method: the two meet some dozen times; one of few was enough.
    with CompletionPort(8) as port, CompletionPort(8) as other:
        for turn in range(80):
            waiting = in_thread(port.get, 2 * LIMIT)
            while port.statistics().waiting == 0:
                time.sleep(0)  # Let it come to its wait.
            port.post(turn)
            deadline = time.monotonic() + LIMIT
            while waiting.is_running():
                assert other.get(0) is None
                assert time.monotonic() < deadline, "the waiting thread was handed a packet"
            packet = waiting.result()
            assert packet is not None and packet.key == turn


def test_packets_of_a_socket_keep_their_order_when_some_have_events(opened: Opened) -> None:
    # Goal: an operation with an event on an attached socket is queued where it completes, not
    # behind those after it. Method: receives with and without an event, completed by one send.
    server, client = plain_pair()
    ours = opened(OverlappedSocket.adopt(server))
    with CompletionPort(8) as port, client, ExitStack() as events:
        port.attach(ours)
        for turn in range(50):
            event = events.enter_context(Event())
            started = [
                Overlapped(turn * 3 + place, event=event if place != 1 else None)
                for place in range(3)
            ]
            for overlapped in started:
                ours.recv(bytearray(1), overlapped)
            client.sendall(b"abc")
            assert [take(port).overlapped.owner for _ in started] == [o.owner for o in started]
            assert event.is_set()


def test_what_completes_at_once_follows_what_has_an_event(opened: Opened) -> None:
    server, client = plain_pair()
    ours = opened(OverlappedSocket.adopt(server))
    with CompletionPort(8) as port, client, Event() as event:
        port.attach(ours)
        for turn in range(50):
            ours.recv(bytearray(1), Overlapped("first", event=event))
            client.sendall(b"abcd")
            assert event.wait(LIMIT)  # Its packet may be on its way still.
            for name, signaled in (("second", None), ("third", event), ("fourth", None)):
                ours.recv(bytearray(1), Overlapped(name, event=signaled))
                assert signaled is None or event.is_set()
            names = [take(port).overlapped.owner for _ in range(4)]
            assert names == ["first", "second", "third", "fourth"], turn


def test_a_send_that_fails_midway_has_transferred_nothing(opened: Opened) -> None:
    # All or an error (A8): what the kernel took before the reset is not told.
    server, client = plain_pair()
    ours = opened(OverlappedSocket.adopt(server))
    with CompletionPort(8) as port:
        port.attach(ours)
        assert ours.send(bytes(16 << 20), Overlapped()) is None
        reset(client)
        packet = take(port)
        assert (packet.transferred, packet.overlapped.transferred) == (0, 0)
        assert numbers(packet) == (64, 10054)


def test_an_empty_tail_behind_the_last_byte_of_a_file_is_not_sent(opened: Opened) -> None:
    # Goal: a transmission whose bytes were all taken succeeds, also if the peer's reset comes right
    # behind them. Method: the peer has closed, so that the first bytes are answered by a reset.
    server, client = plain_pair()
    ours = opened(OverlappedSocket.adopt(server))
    client.close()
    wait_readable(ours)  # The end has come.

    assert ours.transmit_file(None, head=b"ten bytes!", tail=b"") == 10

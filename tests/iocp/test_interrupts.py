"""Ctrl-C ends every wait of the main thread, and costs nobody a packet.

Method: `_thread.interrupt_main` is what the console's handler does. It is called by a thread that
the main thread has to wait for, so that the interrupt can only hit the wait.
"""

from __future__ import annotations

import sys

import pytest

if sys.platform != "win32":
    pytest.skip("the iocp engine runs on Windows", allow_module_level=True)

import _thread
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from proactor import (
    CompletionPort,
    Event,
    MessageQueue,
    Overlapped,
    OverlappedSocket,
    queue_user_apc,
    select,
    sleep_ex,
    wait_for_single_object,
)
from proactor.engines.python.iocp.in_flight import table
from tests.support.packets import take
from tests.support.sockets import LIMIT, PeerPair, loopback


@contextmanager
def interrupted_soon() -> Iterator[None]:
    """Interrupt the block after a moment; it must raise KeyboardInterrupt, and promptly."""
    timer = threading.Timer(0.1, _thread.interrupt_main)
    began = time.monotonic()
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        timer.join()
    assert time.monotonic() - began < LIMIT / 2


def test_ctrl_c_ends_a_wait_at_the_port(port: CompletionPort) -> None:
    with interrupted_soon():
        port.get(LIMIT)
    assert port.statistics().waiting == 0


def test_ctrl_c_ends_an_endless_alertable_wait_at_the_port(port: CompletionPort) -> None:
    with interrupted_soon():
        port.get_many(8, None, alertable=True)


@pytest.mark.parametrize("alertable", [False, True])
def test_ctrl_c_ends_a_sleep_and_a_wait_for_an_event(alertable: bool) -> None:
    with interrupted_soon():
        sleep_ex(None, alertable)
    with Event() as event, interrupted_soon():
        wait_for_single_object(event, alertable=alertable)


def test_ctrl_c_ends_a_select_and_a_wait_for_a_message(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    with interrupted_soon():
        select([ours])
    with MessageQueue() as queue, interrupted_soon():
        queue.get()


def test_ctrl_c_ends_a_synchronous_receive_and_leaves_the_data(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    before = len(table)
    with interrupted_soon():
        ours.recv(bytearray(8))
    assert len(table) == before

    peer.sendall(b"later")

    buffer = bytearray(8)
    assert (ours.recv(buffer), bytes(buffer[:5])) == (5, b"later")


def test_ctrl_c_ends_a_synchronous_send_to_a_peer_that_never_reads(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    before = len(table)
    with interrupted_soon():
        ours.send(bytes(64 << 20))
    assert len(table) == before


def test_ctrl_c_ends_a_synchronous_accept_and_the_listener_goes_on() -> None:
    with OverlappedSocket() as listener, OverlappedSocket() as client:
        listener.bind(loopback())
        listener.listen()
        with interrupted_soon():
            listener.accept()
        client.connect(listener.getsockname())
        listener.accept().close()


def test_what_a_routine_raises_to_end_the_program_comes_out_of_the_wait(
    peer_pair: PeerPair,
) -> None:
    ours, peer = peer_pair

    def end(*_: object) -> None:
        raise SystemExit(3)

    ours.recv(bytearray(8), Overlapped(routine=end))
    peer.sendall(b"now")
    with pytest.raises(SystemExit):
        sleep_ex(LIMIT)

    queue_user_apc(threading.current_thread(), end)
    with pytest.raises(SystemExit):
        sleep_ex(LIMIT)
    assert not sleep_ex(0)


def test_no_packet_is_lost_to_ctrl_c(port: CompletionPort) -> None:
    # Goal: an interrupt between the kernel's answer and ours must not cost what it has handed out.
    # Method: each packet comes together with an interrupt, at a slightly different moment.
    rounds, taken = 150, []

    def disturb() -> None:
        for number in range(rounds):
            port.post(number)
            _thread.interrupt_main()
            time.sleep(0.0001 * (number % 7))

    disturbing = threading.Thread(target=disturb)
    deadline = time.monotonic() + 4 * LIMIT
    disturbing.start()
    while len(taken) < rounds and time.monotonic() < deadline:
        _without_interrupt(lambda: taken.extend(packet.key for packet in port.get_many(8, 1.0)))
    _without_interrupt(disturbing.join)

    assert sorted(taken) == list(range(rounds))


def _without_interrupt(call: Callable[[], object]) -> None:
    try:
        call()
    except KeyboardInterrupt:
        return


def test_a_packet_that_ctrl_c_put_back_goes_to_a_thread_that_waits(port: CompletionPort) -> None:
    # Method: the interrupt is raised by hand where the signal would be noticed.
    from proactor.engines.python.iocp import ports

    engine_port = port._port
    assert isinstance(engine_port, ports.IocpPort)
    unpack = engine_port._unpack
    port.post("first")
    port.post("second")

    def interrupted_once(entries: ports._Entries, batch: ports.PacketBatch) -> None:
        engine_port._unpack = unpack  # type: ignore[method-assign]
        raise KeyboardInterrupt

    engine_port._unpack = interrupted_once  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        port.get_many(2, LIMIT)

    assert [take(port).key, take(port).key] == ["first", "second"]

"""The engine as a whole: what it says of itself, and what it takes over."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "win32":
    pytest.skip("the iocp engine runs on Windows", allow_module_level=True)

import socket
import struct
import threading

from proactor import OverlappedSocket, WouldBlock, queue_user_apc, sleep_ex
from proactor.engines import choose
from tests.support.sockets import loopback


def test_it_says_what_it_is_made_of() -> None:
    described = choose.current().describe()

    assert described.name == "iocp"
    assert "CreateIoCompletionPort" in described.features["port"]
    assert described.features["system"].startswith("Windows 10")
    assert choose.current().max_wait_objects == 64


def test_it_counts() -> None:
    engine = choose.current()
    before = engine.statistics()
    queue_user_apc(threading.current_thread(), int)
    assert sleep_ex(0)

    after = engine.statistics()

    assert after["apcs_queued"] == before["apcs_queued"] + 1
    assert after["apcs_run"] == before["apcs_run"] + 1
    assert set(before) == set(after)


def test_apcs_that_their_thread_never_ran_are_dropped_in_the_end() -> None:
    from proactor.engines.python.iocp.waits import apcs

    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    queue_user_apc(thread, int)
    ended.set()
    thread.join()
    for _ in range(256):  # It looks now and then.
        queue_user_apc(threading.current_thread(), int)
    assert sleep_ex(0)

    assert apcs._calls == {}


def test_a_default_time_out_of_python_does_not_reach_the_sockets() -> None:
    socket.setdefaulttimeout(0.01)
    try:
        with OverlappedSocket() as listener:
            listener.bind(loopback())
            listener.listen()
            listener.setblocking(False)
            with pytest.raises(WouldBlock):
                listener.accept()
            listener.setblocking(True)
            with OverlappedSocket() as client:
                client.connect(listener.getsockname())
                listener.accept().close()
    finally:
        socket.setdefaulttimeout(None)


def test_an_accepted_socket_of_a_non_blocking_listener_does_not_block() -> None:
    with OverlappedSocket() as listener, OverlappedSocket() as client:
        listener.bind(loopback())
        listener.listen()
        client.connect(listener.getsockname())
        listener.setblocking(False)
        with listener.accept() as accepted, pytest.raises(WouldBlock):
            accepted.recv(bytearray(4))


def test_a_non_blocking_socket_that_is_told_to_linger_closes_all_the_same() -> None:
    # Goal: Windows refuses to close such a socket (10035) and leaves it open.
    with OverlappedSocket() as listener, OverlappedSocket() as client:
        listener.bind(loopback())
        listener.listen()
        client.connect(listener.getsockname())
        accepted = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("HH", 1, 5))
        accepted.setblocking(False)

        accepted.close()

        assert client.recv(bytearray(4)) == 0

"""One thread has one message queue for all of its windows: each message finds its own."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "win32":
    pytest.skip("the iocp engine runs on Windows", allow_module_level=True)

import ctypes
import threading
from collections.abc import Callable
from typing import Any

from proactor import (
    FD_READ,
    WM_USER,
    Event,
    MessageQueue,
    OverlappedSocket,
    ProactorError,
    async_select,
    event_select,
)
from proactor.engines.python.iocp import winapi
from tests.support.packets import QUIET
from tests.support.sockets import LIMIT, PeerPair, plain_pair
from tests.support.streams import InThread

_user32 = ctypes.WinDLL("user32")
_user32.PostMessageW.argtypes = (ctypes.c_void_p, ctypes.c_uint, ctypes.c_size_t, ctypes.c_ssize_t)
_user32.PostThreadMessageW.argtypes = (
    ctypes.c_ulong,
    ctypes.c_uint,
    ctypes.c_size_t,
    ctypes.c_ssize_t,
)


def test_messages_for_two_queues_of_one_thread_do_not_mix(
    peer_pair: PeerPair, opened: Callable[..., Any]
) -> None:
    ours, peer = peer_pair
    other, other_peer = plain_pair()
    opened(other_peer)
    theirs = opened(OverlappedSocket.adopt(other))
    with MessageQueue() as first, MessageQueue() as second:
        async_select(ours, first, WM_USER + 1, FD_READ)
        async_select(theirs, second, WM_USER + 1, FD_READ)
        peer.sendall(b"1")
        other_peer.sendall(b"2")

        message = second.get(LIMIT)
        assert message is not None
        assert message.socket is theirs
        message = first.get(LIMIT)
        assert message is not None
        assert message.socket is ours
        assert first.get(0) is second.get(0) is None


def test_messages_of_the_program_are_dispatched_and_never_returned(peer_pair: PeerPair) -> None:
    # Goal: a thread with windows of its own can wait here: neither are its messages stuck in the
    # queue, nor does the wait spin on them.
    ours, peer = peer_pair
    with MessageQueue() as queue:
        window = winapi.CreateWindowExW(
            0, "Static", None, 0, 0, 0, 0, 0, winapi.HWND_MESSAGE, None, None, None
        )
        _user32.PostMessageW(window, WM_USER + 7, 1, 2)
        _user32.PostThreadMessageW(threading.get_native_id(), WM_USER + 8, 3, 4)
        async_select(ours, queue, WM_USER + 1, FD_READ)
        peer.sendall(b"1")

        message = queue.get(LIMIT)

        assert message is not None
        assert (message.message, message.socket) == (WM_USER + 1, ours)
        assert queue.get(QUIET) is None
        winapi.DestroyWindow(window)


def test_a_message_names_a_socket_that_the_user_still_holds_or_none() -> None:
    server, client = plain_pair()
    with client, MessageQueue() as queue:
        dropped = OverlappedSocket.adopt(server)
        async_select(dropped, queue, WM_USER + 1, FD_READ)
        client.sendall(b"1")
        assert queue.get(LIMIT) is not None
        handle = dropped.fileno()
        dropped.close()
        del dropped
        _user32.PostMessageW(queue.engine_queue.open_window(), WM_USER + 1, handle, FD_READ)

        message = queue.get(LIMIT)

        assert message is not None
        assert message.socket is None


def test_a_queue_serves_the_thread_that_made_it_and_ends_in_any(in_thread: InThread) -> None:
    queue = MessageQueue()
    with pytest.raises(ProactorError) as caught:
        in_thread(queue.get, 0).result()
    assert caught.value.winerror == 87
    in_thread(queue.close).result()
    with pytest.raises(ProactorError):
        queue.get(0)


def test_a_socket_goes_from_messages_to_events(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    with MessageQueue() as queue, Event() as event:
        async_select(ours, queue, WM_USER + 1, FD_READ)
        event_select(ours, event, FD_READ)
        peer.sendall(b"1")

        assert event.wait(LIMIT)
        assert queue.get(QUIET) is None

"""`WindowQueue`: a thread's real message queue, reached through a window that is only for messages.

`WSAAsyncSelect` posts to a window; the messages are taken out of the queue of the thread that made
it, and never reach a window procedure.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("the iocp engine runs on Windows only")

import threading
import weakref
from collections import deque
from ctypes import byref
from ctypes.wintypes import MSG
from typing import Any

from proactor import errors, statuses
from proactor.clock import deadline_after
from proactor.engines.contract import NetworkMessage
from proactor.engines.python.iocp import winapi
from proactor.engines.python.iocp.calling import is_over, next_slice


class WindowQueue:
    """The message queue of the thread that makes it; see `EngineMessageQueue` in the contract."""

    def __init__(self) -> None:
        """Make the window, and with it the thread's message queue."""
        self._thread = threading.get_ident()
        self._sockets: dict[int, weakref.ref[Any]] = {}
        self._set_aside: deque[NetworkMessage] = deque()
        # The class is the system's own: no message is ever dispatched to it.
        window = winapi.CreateWindowExW(
            0, "Static", None, 0, 0, 0, 0, 0, winapi.HWND_MESSAGE, None, None, None
        )
        if not window:
            raise errors.refused(winapi.last_error(), "make a message queue")
        self._window: int | None = window
        _by_window[window] = self

    def open_window(self) -> int:
        """Return the window.

        Raises:
            ProactorError: The queue is closed (6).
        """
        window = self._window
        if window is None:
            raise errors.refused(statuses.ERROR_INVALID_HANDLE, "the message queue is closed")
        return window

    def remember(self, handle: int, facade: weakref.ref[Any]) -> None:
        """Know which socket a message with `handle` is about.

        Kept when the socket is closed, for messages that are queued stay, and forgotten when
        another socket with the same handle comes.
        """
        self._sockets[handle] = facade

    def get(self, timeout: float | None) -> NetworkMessage | None:
        """Take the oldest message: PeekMessage, and MsgWaitForMultipleObjectsEx between."""
        deadline = deadline_after(timeout)
        self.open_window()
        if threading.get_ident() != self._thread:
            raise errors.refused(
                statuses.ERROR_INVALID_PARAMETER,
                "a message queue belongs to the thread that made it: take messages there",
            )
        while True:
            _pump_until(self._set_aside)
            if self._set_aside:
                return self._set_aside.popleft()
            if is_over(deadline):
                return None
            winapi.MsgWaitForMultipleObjectsEx(
                0, None, next_slice(deadline), winapi.QS_ALLINPUT, winapi.MWMO_INPUTAVAILABLE
            )

    def close(self) -> None:
        """Drop the queue; see the contract. The kernel lets only its own thread destroy it."""
        window, self._window = self._window, None
        self._set_aside.clear()
        if window is not None:
            _by_window.pop(window, None)
            if threading.get_ident() == self._thread:
                winapi.DestroyWindow(window)

    def take_in(self, message: MSG) -> None:
        """Keep a message of this queue's window until it is asked for."""
        self._set_aside.append(self._network_message(message))

    def _network_message(self, message: MSG) -> NetworkMessage:
        facade = self._sockets.get(message.wParam)
        return NetworkMessage(
            message.message,
            None if facade is None else facade(),
            message.lParam & 0xFFFF,
            message.lParam >> 16 & 0xFFFF,
        )


_by_window: weakref.WeakValueDictionary[int, WindowQueue] = weakref.WeakValueDictionary()


def _pump_until(wanted: deque[NetworkMessage]) -> None:
    """Take messages out of the thread's queue until `wanted` has one, or none is left.

    A thread has one queue for all of its windows: those of other `WindowQueue` objects are set
    aside for them, and those of the program's own windows go where they belong.
    """
    message = MSG()
    while not wanted and winapi.PeekMessageW(byref(message), None, 0, 0, winapi.PM_REMOVE):
        queue = _by_window.get(message.hWnd or 0)
        if queue is not None and message.message >= winapi.WM_USER:
            queue.take_in(message)
        else:
            winapi.TranslateMessage(byref(message))
            winapi.DispatchMessageW(byref(message))

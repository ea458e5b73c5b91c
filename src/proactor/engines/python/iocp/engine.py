"""`IocpEngine`: the Windows kernel behind the engine contract."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("the iocp engine runs on Windows only")

import contextlib
import socket
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from proactor import errors
from proactor.engines.contract import EngineDescription, EngineEvent, EngineSocket, WaitResult
from proactor.engines.python.iocp import ports, selecting, start, waits, winapi
from proactor.engines.python.iocp.in_flight import FileObject, table
from proactor.engines.python.iocp.ports import IocpPort
from proactor.engines.python.iocp.sockets import IocpSocket
from proactor.engines.python.iocp.waits import IocpEvent
from proactor.engines.python.iocp.window import WindowQueue
from proactor.errors import EngineUnavailable

_FEATURES = {
    "port": "CreateIoCompletionPort, GetQueuedCompletionStatusEx, PostQueuedCompletionStatus",
    "receive and send": "WSARecv, WSASend, WSARecvFrom, WSASendTo",
    "connections": "AcceptEx, ConnectEx, DisconnectEx, TransmitFile",
    "cancel": "CancelIoEx, CancelIo",
    "events": "CreateEvent, WaitForMultipleObjectsEx",
    "APCs": "QueueUserAPC, completion routines, SleepEx",
    "readiness": "WSAEventSelect, WSAAsyncSelect with a message-only window, select",
}


class IocpEngine:
    """The engine of Windows; see `Engine` in the contract.

    Args:
        reason: Why it was chosen.
        refused: Which engines were not, and why.

    Raises:
        EngineUnavailable: The system's TCP provider lacks AcceptEx and its like.
    """

    name = "iocp"
    max_wait_objects: int | None = winapi.MAXIMUM_WAIT_OBJECTS

    def __init__(self, reason: str, refused: dict[str, str]) -> None:
        """Look whether the kernel has what it takes."""
        try:
            start.extensions()
        except OSError as error:
            raise EngineUnavailable(f"Winsock has no extension functions here: {error}") from error
        self._reason = reason
        self._refused = refused

    def open_port(self, concurrency: int, stall_timeout: float | None) -> IocpPort:
        """Make a port; `stall_timeout` is not needed, the kernel sees a thread block."""
        ports.drain_closed_ports()
        return IocpPort(concurrency)

    def open_socket(self, sock: socket.socket, facade: Any, *, overlapped: bool) -> IocpSocket:
        """Take over `sock`; see the contract."""
        ports.drain_closed_ports()
        if not overlapped:
            _replace_by_non_overlapped(sock)
        if sock.gettimeout() is not None:
            # A socket that has events selected stays non-blocking.
            with contextlib.suppress(OSError):
                sock.settimeout(None)
        return IocpSocket(
            sock, (weakref.ref(facade), type(facade)), FileObject(is_overlapped=overlapped)
        )

    def open_event(self, *, manual_reset: bool, signaled: bool) -> IocpEvent:
        """Make an event object."""
        return IocpEvent(manual_reset=manual_reset, signaled=signaled)

    def open_message_queue(self) -> WindowQueue:
        """Make the message queue of the calling thread."""
        return WindowQueue()

    def wait(
        self,
        objects: Sequence[EngineEvent],
        *,
        wait_all: bool,
        timeout: float | None,
        alertable: bool,
    ) -> WaitResult:
        """Wait for one or all of `objects`; see the contract."""
        return waits.wait(objects, wait_all=wait_all, timeout=timeout, alertable=alertable)

    def queue_apc(self, thread: threading.Thread, call: Callable[[], object]) -> None:
        """Queue `call` to `thread`; see the contract."""
        waits.apcs.queue(thread, call)

    def select(
        self,
        read: Sequence[EngineSocket],
        write: Sequence[EngineSocket],
        failed: Sequence[EngineSocket],
        timeout: float | None,
    ) -> tuple[list[int], list[int], list[int]]:
        """Return the indices of those that are ready; see the contract."""
        return selecting.select(read, write, failed, timeout)

    def describe(self) -> EngineDescription:
        """Say what this engine is made of here."""
        version = sys.getwindowsversion()
        return EngineDescription(
            name=self.name,
            reason=self._reason,
            features={
                "system": f"Windows {version.major}.{version.minor}.{version.build}",
                **_FEATURES,
            },
            refused=dict(self._refused),
        )

    def statistics(self) -> dict[str, int]:
        """Return counters by name."""
        ports.drain_closed_ports()
        table.sweep()
        return {
            "operations_started": table.started,
            "operations_completed": table.taken,
            "operations_in_flight": len(table),
            "apcs_queued": waits.apcs.queued,
            "apcs_run": waits.apcs.ran,
            "closed_ports_draining": ports.closed_ports(),
        }


def _replace_by_non_overlapped(sock: socket.socket) -> None:
    """Give `sock` a handle that was opened without WSA_FLAG_OVERLAPPED: no port takes it."""
    family, kind, proto = sock.family, sock.type, sock.proto
    handle = winapi.WSASocketW(family, kind, proto, None, 0, winapi.WSA_FLAG_NO_HANDLE_INHERIT)
    if handle == winapi.INVALID_SOCKET:
        raise errors.refused(winapi.last_error(), "make a socket without overlapped I/O")
    sock.close()
    socket.socket.__init__(sock, family, kind, proto, fileno=handle)

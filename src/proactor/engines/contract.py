"""The contract between the port (row 2) and an engine: five small protocols.

An engine owns the operating system's side of five things, and every engine indicates the same:

- `Engine`: makes the other four, waits on objects, queues APCs, selects, and describes itself;
- `EnginePort`: the queue that worker threads wait on;
- `EngineSocket`: starts operations, cancels them, closes, reports network events;
- `EngineEvent`: a waitable flag;
- `EngineMessageQueue`: the queue that ``async_select`` posts to.

A port *may* also bring streams of its own, by the methods of `stream_contract.EngineStreamPort`;
where it does not, streams are plain Python over its sockets.

Rules that no method may break (section 2 of the design):

1. *One indication.* A started `Operation` is indicated exactly once: its packet is queued, or its
   event set, or its routine queued to the issuing thread. One that is refused at once raises
   and indicates nothing; before it raises, ``operation.abandon()`` is called.
2. *Memory.* From ``start`` until the indication is taken the engine holds the `Operation`, and so
   its buffers, its overlapped and its owner.
3. *The taking.* A packet is taken when `EnginePort.get_many` returns it; a routine when it is
   called; an event-only operation when it completes. At the taking the engine calls
   ``operation.release()``; ``operation.publish()`` is called when it completes.
4. *Errors.* ``operation.status`` holds the NTSTATUS; both vocabularies come from `statuses`.
5. *Threads.* Every method may be called from any thread, unless it says otherwise.

Contracts are those of the Winsock and Win32 pages of the same names; where a page and the observed
behaviour of Windows differ, the observed one is meant.
"""

from __future__ import annotations

import enum
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from proactor.overlapped import Operation
from proactor.packets import CompletionPacket, PacketBatch


class WaitCode(enum.IntEnum):
    """How a wait ended; the values are Windows'."""

    OBJECT = 0
    IO_COMPLETION = 0xC0
    TIMEOUT = 0x102


class WaitResult(NamedTuple):
    """How a wait ended and, for `WaitCode.OBJECT`, the lowest index that was signaled."""

    code: WaitCode
    index: int = 0  # type: ignore[assignment]  # It hides tuple.index, which nobody needs here.

    @property
    def is_signaled(self) -> bool:
        """True if an awaited object was signaled."""
        return self.code is WaitCode.OBJECT


class NetworkEvents(NamedTuple):
    """What ``WSAEnumNetworkEvents`` returns: a mask, and a Winsock error for each set bit."""

    mask: int
    errors: dict[int, int]


class NetworkMessage(NamedTuple):
    """One message of ``async_select``: which socket, which event, which Winsock error (0: none)."""

    message: int
    socket: Any
    event: int
    error: int


@dataclass(frozen=True, slots=True)
class PortStatistics:
    """A snapshot of one completion port.

    Attributes:
        concurrency: The concurrency value.
        queued: Packets that wait to be taken; None where the kernel does not tell.
        waiting: Threads that wait in ``get``; None where the kernel does not tell.
        running: Threads that took packets and have not come back; None where it is not known.
        delivered: Packets taken so far.
        posted: Packets posted by ``post`` so far.
        completed: Packets that operations queued so far; None where the kernel does not tell.
        stalls: Times a running thread was counted as blocked after ``stall_timeout``.
    """

    concurrency: int
    queued: int | None
    waiting: int | None
    running: int | None
    delivered: int
    posted: int
    completed: int | None
    stalls: int


@dataclass(frozen=True, slots=True)
class EngineDescription:
    """Which engine runs, and why.

    Attributes:
        name: ``selectors``, ``epoll`` or ``iocp``.
        reason: One sentence: why this one was chosen.
        features: Name of each feature with what is used for it.
        refused: Name of each engine that was not chosen, with the reason.
    """

    name: str
    reason: str
    features: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class EngineEvent(Protocol):
    """A waitable flag; manual reset, or reset by the wait that it satisfies."""

    def set(self) -> None:
        """Signal it: SetEvent."""

    def reset(self) -> None:
        """Make it non-signaled: ResetEvent."""

    def is_set(self) -> bool:
        """Say whether it is signaled, without consuming the signal."""

    def close(self) -> None:
        """Release it. Closing twice does nothing."""


class EngineMessageQueue(Protocol):
    """The message queue of the thread that opened it."""

    def get(self, timeout: float | None) -> NetworkMessage | None:
        """Take the oldest message; None on time-out. Only in the thread that opened it."""

    def close(self) -> None:
        """Drop what is queued; later messages for it are dropped too."""


class EnginePort(Protocol):
    """A completion port: FIFO packets, LIFO waiters, at most `concurrency` threads running."""

    def attach(self, sock: EngineSocket, key: Any) -> None:
        """Associate `sock` with this port for life; refused (87) if it has a port already."""

    def post(self, packet: CompletionPacket) -> None:
        """Queue `packet` behind what is queued; refused (6) if the port is closed."""

    def get_many(self, limit: int, timeout: float | None, alertable: bool) -> PacketBatch:
        """Take up to `limit` packets, waiting for the first; see `CompletionPort.get_many`."""

    def begin_blocking(self) -> None:
        """The calling thread is about to block: it gives its slot to another."""

    def end_blocking(self) -> None:
        """The calling thread runs again and counts, even above the concurrency value."""

    def close(self) -> None:
        """Wake every waiter with 735; what is queued is lost. Closing twice does nothing."""

    def statistics(self) -> PortStatistics:
        """Return a snapshot."""


class EngineSocket(Protocol):
    """The engine's side of one socket: its outstanding operations and its network events.

    Attributes:
        sock: The descriptor of this handle, for what is no operation: names and options.
    """

    sock: socket.socket

    def start(self, operation: Operation) -> int | None:
        """Start an overlapped operation (``operation.begin`` has been called).

        Returns:
            The bytes transferred if it completed at once (it still indicates, unless
            ``set_completion_modes`` says otherwise), None if it is pending.

        Raises:
            ProactorError: Refused at once; nothing will be indicated.
        """

    def perform(self, operation: Operation) -> int:
        """Do the operation synchronously: block alertably, or raise 10035 if non-blocking.

        ``operation.overlapped`` is None. Returns the bytes; ``operation.acceptor`` and
        ``operation.peer`` are filled in. Serves recv, send, recv_from, send_to, connect, accept,
        disconnect and transmit_file.
        """

    def has_outstanding(self) -> bool:
        """Say whether an operation that was started on it is not complete yet."""

    def cancel(self, operation: Operation | None, *, own_thread_only: bool) -> bool:
        """Request the end of one operation, or of all; say whether any was outstanding.

        Each still indicates exactly once, with 995 or with its normal result. With
        `own_thread_only` (CancelIo) those issued by other threads are left alone.
        """

    def close(self, *, reset: bool = False) -> None:
        """Close the descriptor; every outstanding operation ends and indicates. Twice is fine.

        With `reset` the connection ends with RST and what is queued is lost.
        """

    def shutdown(self, how: int) -> None:
        """Shut down one or both directions: 0 receive, 1 send, 2 both. Refused: 10057, 10022."""

    def setblocking(self, flag: bool) -> None:
        """Choose what a synchronous call does; refused (10022) while events are selected."""

    def set_completion_modes(self, *, skip_on_success: bool) -> None:
        """Queue no packet for immediate success; sticky: True can not be taken back."""

    def socket_error(self) -> int:
        """Return SO_ERROR as a Winsock number; a failed connect's error sticks."""

    def event_select(self, event: EngineEvent | None, mask: int) -> None:
        """WSAEventSelect: set `event` when one of `mask` happens; (None, 0) cancels."""

    def async_select(self, queue: EngineMessageQueue, message: int, mask: int) -> None:
        """WSAAsyncSelect: post `message` to `queue` when one of `mask` happens; 0 cancels."""

    def enum_network_events(self, event: EngineEvent | None) -> NetworkEvents:
        """WSAEnumNetworkEvents: take and clear the record, and reset `event`, in one step."""

    def duplicate(self) -> EngineSocket:
        """Return a second handle to the same socket: port, key and queues are shared."""


class Engine(Protocol):
    """One way to move bytes. There is one instance a process; after ``fork`` the child has none."""

    name: str
    max_wait_objects: int | None
    """The most objects that one wait takes (64 on Windows), None for no limit."""

    def open_port(self, concurrency: int, stall_timeout: float | None) -> EnginePort:
        """Make a completion port; `concurrency` is 1 or more."""

    def open_socket(self, sock: socket.socket, facade: Any, *, overlapped: bool) -> EngineSocket:
        """Take over `sock`. `facade` is the `OverlappedSocket` that messages and results name."""

    def open_event(self, *, manual_reset: bool, signaled: bool) -> EngineEvent:
        """Make an event object."""

    def open_message_queue(self) -> EngineMessageQueue:
        """Make a message queue for the calling thread."""

    def wait(
        self,
        objects: Sequence[EngineEvent],
        *,
        wait_all: bool,
        timeout: float | None,
        alertable: bool,
    ) -> WaitResult:
        """Wait for one or all of `objects`; an empty sequence sleeps (SleepEx).

        An object that is already signaled wins over queued APCs. An alertable wait that finds
        APCs runs all of them, also those queued meanwhile, and returns ``IO_COMPLETION``.
        """

    def queue_apc(self, thread: threading.Thread, call: Callable[[], object]) -> None:
        """Queue `call` to `thread`; refused (31) if the thread does not run."""

    def select(
        self,
        read: Sequence[EngineSocket],
        write: Sequence[EngineSocket],
        failed: Sequence[EngineSocket],
        timeout: float | None,
    ) -> tuple[list[int], list[int], list[int]]:
        """Return the indices of those that are readable, writable, failed (row A16)."""

    def describe(self) -> EngineDescription:
        """Say what this engine is made of here."""

    def statistics(self) -> dict[str, int]:
        """Return counters by name; which ones depends on the engine."""


FD_READ = 0x01
FD_WRITE = 0x02
FD_OOB = 0x04
FD_ACCEPT = 0x08
FD_CONNECT = 0x10
FD_CLOSE = 0x20
FD_ALL_EVENTS = FD_READ | FD_WRITE | FD_OOB | FD_ACCEPT | FD_CONNECT | FD_CLOSE

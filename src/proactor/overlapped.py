"""Overlapped operations: the object that identifies one, and the record of what is in flight.

`Overlapped` is the user's: it is handed to a call, comes back with the indication, and may be
subclassed (a session that *is* its overlapped) or own a reference (``owner``). `Operation` is the
engine's: the parameters of one call, alive from the call until its indication is taken. An
`Overlapped` has at most one `Operation` at a time, which is what makes re-use safe.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, BinaryIO, TypeAlias

from proactor import errors, statuses


class OperationKind(enum.Enum):
    """What an overlapped operation does; a worker dispatches on it."""

    NONE = "none"
    ACCEPT = "accept"
    CONNECT = "connect"
    RECV = "recv"
    SEND = "send"
    RECV_FROM = "recv_from"
    SEND_TO = "send_to"
    DISCONNECT = "disconnect"
    TRANSMIT_FILE = "transmit_file"

    # Members are compared by identity, so they may be hashed by it too: Enum hashes the name, in
    # Python, several times for each message.
    __hash__ = object.__hash__


CompletionRoutine: TypeAlias = "Callable[[OSError | None, int, Overlapped, int], object]"
"""Called as ``routine(error, transferred, overlapped, flags)`` in the thread that issued it.

``error`` is None for success, else an `OSError` whose ``winerror`` is the Winsock number.
"""


class Overlapped:
    """One overlapped operation at a time: its identity, and its result when it is done.

    Make one, give it to a call of `OverlappedSocket`, and take it back from the packet, the event
    or the completion routine. It may then be used again. Subclass it, or set `owner`, to get
    from the indication to your session: the engine keeps it alive until then, whatever you drop.

    Attributes:
        event: An `Event` that is reset when the operation starts and set when it completes.
        routine: A completion routine, called with ``(error, transferred, overlapped, flags)`` in
            the issuing thread when that thread waits alertably. With a routine, `event` is not
            signaled and no packet is queued.
        owner: Yours; the engine only keeps it alive.
        suppress_packet: True makes an operation on an attached socket queue no packet; its event
            is still set (Windows' low bit of ``hEvent``).
        kind: What the operation is (`OperationKind`).
        transferred: Bytes moved, once it is complete.
        status: NTSTATUS: ``STATUS_PENDING`` while in flight, then the result. On a socket that is
            attached to a port, do not poll it: take the packet.
        flags: Flags of the completed receive.
        address: The sender of a completed `recv_from`.
        socket: The `OverlappedSocket` that the operation was last started on.
        accepted: The connected `OverlappedSocket` of a completed accept.

    Not thread-safe before it is started and after its indication is taken; in between it is the
    engine's, and another start raises `OverlappedBusy`.
    """

    # With `__dict__` a subclass, or a user, may add attributes; these are found faster.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_operation",
        "_status",
        "accepted",
        "address",
        "event",
        "flags",
        "kind",
        "owner",
        "routine",
        "socket",
        "suppress_packet",
        "transferred",
    )

    def __init__(
        self,
        owner: Any = None,
        *,
        event: Any = None,
        routine: CompletionRoutine | None = None,
    ) -> None:
        """Make an overlapped that is not in flight."""
        self.owner = owner
        self.event = event
        self.routine = routine
        self.suppress_packet = False
        self.kind = OperationKind.NONE
        self.transferred = 0
        self.flags = 0
        self.address: Any = None
        self.socket: Any = None
        self.accepted: Any = None
        self._status = statuses.STATUS_SUCCESS
        self._operation: Operation | None = None

    @property
    def status(self) -> int:
        """NTSTATUS: ``STATUS_PENDING`` while in flight, then the result."""
        self._observe()
        return self._status

    @property
    def is_in_flight(self) -> bool:
        """True from the start of an operation until its indication is taken."""
        self._observe()
        return self._operation is not None

    @property
    def is_complete(self) -> bool:
        """True once the result is there (Windows: ``HasOverlappedIoCompleted``)."""
        return self.status != statuses.STATUS_PENDING

    @property
    def error(self) -> OSError | None:
        """The failure in the Winsock vocabulary, None for success or while it is pending."""
        if self.status == statuses.STATUS_PENDING:
            return None
        return errors.from_status(self.status, self.describe(), at_port=False)

    def get_result(self, wait: bool = False) -> int:
        """Return the bytes transferred; the counterpart of ``WSAGetOverlappedResult``.

        Args:
            wait: Wait for the operation to complete; it must then have an `event`, whose signal
                the wait takes. The wait is not alertable.

        Raises:
            IoIncomplete: It is still pending and `wait` is False.
            InvalidParameter: `wait` is True, it is pending and there is no event to wait on.
            ProactorError: The operation failed; ``winerror`` is the Winsock number.
        """
        if self.status == statuses.STATUS_PENDING:
            self._wait(wait)
        error = self.error
        if error is not None:
            raise error
        return self.transferred

    def describe(self) -> str:
        """Return what was tried on what, for an error text."""
        return f"{self.kind.value} on {self.socket!r}"

    def _observe(self) -> None:
        operation = self._operation
        if operation is not None and operation.observe is not None:
            operation.observe(operation)

    def _wait(self, wait: bool) -> None:
        if not wait:
            raise errors.refused(
                statuses.ERROR_IO_INCOMPLETE, f"{self.describe()} is still pending"
            )
        if self.event is None:
            raise errors.refused(
                statuses.WSAEINVAL,
                f"cannot wait for {self.describe()}: only an operation with an event can be "
                "waited for; set overlapped.event before the call",
            )
        self.event.wait()
        if self.status == statuses.STATUS_PENDING:
            raise errors.refused(
                statuses.ERROR_IO_INCOMPLETE,
                f"{self.describe()} is still pending: something else has set its event",
            )

    def __repr__(self) -> str:
        """Return the kind and the state, for logs."""
        state = "in flight" if self.is_in_flight else f"{self.transferred} bytes"
        return f"<{type(self).__name__} {self.kind.value} {state}>"


class Operation:
    """The parameters and the result of one started call: the engine's side of an `Overlapped`.

    Made by `OverlappedSocket`, filled in by the engine, dropped when the indication is taken.
    The engine keeps it, and so its buffers, its overlapped and its owner, alive until then.

    Attributes:
        views: Byte views of the buffers; see `buffers`.
        address: Where to connect or to send.
        acceptor: The prepared `OverlappedSocket` of an accept.
        file: The open file of a transmit_file, with `offset`, `count` (0: to its end);
            the first `head_count` views go before it, the rest after.
        event, routine: Those of the overlapped when the call was made.
        thread: The engine's record of the thread that issued it.
        status, transferred, flags, peer: The result; ``peer`` is the sender's address.
        home: The engine's socket whose port and key the indication goes to.
        attempt, engine_state: Whatever the engine needs to keep for it.
    """

    __slots__ = (
        "acceptor",
        "address",
        "attempt",
        "count",
        "engine_state",
        "event",
        "file",
        "flags",
        "head_count",
        "home",
        "kind",
        "observe",
        "offset",
        "overlapped",
        "peer",
        "routine",
        "status",
        "suppress_packet",
        "thread",
        "transferred",
        "views",
    )

    def __init__(
        self,
        kind: OperationKind,
        overlapped: Overlapped | None,
        views: list[memoryview],
        flags: int = 0,
    ) -> None:
        """Record a call; `overlapped` is None for a synchronous one."""
        self.kind = kind
        self.overlapped = overlapped
        self.views = views
        self.flags = flags
        self.address: Any = None
        self.acceptor: Any = None
        self.file: BinaryIO | None = None
        self.offset = 0
        self.count = 0
        self.head_count = 0
        self.event: Any = None
        self.routine: CompletionRoutine | None = None
        self.suppress_packet = False
        if overlapped is not None:
            self.event = overlapped.event
            self.routine = overlapped.routine
            self.suppress_packet = overlapped.suppress_packet
        self.thread: Any = None
        self.status = statuses.STATUS_PENDING
        self.transferred = 0
        self.peer: Any = None
        self.home: Any = None
        self.attempt: Any = None
        self.engine_state: Any = None
        self.observe: Callable[[Operation], None] | None = None

    def begin(self, socket: Any) -> None:
        """Tie the overlapped to this operation and mark it pending.

        Raises:
            OverlappedBusy: It is in flight with another operation, which is not disturbed.
        """
        overlapped = self.overlapped
        assert overlapped is not None, "a synchronous call has no overlapped to begin"
        if overlapped.is_in_flight:
            raise errors.overlapped_busy(
                f"{self.kind.value} on {socket!r}: this Overlapped is still in flight for "
                f"{overlapped.describe()}; use one for each operation",
            )
        overlapped._operation = self
        overlapped.kind = self.kind
        overlapped.socket = socket
        overlapped._status = statuses.STATUS_PENDING
        overlapped.transferred = 0
        overlapped.accepted = None

    def abandon(self) -> None:
        """Untie the overlapped: the call was refused at once and indicates nothing."""
        overlapped = self.overlapped
        if overlapped is not None and overlapped._operation is self:
            overlapped._operation = None
            overlapped._status = statuses.STATUS_SUCCESS

    def publish(self) -> None:
        """Copy the result to the overlapped; it stays in flight until `release`."""
        overlapped = self.overlapped
        if overlapped is not None:
            overlapped.transferred = self.transferred
            overlapped.flags = self.flags
            overlapped.address = self.peer
            if self.kind is OperationKind.ACCEPT:
                overlapped.accepted = self.acceptor if self.status == 0 else None
            overlapped._status = self.status

    def release(self) -> None:
        """The indication is taken: the overlapped may be used again, the buffers are the user's."""
        overlapped = self.overlapped
        if overlapped is not None and overlapped._operation is self:
            overlapped._operation = None
        self.views = []

    def error(self, *, at_port: bool) -> OSError | None:
        """Return the failure in the vocabulary of the reporting side, None for success."""
        if self.status == statuses.STATUS_SUCCESS:
            return None
        tried = self.overlapped.describe() if self.overlapped is not None else self.kind.value
        return errors.from_status(self.status, tried, at_port=at_port)

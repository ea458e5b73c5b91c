"""Completion packets: what a port hands out."""

from __future__ import annotations

from typing import Any

from proactor.overlapped import Operation


class CompletionPacket:
    """One indication: an operation that ended, or a packet that somebody posted.

    Attributes:
        key: The completion key of the socket the operation ran on, or what was posted.
        overlapped: The `Overlapped` of the operation, or what was posted (often None).
        transferred: Bytes moved, or what was posted.
        error: The failure as an `OSError` with the Win32 number, None for success. `get` never
            raises it.
        operation: The engine's record; None in a posted packet and once it has been taken.
    """

    __slots__ = ("error", "key", "operation", "overlapped", "transferred")

    def __init__(
        self,
        key: Any,
        overlapped: Any = None,
        transferred: Any = 0,
        error: OSError | None = None,
        operation: Operation | None = None,
    ) -> None:
        """Make a packet; the engine gives `operation`, a posted packet has none."""
        self.key = key
        self.overlapped = overlapped
        self.transferred = transferred
        self.error = error
        self.operation = operation

    def result(self) -> Any:
        """Return `transferred`, or raise `error` if the operation failed."""
        if self.error is not None:
            raise self.error
        return self.transferred

    def __repr__(self) -> str:
        """Return key, overlapped and outcome, for logs."""
        outcome = self.transferred if self.error is None else self.error
        return f"<CompletionPacket key={self.key!r} overlapped={self.overlapped!r} {outcome}>"


class PacketBatch(list[CompletionPacket]):
    """The packets of one `get_many`, oldest first; empty on time-out.

    Attributes:
        woken_by_apc: True if an alertable wait ended because APCs ran (WAIT_IO_COMPLETION); the
            batch is then empty.
    """

    __slots__ = ("woken_by_apc",)

    def __init__(self) -> None:
        """Make an empty batch."""
        super().__init__()
        self.woken_by_apc = False

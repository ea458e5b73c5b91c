"""What the kernel writes to, kept alive: every operation from its call until its indication.

The one rule that corrupts memory when it is broken: an OVERLAPPED, and the buffers that were given
with it, stay where they are until the indication has been *taken*, also after a cancel, also after
the socket is closed, whatever the user drops. `InFlightTable` holds them, keyed by the address of
the OVERLAPPED, which is what the kernel names an operation by.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("the iocp engine runs on Windows only")

import ctypes
import threading
from collections.abc import Callable
from ctypes import c_int, c_ubyte
from ctypes.wintypes import DWORD
from typing import Any, ClassVar, Final, Protocol

from proactor import statuses
from proactor.engines.python.iocp import winapi
from proactor.overlapped import Operation

SOCKADDR_STORAGE_SIZE: Final = 128
_KEPT_FOR_REUSE: Final = 1024
_FIRST_SWEEP: Final = 1024


class AssociatedPort(Protocol):
    """A port, as those see it whose packets it gets."""

    is_closed: bool

    def drain(self) -> None:
        """Take what a closed port still gets."""


class FileObject:
    """What the handles of one socket share, as they share the kernel's file object.

    Attributes:
        lock: Held while a handle is given to the kernel for an overlapped call, so that no other
            thread closes it meanwhile: its number could be another socket's at once.
        port: The port that it is associated with, for life; None before.
        key: The completion key.
        skip_on_success: Immediate success queues no packet.
        is_overlapped: False for a socket that no port takes.
        is_blocking: What its synchronous calls do.
        open_handles: How many handles are open; 0 says that it was closed by us.
        in_flight: Its operations whose indication has not been taken.
    """

    def __init__(self, *, is_overlapped: bool) -> None:
        """Describe a socket with one open handle."""
        self.lock = threading.RLock()
        self.port: AssociatedPort | None = None
        self.key: Any = None
        self.skip_on_success = False
        self.is_overlapped = is_overlapped
        self.is_blocking = True
        self.open_handles = 1
        self.in_flight: set[Operation] = set()


class OverlappedEx(winapi.OVERLAPPED):
    """An OVERLAPPED, and behind it what else one call needs at a fixed address.

    Attributes:
        lock: Held while the result is filled in or the operation is cancelled.
        address: Where it is; the other ``_at`` attributes are addresses inside it.
        file: The socket's file object; `handle` is the handle the call was made with.
        keep: Further memory that the kernel uses.
        is_submitted: The kernel may know it.
        is_starting: The call has not returned. Its indication may be taken all the same, but it
            must then not be used for another call, nor be looked at by anybody else.
        is_published: The result has been copied to the overlapped.
    """

    _fields_: ClassVar[Any] = (
        ("buffer", winapi.WSABUF),
        ("received", DWORD),
        ("flags", DWORD),
        ("name_length", c_int),
        ("name", c_ubyte * SOCKADDR_STORAGE_SIZE),
    )

    lock: threading.RLock
    address: int
    file: FileObject
    handle: int
    keep: Any
    made_acceptor: bool
    is_submitted: bool
    is_starting: bool
    is_published: bool

    def settle(self) -> None:
        """Note where it lies; once, when it is made."""
        self.lock = threading.RLock()
        self.address = address = ctypes.addressof(self)
        self.first_buffer = self.buffer
        self.buffer_at = address + OverlappedEx.buffer.offset
        self.received_at = address + OverlappedEx.received.offset
        self.flags_at = address + OverlappedEx.flags.offset
        self.name_length_at = address + OverlappedEx.name_length.offset
        self.name_at = address + OverlappedEx.name.offset
        self.file = _NO_FILE

    @property
    def status(self) -> int:
        """The NTSTATUS that the kernel has written, STATUS_PENDING until then."""
        internal: int = self.Internal
        return internal & 0xFFFFFFFF


_NO_FILE: Final = FileObject(is_overlapped=False)


class InFlightTable:
    """The operations whose indication has not been taken, by the address of their OVERLAPPED.

    Thread-safe. Structures are used again, which is safe since nobody knows an address that is not
    in the table.
    """

    def __init__(self) -> None:
        """Make the table, which is never freed: the kernel may write to it to the very end."""
        self.started = 0
        self.taken = 0
        self._lock = threading.RLock()
        self._operations: dict[int, Operation] = {}
        self._free: list[OverlappedEx] = []
        self._sweep_at = _FIRST_SWEEP
        winapi.Py_IncRef(self._operations)

    def enter(
        self, operation: Operation, file: FileObject, observe: Callable[[Operation], None]
    ) -> OverlappedEx:
        """Keep `operation` alive from here on, and give it an OVERLAPPED that says "pending"."""
        event = None if operation.event is None else operation.event.engine_event
        with self._lock:
            structure = self._free.pop() if self._free else _new_structure()
            self._operations[structure.address] = operation
            self.started += 1
        structure.Internal = statuses.STATUS_PENDING
        structure.InternalHigh = structure.Offset = structure.OffsetHigh = structure.hEvent = 0
        structure.received = 0
        structure.file = file
        structure.keep = None
        structure.made_acceptor = False
        structure.is_submitted = structure.is_published = False
        structure.is_starting = True
        operation.engine_state = structure
        operation.observe = observe
        file.in_flight.add(operation)
        if event is not None:
            event.operations.add(operation)
        if len(self._operations) > self._sweep_at:
            self.sweep()
        return structure

    def find(self, address: int) -> Operation | None:
        """Return the operation whose OVERLAPPED lies at `address`."""
        return self._operations.get(address)

    def leave(self, operation: Operation, *, is_refused: bool = False) -> None:
        """Forget `operation`: its indication is taken, or the kernel has refused it.

        Only by the one who made sure, under the structure's lock, that nobody else does.
        """
        structure: OverlappedEx = operation.engine_state
        operation.engine_state = operation.observe = None
        structure.file.in_flight.discard(operation)
        if operation.event is not None:
            operation.event.engine_event.operations.discard(operation)
        structure.file = _NO_FILE
        structure.keep = None
        with self._lock:
            del self._operations[structure.address]
            if is_refused:
                self.started -= 1
            else:
                self.taken += 1
            # The call that started it may still be reading what it says.
            if not structure.is_starting and len(self._free) < _KEPT_FOR_REUSE:
                self._free.append(structure)

    def sweep(self) -> None:
        """Take what completed without anybody looking: a user may have dropped its overlapped."""
        for operation in list(self._operations.values()):
            observe = operation.observe
            if observe is not None:
                observe(operation)
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._operations))

    def __len__(self) -> int:
        """Return how many operations are in flight."""
        return len(self._operations)


def _new_structure() -> OverlappedEx:
    structure = OverlappedEx()
    structure.settle()
    return structure


table: Final = InFlightTable()
"""The table of this process. The kernel calls back with nothing but an address."""

"""Completion routines: how the kernel calls them, and what becomes of them when their thread ends.

The kernel runs a routine as an APC of the thread that issued the operation, inside one of that
thread's alertable waits. With the thread the operation is cancelled and its routine is lost: the
one case in which an operation indicates nothing. What it kept alive must be let go all the same.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("the iocp engine runs on Windows only")

import ctypes
import threading
from typing import Final

from proactor import statuses
from proactor.engines import indications
from proactor.engines.python.iocp import winapi
from proactor.engines.python.iocp.calling import keep_for_the_wait
from proactor.engines.python.iocp.finish import take
from proactor.engines.python.iocp.in_flight import OverlappedEx, table
from proactor.overlapped import Operation

_ENDING_TAKES: Final = 100
"""Milliseconds that a thread waits at its end for the operations that end with it."""


def routine_address(operation: Operation) -> int:
    """Return the completion routine to give to the kernel, for a call by this thread."""
    _issued_here().add(operation)
    assert _address is not None, "a function has an address"
    return _address


def forget(operation: Operation) -> None:
    """Take back `routine_address`: the kernel has refused the call of this thread."""
    _issued_here().discard(operation)


class _Issuer:
    """The operations with a routine that one thread has in flight; dies with the thread."""

    # At the very end of the process nothing but the class itself may be left of this module.
    _is_finalizing: Final = staticmethod(sys.is_finalizing)

    def __init__(self) -> None:
        self.operations: set[Operation] = set()

    def __del__(self) -> None:
        """Let go what the thread leaves behind."""
        if self.operations and not self._is_finalizing():
            _end(list(self.operations))


def _end(operations: list[Operation]) -> None:
    """Cancel what the kernel is about to cancel, as the calling thread ends, and let it go."""
    for operation in operations:
        _cancel(operation)
    for _ in range(_ENDING_TAKES):
        operations = [operation for operation in operations if not _let_go(operation)]
        if not operations:
            return
        winapi.SleepEx(1, False)


_local = threading.local()


def _issued_here() -> set[Operation]:
    try:
        issuer: _Issuer = _local.issuer
    except AttributeError:
        issuer = _local.issuer = _Issuer()
    return issuer.operations


def _cancel(operation: Operation) -> None:
    structure: OverlappedEx | None = operation.engine_state
    if structure is not None and structure.file.open_handles:
        winapi.CancelIoEx(structure.handle, structure.address)


def _let_go(operation: Operation) -> bool:
    structure: OverlappedEx | None = operation.engine_state
    if structure is not None:
        if structure.status == statuses.STATUS_PENDING:
            return False
        if take(operation):
            operation.release()
    return True


def _run_routine(error: int, transferred: int, address: int, flags: int) -> None:
    # `error` is not looked at: the NTSTATUS in the structure says the same, and says it the same on
    # every system.
    try:
        operation = table.find(address)
        if operation is not None and take(operation, transferred, flags):
            _issued_here().discard(operation)
            indications.call_routine(operation)
    except BaseException as escaped:
        keep_for_the_wait(escaped)


# Never freed: the kernel may call it to the very end.
_routine: Final = winapi.COMPLETION_ROUTINE(_run_routine)
_address: Final = ctypes.cast(_routine, ctypes.c_void_p).value

"""The last step of an indication that is a call: a completion routine, or an APC.

A routine is the user's code, run inside a wait that must drain every other routine as well: what
it raises is logged with its overlapped and does not end the wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from proactor.overlapped import Operation

logger = logging.getLogger("proactor")


def call_routine(operation: Operation) -> None:
    """Take the indication of `operation`: release it, then call its completion routine."""
    routine, overlapped = operation.routine, operation.overlapped
    assert routine is not None, "an operation without a routine has no APC"
    assert overlapped is not None, "only an overlapped operation has a routine"
    error = operation.error(at_port=False)
    transferred, flags = operation.transferred, operation.flags
    # Released first: the routine's usual last act is to start the same overlapped again.
    operation.release()
    try:
        routine(error, transferred, overlapped, flags)
    except Exception:
        logger.exception("completion routine %r raised for %r", routine, overlapped)


class RoutineCall:
    """The APC that calls a completion routine, in the engines that queue APCs themselves."""

    __slots__ = ("_operation",)

    def __init__(self, operation: Operation) -> None:
        """Make the call that takes the indication of `operation`."""
        self._operation = operation

    def __call__(self) -> None:
        """Take the indication, in the thread that issued the operation."""
        call_routine(self._operation)

    def lose(self) -> None:
        """The thread has ended: nothing is called, as on Windows, and the overlapped is free."""
        self._operation.release()


def call_apc(call: Callable[[], object]) -> None:
    """Run an APC queued by the user."""
    try:
        call()
    except Exception:
        logger.exception("APC %r raised", call)

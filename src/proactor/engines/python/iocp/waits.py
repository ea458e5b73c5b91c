"""Events, waits on them, and APCs: the kernel's own."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("the iocp engine runs on Windows only")

import itertools
import threading
from collections.abc import Callable, Sequence
from ctypes import byref, sizeof
from ctypes.wintypes import HANDLE
from typing import Final

from proactor import errors, statuses
from proactor.clock import deadline_after
from proactor.engines import indications
from proactor.engines.contract import EngineEvent, WaitCode, WaitResult
from proactor.engines.python.iocp import winapi
from proactor.engines.python.iocp.calling import (
    is_over,
    keep_for_the_wait,
    next_slice,
    raise_escaped,
)
from proactor.engines.python.iocp.finish import observe
from proactor.overlapped import Operation

_APCS_RAN: Final = WaitResult(WaitCode.IO_COMPLETION)
_TIMED_OUT: Final = WaitResult(WaitCode.TIMEOUT)


class IocpEvent:
    """An event object of the kernel; see `EngineEvent` in the contract.

    Attributes:
        operations: Those in flight that set it. The kernel sets it by itself: whoever sees the
            signal through this package publishes what has completed.
    """

    # At the very end of the process nothing but the class itself may be left of this module.
    _close_handle: Final = staticmethod(winapi.CloseHandle)

    def __init__(self, *, manual_reset: bool, signaled: bool) -> None:
        """Make an event: CreateEvent."""
        handle = winapi.CreateEventW(None, manual_reset, signaled, None)
        if not handle:
            raise errors.refused(winapi.last_error(), "make an event")
        self._handle: int | None = handle
        self.operations: set[Operation] = set()

    def open_handle(self) -> int:
        """Return the handle.

        Raises:
            ProactorError: The event is closed (6).
        """
        handle = self._handle
        if handle is None:
            raise errors.refused(statuses.ERROR_INVALID_HANDLE, "the event is closed")
        return handle

    def set(self) -> None:
        """Signal it: SetEvent."""
        winapi.SetEvent(self.open_handle())

    def reset(self) -> None:
        """Make it non-signaled: ResetEvent."""
        winapi.ResetEvent(self.open_handle())

    def is_set(self) -> bool:
        """Say whether it is signaled: NtQueryEvent, since a wait would reset an auto-reset one."""
        found = winapi.EVENT_BASIC_INFORMATION()
        winapi.NtQueryEvent(self.open_handle(), 0, byref(found), sizeof(found), None)
        if found.EventState and self.operations:
            self.publish()
        return bool(found.EventState)

    def publish(self) -> None:
        """Publish the results of the operations that have set it."""
        for operation in list(self.operations):
            observe(operation)

    def close(self) -> None:
        """Release it. An operation in flight that sets it keeps the kernel's object."""
        handle, self._handle = self._handle, None
        if handle is not None:
            winapi.CloseHandle(handle)

    def __del__(self) -> None:
        """Release it."""
        handle = getattr(self, "_handle", None)
        if handle is not None:
            self._close_handle(handle)


def wait(
    objects: Sequence[EngineEvent], *, wait_all: bool, timeout: float | None, alertable: bool
) -> WaitResult:
    """Wait for one or all of `objects`, or sleep if there is none; see the contract."""
    deadline = deadline_after(timeout)
    events = [event for event in objects if isinstance(event, IocpEvent)]
    count = len(events)
    assert count == len(objects), "an event of another engine"
    handles = (HANDLE * count)(*(event.open_handle() for event in events))
    while True:
        milliseconds = next_slice(deadline)
        if count:
            code = winapi.WaitForMultipleObjectsEx(
                count, handles, wait_all, milliseconds, alertable
            )
            error = winapi.last_error() if code == winapi.WAIT_FAILED else 0
        else:
            slept = winapi.SleepEx(milliseconds, alertable)
            code, error = slept or winapi.WAIT_TIMEOUT, 0
        raise_escaped()
        if code < count:
            for event in events if wait_all else (events[code],):
                if event.operations:
                    event.publish()
            return WaitResult(WaitCode.OBJECT, 0 if wait_all else code)
        if code == winapi.WAIT_IO_COMPLETION:
            return _APCS_RAN
        if code != winapi.WAIT_TIMEOUT:
            raise errors.refused(error, f"wait for {count} events")
        if is_over(deadline):
            return _TIMED_OUT


class ApcTable:
    """The APCs that are queued to threads, by the number that the kernel hands back."""

    def __init__(self) -> None:
        """Make an empty table."""
        self.queued = 0
        self.ran = 0
        self._tokens = itertools.count(1)
        self._calls: dict[int, tuple[threading.Thread, Callable[[], object]]] = {}

    def queue(self, thread: threading.Thread, call: Callable[[], object]) -> None:
        """Queue `call` to `thread`: QueueUserAPC.

        Raises:
            ProactorError: The thread does not run (31).
        """
        native_id = thread.native_id
        if native_id is None or not thread.is_alive():
            raise _not_running(thread)
        opened = winapi.OpenThread(winapi.THREAD_SET_CONTEXT, False, native_id)
        if not opened:
            raise _not_running(thread)
        token = next(self._tokens)
        self._calls[token] = (thread, call)
        try:
            if not winapi.QueueUserAPC(_apc_routine, opened, token):
                del self._calls[token]
                raise _not_running(thread)
        finally:
            winapi.CloseHandle(opened)
        self.queued += 1
        if token % 256 == 0:
            self._drop_lost()

    def run(self, token: int) -> None:
        """Run an APC, in the thread that it was queued to."""
        found = self._calls.pop(token, None)
        if found is not None:
            self.ran += 1
            indications.call_apc(found[1])

    def _drop_lost(self) -> None:
        # What is still queued to a thread when it ends is never run.
        for token, (thread, _) in list(self._calls.items()):
            if not thread.is_alive():
                self._calls.pop(token, None)


def _not_running(thread: threading.Thread) -> errors.ProactorError:
    return errors.refused(
        statuses.ERROR_GEN_FAILURE, f"queue an APC to {thread.name}: the thread does not run"
    )


apcs: Final = ApcTable()


def _run_apc(token: int) -> None:
    try:
        apcs.run(token)
    except BaseException as escaped:
        keep_for_the_wait(escaped)


# Never freed: the kernel may call it to the very end.
_apc_routine: Final = winapi.PAPCFUNC(_run_apc)

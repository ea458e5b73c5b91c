"""Event objects, and the waits: for one object, for several, for time, all of them alertable.

Contracts: CreateEvent, SetEvent, ResetEvent, WaitForSingleObjectEx, WaitForMultipleObjectsEx,
WSAWaitForMultipleEvents, SleepEx.
"""

from __future__ import annotations

from collections.abc import Sequence

from proactor import errors, statuses
from proactor.engines import choose
from proactor.engines.contract import WaitCode, WaitResult


class Event:
    """A flag that threads wait for.

    Args:
        manual_reset: True stays signaled until `reset` and releases all waiters; False releases
            one waiter, which resets it.
        signaled: The state to begin with.

    Thread-safe. A `with` block closes it at its end.
    """

    def __init__(self, manual_reset: bool = True, signaled: bool = False) -> None:
        """Make an event object (a WSAEVENT is one with the defaults)."""
        self.manual_reset = manual_reset
        self.engine_event = choose.current().open_event(
            manual_reset=manual_reset, signaled=signaled
        )

    def set(self) -> None:
        """Signal it."""
        self.engine_event.set()

    def reset(self) -> None:
        """Make it non-signaled."""
        self.engine_event.reset()

    def is_set(self) -> bool:
        """Say whether it is signaled, without consuming the signal."""
        return self.engine_event.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait, not alertably, for the signal and consume it if auto-reset; False on time-out."""
        return wait_for_single_object(self, timeout).is_signaled

    def close(self) -> None:
        """Release it. Closing while a thread waits for it is undefined, as on Windows."""
        self.engine_event.close()

    def __enter__(self) -> Event:
        """Return the event."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the event."""
        self.close()


def wait_for_single_object(
    event: Event, timeout: float | None = None, *, alertable: bool = False
) -> WaitResult:
    """Wait for one event.

    Returns:
        ``OBJECT`` if it was signaled (an auto-reset event is reset), ``TIMEOUT``, or
        ``IO_COMPLETION`` if the wait was alertable and APCs ran; nothing was then consumed. An
        event that is signaled at the call wins over queued APCs.
    """
    return wait_for_multiple_objects([event], timeout=timeout, alertable=alertable)


def wait_for_multiple_objects(
    events: Sequence[Event],
    *,
    wait_all: bool = False,
    timeout: float | None = None,
    alertable: bool = False,
) -> WaitResult:
    """Wait for one of `events`, or for all of them.

    Wait-any returns the lowest index that is signaled and consumes only that one: scan on from
    the next index with a zero time-out, or high indices starve. Wait-all consumes none until all
    are signaled at once.

    Raises:
        InvalidParameter: No event, the same one twice in a wait-all, or more than the engine
            takes (87): 64 on Windows, no limit elsewhere (`max_wait_objects`).
    """
    engine = choose.current()
    if not events:
        raise errors.refused(
            statuses.ERROR_INVALID_PARAMETER, "no event to wait for: give one, or use sleep_ex"
        )
    if engine.max_wait_objects is not None and len(events) > engine.max_wait_objects:
        raise errors.refused(
            statuses.ERROR_INVALID_PARAMETER,
            f"{len(events)} events in one wait: this system takes {engine.max_wait_objects}; "
            "wait in groups, one thread each, or use a completion port",
        )
    if wait_all and len(set(map(id, events))) != len(events):
        raise errors.refused(
            statuses.ERROR_INVALID_PARAMETER, "the same event twice in a wait for all"
        )
    return engine.wait(
        [event.engine_event for event in events],
        wait_all=wait_all,
        timeout=timeout,
        alertable=alertable,
    )


def wait_for_multiple_events(
    events: Sequence[Event],
    *,
    wait_all: bool = False,
    timeout: float | None = None,
    alertable: bool = True,
) -> WaitResult:
    """Wait as `wait_for_multiple_objects` does, alertably unless told otherwise.

    The counterpart of WSAWaitForMultipleEvents, as overlapped servers use it.
    """
    return wait_for_multiple_objects(
        events, wait_all=wait_all, timeout=timeout, alertable=alertable
    )


def sleep_ex(timeout: float | None = None, alertable: bool = True) -> bool:
    """Sleep up to `timeout` seconds (None: for ever), and run APCs if alertable (SleepEx).

    Returns:
        True if APCs ran, all that were queued; the sleep then ends early. False if the time
        passed.
    """
    result = choose.current().wait([], wait_all=False, timeout=timeout, alertable=alertable)
    return result.code is WaitCode.IO_COMPLETION


def max_wait_objects() -> int | None:
    """Return the most events that one wait takes: 64 on Windows, None elsewhere (no limit)."""
    return choose.current().max_wait_objects

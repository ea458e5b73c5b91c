"""Network events in a test: what must be recorded is waited for, what must not is waited out."""

from __future__ import annotations

from proactor import Event, OverlappedSocket, enum_network_events
from tests.support.packets import QUIET
from tests.support.sockets import LIMIT


def news(
    sock: OverlappedSocket, event: Event, wanted: int, timeout: float = LIMIT
) -> dict[int, int]:
    """Return the errors of the events that came, once all of `wanted` have; none else may come."""
    errors: dict[int, int] = {}
    while wanted & ~sum(errors):
        assert event.wait(timeout), f"wanted events {wanted:#x}, came {errors}"
        mask, found = enum_network_events(sock, event)
        assert mask == sum(found)
        errors |= found
    assert sum(errors) == wanted
    return errors


def no_news(sock: OverlappedSocket, event: Event, quiet: float = QUIET) -> bool:
    """Return True if nothing is recorded for `quiet` seconds; else fail."""
    signaled = event.wait(quiet)
    record = enum_network_events(sock, event)
    assert (signaled, record) == (False, (0, {})), f"an event that must not come: {record}"
    return True

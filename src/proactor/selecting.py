"""Readiness by sets: Winsock's ``select`` (called `selecting` so as not to hide ``select``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from proactor import clock, errors, statuses
from proactor.engines import choose
from proactor.sockets import OverlappedSocket, engine_socket_of

FD_SETSIZE = 64
"""Sockets that one C ``fd_set`` holds by default. `select` takes more: it is a macro's limit."""


class ReadySets(NamedTuple):
    """Which sockets are ready, in the order in which they were given."""

    read: list[OverlappedSocket]
    write: list[OverlappedSocket]
    failed: list[OverlappedSocket]


def select(
    read: Sequence[OverlappedSocket] = (),
    write: Sequence[OverlappedSocket] = (),
    failed: Sequence[OverlappedSocket] = (),
    timeout: float | None = None,
) -> ReadySets:
    """Wait until a socket is ready, or `timeout` seconds (None: for ever); alertable.

    Args:
        read: Ready when there is data, the peer's FIN or reset, or a connection to accept.
        write: Ready when connected with room in the send buffer.
        failed: Ready when a non-blocking connect failed, or there is out-of-band data.
        timeout: Zero polls.

    Returns:
        Three lists. A socket that is given twice is returned once. All are empty on time-out, and
        where APCs ran the wait goes on.

    Raises:
        InvalidParameter: All three are empty (10022): this is no way to sleep.
        SocketClosed: One of them is closed (10038), at the call or during it.
    """
    sets = [list(dict.fromkeys(members)) for members in (read, write, failed)]
    if not any(sets):
        raise errors.refused(
            statuses.WSAEINVAL, "select() with three empty sets: to sleep, use sleep_ex"
        )
    clock.deadline_after(timeout)  # Refuses a negative time-out here, with the caller's value.
    reading, writing, failing = (
        [engine_socket_of(member, "select") for member in one] for one in sets
    )
    ready = choose.current().select(reading, writing, failing, timeout)
    return ReadySets(
        *([members[i] for i in indices] for members, indices in zip(sets, ready, strict=True))
    )

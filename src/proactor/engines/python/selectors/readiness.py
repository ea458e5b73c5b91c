"""What is true of a socket right now: the one place that asks ``poll``.

The selector tells that something happened; for network events and for ``select`` one must know
what. Linux's answers are bent to Winsock's here: an unconnected stream is nothing, a failed
connect is an exception, a reset is readable and writable.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("the selectors engine runs on POSIX systems only")

import fcntl
import select
import socket
import struct
import termios
from typing import Any

from proactor import statuses
from proactor.engines.contract import (
    FD_ACCEPT,
    FD_CLOSE,
    FD_CONNECT,
    FD_OOB,
    FD_READ,
    FD_WRITE,
)
from proactor.engines.python.selectors.state import SocketState

_GONE = select.POLLHUP | select.POLLERR
_HALF_CLOSED = getattr(select, "POLLRDHUP", 0)
_ALL = select.POLLIN | select.POLLOUT | select.POLLPRI | _HALF_CLOSED


def poll_now(sock: socket.socket) -> int:
    """Return what ``poll`` says of one socket at this moment."""
    poller = select.poll()
    poller.register(sock, _ALL)
    found = poller.poll(0)
    return found[0][1] if found else 0


def is_readable(sock: socket.socket) -> bool:
    """Say whether the selector would report `sock` ready to read at this moment."""
    return bool(poll_now(sock) & ~select.POLLOUT)


def unread_bytes(sock: socket.socket) -> int:
    """Return how many bytes wait to be read (a datagram: those of the next one)."""
    answer = fcntl.ioctl(sock.fileno(), termios.FIONREAD, b"\0\0\0\0")
    count: int = struct.unpack("i", answer)[0]
    return count


def true_events(owner: SocketState) -> dict[int, int]:
    """Return the FD_ bits that are true of `owner` now, each with its Winsock error.

    Pending overlapped receives take the data first, so FD_READ is not true while there are any.
    """
    if owner.connecting and not owner.refresh_connecting():
        return {}
    # First: where another thread serves them at the same time, what is ready was for them.
    reads, writes = bool(owner.reads), bool(owner.writes)
    state = poll_now(owner.sock)
    if owner.datagram:
        return _data_events(owner, state, reads, writes)
    if owner.connect_errno and not owner.connected:
        return {FD_CONNECT: statuses.wsa_number(statuses.from_errno(owner.connect_errno))}
    if not owner.connected:
        listening = state & select.POLLIN and owner.is_listening()
        return {FD_ACCEPT: 0} if listening and not reads else {}
    events = _data_events(owner, state, reads, writes) | _close_events(owner, state, reads)
    events[FD_CONNECT] = 0
    return events


def _data_events(owner: SocketState, state: int, reads: bool, writes: bool) -> dict[int, int]:
    events: dict[int, int] = {}
    if state & select.POLLOUT and not writes:
        events[FD_WRITE] = 0
    if state & select.POLLPRI:
        events[FD_OOB] = 0
    if owner.datagram and state & select.POLLIN and not reads:
        events[FD_READ] = 0
    return events


def _close_events(owner: SocketState, state: int, reads: bool) -> dict[int, int]:
    """Look at a stream for data, the peer's FIN and its reset."""
    if owner.reset:
        return {FD_CLOSE: statuses.WSAECONNABORTED}
    if not state & (select.POLLIN | _HALF_CLOSED | _GONE):
        return {}
    try:
        waiting = len(owner.sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return {}
    except OSError:
        owner.note_reset()
        return {FD_CLOSE: statuses.WSAECONNABORTED}
    if not waiting:
        return {FD_CLOSE: 0}
    events = {} if reads else {FD_READ: 0}
    if state & _HALF_CLOSED:
        events[FD_CLOSE] = 0
    return events


class SelectSets:
    """The three sets of a ``select`` call, polled together."""

    def __init__(
        self,
        read: list[SocketState],
        write: list[SocketState],
        failed: list[SocketState],
    ) -> None:
        """Remember the sets."""
        self._sets = (read, write, failed)
        self._members = list(dict.fromkeys([*read, *write, *failed]))

    def ready(self) -> tuple[list[int], list[int], list[int]]:
        """Return the indices that are ready now."""
        truth = {member: _select_truth(member) for member in self._members}
        read, write, failed = (
            [index for index, member in enumerate(members) if truth[member][which]]
            for which, members in enumerate(self._sets)
        )
        return read, write, failed

    def first_closed(self) -> SocketState | None:
        """Return a member that is closed, if there is one."""
        return next((member for member in self._members if member.closed), None)

    def register(self, poller: Any) -> None:
        """Let `poller` wait for whatever could make a member ready."""
        read, write, failed = self._sets
        for member in self._members:
            events = select.POLLIN if member in read else 0
            if member in write or member.connecting:
                events |= select.POLLOUT
            if member in failed:
                events |= select.POLLPRI
            if member.connecting:
                events = select.POLLOUT
            if member.connected or member.connecting or member.datagram or member.is_listening():
                poller.register(member.sock, events)


def _select_truth(member: SocketState) -> tuple[bool, bool, bool]:
    if member.connecting:
        member.refresh_connecting()
    if member.connecting:
        return False, False, False
    if member.connect_errno and not member.connected:
        return False, False, True
    state = poll_now(member.sock)
    if not member.connected and not member.datagram:
        return bool(state & select.POLLIN) and member.is_listening(), False, False
    readable = bool(state & (select.POLLIN | _GONE | _HALF_CLOSED)) or member.reset
    writable = bool(state & (select.POLLOUT | _GONE)) or member.reset
    return readable, writable, bool(state & select.POLLPRI)

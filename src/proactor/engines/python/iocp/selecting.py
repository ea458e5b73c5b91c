"""Winsock's own `select`: sets of handles, as many as wanted."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("the iocp engine runs on Windows only")

from collections.abc import Sequence
from ctypes import byref
from itertools import chain
from typing import Any

from proactor import errors
from proactor.clock import deadline_after
from proactor.engines.contract import EngineSocket
from proactor.engines.python.iocp import winapi
from proactor.engines.python.iocp.calling import is_over, next_slice, raise_escaped
from proactor.engines.python.iocp.sockets import IocpSocket


def select(
    read: Sequence[EngineSocket],
    write: Sequence[EngineSocket],
    failed: Sequence[EngineSocket],
    timeout: float | None,
) -> tuple[list[int], list[int], list[int]]:
    """Return the indices of those that are ready; see the contract."""
    deadline = deadline_after(timeout)
    while True:
        members = [_handles(read), _handles(write), _handles(failed)]
        sets = [winapi.fd_set(handles) for handles in members]
        count = winapi.select(0, *sets, byref(_timeval(next_slice(deadline))))
        error = winapi.last_error() if count < 0 else 0
        raise_escaped()
        if error:
            raise errors.refused(error, "select")
        for member in chain(read, write, failed):
            _handle(member)  # One that was closed meanwhile may look like one that is ready.
        if count or is_over(deadline):
            ready = map(_ready, members, sets)
            return next(ready), next(ready), next(ready)


def _handles(members: Sequence[EngineSocket]) -> list[int]:
    return list(map(_handle, members))


def _handle(member: EngineSocket) -> int:
    assert isinstance(member, IocpSocket), "a socket of another engine"
    return member.open_handle()


def _timeval(milliseconds: int) -> winapi.TIMEVAL:
    # An endless wait is a very long one, after which it is begun again.
    return winapi.TIMEVAL(min(milliseconds // 1000, 0x7FFFFFFF), milliseconds % 1000 * 1000)


def _ready(handles: list[int], set_: Any) -> list[int]:
    found = frozenset(winapi.members_of(set_))
    return [index for index, handle in enumerate(handles) if handle in found]

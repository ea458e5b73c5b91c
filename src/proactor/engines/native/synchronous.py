"""Synchronous calls on the native engine: an alertable wait where Winsock would block.

Winsock's blocking calls run the APCs of their thread and go on, so these do too.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("the native engine runs on Linux only")

import socket
from typing import Any, Protocol

from proactor import errors, statuses
from proactor.engines.userspace.blocking import wait_until_done
from proactor.engines.userspace.events import UserspaceEvent
from proactor.overlapped import Operation, OperationKind


class Caller(Protocol):
    """What is asked of a `NativeSocket` here."""

    blocking: bool
    datagram: bool
    dispatcher: Any
    is_selected: bool
    lock: Any

    @property
    def sock(self) -> socket.socket:
        """The descriptor."""

    @property
    def notices(self) -> Any:
        """Its network events."""

    @property
    def writes(self) -> bool:
        """Whether something waits for room to write."""

    def submit_synchronous(self, operation: Operation, only_try: bool) -> bool:
        """Start, or only try; say whether it is done."""

    def cancel_core(self, operation: Operation | None) -> bool:
        """Request the end of an operation."""

    def look_after_sends(self) -> None:
        """Look for network events once what is queued to be sent has gone."""


def perform(owner: Caller, operation: Operation) -> int:
    """See `EngineSocket.perform`."""
    if owner.blocking:
        _do(owner, operation)
    else:
        with owner.lock:
            _try(owner, operation)
    if operation.status:
        error = operation.error(at_port=False)
        assert error is not None, "a status that is not success has an exception"
        raise error
    if operation.kind is OperationKind.ACCEPT:
        connection = operation.acceptor.engine_socket
        connection.blocking = owner.blocking
        if owner.is_selected:
            connection.inherit_selection(owner)
    return operation.transferred


def _try(owner: Caller, operation: Operation) -> None:
    """Answer for a non-blocking socket: a send is never short, anything else would block."""
    is_connect = operation.kind is OperationKind.CONNECT and not owner.datagram
    done = owner.submit_synchronous(operation, True)
    if done and not is_connect:
        if owner.is_selected and owner.writes:
            owner.look_after_sends()
        return
    if is_connect and owner.is_selected:
        owner.notices.connect_ended()
    if operation.kind is OperationKind.SEND and owner.is_selected:
        owner.notices.send_would_block()
    raise errors.refused(
        statuses.WSAEWOULDBLOCK,
        f"{operation.kind.value} would block: wait for the socket, or use an Overlapped",
    )


def _do(owner: Caller, operation: Operation) -> None:
    operation.event = UserspaceEvent(owner.dispatcher, manual_reset=True, signaled=False)
    try:
        if owner.submit_synchronous(operation, False):
            return
        wait_until_done(owner.dispatcher, owner.sock, operation)
    except BaseException:
        owner.cancel_core(operation)
        raise

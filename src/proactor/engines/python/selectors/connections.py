"""Attempts that change the socket itself: accept, connect, disconnect and re-use.

An operation may move on here (the attempt then returns None): an accept that asks for first data
becomes a receive on the new connection, a connect becomes a send, a disconnect for re-use waits
for the peer's FIN.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("the selectors engine runs on POSIX systems only")

import errno
import socket

from proactor import errors, statuses
from proactor.engines.python.selectors.attempts import (
    attempt_recv,
    attempt_send,
    fail,
    finish,
)
from proactor.engines.python.selectors.state import SocketState
from proactor.overlapped import Operation

_CLIENT_IS_GONE = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EINTR})

_BEGUN = object()

MADE_HERE = object()
"""Marks an accept whose acceptor the engine made: nobody else closes it if the accept fails."""

REUSE = 2
"""The flag of a disconnect that makes the socket fit for another connection."""


def attempt_accept(listener: SocketState, operation: Operation) -> bool | None:
    """Accept one connection; a client that is gone already is passed over."""
    while True:
        try:
            connection, _ = listener.sock.accept()
            break
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno not in _CLIENT_IS_GONE:
                return fail(operation, error)
    connection.setblocking(False)
    if operation.acceptor is None:
        facade = listener.facade()
        assert facade is not None, "a pending accept, or its caller, holds its listener"
        operation.acceptor = facade.adopt(connection)
        operation.engine_state = MADE_HERE
    else:
        operation.acceptor.engine_socket.become(connection)
    if operation.views:
        return _take_first_data(listener, operation)
    return finish(operation, statuses.STATUS_SUCCESS, 0)


def _take_first_data(listener: SocketState, operation: Operation) -> bool | None:
    connection: SocketState = operation.acceptor.engine_socket
    with connection.lock:
        operation.attempt = attempt_first_data
        if attempt_recv(connection, operation):
            return True
        listener.awaiting[operation] = connection
        connection.queue_read(operation)
        return None


def attempt_first_data(connection: SocketState, operation: Operation) -> bool:
    """Complete an accept with the first bytes that the client sends, or with its FIN."""
    done = attempt_recv(connection, operation)
    if done:
        listener: SocketState = operation.home
        listener.awaiting.pop(operation, None)
    return done


def attempt_connect(owner: SocketState, operation: Operation) -> bool:
    """Start to connect, or see how it went; then send what goes with it."""
    if operation.engine_state is None:
        operation.engine_state = _BEGUN
        number = owner.sock.connect_ex(operation.address)
        if number == errno.ECONNABORTED:  # Linux, once, after an attempt that was refused.
            number = owner.sock.connect_ex(operation.address)
        if number in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            owner.connecting = True
            owner.rearm_for_notices()
            return False
        owner.note_connected(number)
    elif owner.connecting and not owner.refresh_connecting():
        return False
    if not owner.connected:
        return finish(operation, statuses.from_errno(owner.connect_errno), 0)
    if any(view.nbytes for view in operation.views):
        operation.engine_state = None
        operation.attempt = attempt_send
        return attempt_send(owner, operation)
    return finish(operation, statuses.STATUS_SUCCESS, 0)


def attempt_disconnect(owner: SocketState, operation: Operation) -> bool | None:
    """Send FIN after what was queued before; for a re-use go on to wait for the peer's."""
    try:
        owner.sock.shutdown(socket.SHUT_WR)
    except OSError as error:
        if error.errno != errno.ENOTCONN:  # The peer has closed as well: nothing is left to end.
            return fail(operation, error)
    if operation.flags & REUSE:
        operation.attempt = attempt_drain
        owner.queue_read(operation)
        return None
    return finish(operation, statuses.STATUS_SUCCESS, 0)


def attempt_drain(owner: SocketState, operation: Operation) -> bool:
    """Read and drop what the peer still sends, until its FIN; then put a fresh socket in place."""
    scrap = bytearray(65536)
    for _ in range(16):
        try:
            if owner.sock.recv_into(scrap) == 0:
                break
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            break
    else:
        return False
    try:
        owner.renew()
    except OSError as error:
        return fail(operation, error)
    return finish(operation, statuses.STATUS_SUCCESS, 0)


def check_acceptor(listener: SocketState, acceptor: SocketState) -> None:
    """Refuse an acceptor that is not an open, fresh stream socket.

    Raises:
        ProactorError: Closed (10038); bound, connected, UDP or in use by an accept (10022).
    """
    if acceptor.closed:
        raise errors.refused(statuses.WSAENOTSOCK, "accept: the acceptor is closed")
    busy = acceptor.connected or acceptor.connecting or acceptor.reserved_for is not None
    if busy or acceptor.datagram or acceptor.is_bound():
        raise errors.refused(
            statuses.WSAEINVAL,
            "accept: the acceptor is bound, connected, a UDP socket or in another accept; "
            "give a fresh stream socket, or none",
        )

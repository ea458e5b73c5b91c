"""One attempt at each kind of operation: do what can be done without blocking.

An attempt returns True when the operation is complete, with ``status`` and ``transferred`` set,
False when it would block and must be parked, and None when the operation has moved on to another
queue with another attempt. Attempts never raise for what the world did. They
are called with the socket's lock held, for the operation at the head of its queue only: that is
what keeps receives in order and sends from interleaving.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("the selectors engine runs on POSIX systems only")

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

from proactor import statuses
from proactor.engines.python.selectors.state import SocketState
from proactor.overlapped import Operation, OperationKind

TURN_BYTES = 1 << 20
"""Bytes that one send moves in one turn, so that a fast reader does not starve the others."""

_IOV_MAX = 64

_QUIET = int(getattr(socket, "MSG_NOSIGNAL", 0))  # An int: joining enum flags is slow.
"""No SIGPIPE, also in a program that gave it back its default."""


def finish(operation: Operation, status: int, transferred: int | None = None) -> bool:
    """Record how `operation` ended; always True, for an attempt to return."""
    operation.status = status
    if transferred is not None:
        operation.transferred = transferred
    return True


def fail(operation: Operation, error: OSError) -> bool:
    """Record that `operation` failed with `error`; always True."""
    # All or an error: what a failed send has moved is nobody's to count.
    return finish(operation, statuses.from_errno(error.errno or errno.EIO), 0)


def attempt_recv(owner: SocketState, operation: Operation) -> bool:
    """Receive from a stream into the buffers, or learn that there is something (zero-byte)."""
    views = operation.views
    try:
        if len(views) == 1 and views[0].nbytes:
            count = owner.sock.recv_into(views[0], 0, operation.flags)
        elif any(view.nbytes for view in views):
            count = owner.sock.recvmsg_into(views[:_IOV_MAX], 0, operation.flags)[0]
        else:
            owner.sock.recv(1, socket.MSG_PEEK)
            count = 0
    except (BlockingIOError, InterruptedError):
        return False
    except OSError as error:
        return fail(operation, error)
    operation.transferred = count
    operation.status = statuses.STATUS_SUCCESS
    return True


def attempt_recv_from(owner: SocketState, operation: Operation) -> bool:
    """Receive one datagram; one that is too long fills the buffers and is a warning."""
    if owner.unreachable:
        owner.unreachable = False
        return finish(operation, statuses.STATUS_PORT_UNREACHABLE)
    try:
        count, _, flags, operation.peer = owner.sock.recvmsg_into(operation.views[:_IOV_MAX])
    except (BlockingIOError, InterruptedError):
        return False
    except ConnectionRefusedError:
        # The ICMP answer to an earlier send. The error queue holds it too: empty it, or the
        # descriptor stays ready for ever.
        _drain_error_queue(owner.sock)
        return finish(operation, statuses.STATUS_PORT_UNREACHABLE)
    except OSError as error:
        return fail(operation, error)
    truncated = flags & socket.MSG_TRUNC
    status = statuses.STATUS_BUFFER_OVERFLOW if truncated else statuses.STATUS_SUCCESS
    return finish(operation, status, count)


def _drain_error_queue(sock: socket.socket) -> None:
    flag = getattr(socket, "MSG_ERRQUEUE", 0)
    while flag:
        try:
            sock.recvmsg(1, 512, flag)
        except OSError:
            return


def attempt_send(owner: SocketState, operation: Operation) -> bool:
    """Send all of the buffers; what is left after a short send waits for the next turn."""
    views: list[memoryview] = operation.views
    if operation.engine_state is not None:
        views = operation.engine_state
    sock = owner.sock
    moved = 0
    while moved < TURN_BYTES:
        try:
            if len(views) == 1:
                count = sock.send(views[0], operation.flags | _QUIET)
            else:
                count = sock.sendmsg(views[:_IOV_MAX], (), operation.flags | _QUIET)
        except (BlockingIOError, InterruptedError):
            break
        except OSError as error:
            return fail(operation, error)
        moved += count
        operation.transferred += count
        views = _after(views, count)
        if not views:
            operation.engine_state = None  # A view of the rest is an export, too.
            operation.status = statuses.STATUS_SUCCESS
            return True
    # The views in `operation.views` stay as they are: they hold the buffers' exports.
    operation.engine_state = views
    return False


def _after(views: list[memoryview], count: int) -> list[memoryview]:
    """Return what is left of `views` after `count` bytes."""
    for index, view in enumerate(views):
        if count < view.nbytes:
            return [view[count:], *views[index + 1 :]]
        count -= view.nbytes
    return []


def attempt_send_to(owner: SocketState, operation: Operation) -> bool:
    """Send one datagram."""
    for _ in range(2):
        try:
            count = owner.sock.sendmsg(operation.views, (), operation.flags, operation.address)
            return finish(operation, statuses.STATUS_SUCCESS, count)
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionRefusedError:
            # It belongs to an earlier datagram, and Windows reports it to a receive. Try once more.
            _drain_error_queue(owner.sock)
            owner.unreachable = True
            owner.serve_reads()
        except OSError as error:
            return fail(operation, error)
    return finish(operation, statuses.STATUS_SUCCESS, sum(v.nbytes for v in operation.views))


class FilePart:
    """What is left to send of a file."""

    __slots__ = ("descriptor", "offset", "remaining")

    def __init__(self, descriptor: int, offset: int, remaining: int) -> None:
        """Describe `remaining` bytes from `offset` on."""
        self.descriptor = descriptor
        self.offset = offset
        self.remaining = remaining


def prepare_transmission(operation: Operation) -> None:
    """Cut a transmit_file into parts, in ``engine_state``: buffers, the file, buffers."""
    heads = operation.head_count
    parts: list[memoryview | FilePart] = [v for v in operation.views[:heads] if v.nbytes]
    if operation.file is not None:
        descriptor = operation.file.fileno()
        left = max(0, os.fstat(descriptor).st_size - operation.offset)
        wanted = min(left, operation.count) if operation.count else left
        parts.append(FilePart(descriptor, operation.offset, wanted))
    parts.extend(v for v in operation.views[heads:] if v.nbytes)
    operation.engine_state = parts


def attempt_transmit_file(owner: SocketState, operation: Operation) -> bool:
    """Send the parts that are left, in order."""
    parts: list[Any] = operation.engine_state
    moved = 0
    while parts:
        if moved >= TURN_BYTES:
            return False
        try:
            count = _send_part(owner.sock, parts)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            return fail(operation, error)
        moved += count
        operation.transferred += count
    return finish(operation, statuses.STATUS_SUCCESS)


def _send_part(sock: socket.socket, parts: list[Any]) -> int:
    part = parts[0]
    if isinstance(part, FilePart):
        count = 0
        if part.remaining:
            count = os.sendfile(sock.fileno(), part.descriptor, part.offset, part.remaining)
            part.offset += count
            part.remaining -= count
        if not part.remaining or not count:  # Nothing more: the file was cut short meanwhile.
            del parts[0]
        return count
    count = sock.send(part, _QUIET)
    if count == part.nbytes:
        del parts[0]
    else:
        parts[0] = part[count:]
    return count


ATTEMPTS: dict[OperationKind, Callable[[SocketState, Operation], bool]] = {
    OperationKind.RECV: attempt_recv,
    OperationKind.RECV_FROM: attempt_recv_from,
    OperationKind.SEND: attempt_send,
    OperationKind.SEND_TO: attempt_send_to,
    OperationKind.TRANSMIT_FILE: attempt_transmit_file,
}
"""The kinds that touch one descriptor only; accept, connect and disconnect change the socket."""

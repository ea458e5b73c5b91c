"""Synchronous calls: the same attempts, and an alertable wait where Winsock would block.

Winsock's blocking calls run the APCs of their thread and go on, so these do too.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("the selectors engine runs on POSIX systems only")

from proactor import errors, statuses
from proactor.engines.python.selectors.attempts import attempt_send
from proactor.engines.python.selectors.queues import OperationQueues
from proactor.engines.python.selectors.refusals import refuse
from proactor.engines.userspace.blocking import READERS, wait_until_done
from proactor.engines.userspace.events import UserspaceEvent
from proactor.overlapped import Operation, OperationKind


def perform(owner: OperationQueues, operation: Operation) -> int:
    """See `EngineSocket.perform`."""
    dispatcher = owner.dispatcher
    dispatcher.this_thread()
    with owner.lock:
        refuse(owner, operation)
        owner.prepare(operation)
        queue = owner.reads if operation.kind in READERS else owner.writes
        done = owner.attempt(operation) if not queue else False
        if not owner.blocking and (not done or operation.kind is OperationKind.CONNECT):
            # Winsock never tells the outcome of a connect at once, so neither is it told here.
            return _without_waiting(owner, operation)
        if not done:
            operation.event = UserspaceEvent(dispatcher, manual_reset=True, signaled=False)
            if done is False:
                owner.queue(operation)
    if not done:
        _wait(owner, operation)
    return _outcome(owner, operation)


def _outcome(owner: OperationQueues, operation: Operation) -> int:
    if owner.reset:
        with owner.lock:
            owner.fail_outstanding()
    error = operation.error(at_port=False)
    if error is not None:
        raise error
    if operation.kind is OperationKind.ACCEPT:
        connection: OperationQueues = operation.acceptor.engine_socket
        connection.blocking = owner.blocking
        if owner.notices.are_selected:
            connection.notices.inherit(owner.notices)
    return operation.transferred


def _without_waiting(owner: OperationQueues, operation: Operation) -> int:
    """Answer for a non-blocking socket: a send is never short, anything else would block."""
    if operation.kind is OperationKind.CONNECT:
        owner.notices.connect_ended()
    if operation.kind is OperationKind.SEND:
        if operation.transferred:
            return _take_the_rest(owner, operation)
        owner.notices.send_would_block()
    raise errors.refused(
        statuses.WSAEWOULDBLOCK,
        f"{operation.kind.value} would block: wait for the socket, or use an Overlapped",
    )


def _take_the_rest(owner: OperationQueues, operation: Operation) -> int:
    """Copy what the kernel did not take and send it later, as Windows' buffering does."""
    rest = b"".join(operation.engine_state)
    total = operation.transferred + len(rest)
    tail = Operation(OperationKind.SEND, None, [memoryview(rest)])
    tail.home = owner
    tail.attempt = attempt_send
    owner.queue(tail)
    return total


def _wait(owner: OperationQueues, operation: Operation) -> None:
    try:
        wait_until_done(owner.dispatcher, owner.sock, operation)
    except BaseException:
        owner.withdraw(operation)
        raise

"""The overlapped model with completion routines: the news is a call, made by a wait of one's own.

An operation is started with a routine; when it has completed, the routine is queued to the thread
that started it and runs when that thread waits alertably. One such wait runs all that are due. So
one thread serves everybody, without a lock and without a search for who is ready. What limits it
is that same thread, and that accepting cannot use a routine: AcceptEx has none.

How to accept, then? Not by a blocking accept: its wait is alertable, but it leaves the thread in
the accept of one client. Not by a second thread that hands clients over with `queue_user_apc`:
right, but a second thread. Here the accept is overlapped and signals an event, and the alertable
wait is a wait for that event: it ends when a client has come, and meanwhile runs the routines of
all the others.
"""

from __future__ import annotations

import time

from proactor import Event, Overlapped, OverlappedSocket, sleep_ex, wait_for_multiple_events
from proactor.models.echo import (
    STOP_TIMEOUT,
    EchoServer,
    failure_reason,
    finish_sending,
)
from proactor.models.traffic import Address, Reason

BUFFER_SIZE = 16 * 1024


class _Session(Overlapped):
    """A client that *is* its overlapped: the routine's third argument is the session.

    One operation at a time, so one overlapped is enough.
    """

    def __init__(self, sock: OverlappedSocket, peer: Address) -> None:
        super().__init__()
        self.socket = sock
        self.peer = peer
        self.buffer = bytearray(BUFFER_SIZE)
        self.view = memoryview(self.buffer)
        self.is_over = False


class OverlappedRoutineServer(EchoServer):
    """One thread in alertable waits."""

    model = "overlapped-routine"

    def _open(self) -> None:
        self._stop_asked = Event()
        self._client_came = Event()
        self._accept_operation = Overlapped(event=self._client_came)
        # From the start of an accept until its outcome is taken. The overlapped does not tell: with
        # an event it is free again as soon as the accept completes, with an outcome to be taken.
        self._is_accepting = False
        # Sessions whose echo is sent: they receive again after the wait.
        self._rested: list[_Session] = []

    def _wake(self) -> None:
        self._stop_asked.set()

    def _close(self) -> None:
        self._stop_asked.close()
        self._client_came.close()

    def _run(self) -> None:
        try:
            self._post_accept()
            while not self.is_stopping:
                self._wait()
        finally:
            self.is_stopping = True
            self._end_all()

    def _wait(self) -> None:
        wait_for_multiple_events(
            [self._stop_asked, self._client_came], timeout=self._pause.seconds_left()
        )
        # Not "did the wait end by this event": it may also be set while the routines were run.
        if self._client_came.is_set():
            self._client_came.reset()
            self._is_accepting = False
            self._welcome()
            # An event that is signaled wins over the routines that are due. Without this, clients
            # that keep coming would keep those who are there from being served.
            sleep_ex(0.0)
        self._pause.end_if_due()
        if not self._is_accepting:
            self._post_accept()
        rested, self._rested = self._rested, []
        for session in rested:
            self._receive(session)

    # -- accepting --

    def _post_accept(self) -> None:
        while not self._pause.is_on:
            try:
                self.listener.accept(self._accept_operation)
                self._is_accepting = True
                return
            except OSError as error:
                # Either a client has gone, and there is the next one, or a pause has begun.
                self._accept_failed(error)

    def _welcome(self) -> None:
        error, sock = self._accept_operation.error, self._accept_operation.accepted
        self._accept_operation.accepted = None
        if error is not None:
            self._accept_failed(error)
            return
        peer = self._admit(sock)
        if peer is not None:
            session = _Session(sock, peer)
            self._enter(session)
            self._receive(session)

    # -- serving --

    def _receive(self, session: _Session) -> None:
        session.routine = self._received
        try:
            session.socket.recv(session.buffer, session)
        except OSError as error:
            self._end(session, failure_reason(error, session.peer))

    def _received(self, error: OSError | None, count: int, session: Overlapped, flags: int) -> None:
        """Completion routine of a receive: send what came, or see the client off."""
        assert isinstance(session, _Session), "the overlapped that was started is the session"
        if error is not None:
            self._end(session, failure_reason(error, session.peer))
            return
        if count == 0:
            finish_sending(session.socket)
            self._end(session, Reason.PEER_CLOSED)
            return
        session.routine = self._sent
        try:
            self.traffic.received(session.peer, count)
            session.socket.send(session.view[:count], session)
        except Exception as failure:
            self._end(session, failure_reason(failure, session.peer))

    def _sent(self, error: OSError | None, count: int, session: Overlapped, flags: int) -> None:
        """Completion routine of a send: the session is ready to receive again."""
        assert isinstance(session, _Session), "the overlapped that was started is the session"
        if error is not None:
            self._end(session, failure_reason(error, session.peer))
            return
        try:
            self.traffic.sent(session.peer, count)
        except Exception as failure:
            self._end(session, failure_reason(failure, session.peer))
            return
        # Not received from at once: a wait also runs the routines that are queued meanwhile, so
        # a few clients that never pause would keep the thread inside one wait for ever.
        if self.is_stopping:
            self._end(session, Reason.STOPPED)
        else:
            self._rested.append(session)

    # -- ending --

    def _end(self, session: _Session, reason: Reason) -> None:
        # An interrupt (Ctrl-C) in the middle of a start may leave a routine of a session behind
        # that has none in flight by all appearances.
        if not session.is_over:
            session.is_over = True
            self._leave(session, reason)

    def _end_all(self) -> None:
        self.listener.close()
        for session in [one for one in self._sessions if isinstance(one, _Session)]:
            session.socket.close()
            # Our close has ended the operation that is in flight, and its routine sees the session
            # off. Without one (its echo is sent, or an exception came between) nobody else does.
            if not session.is_in_flight:
                self._end(session, Reason.STOPPED)
        deadline = time.monotonic() + STOP_TIMEOUT
        while self._sessions and time.monotonic() < deadline:
            sleep_ex(STOP_TIMEOUT)
        if self._accept_operation.is_in_flight:
            self._client_came.wait(STOP_TIMEOUT)
        if self._accept_operation.accepted is not None:
            self._accept_operation.accepted.close()

"""The WSAAsyncSelect model: the news is a message in the thread's queue.

Each message says: this socket, this event, this error. An event is reported once, and again only
after its re-enabling call, so that a socket has at most one message of a kind in the queue.
What limits it: everything goes through one thread's message pump. On Windows the queue is that of a
window; elsewhere it is a plain queue, and no window is needed.
"""

from __future__ import annotations

from collections import deque

from proactor import (
    FD_ACCEPT,
    FD_CLOSE,
    FD_READ,
    FD_WRITE,
    WM_USER,
    MessageQueue,
    NetworkMessage,
    OverlappedSocket,
    async_select,
)
from proactor.models.bell import Bell
from proactor.models.echo import EchoServer
from proactor.models.readiness import SCRATCH_SIZE, ReadySession
from proactor.models.traffic import Reason

WM_SOCKET = WM_USER + 1


class AsyncSelectServer(EchoServer):
    """One thread that pumps messages."""

    model = "async-select"

    def _open(self) -> None:
        self._bell = Bell()
        self._clients: dict[OverlappedSocket, ReadySession] = {}
        # Sessions that go on without a message: FD_CLOSE has come, and there is more to read.
        self._unfinished: deque[ReadySession] = deque()
        self._scratch = memoryview(bytearray(SCRATCH_SIZE))

    def _wake(self) -> None:
        self._bell.ring()

    def _close(self) -> None:
        self._bell.close()

    def _run(self) -> None:
        # Made here, and not in `_open`: a message queue is that of the thread that makes it.
        with MessageQueue() as queue:
            async_select(self.listener, queue, WM_SOCKET, FD_ACCEPT)
            async_select(self._bell.socket, queue, WM_SOCKET, FD_READ)
            try:
                while not self.is_stopping:
                    self._pump(queue)
            finally:
                for session in list(self._clients.values()):
                    self._end(session, Reason.STOPPED)

    def _pump(self, queue: MessageQueue) -> None:
        if self._pause.end_if_due():
            self._welcome(queue)
        message = queue.get(0.0 if self._unfinished else self._pause.seconds_left())
        if message is not None:
            self._dispatch(message, queue)
        if self._unfinished:
            # One of them for each message: neither they nor the messages wait for the others.
            self._take_turn(self._unfinished.popleft())

    def _dispatch(self, message: NetworkMessage, queue: MessageQueue) -> None:
        if message.event == FD_ACCEPT:
            # A failed accept re-enables too: during a pause this message is one to leave alone.
            if not self._pause.is_on:
                self._welcome(queue)
            return
        # What was queued for a socket that is closed by now is still delivered.
        session = self._clients.get(message.socket)
        if session is None:
            return
        if message.event == FD_CLOSE:
            if message.error:
                self._end(session, Reason.RESET)
                return
            session.peer_has_closed = True
        self._take_turn(session)

    def _welcome(self, queue: MessageQueue) -> None:
        # One for each message: accepting re-enables FD_ACCEPT, so the next one has its own.
        sock = self._accept()
        peer = None if sock is None else self._admit(sock)
        if sock is None or peer is None:
            return
        session = ReadySession(sock, peer, self.traffic)
        self._clients[sock] = session
        self._enter(session)
        # It has inherited the listener's selection; this one replaces it, makes the socket
        # non-blocking, and reports what has happened before.
        async_select(sock, queue, WM_SOCKET, FD_READ | FD_WRITE | FD_CLOSE)

    def _take_turn(self, session: ReadySession) -> None:
        if self._clients.get(session.socket) is not session:
            return
        reason = session.echo(self._scratch)
        if reason is not None:
            self._end(session, reason)
        elif session.has_more and session not in self._unfinished:
            self._unfinished.append(session)

    def _end(self, session: ReadySession, reason: Reason) -> None:
        del self._clients[session.socket]
        self._leave(session, reason)

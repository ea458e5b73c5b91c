"""The select model: the sets of sockets are built anew for every wait.

The news is "these sockets are ready". What limits it: every wait names every socket, and the
system looks at each. The 64 sockets of Winsock's ``fd_set`` are a constant of its header, not of
the call: `proactor.select` takes any number.
"""

from __future__ import annotations

from proactor import OverlappedSocket, select
from proactor.models.bell import Bell
from proactor.models.echo import EchoServer
from proactor.models.readiness import SCRATCH_SIZE, ReadySession
from proactor.models.traffic import Reason

ACCEPTS_A_TURN = 64


class SelectServer(EchoServer):
    """One thread that asks, before each step, which of its sockets are ready."""

    model = "select"

    def _open(self) -> None:
        self._bell = Bell()
        self._clients: dict[OverlappedSocket, ReadySession] = {}

    def _wake(self) -> None:
        self._bell.ring()

    def _close(self) -> None:
        self._bell.close()

    def _run(self) -> None:
        scratch = memoryview(bytearray(SCRATCH_SIZE))
        # Ready is not a promise: the client may have gone between select and accept.
        self.listener.setblocking(False)
        try:
            while not self.is_stopping:
                for sock in self._wait_until_ready():
                    self._serve(sock, scratch)
        finally:
            for session in list(self._clients.values()):
                self._end(session, Reason.STOPPED)

    def _wait_until_ready(self) -> list[OverlappedSocket]:
        readers, writers = [self._bell.socket], []
        for sock, session in self._clients.items():
            # Never both: what is not echoed yet holds up the next receive.
            if session.unsent:
                writers.append(sock)
            else:
                readers.append(sock)
        self._pause.end_if_due()
        if not self._pause.is_on:
            # Left out during a pause: a connection that cannot be accepted stays "ready".
            readers.append(self.listener)
        ready = select(readers, writers, timeout=self._pause.seconds_left())
        return ready.read + ready.write

    def _serve(self, sock: OverlappedSocket, scratch: memoryview) -> None:
        session = self._clients.get(sock)
        if session is not None:
            reason = session.echo(scratch)
            if reason is not None:
                self._end(session, reason)
        elif sock is self.listener:
            self._welcome()

    def _welcome(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            sock = self._accept()
            if sock is None:
                return
            peer = self._admit(sock)
            if peer is not None:
                sock.setblocking(False)
                session = ReadySession(sock, peer, self.traffic)
                self._clients[sock] = session
                self._enter(session)

    def _end(self, session: ReadySession, reason: Reason) -> None:
        del self._clients[session.socket]
        self._leave(session, reason)

"""The session of the three models that report readiness: look, then do.

Whatever the news was, the answer is the same: send what is unsent; if nothing is, receive once and
echo it. It may be asked for no reason at all, which is what makes it right for all three.
"""

from __future__ import annotations

from proactor import OverlappedSocket, WouldBlock
from proactor.models.echo import failure_reason, finish_sending
from proactor.models.traffic import Address, Reason, Traffic

SCRATCH_SIZE = 64 * 1024


class ReadySession:
    """One client on a non-blocking socket. Of the thread that serves it alone.

    A thread has one buffer for all of its sessions, since nothing is received before there is
    something: an idle session costs no buffer. Only what the peer does not take is copied.

    Attributes:
        unsent: The echo that the system has not taken yet. While there is some, nothing is
            received, so the peer's sends block in the end: that is the whole flow control.
        peer_has_closed: FD_CLOSE was reported. It is reported once, maybe long before the last
            byte is read, so from then on the session must go on by itself; see `has_more`.
    """

    def __init__(self, sock: OverlappedSocket, peer: Address, traffic: Traffic) -> None:
        """Take over `sock`, which must not block."""
        self.socket = sock
        self.peer = peer
        self.unsent = memoryview(b"")
        self.peer_has_closed = False
        self._traffic = traffic

    @property
    def has_more(self) -> bool:
        """True if it must be asked to `echo` again although no news will come."""
        return self.peer_has_closed and not self.unsent

    def echo(self, scratch: memoryview) -> Reason | None:
        """Move what can be moved now, at most one buffer each way; say why the session is over.

        The receive or send that ends it is the call that makes the system report again.
        """
        try:
            return self._move(scratch)
        except WouldBlock:
            return None
        except Exception as error:
            return failure_reason(error, self.peer)
        finally:
            # The scratch buffer is the next session's.
            if self.unsent and self.unsent.obj is scratch.obj:
                self.unsent = memoryview(bytes(self.unsent))

    def _move(self, scratch: memoryview) -> Reason | None:
        self._flush()
        count = self.socket.recv(scratch)
        if count == 0:
            finish_sending(self.socket)
            return Reason.PEER_CLOSED
        self._traffic.received(self.peer, count)
        self.unsent = scratch[:count]
        self._flush()
        return None

    def _flush(self) -> None:
        # Until it would block, even after a short send: only a refused send (10035) makes the
        # system report FD_WRITE.
        while self.unsent:
            count = self.socket.send(self.unsent)
            self.unsent = self.unsent[count:]
            self._traffic.sent(self.peer, count)

"""From a connection to a session: who is admitted, the PROXY header, and how a session begins.

Whatever goes wrong here, the connection is let go, its place is given back, and why is counted.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from proactor.engines.dead_peers import set_user_timeout
from proactor.server.admission import Admission
from proactor.server.hosting import Host, logger
from proactor.server.limiting import RateGate, is_limited
from proactor.server.proxied import ProxiedFraming
from proactor.server.proxy_protocol import ProxyHeader
from proactor.server.reasons import Refusal
from proactor.server.session import Session
from proactor.sockets import OverlappedSocket
from proactor.streams import Stream, StreamEnd, StreamNews


class Reception:
    """Makes the sessions of a server. Thread-safe.

    Args:
        host: The server.
        session_class: Made without arguments for each connection.
        made: Called with each session before it begins.
    """

    def __init__(
        self, host: Host, session_class: type[Session], made: Callable[[Session], object]
    ) -> None:
        """Prepare for a server with these options."""
        options = host.options
        self.host = host
        self._class = session_class
        self._made = made
        self._admission = Admission(options.max_sessions, options.max_per_address)
        self._framing = session_class.framing
        if options.proxy_protocol:
            self._framing = ProxiedFraming(self._framing)
        self._is_limited = is_limited(options)

    def admit(self, sock: OverlappedSocket) -> None:
        """Make a session of a new connection, or let it go. In a worker."""
        refusal = self._admission.enter()
        if refusal is None:
            refusal = self._open(sock)
            if refusal is not None:
                self._admission.leave()
        if refusal is not None:
            self._count(refusal)
            sock.abort()

    def leave(self, session: Session) -> None:
        """Give back the place of a session that has ended."""
        self._admission.leave_from(session.peer[0])
        self._admission.leave()

    def _count(self, refusal: Refusal, detail: str = "") -> None:
        self.host.tally.add(refusal)
        logger.debug("a connection was refused: %s %s", refusal, detail)

    def _open(self, sock: OverlappedSocket) -> Refusal | None:
        """Open the stream, and let the session, or the wait for its header, begin."""
        options = self.host.options
        try:
            # A packet is sent when it is there, not when the one before it is acknowledged.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if options.tcp_user_timeout is not None:
                set_user_timeout(sock, options.tcp_user_timeout)
            peer = sock.getpeername()
        except OSError:
            return Refusal.GONE
        if options.proxy_protocol:
            return self._wait_for_header(sock, peer)
        return self._open_session(sock, peer)

    def _open_session(self, sock: OverlappedSocket, peer: Any) -> Refusal | None:
        refusal = self._admission.enter_from(peer[0])
        if refusal is not None:
            return refusal
        session = self._new_session()
        stream = None
        if session is not None:
            stream = self._open_stream(sock, self._sink_of(session))
        if session is None or stream is None:
            self._admission.leave_from(peer[0])
            return Refusal.BROKEN if session is None else Refusal.GONE
        # One that was reset since has no peer any more, and is still counted under its address.
        self._enroll(session, stream, None if stream.peer else peer)
        stream.post(session.begin)
        return None

    def _new_session(self) -> Session | None:
        try:
            return self._class()
        except Exception:
            logger.exception("%s() raised: the connection is let go", self._class.__name__)
            return None

    def _sink_of(self, session: Session) -> Any:
        return RateGate(session, self.host.options) if self._is_limited else session

    def _open_stream(self, sock: OverlappedSocket, sink: Any) -> Stream | None:
        try:
            return self.host.port.open_stream(sock, sink, self._framing, self._class.limits)
        except OSError as error:
            logger.debug("no stream for %r: %s", sock, error)
            return None

    def _enroll(self, session: Session, stream: Stream, peer: Any) -> None:
        session.bind(self.host, stream, peer)
        self.host.tally.add("accepted")
        self._made(session)

    # -- behind a proxy --

    def _wait_for_header(self, sock: OverlappedSocket, peer: Any) -> Refusal | None:
        door = _Door(self, peer)
        stream = self._open_stream(sock, door)
        if stream is None:
            return Refusal.GONE
        door.open(stream, self.host.options.proxy_timeout)
        return None

    def begin_behind_proxy(self, stream: Stream, header: ProxyHeader, peer: Any) -> Refusal | None:
        """Make the session of a connection whose header has come. In a turn of its stream."""
        peer = header.source or peer
        refusal = self._admission.enter_from(peer[0])
        if refusal is not None:
            return refusal
        session = self._new_session()
        if session is None:
            self._admission.leave_from(peer[0])
            return Refusal.BROKEN
        stream.sink = self._sink_of(session)
        self._enroll(session, stream, peer)
        try:
            session.begin()
        except Exception as error:
            session.failed(error)
        return None

    def turn_away(self, refusal: Refusal, detail: str) -> None:
        """Count a connection that ended before its session could begin, and free its place."""
        self._admission.leave()
        self._count(refusal, detail)


class _Door:
    """The sink of a stream until its PROXY header has come.

    It hands on what the rest of the turn still brings here after the session has become the sink.
    """

    __slots__ = ("_next", "_peer", "_reception", "_refusal", "_stream", "_timer")

    def __init__(self, reception: Reception, peer: Any) -> None:
        self._reception = reception
        self._peer = peer
        self._refusal = Refusal.PROXY
        self._next: Any = None
        self._stream: Any = None
        self._timer: Any = None

    def open(self, stream: Stream, timeout: float) -> None:
        """Wait for the header, for so many seconds."""
        self._stream = stream
        self._timer = self._reception.host.timers.call_later(timeout, stream.abort)
        stream.start()

    def received(self, item: Any) -> None:
        """Take the header."""
        if self._next is not None:
            self._next.received(item)
            return
        assert isinstance(item, ProxyHeader), "the framing gives the header first"
        self._timer.cancel()
        refusal = self._reception.begin_behind_proxy(self._stream, item, self._peer)
        if refusal is None:
            self._next = self._stream.sink
        else:
            self._refusal = refusal
            self._stream.abort()

    def told(self, news: StreamNews) -> None:
        """Nothing is sent before the header has come."""
        if self._next is not None:
            self._next.told(news)

    def failed(self, error: BaseException) -> None:
        """Let the connection go: the session could not be made."""
        if self._next is not None:
            self._next.failed(error)
        else:
            logger.error("behind a proxy, from %s: %r", self._peer, error)
            self._stream.abort()

    def ended(self, end: StreamEnd, detail: str) -> None:
        """No session has come of this connection."""
        if self._next is not None:
            self._next.ended(end, detail)
        else:
            self._timer.cancel()
            self._reception.turn_away(self._refusal, detail or end.value)

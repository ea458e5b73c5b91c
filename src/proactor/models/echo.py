"""The echo service that every model serves: where it listens, how it begins, stops and ends.

`EchoServer` owns the listener, the set of live sessions, the pause after an accept that failed, and
the order of stopping. A model adds one thing: how the news reaches it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import threading
import time
from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from proactor import OverlappedSocket, WouldBlock
from proactor.models.traffic import Address, Reason, Traffic

__all__ = ["Address", "EchoServer", "EchoSession", "Reason", "Traffic", "address_text"]

logger = logging.getLogger("proactor")

STOP_TIMEOUT = 2.0
"""Seconds that an ending server gives to what it has closed to be indicated."""


class EchoSession(Protocol):
    """What `EchoServer` knows of a session: the connection and its other end."""

    @property
    def socket(self) -> OverlappedSocket:
        """The connected socket; `EchoServer` closes it when the session leaves."""

    @property
    def peer(self) -> Address:
        """The client's address."""


class EchoServer(ABC):
    """An echo server that is listening, and serves once `serve` is called.

    Args:
        host: A name or an address, IPv4 or IPv6; ``127.0.0.1`` keeps the world out.
        port: 0 lets the system choose one; see `address`.
        workers: Threads that serve; only the completion port has more than its model dictates.
        traffic: Counters and hooks; the server makes a plain one if none is given.

    Raises:
        OSError: The address is in use, is not ours, or does not exist; the text says which.
        ValueError: `port` is no port number, or `workers` is less than 1.

    A client that sends is answered with the same bytes. One that shuts down its side gets all of
    its echo, then our shutdown, then the close. Nothing more is received from one that does not
    read its echo, so that a server never holds more than one buffer a session.

    States: listening -> serving -> closed, or listening -> closed. `stop` may be called in any.
    A `with` block closes the server at its end.
    """

    model: ClassVar[str]
    """The name of the model, as in `proactor.models.MODELS`."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 7777,
        *,
        workers: int = 5,
        traffic: Traffic | None = None,
    ) -> None:
        """Bind and listen."""
        if workers < 1:
            raise ValueError(f"a server has 1 worker or more, not {workers}")
        self.workers = workers
        self.traffic = Traffic() if traffic is None else traffic
        self.is_stopping = False
        self._sessions: set[EchoSession] = set()
        self._pause = AcceptPause()
        self._state_lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._ended = threading.Event()
        self.listener = _listen(host, port)
        try:
            bound_host, bound_port = self.listener.getsockname()[:2]
            self.address: tuple[str, int] = (bound_host, bound_port)
            self._open()
        except BaseException:
            self.listener.close()
            raise

    # -- what a model adds --

    @abstractmethod
    def _open(self) -> None:
        """Make what `_wake` needs; `stop` may come before `serve`."""

    @abstractmethod
    def _run(self) -> None:
        """Serve until `is_stopping`; leave no session and no thread behind, also by exception."""

    @abstractmethod
    def _wake(self) -> None:
        """Make the wait in `_run` return, now or when it begins. Called by any thread."""

    @abstractmethod
    def _close(self) -> None:
        """Release what `_open` made."""

    # -- the life of a server --

    @property
    def sessions(self) -> int:
        """How many sessions are live."""
        return len(self._sessions)

    def serve(self) -> None:
        """Serve in the calling thread until `stop`, then close every session and return.

        Nothing is left afterwards: no session, no thread, no descriptor. After `stop` or `close` it
        returns at once.

        Raises:
            RuntimeError: It was called before; a server serves once.
        """
        with self._state_lock:
            if self._thread is not None:
                raise RuntimeError("a server serves once: make a new one")
            self._thread = threading.current_thread()
        try:
            if not self.is_stopping:
                self._run()
        finally:
            self.is_stopping = True
            self._end_what_is_left()
            self._let_go()
            self._ended.set()

    def stop(self) -> None:
        """Ask `serve` to end, and return at once. Thread-safe; repeating it does nothing.

        Not for a signal handler, which may interrupt the very wait that this wakes: let the handler
        set a flag, or let `KeyboardInterrupt` end `serve`.
        """
        with self._state_lock:
            if not self.is_stopping:
                self.is_stopping = True
                self._wake()

    def close(self) -> None:
        """Stop, wait until `serve` has ended in its thread, and stop listening."""
        self.stop()
        with self._state_lock:
            if self._thread is None:
                self._let_go()
                return
        if self._thread is not threading.current_thread():
            self._ended.wait()

    def __enter__(self) -> EchoServer:
        """Return the server."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the server."""
        self.close()

    def _end_what_is_left(self) -> None:
        # None, unless an interrupt (Ctrl-C) came between an operation and its indication.
        for session in list(self._sessions):
            logger.error("%s did not end in time: ended now", address_text(session.peer))
            self._leave(session, Reason.STOPPED)

    def _let_go(self) -> None:
        with self._state_lock:
            if not self._is_closed:
                self._is_closed = True
                self.listener.close()
                self._close()

    # -- what the models share --

    def _accept(self) -> OverlappedSocket | None:
        """Accept synchronously; None if nobody is there, or if it failed and a pause has begun."""
        try:
            return self.listener.accept()
        except WouldBlock:
            return None
        except OSError as error:
            self._accept_failed(error)
            return None

    def _accept_failed(self, error: OSError) -> None:
        """Go on at once if it is the client that has gone; otherwise begin a pause.

        Without descriptors (10024) or buffers (10055) the next accept fails as this one did, and
        the connection that waits would keep the thread busy with nothing else.
        """
        if isinstance(error, (ConnectionResetError, ConnectionAbortedError)):
            return
        if self._pause.begin() and not self.is_stopping:
            logger.warning("accept failed, again every %g s: %s", AcceptPause.SECONDS, error)

    def _admit(self, sock: OverlappedSocket) -> Address | None:
        """Make a new connection fit to be served; None, and closed, if its client has gone."""
        try:
            # A message is answered when it has come, not when the one before is acknowledged.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock.getpeername()
        except OSError:
            sock.close()
            return None

    def _enter(self, session: EchoSession) -> None:
        """Count `session` in. From here on `_leave` must be called for it."""
        self._sessions.add(session)
        try:
            self.traffic.connected(session.peer)
        except Exception:
            logger.exception("Traffic.connected raised for %s", address_text(session.peer))

    def _leave(self, session: EchoSession, reason: Reason) -> None:
        """Close the connection of `session` and count it out: the one place where a session ends.

        After `stop` every reason is ours: an operation that our own close has ended reports one
        of several errors, and which one says nothing.
        """
        session.socket.close()
        self._sessions.discard(session)
        try:
            self.traffic.disconnected(session.peer, Reason.STOPPED if self.is_stopping else reason)
        except Exception:
            logger.exception("Traffic.disconnected raised for %s", address_text(session.peer))


class AcceptPause:
    """The time after a failed accept in which no other is tried. Of the accepting thread alone."""

    SECONDS = 0.05
    SILENCE = 10.0
    """Seconds for which a failure like the last one is not worth another line in the log."""

    def __init__(self) -> None:
        """Begin without a pause."""
        self._end: float | None = None
        self._noted = float("-inf")

    @property
    def is_on(self) -> bool:
        """True from `begin` until `end_if_due` has said so."""
        return self._end is not None

    def begin(self) -> bool:
        """Begin a pause, or begin it anew; say whether it is the first for some time."""
        now = time.monotonic()
        self._end = now + self.SECONDS
        is_news = now - self._noted >= self.SILENCE
        if is_news:
            self._noted = now
        return is_news

    def end_if_due(self) -> bool:
        """End the pause if its time has passed; True if it did so now."""
        if self._end is None or time.monotonic() < self._end:
            return False
        self._end = None
        return True

    def seconds_left(self) -> float | None:
        """Return how long a wait may last; None (for ever) without a pause."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())


def failure_reason(error: Exception, peer: Address) -> Reason:
    """Return why a session ends with `error`; what is no `OSError` came from a hook: log it."""
    if isinstance(error, ConnectionError):
        return Reason.RESET
    if not isinstance(error, OSError):
        logger.error("serving %s failed", address_text(peer), exc_info=error)
    return Reason.ERROR


def finish_sending(sock: OverlappedSocket) -> None:
    """Answer the peer's end of stream with ours: it has its whole echo, and now learns so."""
    with contextlib.suppress(OSError):  # The peer may have gone altogether meanwhile.
        sock.shutdown(socket.SHUT_WR)


def address_text(address: Address) -> str:
    """Return ``host:port``, or ``[host]:port`` for IPv6."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen(host: str, port: int) -> OverlappedSocket:
    if not 0 <= port <= 65535:
        raise ValueError(f"a port is a number from 0 to 65535, not {port}")
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # It knows where SO_REUSEADDR means "in spite of TIME_WAIT" and where it means "take the
        # port away from whoever has it", and sets it in the first case only.
        plain = socket.create_server(address, family=family, backlog=socket.SOMAXCONN)
    except OSError as error:
        why = "the address is in use" if error.errno == errno.EADDRINUSE else error.strerror
        raise OSError(
            error.errno, f"cannot listen on {address_text((host, port))}: {why}"
        ) from error
    return OverlappedSocket.adopt(plain)

"""Accepting: a listener with several accepts in flight, whose packets any worker takes.

What keeps it alive: an accept that failed is started again, at once if it is the client that has
gone, and after a pause if something is lacking here (descriptors, buffers): the next one would fail
just so, and the connection that waits would keep the workers busy with nothing else. The accept
rate is kept by starting accepts later; the kernel's backlog holds the clients meanwhile.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

from proactor.clock import LONGEST_WAIT
from proactor.overlapped import Overlapped
from proactor.packets import CompletionPacket
from proactor.port import CompletionPort
from proactor.server.hosting import logger
from proactor.server.options import ServerOptions
from proactor.server.rates import TokenBucket
from proactor.server.tallies import Tally
from proactor.sockets import OverlappedSocket
from proactor.timers import TimerQueue

PAUSE = 0.05
"""Seconds without accepts after one that failed for lack of something."""

SILENCE = 10.0
"""Seconds for which a failure like the last one is not worth another line in the log."""


def listen(host: str, port: int, backlog: int) -> OverlappedSocket:
    """Return a listener.

    Raises:
        OSError: The address is in use, is not ours, or does not exist; the text says which.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # It knows where SO_REUSEADDR means "in spite of TIME_WAIT" and where it means "take the
        # port away from whoever has it", and sets it in the first case only.
        plain = socket.create_server(address, family=family, backlog=backlog)
    except OSError as error:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise OSError(
            error.errno, f"cannot listen on {where}: {error.strerror or error}"
        ) from error
    return OverlappedSocket.adopt(plain)


class Acceptor:
    """Accepts from `start` until `stop`.

    Args:
        port: The port whose workers take the accepts.
        listener: The listening socket; it is closed by `stop`.
        timers: Where the pauses are set.
        options: `accepts`, `accept_rate`, `accept_burst`.
        tally: Counts ``accept_failures``.
        admit: Called in a worker with each new connection, which is its to close.
    """

    def __init__(
        self,
        port: CompletionPort,
        listener: OverlappedSocket,
        timers: TimerQueue,
        options: ServerOptions,
        tally: Tally,
        admit: Callable[[OverlappedSocket], object],
    ) -> None:
        """Prepare; nothing is accepted yet."""
        self._port = port
        self._listener = listener
        self._timers = timers
        self._tally = tally
        self._admit = admit
        self._lock = threading.Lock()
        self._resting = [Overlapped() for _ in range(options.accepts)]
        self._begun = 0  # Started, and neither failed nor handled.
        self._is_over = threading.Event()
        self._is_open = True
        self._is_paused = False
        self._silent_until = 0.0
        rate = options.accept_rate
        self._bucket = None if rate is None else TokenBucket(rate, options.accept_burst)

    def start(self) -> None:
        """Begin to accept."""
        self._port.attach(self._listener, self._accepted)
        self._start_resting()

    def stop(self) -> None:
        """Accept nothing more. Those in flight end as packets, which workers take: see `join`."""
        with self._lock:
            self._is_open = False
        self._listener.close()
        self._ended(0)

    def join(self, timeout: float) -> bool:
        """Wait, after `stop`, until the packets of all accepts are handled; say whether they are.

        One of them may bring a connection that was accepted before: nobody else would close it.
        """
        return self._is_over.wait(timeout)

    def _ended(self, count: int) -> None:
        with self._lock:
            self._begun -= count
            if not self._is_open and not self._begun:
                self._is_over.set()

    def _start_resting(self) -> None:
        """Start every accept that rests, unless it is time to wait."""
        while True:
            with self._lock:
                if not self._is_open or self._is_paused or not self._resting:
                    return
                if self._bucket is not None and not self._bucket.take():
                    self._pause(self._bucket.wait())
                    return
                overlapped = self._resting.pop()
                self._begun += 1
            try:
                self._listener.accept(overlapped)
            except OSError as error:
                self._failed(overlapped, error)
                self._ended(1)

    def _pause(self, seconds: float) -> None:
        """Accept nothing for so long; the lock is held."""
        self._is_paused = True
        self._timers.call_later(min(seconds, LONGEST_WAIT), self._go_on)

    def _go_on(self) -> None:
        with self._lock:
            self._is_paused = False
        self._start_resting()

    def _accepted(self, packet: CompletionPacket) -> None:
        """Take the packet of an accept: in a worker."""
        overlapped = packet.overlapped
        try:
            if packet.error is not None:
                self._failed(overlapped, packet.error)
                self._start_resting()
                return
            sock, overlapped.accepted = overlapped.accepted, None
            with self._lock:
                self._resting.append(overlapped)
                is_open = self._is_open
            self._start_resting()
            if is_open:
                self._admit(sock)
            else:
                sock.abort()  # As if it had stayed in the backlog.
        finally:
            self._ended(1)

    def _failed(self, overlapped: Overlapped, error: OSError) -> None:
        with self._lock:
            self._resting.append(overlapped)
            if not self._is_open:
                return
            if isinstance(error, (ConnectionResetError, ConnectionAbortedError)):
                return
            if not self._is_paused:
                self._pause(PAUSE)
            now = time.monotonic()
            is_news = now >= self._silent_until
            if is_news:
                self._silent_until = now + SILENCE
        self._tally.add("accept_failures")
        if is_news:
            logger.warning("an accept failed, again in %g s: %s", PAUSE, error)

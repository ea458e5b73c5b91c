"""The sockets of one program, and when the world is at rest.

After each step the interpreter lets the world come to rest: all bytes, ends and resets have arrived
where they go, and the engine has done what it can with them. Only then the next step runs, so that
the outcome of a program is a matter of its text and not of the kernel's timing.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from proactor import CompletionPort, OverlappedSocket
from proactor.engines import choose
from tests.differential.kernel import (
    CLOSED,
    ESTABLISHED,
    NO_FIN_CAME,
    Connection,
    is_answered,
    look,
)

LIMIT = 3.0
"""Seconds within which the world comes to rest; a program that waits longer is at fault."""

_BUFFER = 32 * 1024
_SEGMENT = 4096  # Of the loopback they are larger than the buffers, and wait for timers then.


@dataclass(eq=False)
class End:
    """One end of a connection, or a listener.

    Attributes:
        peer: The other end, once it is known.
        is_flooded: More was sent from here than fits into the kernel: the rest waits.
        is_undefined: What the peer still receives from here is free: a send was given up midway.
        is_closed: The program has closed it.
        fin_is_due: The program has asked for a FIN.
        was_reset: The program has closed it with a reset.
        sent_to_nobody: Something was sent after the peer was closed: a reset is due.
        calls: It was connected to the listener, and what it has sent has not all arrived there.
    """

    name: str
    sock: OverlappedSocket
    peer: End | None = None
    is_flooded: bool = False
    is_undefined: bool = False
    is_closed: bool = False
    fin_is_due: bool = False
    was_reset: bool = False
    sent_to_nobody: bool = False
    calls: bool = False

    def look(self) -> Connection | None:
        """Return what the kernel says of it; None once it is closed."""
        descriptor = self.sock.fileno()
        return None if descriptor < 0 else look(descriptor)

    def has_all(self) -> bool:
        """Say whether all that the peer's kernel knows of has been received here."""
        here, there = self.look(), self.peer.look() if self.peer else None
        if here is None or there is None:
            return False  # Its end will come: that is received, too.
        return not there.unsent and here.received >= there.sent and not here.unread


def bounded(sock: OverlappedSocket) -> None:
    """Bound what the kernel keeps for `sock`; only synchronous calls do not wait."""
    plain = socket.socket(fileno=sock.fileno())
    try:
        _bound(plain)
    finally:
        plain.detach()
    sock.setblocking(False)


def _bound(plain: socket.socket) -> None:
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class World:
    """The ends, the port that serves them, and one that is only asked so that the engine looks.

    Attributes:
        unaccepted: How many connections wait in the listener's backlog, as the program knows.
        waiters: How many threads wait at the port; told by the interpreter.
    """

    def __init__(self) -> None:
        """Open two attached pairs (a0-b0, a1-b1), one without a port (a2-b2), and a listener."""
        self.port = CompletionPort(32, stall_timeout=None)
        self._glance = CompletionPort(32, stall_timeout=None)
        self.ends: list[End] = []
        self.unaccepted = 0
        plain = socket.socket()
        _bound(plain)
        plain.bind(("127.0.0.1", 0))
        plain.listen()
        self.listener = End("listener", OverlappedSocket.adopt(plain))
        self.port.attach(self.listener.sock, "listener")
        self.address = self.listener.sock.getsockname()
        for number in range(3):
            self._open_pair(number, attached=number < 2)
        self.listener.sock.setblocking(False)

    def _open_pair(self, number: int, *, attached: bool) -> None:
        client = socket.socket()
        _bound(client)
        client.connect(self.address)
        accepted = self.listener.sock.accept()
        ends = [
            self.add(f"a{number}", OverlappedSocket.adopt(client), attached=attached),
            self.add(f"b{number}", accepted, attached=attached),
        ]
        ends[0].peer, ends[1].peer = ends[1], ends[0]

    def add(self, name: str, sock: OverlappedSocket, *, attached: bool = True) -> End:
        """Make `sock` part of the world, under `name`, which is its key."""
        end = End(name, sock)
        bounded(sock)
        if attached:
            self.port.attach(sock, name)
        self.ends.append(end)
        return end

    def marry(self) -> None:
        """Find the peers of ends that were connected since."""
        ways = {}
        for end in self.ends:
            if end.peer is None and not end.is_closed:
                try:
                    ways[end.sock.getsockname(), end.sock.getpeername()] = end
                except OSError:
                    continue
        for (here, there), end in ways.items():
            other = ways.get((there, here))
            if other is not None:
                end.peer, other.peer = other, end

    # -- rest --

    def glance(self) -> None:
        """Let the engine look at what the kernel has for it, and take no packet."""
        assert self._glance.get(0) is None
        for end in self.ends:
            with end.sock.engine_socket.lock:  # Another thread may be about to complete there.
                continue
        core: Any = getattr(choose.current(), "core", None)
        if core is not None:
            # The native engine signals events in a thread of its own: wait until it has.
            signaled = threading.Event()
            core.need_indicator()
            core.call_in_indicator(signaled.set)
            assert signaled.wait(LIMIT)

    def come_to_rest(self) -> bool:
        """Wait until nothing moves; say whether it came to that in time."""
        deadline = time.monotonic() + LIMIT
        before: object = None
        pause = 0.0
        while True:
            self.glance()
            now = self._scene()
            if now == before and self._is_quiet():
                return True
            if time.monotonic() > deadline:
                return False
            before = now
            time.sleep(pause)  # The network of this machine needs a CPU, too.
            pause = min(0.002, pause + 0.0001)

    def _scene(self) -> object:
        counts = self.port.statistics()
        # Who was heard is part of it: what the engine makes of that it does at its next look.
        return (
            [(end.look(), end.peer is not None or self._is_heard(end)) for end in self.ends],
            (counts.completed, counts.delivered, counts.queued, counts.waiting),
        )

    def _is_quiet(self) -> bool:
        listener = self.listener.look()
        if listener is not None and listener.backlog != self.unaccepted:
            return False
        return all(
            self._is_heard(end) if end.peer is None else _has_arrived(end, end.peer)
            for end in self.ends
        )

    def _is_heard(self, end: End) -> bool:
        """Say whether the connection of `end` has come to the listener, with all that was sent."""
        here = end.look() if end.calls else None
        if here is None or here.state != ESTABLISHED or end.is_flooded:
            return True
        if here.unsent or here.unacknowledged:
            return False
        if is_answered(end.sock.getsockname(), self.address):
            end.calls = False
        return not end.calls

    def known(self) -> Iterator[End]:
        """Iterate over the ends that are open."""
        return (end for end in self.ends if not end.is_closed)

    def close(self) -> None:
        """Close what is left."""
        for end in (*self.ends, self.listener):
            end.sock.abort()
        self.port.close()
        self._glance.close()


def _has_arrived(end: End, peer: End) -> bool:
    """Say whether what `end` has sent has come to `peer`, and its end, too."""
    here, there = end.look(), peer.look()
    if there is None:
        # Whoever sends to one that is gone is reset.
        return here is None or not end.sent_to_nobody or here.state == CLOSED
    if here is None:
        waits_behind = end.is_flooded and not end.was_reset
        return waits_behind or there.state not in NO_FIN_CAME
    if CLOSED in (here.state, there.state):
        return True
    if end.is_flooded and there.unread:
        return True
    if here.unsent or there.received < here.sent:
        return False
    return not end.fin_is_due or there.state not in NO_FIN_CAME

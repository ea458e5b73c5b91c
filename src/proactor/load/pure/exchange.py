"""What one connection of the load does: it is opened, sends, receives, is given up."""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any, Final

from proactor.load.failures import FailureKind
from proactor.load.histogram import Histogram
from proactor.load.pure.accounts import Counters, FanOutAccount, Wrong, account_of
from proactor.load.pure.client import Client, State
from proactor.load.pure.opening import SocketOpener
from proactor.load.pure.streams import Stream

OPENING, WARMUP, MEASURE, DRAIN, DONE = range(5)
FIRST_FAILURES: Final = 16
ARRIVES: Final = 256 * 1024
LEAVES: Final = 64 * 1024
"""Bytes of whole messages that are put together for one send, at least one message."""

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
now: Callable[[], int] = time.monotonic_ns


class Exchange:
    """The connections of a load, and the counters of what they do. `PythonLoad` says when."""

    def __init__(self, family: int, address: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Make them for a socket address with a numeric host; nothing is opened yet."""
        self.options = options
        self.size: int = options["size"]
        self.depth: int = options["depth"]
        self.stream = Stream.of(options)
        self.clients = [Client(index) for index in range(options["connections"])]
        self.counters = Counters()
        self.counters.holds = options["holds"]
        self.account = account_of(options, self.stream, self.clients, self.counters)
        self.account.reply = self._count_reply
        self.latencies_seen = Histogram()
        self.failed = [0] * len(FailureKind)
        self.first: list[tuple[int, ...]] = []
        self.selector = selectors.DefaultSelector()
        self.opener = SocketOpener(family, address)
        self.phase = OPENING
        self.is_stopped = False
        self.budget: int = options["messages"]
        self.in_progress = 0
        self.scheduled_from = 0

    def give_up(self, client: Client, wrong: Wrong, number: int = 0) -> None:
        """Count the connection under what was wrong, and reset it."""
        if len(self.first) < FIRST_FAILURES:
            kind, *about = wrong
            self.first.append((int(kind), client.index, client.received, *about, number))
        self.failed[wrong.kind] += 1
        # What came due for it and was not sent is not sent by another.
        if self.options["messages"] and client.due and client.state is State.RUNS:
            self.budget -= client.due + client.hellos - client.begun
        self.in_progress -= client.state is State.CONNECTS
        self.counters.greeted -= client.state is State.RUNS
        self.counters.alive -= 1
        client.state = State.GONE
        owed = self.account.left(client)
        if wrong.kind in (FailureKind.CLOSED, FailureKind.SILENT):
            self.counters.missing += owed
        if client.sock is not None:
            self.watch(client, 0)
            self.opener.reset(client.sock)
            client.sock = None

    def watch(self, client: Client, events: int) -> None:
        """Have the selector watch for these events; 0 for none."""
        if client.events == events or client.sock is None:
            return
        if not events:
            self.selector.unregister(client.sock)
        elif client.events:
            self.selector.modify(client.sock, events, client)
        else:
            self.selector.register(client.sock, events, client)
        client.events = events

    def open(self, client: Client) -> None:
        """Begin to connect."""
        client.state, client.news = State.CONNECTS, now()
        self.in_progress += 1
        self.counters.alive += 1
        try:
            client.sock = self.opener.open()
            self.watch(client, WRITE)
        except (OSError, ValueError) as error:  # ValueError: more than `select` can watch.
            number = getattr(error, "errno", None) or errno.EMFILE
            self.give_up(client, Wrong(FailureKind.REFUSED), number)

    def finish_opening(self, client: Client, sock: socket.socket) -> None:
        """Greet, or take note of why it could not be opened."""
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.give_up(client, Wrong(FailureKind.REFUSED), error)
            return
        client.state, client.news = State.GREETS, now()
        self.in_progress -= 1
        self.counters.opened += 1
        self.watch(client, READ)
        self.send(client)

    def _limit(self, client: Client) -> int:
        if self.is_stopped:
            return client.begun
        if self.counters.holds or client.state is State.GREETS:
            return client.hellos
        if self.too_few():
            return client.begun
        limit = client.done + self.depth
        if self.options["rate"]:
            limit = min(limit, client.due + client.hellos)
        if self.options["messages"]:
            limit = min(limit, client.begun + self.budget)
        return limit

    def send(self, client: Client) -> None:
        """Send what may be sent by now, as far as the socket takes it."""
        sock = client.sock
        while sock is not None:
            if not client.rest:
                messages = self._begin(client)
                if not messages:
                    break
                client.rest = memoryview(b"".join(messages))
            try:
                count = sock.send(client.rest)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self.give_up(client, Wrong(FailureKind.CLOSED), error.errno or 0)
                return
            client.rest = client.rest[count:]
        self.watch(client, READ | WRITE if client.rest else READ)

    def _begin(self, client: Client) -> list[bytes]:
        """Take note of the messages that may leave in one send, and return them."""
        at, first = now(), client.begun
        last = min(self._limit(client), first + max(LEAVES // self.size, 1))
        connections = len(self.clients)
        messages = []
        for message in range(first, last):
            begun_at = at
            if client.begun == client.done:
                client.news = at
            if message >= client.hellos:
                if self.options["rate"]:
                    place = (message - client.hellos) * connections + client.index
                    begun_at = self.intended_at(place)
                self.budget -= self.options["messages"] > 0
                self.counters.sent += self.phase == MEASURE
            messages.append(self.stream.message(client.index, self.account.number(client, message)))
            self.account.begun(client, message, begun_at)
            client.begun += 1
        return messages

    def receive(self, client: Client, sock: socket.socket) -> None:
        """Take what has come, judge it, and go on."""
        try:
            chunk = sock.recv(ARRIVES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.give_up(client, Wrong(FailureKind.CLOSED), error.errno or 0)
            return
        if not chunk:
            self.give_up(client, Wrong(FailureKind.CLOSED))
            return
        wrong = self.account.came(client, chunk, now())
        if wrong is not None:
            self.give_up(client, wrong)
        elif not isinstance(self.account, FanOutAccount):
            self.send(client)

    def _count_reply(self, begun_at: int, at: int) -> None:
        counters = self.counters
        counters.replies += 1
        counters.outstanding -= 1
        counters.messages += self.phase == MEASURE
        is_over = counters.ended and begun_at >= counters.ended
        if counters.began and begun_at >= counters.began and not is_over:
            self.latencies_seen.record(at - begun_at)

    def intended_at(self, number: int) -> int:
        """Return when message `number` of all connections together is due."""
        return self.scheduled_from + int(number * 1e9 / self.options["rate"])

    def too_few(self) -> bool:
        """Say whether nobody is left who could get an answer."""
        return self.counters.alive < (2 if self.options["others_only"] else 1)

"""Who awaits what: the echo, where each has its own back, and the fan-out, where all have all.

An account is told what was begun and what came, keeps `outstanding` and the counters of replies,
and returns a `Wrong` for what is not right; the loop then gives the connection up and tells the
account that it has left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from proactor.load.failures import FailureKind
from proactor.load.plan import FRAME, STAMP
from proactor.load.pure.client import Client, State
from proactor.load.pure.streams import HELLO, PREFIX, Stream, first_difference, stamp_of


class Wrong(NamedTuple):
    """What was wrong with bytes that came; the fields are those of `Failure`."""

    kind: FailureKind
    sender: int = 0
    expected: int = 0
    got: int = 0


class Counters:
    """The counters of a run, by the names of `core/load.h`; `holds`: greetings only."""

    def __init__(self) -> None:
        self.messages = self.replies = self.sent = self.unsent = self.missing = 0
        self.outstanding = self.began = self.ended = 0
        self.opened = self.alive = self.greeted = 0
        self.holds = True


class EchoAccount:
    """Each connection has back what it sent."""

    def __init__(self, stream: Stream, clients: list[Client], counters: Counters) -> None:
        self.stream = stream
        self.clients = clients
        self.counters = counters
        self.reply: Callable[[int, int], None] = lambda begun_at, at: None
        """Told of each reply: when its message was begun, and when it was whole."""

    def number(self, client: Client, message: int) -> int:
        """Return the number that message `message` of a connection bears."""
        return message

    def begun(self, client: Client, message: int, begun_at: int) -> None:
        """Take note that a message was begun."""
        client.begun_at.append(begun_at)
        self.counters.outstanding += 1

    def came(self, client: Client, chunk: bytes, at: int) -> Wrong | None:
        """Compare what came with what was sent."""
        client.news = at
        view, place = memoryview(chunk), 0
        while place < len(view):
            wanted = self._wanted(client)
            part = view[place : place + len(wanted)]
            if not len(part):
                return Wrong(FailureKind.SURPLUS)
            if wanted[: len(part)] != part:
                right = first_difference(wanted, part)
                client.received += right
                return Wrong(FailureKind.WRONG, expected=wanted[right], got=part[right])
            place += len(part)
            client.received += len(part)
            if client.received == (client.done + 1) * self.stream.size:
                client.done += 1
                client.reply = b""
                self.reply(client.begun_at.popleft(), at)
        if client.state is State.GREETS and client.done:
            client.state = State.RUNS
            self.counters.greeted += 1
        return None

    def _wanted(self, client: Client) -> memoryview:
        """Return what has not come back of the oldest message; nothing if nothing is awaited."""
        if client.done >= client.begun:
            return memoryview(b"")
        if not client.reply:
            client.reply = self.stream.message(client.index, client.done)
        return memoryview(client.reply)[client.received - client.done * self.stream.size :]

    def left(self, client: Client) -> int:
        """Take note that a connection was given up; return how many replies it still awaited."""
        owed = client.begun - client.done
        self.counters.outstanding -= owed
        return owed

    def begin(self) -> None:
        """Take note that the greetings are over."""

    def silent(self, client: Client) -> list[tuple[Client, Wrong, int]]:
        """Return who is to blame that `client` waits: connection, failure, its number."""
        return [(client, Wrong(FailureKind.SILENT), client.begun - client.done)]


class FanOutAccount(EchoAccount):
    """Every connection has the frames of all, or of all others, in the order of each sender."""

    def __init__(
        self, stream: Stream, clients: list[Client], counters: Counters, *, others_only: bool
    ) -> None:
        super().__init__(stream, clients, counters)
        self.others_only = others_only
        self.ready: dict[Client, None] = {}
        """Senders that may go on."""
        for client in clients:
            client.due_from = [0] * len(clients)

    def number(self, client: Client, message: int) -> int:
        """Return HELLO for a greeting, else the number, which begins at 0 after them."""
        is_greeting = self.counters.holds or message < client.hellos
        return HELLO if is_greeting else message - client.hellos

    def begun(self, client: Client, message: int, begun_at: int) -> None:
        """Have every connection that is there await it."""
        if self.number(client, message) == HELLO:
            return
        members = self.counters.alive - self.others_only
        client.begun_at.append(begun_at)
        client.awaited.append(members)
        self.counters.outstanding += members

    def came(self, client: Client, chunk: bytes, at: int) -> Wrong | None:
        """Take frames that are cut anywhere, and judge each as soon as its prefix is whole."""
        client.arriving += chunk
        size = self.stream.size
        while len(client.arriving) >= PREFIX:
            frame = bytes(client.arriving[:size])
            wrong = self._judge(client, frame)
            if wrong is not None:
                return wrong
            if len(frame) < size:
                break
            del client.arriving[:size]
            client.received += size
            self._deliver(client, frame, at)
        return None

    def _judge(self, client: Client, frame: bytes) -> Wrong | None:
        number, index = stamp_of(frame)
        header = self.stream.header
        if frame[: len(header)] != header:
            return self._differs(client, frame, index, number)
        if index >= len(self.clients):
            return self._wrong_sender(client, frame, index)
        sender = self.clients[index]
        due = client.due_from[index]
        if self.others_only and sender is client:
            return Wrong(FailureKind.SURPLUS)
        sent = self._numbers(sender)
        if number != HELLO and not (number == due < sent):
            if number == due:
                return Wrong(FailureKind.SURPLUS)
            if number >= sent:
                return self._differs(client, frame, index, due)
            kind = FailureKind.REPEATED if number < due else FailureKind.SKIPPED
            return Wrong(kind, index, due, number)
        if not self.stream.message(index, number).startswith(frame):
            return self._differs(client, frame, index, number)
        return None

    def _wrong_sender(self, client: Client, frame: bytes, sender: int) -> Wrong:
        """There is no such sender: the byte that makes the number too large is wrong."""
        last = len(self.clients) - 1
        byte = ((sender ^ last).bit_length() - 1) // 8
        at = FRAME + STAMP // 2 + byte
        client.received += at
        return Wrong(FailureKind.WRONG, expected=last >> 8 * byte & 0xFF, got=frame[at])

    def _differs(self, client: Client, frame: bytes, sender: int, number: int) -> Wrong:
        wanted = self.stream.message(sender, number)
        at = first_difference(wanted, frame)
        client.received += at
        return Wrong(FailureKind.WRONG, expected=wanted[at], got=frame[at])

    def _numbers(self, sender: Client) -> int:
        return 0 if self.counters.holds else sender.begun - sender.hellos

    def _deliver(self, client: Client, frame: bytes, at: int) -> None:
        number, index = stamp_of(frame)
        sender = self.clients[index]
        if number == HELLO:
            if sender.state is State.GREETS:
                sender.state = State.RUNS
                self.counters.greeted += 1
            return
        client.due_from[index] += 1
        if sender.state is State.GONE:
            return
        place = number + sender.hellos - sender.done
        self.reply(sender.begun_at[place], at)
        self._reach(sender, place, at)

    def _reach(self, sender: Client, place: int, at: int) -> None:
        sender.awaited[place] -= 1
        while sender.awaited and not sender.awaited[0]:
            sender.awaited.popleft()
            sender.begun_at.popleft()
            sender.done += 1
            sender.news = at
            if sender.state is not State.GONE:
                self.ready[sender] = None

    def left(self, client: Client) -> int:
        """Have nobody await anything for it, or from it."""
        counters, owed = self.counters, 0
        for sender in self.clients:
            if sender.state is not State.RUNS:  # Nor is the client itself, any more.
                continue
            numbers = range(client.due_from[sender.index], self._numbers(sender))
            owed += len(numbers)
            # Backwards: what is done leaves the queue at its front.
            for number in reversed(numbers):
                self._reach(sender, number + sender.hellos - sender.done, sender.news)
        counters.outstanding -= owed + sum(client.awaited)
        if not self.others_only:
            owed += max(self._numbers(client) - client.due_from[client.index], 0)
        client.awaited.clear()
        client.done = client.begun
        return owed

    def begin(self) -> None:
        """Number the messages from here on."""
        for client in self.clients:
            client.hellos = client.done = client.begun

    def silent(self, client: Client) -> list[tuple[Client, Wrong, int]]:
        """Blame the members that the oldest message of `client` has not reached."""
        if self.counters.holds:
            return [(client, Wrong(FailureKind.SILENT, client.index), HELLO)]
        number, index = client.done - client.hellos, client.index
        return [
            (member, Wrong(FailureKind.SILENT, index), number)
            for member in self.clients
            if member.state is State.RUNS
            and not (self.others_only and member is client)
            and member.due_from[index] <= number
        ]


def account_of(
    options: dict[str, Any], stream: Stream, clients: list[Client], counters: Counters
) -> EchoAccount:
    """Return the account of the traffic that the options ask for."""
    if options["kind"] != 2:
        return EchoAccount(stream, clients, counters)
    return FanOutAccount(stream, clients, counters, others_only=options["others_only"])

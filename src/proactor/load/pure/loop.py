"""The loop of the generator in Python: the same phases as `core/loop.c`, over a selector."""

from __future__ import annotations

import errno
import socket
import time
from typing import Any, Final

from proactor.load.failures import FailureKind
from proactor.load.pure.accounts import FanOutAccount, Wrong
from proactor.load.pure.client import Client, State
from proactor.load.pure.exchange import DONE, DRAIN, MEASURE, OPENING, READ, WARMUP, Exchange, now

SWEEP: Final = 50_000_000
"""Nanoseconds between two looks for who is silent."""

HELLO_SWEEPS: Final = 16
"""The most sweeps between two greetings of one member."""

MOST_IN_PROGRESS: Final = 256
"""Connections that are being opened at once."""


class PythonLoad(Exchange):
    """One load, driven by one thread; the methods are those of ``_generator.pyi``."""

    def __init__(self, family: int, address: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Make it for a socket address with a numeric host; nothing is opened yet."""
        super().__init__(family, address, options)
        self.to_open = 0
        self.opened_at = now()
        self.next_sweep = self.opened_at + SWEEP
        self.sweeps = 0
        self.warm_at = self.patience_ends = self.scheduled = 0

    # -- what a caller may ask --

    def run(self, nanoseconds: int) -> int:
        """Drive it for at most so long, or until its phase changes; return the phase."""
        phase, at = self.phase, now()
        until = at + nanoseconds
        while True:
            if self.phase == OPENING:
                self._open_due(at)
            if self._is_scheduled():
                self._send_scheduled(at)
            if at >= self.next_sweep:
                self._sweep(at)
            self._serve_ready()
            self._advance(at)
            if self.phase != phase or at >= until:
                return self.phase
            self._serve_events(until)
            at = now()

    def stop(self, patience: int) -> None:
        """Begin nothing more, and await what is in flight, for at most `patience` nanoseconds."""
        at = now()
        if self.phase == OPENING:
            self.phase = DONE  # Nothing was measured, and nobody failed.
        if self.phase == DONE:
            return
        ends = at + patience
        self.patience_ends = min(self.patience_ends or ends, ends)
        if self.phase != DRAIN:
            self._drain(at)

    def counts(self) -> dict[str, Any]:
        """Return all counters, by the names of `load.h`, and the phase."""
        counts = dict(vars(self.counters))
        del counts["holds"]
        return {**counts, "phase": self.phase, "failed": list(self.failed), "first": self.first}

    def latencies(self) -> tuple[list[int], int]:
        """Return the buckets of the histogram, and the largest latency in nanoseconds."""
        return self.latencies_seen.buckets, self.latencies_seen.largest

    def close(self) -> None:
        """Close every connection; a second call does nothing."""
        self.selector.close()
        for client in self.clients:
            if client.sock is not None:
                client.sock.close()

    # -- what the clock says --

    def _opens_at(self, index: int) -> int:
        return self.opened_at + int(self.options["ramp"] * index / len(self.clients))

    def _open_due(self, at: int) -> None:
        while (
            self.to_open < len(self.clients)
            and self.in_progress < MOST_IN_PROGRESS
            and self._opens_at(self.to_open) <= at
        ):
            self.to_open += 1
            self.open(self.clients[self.to_open - 1])

    def _is_scheduled_out(self) -> bool:
        return bool(self.options["messages"]) and self.scheduled >= self.options["messages"]

    def _is_scheduled(self) -> bool:
        loaded = self.phase in (WARMUP, MEASURE)
        return bool(self.options["rate"]) and loaded and not self._is_scheduled_out()

    def _send_scheduled(self, at: int) -> None:
        if self.phase == MEASURE and at >= self.counters.began + self.options["duration"]:
            return
        connections = len(self.clients)
        late: dict[Client, None] = {}
        while self.intended_at(self.scheduled) <= at and not self._is_scheduled_out():
            client = self.clients[self.scheduled % connections]
            client.due += 1
            self.budget -= self.options["messages"] > 0 and client.state is State.GONE
            self.scheduled += 1
            late[client] = None
        for client in late:
            if client.state is State.RUNS and not client.rest:
                self.send(client)

    def _is_waiting(self, client: Client) -> bool:
        if client.state is State.RUNS and self.counters.holds:
            return False
        is_open = client.state in (State.GREETS, State.RUNS)
        return is_open and client.begun > client.done

    def _find_silent(self, since: int) -> None:
        for client in self.clients[: self.to_open]:
            if client.news > since:
                continue
            if client.state is State.CONNECTS:
                self.give_up(client, Wrong(FailureKind.REFUSED), errno.ETIMEDOUT)
            elif self._is_waiting(client):
                for blamed, wrong, number in self.account.silent(client):
                    self.give_up(blamed, wrong, number)

    def _sweep(self, at: int) -> None:
        self.next_sweep = at + SWEEP
        self.sweeps += 1
        self._find_silent(at - self.options["timeout"])
        if isinstance(self.account, FanOutAccount) and self.counters.holds:
            self._repeat_hellos()

    def _repeat_hellos(self) -> None:
        """Greet again, ever more seldom: each goes to all, and a slow server must get done."""
        if self.sweeps % HELLO_SWEEPS and (
            self.sweeps > HELLO_SWEEPS or self.sweeps.bit_count() > 1
        ):
            return
        for client in self.clients[: self.to_open]:
            if client.state is State.GREETS and not client.rest:
                client.hellos += 1
                self.send(client)

    def _serve_ready(self) -> None:
        # One whose send fails leaves, and that may make others ready.
        while isinstance(self.account, FanOutAccount) and self.account.ready:
            ready, self.account.ready = self.account.ready, {}
            for client in ready:
                if client.state is State.RUNS:
                    self.send(client)

    # -- the phases --

    def _begin_load(self, at: int) -> None:
        if self.counters.holds:
            self.account.begin()
        self.scheduled_from = at
        self.warm_at = at + self.options["warmup"]
        self.phase = WARMUP
        self._measure_or_not(at)  # Before the first message, if there is no warming up.
        held, self.counters.holds = self.counters.holds, False
        for client in self.clients:
            if held and client.state is State.RUNS and not self.options["rate"]:
                self.send(client)

    def _measure_or_not(self, at: int) -> None:
        if at >= self.warm_at:
            self.phase, self.counters.began = MEASURE, at

    def _count_unsent(self, at: int) -> None:
        for client in self.clients:
            if client.state is not State.RUNS:
                continue
            for number in range(client.begun - client.hellos, client.due):
                intended = self.intended_at(number * len(self.clients) + client.index)
                if self.counters.began <= intended < at:
                    self.counters.unsent += 1
                    self.latencies_seen.record(at - intended)

    def _drain(self, at: int) -> None:
        if self.phase == MEASURE:
            self.counters.ended = at
            if self.options["rate"]:
                self._count_unsent(at)
        self.patience_ends = self.patience_ends or at + self.options["timeout"]
        self.is_stopped = True
        self.phase = DRAIN

    def _end(self) -> None:
        for client in self.clients:
            if client.state is State.RUNS and client.sock is not None and self._has_more(client):
                self.receive(client, client.sock)
        self.phase = DONE

    @staticmethod
    def _has_more(client: Client) -> bool:
        try:
            return bool(client.sock and client.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def _advance(self, at: int) -> None:
        counters = self.counters
        everybody = self.to_open == len(self.clients)
        nobody = self.too_few() and everybody
        if self.phase == OPENING:
            if nobody:
                self._end()
            elif everybody and counters.greeted == counters.alive:
                self._begin_load(at)
        elif self.phase == WARMUP:
            if nobody:
                self._drain(at)
            else:
                self._measure_or_not(at)
        elif self.phase == MEASURE:
            answered = self.options["messages"] and not self.budget and not counters.outstanding
            if nobody or answered or at >= counters.began + self.options["duration"]:
                self._drain(at)
        elif self.phase == DRAIN:
            if at >= self.patience_ends:
                self._find_silent(at)
            if not counters.outstanding or at >= self.patience_ends:
                self._end()

    # -- waiting --

    def _next_deadline(self, until: int) -> int:
        deadlines = [until, self.next_sweep]
        if (
            self.phase == OPENING
            and self.to_open < len(self.clients)
            and self.in_progress < MOST_IN_PROGRESS
        ):
            deadlines.append(self._opens_at(self.to_open))
        elif self.phase == WARMUP:
            deadlines.append(self.warm_at)
        elif self.phase == MEASURE:
            deadlines.append(self.counters.began + self.options["duration"])
        elif self.phase == DRAIN:
            deadlines.append(self.patience_ends)
        if self._is_scheduled():
            deadlines.append(self.intended_at(self.scheduled))
        return min(deadlines)

    def _serve_events(self, until: int) -> None:
        left = self._next_deadline(until) - now()
        # Selectors round up to milliseconds: a schedule is kept by asking again instead.
        if self._is_scheduled() and left < 1_000_000:
            left = 0
        if not self.selector.get_map():
            time.sleep(max(left, 0) / 1e9)
            return
        for key, events in self.selector.select(max(left, 0) / 1e9):
            client: Client = key.data
            sock = client.sock
            if sock is None:
                continue
            if client.state is State.CONNECTS:
                self.finish_opening(client, sock)
            elif events & READ:
                self.receive(client, sock)
            else:
                self.send(client)

"""``proactor serve --model``: one model as an echo server, from the first line to the summary.

The server runs in a thread of its own; the main thread prints what happened and waits for
signals, which Python delivers to it alone. The first signal ends in order, the second at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from rich.console import Console

from proactor.cli import shown
from proactor.cli.exits import Failed
from proactor.cli.listening import listening_errors, reachable_host
from proactor.cli.live import LiveLine
from proactor.cli.printed import print_line
from proactor.cli.stopping import Stopping
from proactor.cli.traffic_lines import TrafficLines
from proactor.engines import choose
from proactor.models import MODELS, EchoServer, address_text

logger = logging.getLogger("proactor")

TICK: Final = 0.1
"""Seconds between two looks at the traffic: lines are at most this late."""

PATIENCE: Final = 3.0
"""Seconds after which a stop that is still under way says what it waits for."""


@dataclass(frozen=True)
class Service:
    """What to serve, as the user asked for it."""

    model: str
    host: str
    port: int
    workers: int
    quiet: bool


def serve_model(service: Service, console: Console) -> None:
    """Serve until SIGINT or SIGTERM, printing on `console`.

    Raises:
        Misused: The address cannot be listened on; the text says why.
        Failed: The server ended by itself.
    """
    traffic = TrafficLines(quiet=service.quiet)
    with _listen(service, traffic) as server:
        _Run(server, traffic, console).until_stopped(_first_lines(service, server))


def _listen(service: Service, traffic: TrafficLines) -> EchoServer:
    with listening_errors(service.host, service.port):
        return MODELS[service.model](
            service.host, service.port, workers=service.workers, traffic=traffic
        )


def _first_lines(service: Service, server: EchoServer) -> Iterator[str]:
    description = choose.current().describe()
    host, port = server.address[:2]
    try_host = reachable_host(server.address)
    workers = f", {shown.counted(service.workers, 'worker')}"
    yield f"{service.model} echo server{workers if service.model == 'completion-port' else ''}"
    yield f"engine {description.name}: {description.reason}"
    yield f"listening on {address_text(server.address)}, try: nc {try_host} {port}"
    if try_host != host:
        yield "open to every machine that reaches this one"
    yield "Ctrl-C stops it"


class _Run:
    """One server from its start to its summary."""

    def __init__(self, server: EchoServer, traffic: TrafficLines, console: Console) -> None:
        self.server = server
        self.traffic = traffic
        self.console = console
        self.began = time.monotonic()
        self.failure: BaseException | None = None
        # A daemon: the second signal must be able to end the process whatever it does.
        self.thread = threading.Thread(target=self._serve, name="serve", daemon=True)

    def until_stopped(self, first_lines: Iterable[str]) -> None:
        """Print `first_lines`, serve, stop at the first signal, print the summary."""
        # The signals first: whoever has read that Ctrl-C stops it may press it at once.
        with Stopping(self.console) as stopping:
            for line in first_lines:
                print_line(self.console, line)
            self.thread.start()
            with LiveLine(self.console, self.server, self.traffic) as live:
                while self.thread.is_alive() and not stopping.wait(TICK):
                    self._show(live)
                self._stop(live)
        if self.failure is not None:
            raise Failed(f"the server ended: {self.failure}") from self.failure
        print_line(self.console, self._summary())

    def _serve(self) -> None:
        try:
            self.server.serve()
        except Exception as error:
            logger.exception("the server ended by itself")
            self.failure = error

    def _stop(self, live: LiveLine) -> None:
        self.server.stop()
        began = time.monotonic()
        told = False
        while self.thread.is_alive():
            self.thread.join(TICK)
            self._show(live)
            if not told and time.monotonic() - began > PATIENCE:
                told = True
                waiting = shown.counted(self.server.sessions, "session")
                print_line(self.console, f"still {waiting} to end; Ctrl-C again stops at once")
        self._show(live)

    def _show(self, live: LiveLine) -> None:
        for line in self.traffic.take():
            print_line(self.console, line)
        live.refresh()

    def _summary(self) -> str:
        traffic = self.traffic
        ends = ", ".join(f"{count:,} {reason}" for reason, count in traffic.disconnects.items())
        return (
            f"stopped after {shown.duration(time.monotonic() - self.began)}: "
            f"{shown.counted(traffic.connects, 'connection')}{f' ({ends})' if ends else ''}, "
            f"{shown.counted(traffic.messages, 'message')}, "
            f"{shown.byte_count(traffic.bytes_in)} in, {shown.byte_count(traffic.bytes_out)} out"
        )

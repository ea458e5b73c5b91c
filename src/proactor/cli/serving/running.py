"""One run of a server of the core: from the first line to the summary.

The server runs in a thread of its own; the main thread prints what happened and waits for signals.
The first one drains, the second ends the process at once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console

from proactor.cli import shown
from proactor.cli.exits import Failed, Misused
from proactor.cli.listening import listening_errors, reachable_host
from proactor.cli.printed import print_line
from proactor.cli.serving.framings import written_framing
from proactor.cli.serving.log_lines import LogLines
from proactor.cli.serving.values import written
from proactor.cli.serving.view import LiveView
from proactor.cli.stopping import Stopping
from proactor.engines import choose
from proactor.framing import DelimiterFraming, PacketFraming, RawFraming
from proactor.models import address_text
from proactor.server import Server, ServerOptions, Session

logger = logging.getLogger("proactor.serve")

_LOADS: Final = {"echo": "framed", "fanout": "fanout"}
"""The traffic of `proactor load` that a service answers when it speaks in packets."""

TICK: Final = 0.1
"""Seconds between two looks at the log: lines are at most this late."""


@dataclass(frozen=True)
class Order:
    """What to serve, checked.

    Attributes:
        name: The service, as the user called it.
        session_class: Its class.
        options: Of the server.
        quiet: Leave out the lines for single sessions.
        report: Seconds between two lines of status where there is no terminal; None: no lines.
    """

    name: str
    session_class: type[Session]
    options: ServerOptions
    quiet: bool
    report: float | None


def serve_sessions(order: Order, console: Console) -> None:
    """Serve until SIGINT or SIGTERM, then drain; print on `console`.

    Raises:
        Misused: The address cannot be listened on, or the class cannot work; the text says why.
        Failed: The server ended by itself.
    """
    options = order.options
    try:
        with listening_errors(options.host, options.port):
            server = Server(order.session_class, options)
    except TypeError as error:
        raise Misused(f"{order.name} cannot serve: {error}") from error
    except OverflowError as error:
        raise Misused(f"an option is too large for this system: {error}") from error
    try:
        _Run(server, order, console).until_stopped()
    finally:
        server.close()


def first_lines(order: Order, server: Server) -> Iterator[str]:
    """Yield what listens where, on which engine and why, and how to stop it."""
    options, description = order.options, choose.current().describe()
    yield (
        f"serving {order.name}: framing {written_framing(order.session_class.framing)}, "
        f"{shown.counted(options.workers, 'worker')}, "
        f"{shown.counted(options.max_sessions, 'session')} at most"
    )
    yield f"engine {description.name}: {description.reason}"
    yield f"listening on {address_text(server.address)}{_try_it(order, server)}"
    if reachable_host(server.address) != server.address[0]:
        yield "open to every machine that reaches this one"
    drain = written(options.drain_timeout)
    yield f"Ctrl-C stops it: sessions then have {drain} s to end; a second one stops it at once"


def _try_it(order: Order, server: Server) -> str:
    """Return how to try it by hand, where there is a way."""
    host, port = reachable_host(server.address), server.address[1]
    framing = order.session_class.framing
    if isinstance(framing, RawFraming):
        return f", try: nc {host} {port}"
    if isinstance(framing, DelimiterFraming) and framing.delimiter == b"\n":  # As nc sends lines.
        return f", try: nc {host} {port}"
    traffic = _LOADS.get(order.name)
    if traffic is None or not isinstance(framing, PacketFraming) or not _is_loads_own(framing):
        return ""
    order_of_bytes = " --big-endian" if framing.byteorder == "big" else ""
    where = f"--host {host} --port {port}{order_of_bytes}"
    return f", try: proactor load --traffic {traffic} {where}"


def _is_loads_own(framing: PacketFraming) -> bool:
    """Say whether `proactor load` speaks it, in one order of bytes or the other."""
    theirs = PacketFraming(framing.max_frame, byteorder=framing.byteorder)
    return framing == theirs


class _Run:
    """One server from its start to its summary."""

    def __init__(self, server: Server, order: Order, console: Console) -> None:
        self.server = server
        self.order = order
        self.console = console
        self.log = LogLines(quiet=order.quiet)
        self.failure: BaseException | None = None
        # A daemon: the second signal must be able to end the process whatever it does.
        self.thread = threading.Thread(target=self._serve, name="serve", daemon=True)

    def until_stopped(self) -> None:
        """Print the first lines, serve, drain at the first signal, print the summary."""
        # The signals first: whoever has read that Ctrl-C stops it may press it at once.
        with Stopping(self.console) as stopping, self.log:
            for line in first_lines(self.order, self.server):
                print_line(self.console, line)
            self.thread.start()
            with LiveView(self.console, self.server, self.order.report) as view:
                while self.thread.is_alive() and not stopping.wait(TICK):
                    self._show(view)
                self._stop(view)
        if self.failure is not None:
            raise Failed(f"the server ended: {self.failure}") from self.failure
        print_line(self.console, self._summary())

    def _serve(self) -> None:
        try:
            self.server.run()
        except Exception as error:
            logger.exception("the server ended by itself")
            self.failure = error

    def _stop(self, view: LiveView) -> None:
        left = len(self.server)
        if left and self.thread.is_alive():
            drain = written(self.order.options.drain_timeout)
            print_line(
                self.console,
                f"stopping: {shown.counted(left, 'session')} may take up to {drain} s to end; "
                "Ctrl-C again stops at once",
            )
        self.server.stop()
        while self.thread.is_alive():
            self.thread.join(TICK)
            self._show(view)
        self._show(view)

    def _show(self, view: LiveView) -> None:
        for line in self.log.take():
            print_line(self.console, line)
        status = view.refresh()
        if status is not None:
            print_line(self.console, status)

    def _summary(self) -> str:
        seen = self.server.statistics()
        ends = "; ".join(f"{count:,} {reason}" for reason, count in seen.ended.items())
        refused: dict[Any, int] = dict(seen.refused)
        whys = "; ".join(f"{count:,} {reason}" for reason, count in refused.items())
        return (
            f"stopped after {shown.duration(seen.uptime)}: "
            f"{shown.counted(seen.accepted, 'session')}{f' ({ends})' if ends else ''}"
            f"{f', {sum(refused.values()):,} refused ({whys})' if refused else ''}, "
            f"packets {seen.frames_received:,} in, {seen.packets_sent:,} out, "
            f"bytes {shown.byte_count(seen.bytes_received)} in, "
            f"{shown.byte_count(seen.bytes_sent)} out"
        )

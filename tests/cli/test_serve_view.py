"""The view of a server and its log lines, without a server."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from rich.console import Console

from proactor.cli.printed import print_line, shown_plainly
from proactor.cli.serving import log_lines
from proactor.cli.serving.log_lines import LINES_A_SECOND, LogLines
from proactor.cli.serving.view import LiveView, busy_workers, packed, parts_of, status_line
from proactor.engines.contract import PortStatistics
from proactor.server import (
    DisconnectReason,
    Refusal,
    Server,
    ServerOptions,
    ServerStatistics,
    Session,
)

PORT = PortStatistics(
    concurrency=1, queued=0, waiting=3, running=1, delivered=9, posted=0, completed=9, stalls=0
)

QUIET = ServerStatistics(
    state="serving", uptime=60.0, sessions=2, peak_sessions=40, accepted=50, refused={},
    accept_failures=0, ended={}, cut_off=0, bytes_received=1000, frames_received=100,
    bytes_sent=2000, packets_sent=200, queued_bytes=0, queued_packets=0, dropped=0, replaced=0,
    refused_packets=0, unknown_packets=0, limited_packets=0, handler_errors=0, heartbeats=0,
    rooms=0, timers=0, port=PORT,
)  # fmt: skip

BUSY = replace(
    QUIET,
    sessions=1,
    frames_received=3100,
    packets_sent=6200,
    bytes_received=1000 + 2 * 1024,
    bytes_sent=2000 + 4 * 1024 * 1024,
    queued_bytes=2048,
    queued_packets=1,
    dropped=1234,
    ended={DisconnectReason.SLOW_CONSUMER: 3, DisconnectReason.IDLE: 9},
    refused={Refusal.FULL: 2, Refusal.ADDRESS_FULL: 5},
    handler_errors=1,
    rooms=4,
)


def test_the_view_shows_rates_between_two_snapshots_and_what_waits_and_is_lost():
    assert parts_of(BUSY, QUIET, 2.0, 5) == [
        "1 session (peak 40)",
        "packets/s 1,500 in 3,000 out",
        "bytes/s 1.0 KiB in 2.0 MiB out",
        "queued 2.0 KiB in 1 packet",
        "1,234 dropped",
        "3 too slow",
        "2 of 5 workers busy",
        "7 refused",
        "1 handler error",
        "4 rooms",
    ]


def test_what_is_rare_is_not_shown_while_there_is_none():
    assert parts_of(QUIET, QUIET, 2.0, 5)[3:] == [
        "queued 0 B in 0 packets",
        "0 dropped",
        "0 too slow",
        "2 of 5 workers busy",
    ]


def test_where_the_kernel_does_not_tell_who_waits_nothing_is_said_of_workers():
    hidden = replace(QUIET, port=replace(PORT, waiting=None))

    assert busy_workers(hidden, 5) is None
    assert "busy" not in "".join(parts_of(hidden, QUIET, 1.0, 5))


def test_the_view_fits_the_width_of_the_terminal():
    parts = parts_of(BUSY, QUIET, 2.0, 5)
    for width in (40, 80, 200):
        lines = packed(parts, width)
        assert max(map(len, lines)) <= width
        assert "   ".join(lines) == "   ".join(parts)
    assert len(packed(parts, 80)) == 3
    assert packed(parts, 5) == parts  # Nothing is lost where nothing fits.


def test_a_status_line_has_the_same_words_in_one_line():
    line = status_line(BUSY, QUIET, 2.0, 5)

    assert line[10:].startswith("status: 1 session (peak 40), packets/s 1,500 in 3,000 out, ")
    assert line.isprintable()


class Snapshots:
    """A server with statistics that a test sets."""

    options = ServerOptions(workers=5)

    def __init__(self) -> None:
        self.now = QUIET

    def statistics(self) -> ServerStatistics:
        return self.now


def test_without_a_terminal_a_status_line_is_given_each_period_if_there_is_news(
    monkeypatch, capsys
):
    clock = [0.0]
    monkeypatch.setattr("proactor.cli.serving.view.time.monotonic", lambda: clock[0])
    server = Snapshots()
    server.now = idle = replace(QUIET, sessions=0)
    with LiveView(Console(), server, report=10.0) as view:  # type: ignore[arg-type]
        clock[0] = 9.0
        assert view.refresh() is None
        clock[0] = 11.0
        assert view.refresh() is None  # Nobody is there, and nobody was.
        server.now = replace(idle, accepted=51)
        clock[0] = 22.0
        assert "status: 0 sessions" in (view.refresh() or "")

    assert capsys.readouterr().out == ""


def test_on_a_terminal_the_view_is_drawn_from_the_snapshot(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("proactor.cli.serving.view.time.monotonic", lambda: clock[0])
    console = Console(force_terminal=True, width=120, record=True, legacy_windows=False)
    server = Snapshots()
    view = LiveView(console, server, report=None)  # type: ignore[arg-type]
    with console.capture() as captured, view:
        server.now = BUSY
        clock[0] = 2.0
        assert view.refresh() is None
    text = captured.get()

    assert "packets/s 1,500 in 3,000 out" in text
    assert "1,234 dropped" in text


def test_the_view_of_a_real_server_is_drawn_from_its_statistics():
    with Server(Session, port=0, workers=2) as server:
        parts = parts_of(server.statistics(), server.statistics(), 1.0, 2)

    assert parts[:2] == ["0 sessions (peak 0)", "packets/s 0 in 0 out"]


# -- the log --


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves: ``clock[0]`` is now."""
    now = [1000.0]
    monkeypatch.setattr(log_lines.time, "monotonic", lambda: now[0])
    return now


SERVER = logging.getLogger("proactor.server")


def test_sessions_and_warnings_are_lines_and_the_logger_is_then_as_it_was(clock):
    package = logging.getLogger("proactor")
    before = (package.level, package.propagate, list(package.handlers))
    with LogLines() as lines:
        SERVER.debug("%r: connected", "<A>")
        SERVER.warning("an accept failed")
        taken = [line[10:] for line in lines.take()]

    assert taken == ["'<A>': connected", "warning: an accept failed"]
    assert (package.level, package.propagate, list(package.handlers)) == before
    assert lines.take() == []


def test_quiet_leaves_out_what_comes_and_goes(clock):
    with LogLines(quiet=True) as lines:
        SERVER.debug("%r: connected", "<A>")
        SERVER.error("a handler raised")

        assert [line[10:] for line in lines.take()] == ["error: a handler raised"]


def test_beyond_the_limit_records_are_counted_and_told_when_their_second_is_over(clock):
    with LogLines() as lines:
        for _ in range(LINES_A_SECOND + 3):
            SERVER.debug("%r: connected", "<A>")
        SERVER.debug("%r: %s%s", "<A>", "idle", "")
        assert len(lines.take()) == LINES_A_SECOND + 1  # Another kind has a limit of its own.
        clock[0] += 1.1

        assert lines.take()[0].endswith("  left out: 3 connected")


def test_a_handler_of_the_users_gets_what_it_would_have_got_without(clock):
    heard: list[str] = []

    class Hearing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    hearing = Hearing()
    logging.root.addHandler(hearing)
    level = logging.root.level
    try:
        logging.root.setLevel(logging.INFO)
        with LogLines():
            SERVER.debug("%r: connected", "<A>")
            SERVER.info("closed")
    finally:
        logging.root.setLevel(level)
        logging.root.removeHandler(hearing)

    assert heard == ["closed"]


def test_a_record_that_cannot_be_shown_ends_nothing(clock):
    class Broken:
        def __repr__(self) -> str:
            raise ValueError("no")

    with LogLines() as lines:
        SERVER.debug("%r", Broken())  # Below what the handlers of the test's own run hear.
        (line,) = lines.take()

    assert "cannot be shown" in line


def test_no_control_character_reaches_the_console(capsys):
    print_line(Console(soft_wrap=True), "a\x1b[2Jb\x07")

    assert capsys.readouterr().out == "a\\x1b[2Jb\\x07\n"
    assert shown_plainly("plain ä") == "plain ä"

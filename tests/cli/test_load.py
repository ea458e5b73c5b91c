"""``proactor load``: what it prints, and how it ends."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rich.console import Console

from proactor.cli import app, load_live
from proactor.load import Histogram, LoadPlan, Moment
from proactor.load.failures import FailureKind
from proactor.load.generator import Counts, Phase, _native_class
from tests.cli.serving import ENVIRONMENT, WAIT, command
from tests.load.servers import MessageServer
from tests.support.sockets import closed_address

SIZE = 64
PAGE = Path(__file__).parents[2] / "docs" / "load.md"


@pytest.fixture
def answer(capsys):
    """``answer(*arguments)`` runs a load in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = app.run(["load", "--connections", "3", "--size", str(SIZE), *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_a_right_server_is_exit_code_0_and_five_lines(answer, opened):
    server = opened(MessageServer(SIZE))

    code, out, err = answer("--port", server.port, "--messages", "30")

    assert (code, err.replace(_pure_note(), "")) == (0, "")
    what, rate, latency, right = out.splitlines()
    assert what.startswith("echo of 64 B over 3 connections, 1 in flight each, closed loop; ")
    assert re.fullmatch(r"[\d,]+ messages/s: 30 in \d+\.\d\d s", rate)
    assert re.fullmatch(
        r"latency  p50 \S+ \w+  p90 \S+ \w+  p99 \S+ \w+  p99.9 \S+ \w+  max \S+ \w+", latency
    )
    assert right == "right    every reply was as it should be"


def _pure_note() -> str:
    reason = _native_class()[1]
    text = f"generating in Python, which is several times slower: {reason}"
    return f"proactor load: {text}\n" if reason else ""


def test_a_wrong_reply_is_exit_code_1_and_told_with_its_place(answer, opened):
    server = opened(MessageServer(SIZE, lambda c, n, m: b"?" + m[1:] if (c, n) == (1, 1) else m))

    code, out, err = answer("--port", server.port, "--messages", "30")

    assert code == 1
    assert "wrong    1 of 3 connections got a wrong byte" in out
    assert "every reply was as it should be" not in out
    assert re.search(r"connection 1: byte 64 of the replies is 0x3f and should be 0x\w\w", err)


def test_replies_that_do_not_come_are_exit_code_1_and_counted(answer, opened):
    server = opened(MessageServer(SIZE, lambda c, n, m: b""))

    code, out, err = answer("--port", server.port, "--timeout", "0.2")

    assert code == 1
    assert "wrong    3 of 3 connections got no answer in time" in out
    assert "missing  3 replies" in out
    assert "connection 0: 1 reply did not come in time" in err


def test_where_no_server_listens_one_line_says_so_and_what_to_do(answer):
    port = closed_address()[1]
    code, out, err = answer("--port", port)

    assert code == 1
    assert "wrong    3 of 3 connections could not be opened" in out
    assert err.count("\n") <= 2  # The generator in Python says that it is one.
    assert f"no server listens on 127.0.0.1 port {port}: start one, with proactor serve" in err


def test_a_host_that_is_not_known_is_one_line(answer):
    code, out, err = answer("--host", "no.such.host.invalid")

    assert (code, out) == (1, "")
    assert err.startswith("proactor: cannot send to 'no.such.host.invalid' port 7777: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--depth", "0"), "--depth 0 is out of range: give more than 0"),
        (("--rate", "-1"), "--rate -1.0 is out of range"),
        (("--traffic", "flood"), "unknown traffic 'flood': choose one of"),
        (("--port", "0"), "--port 0 is out of range"),
        (("--messages", "5", "--warmup", "1"), "leave --warmup out"),
        (("--warp", "5"), "No such option"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(answer, arguments, words):
    code, out, err = answer(*arguments)

    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_the_generator_in_python_says_that_it_is_slower(answer, opened):
    server = opened(MessageServer(SIZE))

    code, out, err = answer("--port", server.port, "--messages", "3", "--pure")

    assert code == 0
    assert "generated in Python" in out
    assert "generating in Python, which is several times slower: Python was asked for" in err


def test_json_is_one_object_with_the_keys_of_the_page(answer, opened):
    server = opened(MessageServer(SIZE))

    code, out, _ = answer("--port", server.port, "--messages", "30", "--json")

    told = json.loads(out)
    assert code == 0
    assert (told["right"], told["messages"], told["sent"], told["missing"]) == (True, 30, 30, 0)
    assert (told["traffic"], told["size"], told["depth"], told["port"]) == (
        "echo", SIZE, 1, server.port,
    )  # fmt: skip
    assert told["intended_rate"] is None
    assert set(told["failed"]) == {kind.name.lower() for kind in FailureKind}
    section = PAGE.read_text(encoding="utf-8").split("## The JSON object")[1]
    listed = set(re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE))
    names = set(told) | {f"latency.{name}" for name in told["latency"]}
    assert listed == (names | {f"failed.{name}" for name in told["failed"]}) - {"latency", "failed"}


def test_json_of_a_wrong_run_has_the_same_keys(answer, opened):
    server = opened(MessageServer(SIZE))

    _, right, _ = answer("--port", server.port, "--messages", "3", "--json")
    code, wrong, _ = answer("--port", closed_address()[1], "--json")

    told = json.loads(wrong)
    assert code == 1
    assert list(told) == list(json.loads(right))
    assert told["failed"]["refused"] == 3 and len(told["failures"]) == 3
    assert told["rate"] == 0 and told["latency"]["p99"] == 0


def test_the_page_explains_every_option():
    text = PAGE.read_text(encoding="utf-8")
    params = app.typer.main.get_command(app.app).commands["load"].params

    for option in params:
        assert f"`{option.opts[0]}" in text, f"docs/load.md does not explain {option.opts[0]}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends a process no such signal")
def test_a_signal_ends_it_with_the_report_so_far(opened, number):
    begun = threading.Event()

    def note(connection: int, message: int, content: bytes) -> bytes:
        if message > 500:
            begun.set()
        return content

    server = opened(MessageServer(SIZE, note))
    process = subprocess.Popen(
        command(
            *("load", "--port", str(server.port), "--size", str(SIZE), "--connections", "2"),
            *("--duration", "3600", "--warmup", "0", "--json"),
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    try:
        assert begun.wait(WAIT)
        process.send_signal(number)
        out, err = process.communicate(timeout=WAIT)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 0, err
    told = json.loads(out)
    assert told["interrupted"] and told["right"] and told["messages"] > 500
    assert "ended before its time" in err


# -- the live line --


def moment(phase: Phase, **counters: int) -> Moment:
    names = ("messages", "replies", "sent", "unsent", "missing", "outstanding", "began", "ended")
    every = dict.fromkeys((*names, "opened", "alive", "greeted"), 0) | counters
    failed = {FailureKind.WRONG: every.pop("wrong", 0)}
    histogram = Histogram()
    histogram.record(1_000_000)
    return Moment(Counts(phase, **every, failed=failed), lambda: histogram)


@pytest.mark.parametrize(
    ("phase", "counters", "words"),
    [
        (Phase.OPENING, {"opened": 7}, ["opening: 7 of 100 connections"]),
        (Phase.WARMUP, {"replies": 100}, ["warming up", "messages/s"]),
        (Phase.MEASURE, {"wrong": 2}, ["of 10 s", "p50 1.0", "p99 1.0", "2 connections failed"]),
        (Phase.DRAIN, {"outstanding": 5}, ["awaiting 5 replies"]),
    ],
)
def test_the_live_line_tells_the_phase_the_rate_and_what_failed(
    monkeypatch, phase, counters, words
):
    monkeypatch.setattr(load_live, "PERIOD", 0)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=200, color_system=None)

    with load_live.LoadLine(console, LoadPlan(1)) as line:
        line.refresh(moment(phase, **counters))

    for word in words:
        assert word in screen.getvalue()


def test_where_there_is_no_terminal_there_is_no_live_line(monkeypatch):
    monkeypatch.setattr(load_live, "PERIOD", 0)
    screen = io.StringIO()

    with load_live.LoadLine(Console(file=screen), LoadPlan(1)) as line:
        line.refresh(moment(Phase.MEASURE))

    assert screen.getvalue() == ""

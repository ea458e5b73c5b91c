"""``python -m benchmarks`` as a process: every row, valid JSON, and nothing left running."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.machine import is_without_gil
from tests.support.sockets import LIMIT

ROOT = Path(__file__).parents[2]
TINY = ("--rounds", "1", "--seconds", "0.05", "--warmup", "0", "--connections", "5")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks", *arguments]


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=50)


def test_a_tiny_run_prints_every_row_and_writes_valid_json(load_program, tmp_path):
    file = tmp_path / "results.json"
    only = ("--only", "echo-1k", "--only", "posts-2")
    peers = ("--peers", "c-epoll,asyncio,port-5@selectors,simple-queue,port@selectors")

    run = ran(*TINY, *only, *peers, "--json", str(file))

    assert run.returncode == 0, run.stderr
    first, second = json.loads(file.read_text(encoding="utf-8"))["workloads"]
    assert [row["server"] for row in first["rows"]] == ["c-epoll", "asyncio", "port-5"]
    assert [row["server"] for row in second["rows"]] == ["simple-queue", "port"]
    for row in first["rows"] + second["rows"]:
        assert row["problem"] is None
        assert row["median"]["rate"] > 0
        assert row["median"]["cpu"] > 0
    assert first["rows"][1]["ratios"]["rate x asyncio"] == 1.0
    # The tables have the same rows, and the progress names each as it is measured.
    for label in ("c-epoll", "asyncio", "port-5@selectors", "simple-queue", "port@selectors"):
        assert f"\n  {label} " in run.stdout
        assert f"round 1/1  {label}\n" in run.stderr


def test_markdown_on_standard_output_is_a_table(load_program):
    run = ran(*TINY, "--only", "posts-1", "--peers", "simple-queue", "--markdown")

    assert run.returncode == 0, run.stderr
    assert "\n## posts-1: " in run.stdout
    assert "\n| `simple-queue` | " in run.stdout


def test_sessions_are_measured_with_frames_a_fan_out_and_none_at_all(load_program):
    only = [f"--only={name}" for name in ("framed", "fanout-8", "idle")]

    run = ran(*TINY, *only, "--peers", "asyncio,session-1@selectors")

    assert run.returncode == 0, run.stderr
    for head in ("x uvloop-gathered", "deliveries/s", "memory a session"):
        assert head in run.stdout
    assert run.stdout.count("\n  session-1@selectors ") == 3


@pytest.mark.skipif(is_without_gil(), reason="here it is measured")
def test_what_needs_an_interpreter_without_gil_is_left_out_with_words(load_program):
    run = ran("--quick", "--only", "cpu-bound")

    assert run.returncode == 0, run.stderr
    assert "Left out: cpu-bound, this interpreter has the GIL" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--only", "echo-2k"), "unknown workload 'echo-2k'; known are echo-1k"),
        (("--peers", "uvlop"), "unknown peer 'uvlop'; known are"),
        (("--rounds", "0"), "give 1 to 100"),
    ],
    ids=["workload", "peer", "rounds"],
)
def test_a_name_that_is_not_there_is_misused_and_the_text_tells_the_known(
    load_program, arguments, words
):
    run = ran(*arguments)

    assert run.returncode == 2
    assert words in run.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_children(load_program, number):
    run = subprocess.Popen(
        command("--seconds", "60", "--rounds", "1", "--only", "echo-1k", "--peers", "c-epoll"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stderr is not None
    assert "c-epoll" in run.stderr.readline()
    children: list[psutil.Process] = []
    deadline = time.monotonic() + LIMIT
    while len(children) < 2 and time.monotonic() < deadline:
        children = psutil.Process(run.pid).children(recursive=True)

    run.send_signal(number)
    _, story = run.communicate(timeout=LIMIT)

    assert run.returncode == 130
    assert "interrupted; nothing is left running" in story
    assert len(children) == 2, "the server and the load"
    assert not [child for child in children if child.is_running()]

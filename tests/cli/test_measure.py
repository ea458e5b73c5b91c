"""``proactor models --measure``: all rows, whatever the bounds, and no figure for a wrong echo."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from proactor.cli.measure import _compare, _turns
from proactor.cli.measure_child import Child, ChildFailed
from proactor.cli.measure_load import LoadError, _Load
from proactor.cli.measure_rows import Measurement, Row
from proactor.models import MODELS
from tests.cli.serving import ran

SMALL = ("--seconds", "0.05", "--rounds", "1", "--size", "64")


def measurement(rate: float) -> Measurement:
    return Measurement(rate=rate, cpu=1e-5, p50=1e-4, p99=1e-3, load_share=0.5)


def test_every_model_and_asyncio_has_a_row_of_figures():
    # Long enough that each has a turn of a CPU that is busy with other things.
    words = (*SMALL, "--seconds", "0.5", "--connections", "2", "--json")
    result = ran("models", "--measure", *words)

    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert [row["server"] for row in answer["rows"]] == [*MODELS, "asyncio"]
    for row in answer["rows"]:
        assert row["messages_a_second"] > 0
        assert row["server_cpu_a_message_us"] > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert row["connections"] == 2
        assert len(row["rounds"]) == 1
    assert answer["rows"][-1]["ratio_to_asyncio"] == 1.0


def test_the_table_has_a_row_for_each_number_of_connections():
    result = ran(
        "models", "--measure", *SMALL, "--connections", "1,3", "--model", "completion-port"
    )

    assert result.returncode == 0, result.stderr
    rows = [line.split()[:2] for line in result.stdout.splitlines() if "ms" in line]
    assert rows == [
        ["completion-port", "1"],
        ["asyncio", "1"],
        ["completion-port", "3"],
        ["asyncio", "3"],
    ]
    assert "about" in result.stderr  # How long it takes is the story, not the answer.


def test_markdown_is_a_table_that_a_page_can_hold():
    result = ran("models", "--measure", *SMALL, "--connections", "1", "-m", "select", "--markdown")

    assert result.returncode == 0, result.stderr
    table = [line for line in result.stdout.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {8}
    assert table[2].startswith("| `select` | a set of sockets")


def test_the_servers_take_turns_and_each_round_begins_at_another():
    rows = [Row(name, count) for count in (1, 50) for name in ("a", "b", "c")]

    order = [(row.name, row.connections, number) for row, number in _turns(rows, 2)]

    assert [name for name, _, _ in order] == list("abcabc") + list("bcabca")
    assert [number for _, _, number in order] == [1] * 6 + [2] * 6
    assert [count for _, count, _ in order] == [1, 1, 1, 50, 50, 50] * 2


def test_the_ratio_is_the_median_of_the_rounds_not_the_ratio_of_the_medians():
    # Goal: a disturbance that hits a whole round must not show in the ratio.
    row = Row("select", 1, [measurement(50), measurement(100), measurement(100)])
    peer = Row("asyncio", 1, [measurement(100), measurement(200), measurement(150)])

    _compare([row, peer])

    assert row.ratio == 0.5


def test_a_row_that_failed_has_no_ratio():
    failed = Row("select", 1, [], problem="no reply")
    peer = Row("asyncio", 1, [measurement(100)])

    _compare([failed, peer])

    assert failed.ratio is None
    assert peer.ratio == 1.0


def test_the_load_notices_an_echo_that_is_wrong(in_thread, opened):
    listener = opened(socket.create_server(("127.0.0.1", 0)))

    def answer_wrongly() -> None:
        with listener.accept()[0] as client:
            message = bytearray(client.recv(64))
            message[-1] ^= 1
            client.sendall(message)
            client.recv(64)

    in_thread(answer_wrongly)
    load = opened(_Load(listener.getsockname()[1], 1, 16))

    with pytest.raises(LoadError, match="differs"):
        load.run(1.0)


def test_the_load_notices_the_reply_of_the_message_before(in_thread, opened):
    # Goal: a server that answers from an old buffer must not pass.
    listener = opened(socket.create_server(("127.0.0.1", 0)))

    def repeat_the_first() -> None:
        with listener.accept()[0] as client:
            first = client.recv(64)
            client.sendall(first)
            client.recv(64)
            client.sendall(first)
            client.recv(64)

    in_thread(repeat_the_first)
    load = opened(_Load(listener.getsockname()[1], 1, 32))

    with pytest.raises(LoadError, match="differs"):
        load.run(5.0)


def test_the_load_notices_a_server_that_goes_away(in_thread, opened):
    listener = opened(socket.create_server(("127.0.0.1", 0)))
    in_thread(lambda: listener.accept()[0].close())
    load = opened(_Load(listener.getsockname()[1], 1, 16))

    with pytest.raises((LoadError, ConnectionError)):
        load.run(1.0)


def test_a_child_that_fails_says_its_last_words():
    with (
        Child("measure_server", "no-such-model", 1, -1, limit=20) as child,
        pytest.raises(ChildFailed, match="no-such-model"),
    ):
        child.line()


def test_a_child_that_hangs_is_ended_at_its_limit():
    with (
        Child("measure_server", "asyncio", 1, -1, limit=1.0) as child,
        pytest.raises(ChildFailed, match="time limit"),
    ):
        child.line()  # Its port; then it waits for questions that do not come.
        child.line()


def test_a_server_ends_with_the_process_that_measures():
    # Goal: an interrupted measurement leaves no server behind.
    process = subprocess.Popen(
        [sys.executable, "-m", "proactor.cli.measure_server", "completion-port", "2", "-1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert int(process.stdout.readline()) > 0

    process.communicate(timeout=15)  # Closes its standard input.

    assert process.returncode == 0

"""Each example as its user runs it: a process, a port, clients, Ctrl-C."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.examples.program import ROOT, Example
from tests.scenarios.serving import close_waits, echo
from tests.support.sockets import pattern, read_exactly, read_to_end, reset
from tests.support.streams import eventually

NO_ECHO = {"arena.py", "chat_rooms.py", "line_protocol.py"}  # See test_server_examples.py.
EXAMPLES = sorted({path.name for path in (ROOT / "examples").glob("*.py")} - NO_ECHO)
LOGGING_EXAMPLES = ["callback_server.py", "completion_port_server.py"]
MESSAGE = pattern(100)

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="ends the examples with SIGINT, as Ctrl-C does on a terminal"
)


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> Iterator[Example]:
    running = Example(request.param)
    yield running
    running.close()


def test_it_echoes_to_several_clients_at_once(example):
    with ExitStack() as stack:
        clients = [stack.enter_context(example.client()) for _ in range(10)]
        for turn in range(3):
            for number, client in enumerate(clients):
                client.sendall(pattern(100 + number, turn))
            for number, client in enumerate(clients):
                assert read_exactly(client, 100 + number) == pattern(100 + number, turn)


def test_a_client_that_ends_its_side_gets_everything_and_then_the_end(example):
    with example.client() as client:
        client.sendall(pattern(50_000))
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(client) == pattern(50_000)


def test_it_outlives_resets_and_short_clients(example):
    for number in range(20):
        client = example.client()
        assert echo(client, MESSAGE) == MESSAGE
        if number % 2:
            reset(client)
        else:
            client.close()

    with example.client() as client:
        assert echo(client, MESSAGE) == MESSAGE


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux' own table of connections")
def test_it_leaves_no_connection_in_close_wait(example):
    for _ in range(10):
        with example.client() as client:
            assert echo(client, MESSAGE) == MESSAGE

    assert eventually(lambda: close_waits(example.address[1]) == 0)


def test_ctrl_c_ends_it_cleanly_with_and_without_clients(example):
    with example.client() as client, example.client():
        assert echo(client, MESSAGE) == MESSAGE
        assert eventually(example.is_waiting)

        assert example.interrupt() == (0, "")


@pytest.mark.parametrize("example", LOGGING_EXAMPLES, indirect=True)
def test_it_reports_each_byte_and_each_client_once(example):
    # Goal: the programs of the article reported a burst twice, or the end for ever.
    with example.client() as client:
        for _ in range(10):
            client.sendall(MESSAGE)
        assert read_exactly(client, 1000) == MESSAGE * 10
        assert echo(client, pattern(2500)) == pattern(2500)
    assert example.says("Client Disconnected")
    with example.client() as client:
        assert echo(client, MESSAGE) == MESSAGE
    assert example.says("Client Disconnected", times=2)

    received = [
        int(line.split("=")[1]) for line in example.lines if line.startswith(("Data", "Recv"))
    ]
    assert sum(received) == 1000 + 2500 + 100
    assert max(received) <= 1000
    assert sum("Client Connected" in line for line in example.lines) == 2
    assert sum("Client Disconnected" in line for line in example.lines) == 2


def test_the_short_one_is_short():
    text = (ROOT / "examples" / "echo_20_lines.py").read_text()
    assert sum(bool(line.strip()) for line in text.splitlines()) <= 20

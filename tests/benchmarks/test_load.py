"""The load generator: it must notice whatever a server does wrong."""

from __future__ import annotations

import struct
import subprocess
import threading
from contextlib import suppress

import pytest

from tests.benchmarks.programs import FaultyEcho, run_load
from tests.load.servers import FanOutServer, ThreadedServer, exactly


def test_a_right_echo_is_measured_and_nothing_is_wrong(load_program, opened):
    server = opened(FaultyEcho(lambda number, count, data: data))

    run = run_load(load_program, server.port, "--connections", "3", "--depth", "4")

    assert (run.code, run.story) == (0, "")
    figures = run.figures
    assert figures["messages"] > 10
    assert figures["wrong"] == figures["dropped"] == figures["missing"] == 0
    assert 0 < figures["p50"] <= figures["p90"] <= figures["p99"] <= figures["max"] < 0.7


def test_messages_are_found_again_however_the_stream_is_cut(load_program, opened):
    # Method: messages of 9 bytes, whose echo goes out 5 bytes at a time: replies begin and end
    # anywhere, also within the header.
    server = opened(FaultyEcho(lambda number, count, data: data, part=5))

    run = run_load(load_program, server.port, "--connections", "2", "--size", "9", "--depth", "64")

    assert (run.code, run.story) == (0, "")
    assert run.figures["messages"] > 10


@pytest.mark.parametrize(
    "position",
    [pytest.param(0, id="the header"), pytest.param(8, id="the body"), pytest.param(-1, id="end")],
)
def test_one_wrong_bit_is_noticed(load_program, opened, position):
    def flip(number: int, count: int, data: bytes) -> bytes:
        wrong = bytearray(data)
        if number == 1 and count == 3:
            wrong[position] ^= 1
        return bytes(wrong)

    server = opened(FaultyEcho(flip))

    run = run_load(load_program, server.port, "--connections", "2", "--size", "1024")

    assert run.code == 1
    assert run.figures["wrong"] == 1
    assert "a reply is not what was sent" in run.story


def test_a_reply_of_another_connection_is_noticed(load_program, opened):
    # Goal: an engine that mixes up two sessions must not pass because all messages look alike.
    first: dict[int, bytes] = {}

    def mix(number: int, count: int, data: bytes) -> bytes:
        first.setdefault(number, data)
        return first.get(0, data)

    server = opened(FaultyEcho(mix))

    run = run_load(load_program, server.port, "--connections", "2", "--size", "512")

    assert run.code == 1
    assert run.figures["wrong"] >= 1


def test_an_old_reply_sent_again_is_noticed(load_program, opened):
    first: list[bytes] = []

    def repeat(number: int, count: int, data: bytes) -> bytes:
        first.append(data)
        return first[0]

    server = opened(FaultyEcho(repeat))

    run = run_load(load_program, server.port, "--connections", "1")

    assert run.code == 1
    assert run.figures["wrong"] == 1


def test_more_than_was_sent_is_noticed(load_program, opened):
    server = opened(FaultyEcho(lambda number, count, data: data + b"x" if count == 2 else data))

    run = run_load(load_program, server.port, "--connections", "1")

    assert run.code == 1
    assert run.figures["wrong"] == 1


def test_a_dropped_connection_is_noticed_and_the_others_go_on(load_program, opened):
    def drop(number: int, count: int, data: bytes) -> bytes | None:
        return None if number == 0 and count == 2 else data

    server = opened(FaultyEcho(drop))

    run = run_load(load_program, server.port, "--connections", "3")

    assert run.code == 1
    assert (run.figures["dropped"], run.figures["wrong"]) == (1, 0)
    assert run.figures["messages"] > 10


def test_a_server_that_falls_silent_is_not_waited_for_forever(load_program, opened):
    server = opened(FaultyEcho(lambda number, count, data: b"" if count == 2 else data))

    run = run_load(load_program, server.port, "--connections", "2")

    assert run.code == 1
    assert run.figures["missing"] == 2
    assert "2 replies are missing" in run.story


def test_nobody_listening_is_an_error_and_not_zero_messages(load_program, opened):
    server = FaultyEcho(lambda number, count, data: data)
    server.close()

    run = run_load(load_program, server.port, "--connections", "2")

    assert run.code == 1
    assert run.figures["dropped"] == 2
    assert "Connection refused" in run.story


def test_frames_are_measured_as_messages_are(load_program, opened):
    server = opened(FaultyEcho(lambda number, count, data: data, part=7))

    run = run_load(load_program, server.port, "--traffic", "framed", "--size", "36", "--depth", "9")

    assert (run.code, run.story) == (0, "")
    assert run.figures["messages"] > 10


@pytest.mark.parametrize(
    ("answer", "depth", "key", "word"),
    [
        pytest.param(lambda m, s, n, frame: [frame], 4, None, "", id="right"),
        pytest.param(
            lambda m, s, n, frame: [] if (m, s, n) == (2, 1, 2) else [frame],
            4, "wrong", "a frame is missing", id="lost",
        ),
        pytest.param(
            lambda m, s, n, frame: [] if (m, s, n) == (2, 1, 2) else [frame],
            1, "missing", "no reply in time", id="awaited",
        ),
        pytest.param(
            lambda m, s, n, frame: [frame, frame] if (m, s, n) == (2, 1, 2) else [frame],
            4, "wrong", "a frame came twice", id="twice",
        ),
        pytest.param(
            lambda m, s, n, frame: [frame[:-1] + b"?"] if (m, s, n) == (2, 1, 2) else [frame],
            4, "wrong", "a reply is not what was sent", id="wrong",
        ),
    ],
)  # fmt: skip
def test_a_fan_out_is_checked_for_every_member(load_program, opened, answer, depth, key, word):
    server = opened(FanOutServer(40, answer))

    run = run_load(
        load_program, server.port, "--traffic", "fanout", "--size", "40", "--connections", "3",
        "--depth", str(depth),
    )  # fmt: skip

    assert run.code == (0 if key is None else 1)
    assert run.figures["messages"] > 10
    assert word in run.story
    if key is not None:
        assert run.figures[key] >= 1


class Hall(ThreadedServer):
    """Whoever is connected is a member; each frame goes to all."""

    def __init__(self, size: int) -> None:
        self.size, self.lock = size, threading.Lock()
        self.members: list = []
        self.heard: set[int] = set()
        super().__init__()

    def serve(self, number, sock) -> None:
        with self.lock:
            self.members.append(sock)
        while len(frame := exactly(sock, self.size)) == self.size:
            with self.lock:
                self.heard.add(struct.unpack_from("<II", frame, 4)[1])
                for member in self.members:
                    with suppress(OSError):  # It has left, at the end of the load.
                        member.sendall(frame)


def test_with_few_senders_the_others_only_listen_and_are_checked_all_the_same(load_program, opened):
    server = opened(Hall(40))

    run = run_load(
        load_program, server.port, "--traffic", "fanout", "--size", "40", "--connections", "7",
        "--senders", "2", "--depth", "3",
    )  # fmt: skip

    assert (run.code, run.story) == (0, "")
    assert run.figures["messages"] > 10
    assert server.heard == {0, 1}


def test_a_listener_that_nobody_sends_to_is_missed(load_program, opened):
    # Goal: who only listens owes nothing, and must not be taken for served.
    class Deaf(Hall):
        def serve(self, number, sock) -> None:
            if number != 2:
                super().serve(number, sock)
            else:
                exactly(sock, 1)

    server = opened(Deaf(40))

    run = run_load(
        load_program, server.port, "--traffic", "fanout", "--size", "40", "--connections", "3",
        "--senders", "1",
    )  # fmt: skip

    assert run.code == 1
    assert "connection 2" in run.story


@pytest.mark.parametrize(
    "options",
    [
        ("--size", "7"),
        ("--connections", "0"),
        ("--depth", "0"),
        ("--seconds", "0"),
        ("--what",),
        ("--traffic", "flood"),
        ("--senders", "-1"),
        ("--traffic", "fanout", "--size", "11"),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_misused(load_program, options):
    run = subprocess.run([load_program, "--port", "1", *options], capture_output=True, text=True)

    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1

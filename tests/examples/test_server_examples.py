"""The examples of the server core that do more than echo."""

from __future__ import annotations

import re
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from proactor import Packet, PacketFraming
from tests.examples.program import ROOT, Example
from tests.support.sockets import LIMIT, read_exactly
from tests.support.streams import eventually

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="ends the examples with SIGINT, as Ctrl-C does on a terminal"
)

NEW = ["server_echo.py", "chat_rooms.py", "arena.py", "line_protocol.py", "article_server.py"]


@pytest.fixture
def example(request: pytest.FixtureRequest) -> Iterator[Example]:
    running = Example(request.param)
    yield running
    running.close()


def on(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("example", [name], indirect=True, ids=[name])


class Lines:
    """A client that speaks lines."""

    def __init__(self, example: Example) -> None:
        self.sock = example.client()
        self.file = self.sock.makefile("rb")

    def say(self, *lines: str) -> None:
        self.sock.sendall("".join(line + "\n" for line in lines).encode())

    def hears(self) -> str:
        return self.file.readline().decode().rstrip("\n")

    def hears_until(self, line: str) -> list[str]:
        heard = []
        while not heard or heard[-1] != line:
            heard.append(self.hears())
            assert heard[-1], f"the end after {heard[:-1]}"
        return heard[:-1]

    def hears_until_it_has(self, word: str) -> str:
        while word not in (line := self.hears()):
            assert line, f"the end, and no {word}"
        return line

    def close(self) -> None:
        self.file.close()
        self.sock.close()


@on("chat_rooms.py")
def test_a_chat_has_rooms_names_and_moves(example, opened):
    ann = opened(Lines(example))
    assert ann.hears().startswith("* hello")
    ann.say("/name ann", "/join garden")
    ann.hears_until("* ann joins garden")

    ben = opened(Lines(example))
    ben.say("/name ben", "in the lobby", "/join garden", "hello")
    ben.hears_until("ben: in the lobby")
    ben.hears_until("ben: hello")
    # Of the lobby she hears nothing.
    assert [ann.hears(), ann.hears()] == ["* ben joins garden", "ben: hello"]
    ann.say("/who")
    assert ann.hears() == "* here: ann, ben"
    ben.say("/quit")
    ben.hears_until("* bye")
    ben.close()
    assert ann.hears() == "* ben leaves garden"


@on("chat_rooms.py")
def test_a_guest_who_floods_is_closed(example, opened):
    ann, ben = opened(Lines(example)), opened(Lines(example))
    ben.hears_until_it_has("joins")
    ann.say(*["x"] * 60)
    ann.file.read()  # To the end.
    ann.close()
    assert re.fullmatch(r"\* guest\d+ leaves lobby", ben.hears_until_it_has("leaves"))


@on("chat_rooms.py")
def test_a_chat_says_good_bye(example, opened):
    ann = opened(Lines(example))
    ann.say("hello")
    ann.hears_until_it_has(": hello")  # Else she may still be waiting to be accepted.
    example.process.send_signal(signal.SIGTERM)
    assert "* the server stops" in ann.file.read().decode()
    ann.close()
    assert example.process.wait(LIMIT) == 0


class Pilot:
    """A client of the arena."""

    framing = PacketFraming(2048)

    def __init__(self, example: Example) -> None:
        self.sock = example.client()
        id, body = self.receive()
        assert id == 2
        [self.number] = struct.unpack("<I", body)

    def receive(self) -> tuple[int, bytes]:
        size, id = struct.unpack("<HH", read_exactly(self.sock, 4))
        return id, read_exactly(self.sock, size - 4)

    def steer(self, dx: int, dy: int) -> None:
        self.sock.sendall(self.framing.encode(Packet(1, struct.pack("<bb", dx, dy))))

    def state(self) -> tuple[int, dict[int, tuple[int, int]]]:
        id, body = self.receive()
        assert id == 3
        [tick] = struct.unpack_from("<I", body)
        players = struct.iter_unpack("<Iii", body[4:])
        return tick, {number: (x, y) for number, x, y in players}

    def close(self) -> None:
        self.sock.close()


@on("arena.py")
def test_everybody_in_the_arena_sees_everybody_move(example, opened):
    one, two = opened(Pilot(example)), opened(Pilot(example))
    assert one.number != two.number
    one.steer(3, 1)

    def has_moved() -> bool:
        _, players = two.state()
        return players.get(one.number, (0, 0))[0] >= 9

    assert eventually(has_moved)
    tick, players = two.state()
    x, y = players[one.number]
    assert x == 3 * y and players[two.number] == (0, 0)
    assert two.state()[0] > tick


@on("arena.py")
def test_a_player_who_does_not_read_holds_nobody_up(example, opened):
    opened(Pilot(example))
    reading = opened(Pilot(example))
    ticks = [reading.state()[0] for _ in range(20)]
    # Of two states that wait the later one is sent: on a busy machine one may be left out.
    assert ticks == sorted(set(ticks)) and ticks[-1] - ticks[0] < 40


@on("line_protocol.py")
def test_lines_set_get_and_watch(example, opened):
    one, two = opened(Lines(example)), opened(Lines(example))
    one.say("GET color", "WATCH color")
    assert [one.hears(), one.hears()] == ["NONE", "OK"]
    two.say("SET color deep blue", "GET color", "JUMP", "", "GET")
    assert [two.hears() for _ in range(5)] == [
        "OK",
        "VALUE deep blue",
        "ERROR no such command: JUMP",
        "ERROR no such command: ",
        "ERROR wrong number of words for GET",
    ]
    assert one.hears() == "CHANGED color deep blue"
    two.say("QUIT")
    assert two.file.read() == b"BYE\n"


@on("line_protocol.py")
def test_a_line_that_never_ends_closes_its_session_only(example, opened):
    good, bad = opened(Lines(example)), opened(Lines(example))
    bad.sock.sendall(b"x" * 5000)
    with suppress(ConnectionResetError):
        assert bad.sock.recv(10) == b""
    good.say("GET x")
    assert good.hears() == "NONE"


@pytest.mark.parametrize("example", NEW, indirect=True)
def test_ctrl_c_ends_each_of_them(example):
    with example.client() as client:
        client.sendall(b"/who\n")
        assert eventually(example.is_waiting)
        assert example.interrupt() == (0, "")


@pytest.mark.parametrize("name", NEW)
def test_each_is_under_a_hundred_lines(name):
    lines = (ROOT / "examples" / name).read_text().splitlines()
    assert len(lines) < 100
    if name == "server_echo.py":
        assert sum(bool(line.strip()) for line in lines) <= 10

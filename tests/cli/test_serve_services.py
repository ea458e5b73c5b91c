"""``proactor serve SERVICE`` as its user and its clients see it, each in a process of its own."""

from __future__ import annotations

import re
import signal
import socket
import struct
from pathlib import Path
from textwrap import dedent

import pytest

from proactor import Packet, PacketFraming
from tests.cli.serving import WAIT, Serving, Terminal, echoed, ran
from tests.support.sockets import read_exactly

NO_FOLDER = "import sys; sys.path.remove('')"
"""As the console script starts: the current folder is not where Python looks by itself."""


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Lines:
    """A client of the chat that speaks lines."""

    def __init__(self, server: Serving) -> None:
        self.sock = server.connect()
        self.file = self.sock.makefile("rb")

    def say(self, *lines: str) -> None:
        self.sock.sendall("".join(line + "\n" for line in lines).encode())

    def hears(self) -> str:
        return self.file.readline().decode().rstrip("\n")

    def hears_until(self, line: str) -> list[str]:
        heard = [self.hears()]
        while heard[-1] != line:
            assert heard[-1], f"the end after {heard[:-1]}"
            heard.append(self.hears())
        return heard[:-1]

    def close(self) -> None:
        self.file.close()
        self.sock.close()


def next_packet(sock: socket.socket) -> Packet:
    size, number = struct.unpack("<HH", read_exactly(sock, 4))
    return Packet(number, read_exactly(sock, size - 4))


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(dedent(text), encoding="utf-8")
    return path


# -- what is built in --


def test_the_first_lines_say_what_is_served_where_on_which_engine_and_how_to_stop():
    with Serving("echo", "--workers", "3", "--max-sessions", "40", "--drain", "1.5") as server:
        lines = server.first_lines

    port = server.address[1]
    assert lines[0] == "serving echo: framing raw, 3 workers, 40 sessions at most"
    assert re.fullmatch(r"engine [\w-]+: .+", lines[1])
    assert lines[2] == f"listening on 127.0.0.1:{port}, try: nc 127.0.0.1 {port}"
    assert lines[3].startswith("Ctrl-C stops it: sessions then have 1.5 s to end")


def test_echo_sends_back_what_comes_and_ends_in_order_at_ctrl_c():
    with Serving("echo") as server:
        with server.connect() as client:
            assert echoed(client, b"hello") == b"hello"
        server.line_with("the peer closed the connection")
        server.signal(signal.SIGINT)
        code, output, story = server.ended()

    assert (code, story) == (0, "")
    last = output.splitlines()[-1]
    assert "1 session (1 the peer closed the connection)" in last
    assert "packets 1 in, 1 out, bytes 5 B in, 5 B out" in last


@pytest.mark.parametrize("limit", [2_000, 400_000])
def test_echo_loses_nothing_of_a_client_that_reads_late(in_thread, limit):
    # Goal: a client that sends without reading is slowed, and not closed as a slow consumer.
    # Method: the smaller limit is less than what comes in one piece.
    amount = 24 * 1024 * 1024
    piece = bytes(range(251)) * 4_000
    sent = (piece * (amount // len(piece) + 1))[:amount]
    with Serving("echo", "--send-limit", str(limit)) as server, server.connect() as client:
        sending = in_thread(client.sendall, sent)
        sending.thread.join(0.2)
        assert sending.thread.is_alive(), "the server took it all, and has it in memory"
        assert read_exactly(client, amount) == sent
        sending.result(WAIT)


@pytest.mark.parametrize(
    ("service", "framing", "traffic"),
    [
        ("echo", "packet", "framed"),
        ("echo", "packet:byteorder=big", "framed --big-endian"),
        ("fanout", "packet", "fanout"),
        ("fanout", "packet:byteorder=big", "fanout --big-endian"),
    ],
)
def test_the_load_that_the_first_lines_name_is_answered(service, framing, traffic):
    with Serving(service, "--framing", framing) as server:
        kind, *rest = traffic.split()
        where = ["--host", server.address[0], "--port", str(server.address[1])]
        words = " ".join(["load", "--traffic", kind, *where, *rest])
        assert server.first_lines[2].endswith(f", try: proactor {words}")
        result = ran(*words.split(), "--messages", "200", "-c", "4", "--pure")

    assert result.returncode == 0, result.stdout + result.stderr
    assert "every reply was as it should be" in result.stdout


@pytest.mark.parametrize(
    "framing", ["packet:id_bytes=4", "packet:size_includes_header=false", "delimiter", "varint"]
)
def test_no_line_names_a_load_or_a_client_that_the_framing_would_not_understand(framing):
    options = r"delimiter:delimiter=\r\n" if framing == "delimiter" else framing
    with Serving("echo", "--framing", options) as server:
        assert "try" not in server.first_lines[2]


def test_fanout_sends_to_all_in_any_framing_and_to_nobody_who_has_left(opened):
    with Serving("fanout", "--framing", "lines") as server:
        ann, ben, cem = (opened(Lines(server)) for _ in range(3))
        for one in (ann, ben, cem):  # Who is connected need not be a member yet.
            one.say("here")
            one.hears_until("here")
        cem.file.close()
        reset(cem.sock)
        server.line_with("the connection was reset")
        ann.say("hello")
        ann.hears_until("hello")
        ben.hears_until("hello")


def test_a_chat_by_lines_has_names_rooms_and_an_end(opened):
    with Serving("chat") as server:
        ann, ben = opened(Lines(server)), opened(Lines(server))
        ann.say("/name ann", "/join garden")
        ann.hears_until("* ann joins garden")
        ben.say("/name ben", "in the lobby", "/join garden", "hello \x1b[31m\x07all")
        ben.hears_until("ben: in the lobby")
        assert [ann.hears(), ann.hears()] == ["* ben joins garden", "ben: hello [31mall"]
        ann.say("/who")
        assert ann.hears() == "* here: ann, ben"
        ann.say("/rooms")
        assert ann.hears().startswith("* rooms: garden")
        ann.say("/dance", "/quit")
        assert [ann.hears() for _ in range(2)] == [
            "* no such command: /dance; /name NAME, /join ROOM, /who, /rooms, /quit",
            "* bye",
        ]
        assert ann.hears() == ""
        ben.hears_until("* ann leaves garden")


def test_a_chat_says_how_it_is_used_and_who_is_called_what(opened):
    with Serving("chat") as server:
        ann, ben = opened(Lines(server)), opened(Lines(server))
        greeting = ann.hears()
        assert re.fullmatch(
            r"\* hello guest\d+: what you type is said to the room, but for /name NAME, "
            r"/join ROOM, /who, /rooms, /quit",
            greeting,
        )
        guest = greeting.split()[2].rstrip(":")
        ben.say("/name ben")
        ben.hears_until("* you are ben")
        ann.say("/name ann", "hi")
        ben.hears_until(f"* {guest} is ann now")
        assert ben.hears() == "ann: hi"


def test_a_chat_by_packets_says_what_was_said_and_what_is_a_notice(opened):
    framing = PacketFraming()
    with Serving("chat", "--framing", "packet") as server:
        client = opened(server.connect())
        client.sendall(framing.encode(Packet(1, b"/name ann")) + framing.encode(Packet(1, b"hi")))
        heard = [next_packet(client)]
        while heard[-1] != Packet(1, b"ann: hi"):
            assert heard[-1].id == 2
            heard.append(next_packet(client))

    assert Packet(2, b"* you are ann") in heard


def test_a_line_of_a_chat_is_cut_before_it_is_too_long_for_its_framing(opened):
    with Serving("chat") as server:
        client = opened(Lines(server))
        client.say("/name " + "n" * 50, "ä" * 499)
        client.hears_until("* you are " + "n" * 20)
        while (line := client.hears()).startswith("*"):
            pass

    assert line.startswith("n" * 20 + ": ää")
    assert 960 < len(line.encode()) < 1000


@pytest.mark.parametrize("framing", ["raw", "fixed:16", "length:length_offset=2"])
def test_a_chat_refuses_a_framing_without_lines(answer, framing):
    code, out, err = answer("serve", "chat", "--port", "0", "--framing", framing)

    assert (code, out) == (2, "")
    assert err.startswith("proactor: chat cannot serve: a chat speaks in lines")
    assert len(err.splitlines()) == 1


# -- a class of one's own --

OWN = """
    import proactor

    class Shouting(proactor.Session):
        framing = proactor.DelimiterFraming()

        def on_packet(self, line):
            if line == b"raise":
                raise ValueError("a bad line\\x1b[2J")
            self.send(line.upper())
"""


def test_a_class_of_ones_own_is_served_from_the_current_folder(tmp_path, opened):
    written(tmp_path, "loud/voices.py", OWN)
    with Serving("loud.voices:Shouting", code=NO_FOLDER, cwd=tmp_path) as server:
        client = opened(Lines(server))
        client.say("hello")
        assert client.hears() == "HELLO"
        assert server.first_lines[0].startswith("serving loud.voices:Shouting: framing lines")


def test_what_a_handler_raises_is_logged_with_its_session_and_without_control_characters(
    tmp_path, opened
):
    written(tmp_path, "voices.py", OWN)
    with Serving("voices:Shouting", cwd=tmp_path) as server:
        client = opened(Lines(server))
        client.say("raise")
        line = server.line_with("a handler raised")
        assert re.search(r"  error: <Shouting 0x[0-9a-f]+ 127.0.0.1:\d+ \w+>: a handler", line)
        assert server.line_with("ValueError: ") == r"ValueError: a bad line\x1b[2J"


def test_a_server_that_is_stopped_by_its_own_session_ends_the_command(tmp_path):
    written(
        tmp_path,
        "ending.py",
        """
        import proactor

        class Last(proactor.Session):
            def on_received(self, received):
                self.server.stop()
        """,
    )
    with Serving("ending:Last", cwd=tmp_path) as server, server.connect() as client:
        client.sendall(b"x")
        assert client.recv(1) == b""
        client.close()
        code, output, _ = server.ended()

    assert code == 0
    assert output.splitlines()[-1].startswith("stopped after")


# -- options reach the server, from flags and from a file --


def test_one_session_more_than_max_sessions_is_refused(opened):
    with Serving("echo", "--max-sessions", "1") as server:
        first = opened(server.connect())
        assert echoed(first, b"1") == b"1"
        with pytest.raises(ConnectionResetError):  # Perhaps before `connect` is back.
            opened(server.connect()).recv(1)
        assert "as many sessions as the server may have" in server.line_with("refused")
        first.close()
        server.signal(signal.SIGTERM)
        output = server.ended()[1]

    assert "1 refused (1 as many sessions as the server may have)" in output


def test_a_file_says_what_is_served_and_a_flag_wins_over_it(tmp_path, opened):
    config = written(
        tmp_path,
        "server.toml",
        """
        service = "chat"
        workers = 2
        max-sessions = 7
        idle_timeout = 0.3
        quiet = true
        """,
    )
    with Serving("--config", str(config), "--workers", "4") as server:
        assert server.first_lines[0] == "serving chat: framing lines, 4 workers, 7 sessions at most"
        client = opened(Lines(server))
        while client.hears():  # Idle: it is closed.
            pass
        client.close()
        server.signal(signal.SIGINT)
        output = server.ended()[1]

    assert "1 nothing came for the idle time-out" in output
    assert "connected" not in output  # As `quiet` says.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("sing",),
            "unknown service 'sing': choose one of echo, chat, fanout, or name a class of your own",
        ),
        (("echo", "--model", "select"), "--model and a service exclude each other"),
        (("--idle-timeout", "3"), "--idle-timeout is for a service: name one, as in proactor"),
        (("echo", "--idle-timeout", "0"), "--idle-timeout is a number above 0, or off, not 0.0"),
        (("echo", "--idle-timeout", "soon"), "--idle-timeout is a number, or \"off\", not 'soon'"),
        (("echo", "--workers", "0"), "--workers is 1 or more, not 0"),
        (("echo", "--workers", "many"), "Invalid value for '--workers'"),
        (("echo", "--drain", "-1"), "--drain is 0 or more seconds, not -1.0"),
        (("echo", "--slow-consumer", "wait"), "one of close, drop-oldest, drop-newest, latest, re"),
        (("echo", "--framing", "frames"), "--framing is one of raw, lines, packet"),
        (("echo", "--send-limit", "0"), "--send-limit is 1 or more, not 0"),
        (("echo", "--inbox-high", "9", "--inbox-low", "10"), "--inbox-low is from 0 to inbox_high"),
        (("echo", "--report", "0"), "--report is a number of seconds above 0, or off, not '0'"),
        (("echo", "--host", "no.such.host.invalid"), "unknown host 'no.such.host.invalid'"),
        (("echo", "--host", "192.0.2.1"), "this machine has no such address; leave --host out"),
        (("echo", "--engine", "fast"), "unknown engine 'fast'"),
        (("echo", "--config", "no.toml"), "cannot read the configuration no.toml: No such file"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(answer, arguments, words):
    code, out, err = answer("serve", "--port", "0", *arguments)

    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert err.startswith("proactor: ")


def test_a_port_in_use_is_one_line_with_the_remedy(answer):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = answer("serve", "echo", "--port", str(port))

    assert code == 2
    assert err == (
        f"proactor: cannot listen on 127.0.0.1:{port}: the port is in use; choose another with "
        "--port, or --port 0 for a free one\n"
    )


# -- the end --

FEEDING = """
    import proactor

    class Feeding(proactor.Session):
        def on_connected(self):
            self.send(b"x" * 20_000_000)
"""


def test_sigterm_delivers_what_is_queued_before_it_ends(tmp_path, opened):
    written(tmp_path, "feeding.py", FEEDING)
    arguments = ("feeding:Feeding", "--send-limit", "30000000", "--drain", "10")
    with Serving(*arguments, "--close-timeout", "10", cwd=tmp_path) as server:
        client = opened(server.connect())
        server.line_with("connected")
        server.signal(signal.SIGTERM)
        server.line_with("stopping: 1 session may take up to 10 s to end")
        assert len(read_exactly(client, 20_000_000)) == 20_000_000
        assert client.recv(1) == b""
        client.close()  # Until then the server waits for it, as TCP's polite end does.
        code, output, story = server.ended()

    assert (code, story) == (0, "")
    assert "1 session (1 the server stops)" in output


def test_what_does_not_read_is_reset_when_the_time_to_drain_is_over(tmp_path, opened):
    written(tmp_path, "feeding.py", FEEDING)
    arguments = ("feeding:Feeding", "--send-limit", "30000000", "--drain", "0.2")
    with Serving(*arguments, cwd=tmp_path) as server:
        client = opened(server.connect())
        server.line_with("connected")
        server.signal(signal.SIGTERM)
        assert server.ended()[0] == 0
        with pytest.raises(ConnectionResetError):
            while client.recv(1 << 20):
                pass


def test_a_second_signal_ends_it_at_once(tmp_path, opened):
    written(tmp_path, "feeding.py", FEEDING)
    arguments = ("feeding:Feeding", "--send-limit", "30000000", "--drain", "600")
    with Serving(*arguments, "--close-timeout", "600", cwd=tmp_path) as server:
        opened(server.connect())
        server.line_with("connected")
        server.signal(signal.SIGINT)
        server.line_with("Ctrl-C again stops at once")
        server.signal(signal.SIGINT)
        assert server.ended()[0] == 130


# -- what is printed --


def test_without_a_terminal_there_are_plain_lines_and_no_control_characters():
    with Serving("echo", "--report", "0.2") as server:
        with server.connect() as client:
            echoed(client, b"hello")
            status = server.line_with("status: 1 session (peak 1), packets/s")
            reset(client)
        server.line_with("the connection was reset")
        server.signal(signal.SIGINT)
        _, output, story = server.ended()

    assert "queued 0 B in 0 packets, 0 dropped, 0 too slow" in status
    text = "\n".join([*server.first_lines, status, output, story])
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


def test_sessions_come_and_go_with_their_ids_in_the_log():
    with Serving("echo") as server:
        with server.connect() as client:
            host, port = client.getsockname()
            came = server.line_with("connected")
        went = server.line_with("the peer closed")

    pattern = r"\d\d:\d\d:\d\d  <Echo (0x[0-9a-f]+) ([\d.:]+) \w+>: (.*)"
    found = [re.fullmatch(pattern, line) for line in (came, went)]
    assert found[0] and found[1], (came, went)
    assert found[0][1] == found[1][1]
    assert [match[2] for match in found if match] == 2 * [f"{host}:{port}"]
    assert found[0][3] == "connected"


def test_on_a_terminal_the_view_shows_the_server_and_leaves_the_screen_clean():
    with Terminal("serve", "echo", "--port", "0", "--quiet") as terminal:
        port = terminal.port()
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            echoed(client, b"hello")
            terminal.read_until(rb"1 session \(peak 1\).*packets/s.*bytes/s.*queued.*dropped")
        terminal.process.send_signal(signal.SIGINT)
        rest = terminal.read_until(rb"stopped.*after.*\n")
        assert terminal.process.wait(10) == 0

    assert b"\x1b[?25h" in rest  # The cursor is shown again.

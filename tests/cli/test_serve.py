"""``proactor serve --model`` as its user sees it: first lines, lines for connections, the end."""

from __future__ import annotations

import re
import signal
import socket

import pytest

from proactor.models import MODELS
from tests.cli.serving import Serving, Terminal, echoed, ran


def test_the_first_lines_say_what_runs_on_which_engine_and_how_to_try_it():
    with Serving("--workers", "3") as server:
        text = "\n".join(server.first_lines)

    assert "completion-port echo server, 3 workers" in text
    assert re.search(r"^engine [\w-]+: .+", text, re.MULTILINE)
    host, port = server.address
    assert f"listening on 127.0.0.1:{port}, try: nc 127.0.0.1 {port}" in text
    assert host == "127.0.0.1" and port != 0  # Port 0 was asked for: the real one is named.


@pytest.mark.parametrize("model", MODELS)
def test_each_model_echoes_and_ends_in_order_at_ctrl_c(model):
    with Serving("--model", model) as server:
        with server.connect() as client:
            assert echoed(client, b"hello") == b"hello"
            server.line_with("sent 5 B")
        server.line_with("disconnected")
        server.signal(signal.SIGINT)
        code, output, story = server.ended()

    assert (code, story) == (0, "")
    assert "1 connection (1 peer closed), 1 message, 5 B in, 5 B out" in output


def test_sigterm_ends_in_order_while_a_client_is_connected():
    with Serving() as server, server.connect() as client:
        echoed(client, b"hello")
        server.signal(signal.SIGTERM)
        code, output, story = server.ended()
        assert client.recv(1) == b""

    assert (code, story) == (0, "")
    assert "disconnected: server stopped" in output
    assert "stopped after" in output.splitlines()[-1]


def test_every_connection_has_its_lines_in_order():
    with Serving() as server, server.connect() as client:
        host, port = client.getsockname()
        echoed(client, b"0123456789")
        client.shutdown(socket.SHUT_WR)
        lines = [server.line() for _ in range(4)]

    what = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in lines]
    assert [line.split(maxsplit=1) for line in what] == [
        [f"{host}:{port}", "connected"],
        [f"{host}:{port}", "received 10 B"],
        [f"{host}:{port}", "sent 10 B"],
        [f"{host}:{port}", "disconnected: peer closed"],
    ]


def test_above_the_rate_limit_one_line_says_how_many_were_left_out():
    with Serving() as server, server.connect() as client:
        for _ in range(100):
            echoed(client, b"x")
        line = server.line_with("left out")

    assert re.search(r"left out: \d+ received, \d+ sent", line)


def test_quiet_leaves_the_lines_out_but_not_the_summary():
    with Serving("--quiet") as server:
        with server.connect() as client:
            echoed(client, b"hello")
        server.signal(signal.SIGINT)
        code, output, _ = server.ended()

    assert code == 0
    assert len(output.splitlines()) == 1
    assert "1 connection" in output


def test_piped_output_has_no_control_characters():
    with Serving() as server, server.connect() as client:
        echoed(client, b"hello")
        server.signal(signal.SIGINT)
        _, output, story = server.ended()

    text = "\n".join(server.first_lines) + output + story
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


def test_a_second_ctrl_c_stops_at_once():
    # Goal: a server that cannot end in order must be stoppable without kill -9.
    # Method: a model whose `stop` does nothing.
    code = "from proactor.models import MODELS; MODELS['select'].stop = lambda self: None"
    with Serving("--model", "select", code=code) as server:
        server.signal(signal.SIGINT)
        server.line_with("Ctrl-C again stops at once")
        server.signal(signal.SIGINT)
        assert server.ended()[0] == 128 + signal.SIGINT


def test_a_port_in_use_is_one_line_with_the_remedy():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = ran("serve", "--port", str(port))

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"proactor: cannot listen on 127.0.0.1:{port}: the port is in use; choose another with "
        "--port, or --port 0 for a free one\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "iocp"), "unknown model 'iocp': choose one of select, async-select"),
        (("--engine", "fast"), "unknown engine 'fast': choose one of auto, iocp, io_uring"),
        (("--port", "65536"), "port 65536 is out of range: give 1 to 65535, or 0"),
        (("--port", "http"), "Invalid value for '--port'"),
        (("--workers", "0"), "give --workers 1 or more"),
        (("--host", ""), "unknown host ''"),
        (("--host", "no.such.host.invalid"), "unknown host 'no.such.host.invalid'"),
        (("--host", "192.0.2.1"), "this machine has no such address; leave --host out"),
        (("--hots", "::1"), "No such option"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(arguments, words):
    result = ran("serve", *arguments)

    assert (result.returncode, result.stdout) == (2, "")
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("proactor: ")


@pytest.mark.engine("selectors")
def test_an_engine_that_cannot_run_here_says_why():
    result = ran("serve", "--engine", "iocp")

    assert result.returncode == 2
    assert "engine iocp cannot run here: iocp is the Windows kernel's own port" in result.stderr


def test_an_ipv6_host_is_shown_with_brackets():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with Serving("--host", "::1") as server, server.connect() as client:
        assert echoed(client, b"six") == b"six"

    assert any("listening on [::1]:" in line for line in server.first_lines)


def test_on_a_terminal_a_live_line_shows_the_rates_and_leaves_the_screen_clean():
    with Terminal("serve", "--port", "0", "--quiet") as terminal:
        port = terminal.port()
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            echoed(client, b"hello")
            terminal.read_until(rb"1 session\b.*messages/s")
        terminal.process.send_signal(signal.SIGINT)
        rest = terminal.read_until(rb"stopped.*after.*\n")
        assert terminal.process.wait(10) == 0

    assert b"\x1b[?25h" in rest  # The cursor is shown again.


@pytest.mark.parametrize("no_color", [{}, {"NO_COLOR": "1"}])
def test_on_a_terminal_lines_have_colors_unless_the_user_wants_none(no_color):
    with Terminal("serve", "--port", "0", **no_color) as terminal:
        with socket.create_connection(("127.0.0.1", terminal.port()), timeout=5):
            text = terminal.read_until(rb"connected.*\n")
        terminal.process.send_signal(signal.SIGINT)
        text += terminal.read_until(rb"stopped.*after.*\n")

    assert bool(re.search(rb"\x1b\[[\d;]*3\dm", text)) is not bool(no_color)

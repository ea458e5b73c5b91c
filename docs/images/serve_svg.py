"""Make ``serve.svg``: the screen of a real ``proactor serve`` with real clients.

Run it from the root of the repository: ``python docs/images/serve_svg.py``. It needs port 7777 and
a system with pseudo-terminals. The screen is the one at the moment when the first line about left
out lines has been printed.
"""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

TARGET = Path(__file__).with_name("serve.svg")
COLUMNS = 90
PORT = 7777


def main() -> None:
    """Serve on a pseudo-terminal, send traffic, export what is on the screen."""
    screen, terminal = pty.openpty()
    server = subprocess.Popen(
        [sys.executable, "-m", "proactor", "serve", "--port", str(PORT)],
        stdin=terminal,
        stdout=terminal,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)},
    )
    os.close(terminal)
    done = threading.Event()
    try:
        seen = _read_until(screen, rb"Ctrl-C stops it.*\n")
        clients = threading.Thread(target=_send_traffic, args=(done,))
        clients.start()
        seen += _read_until(screen, rb"left out[^\n]*\n[^\n]*/s out")
        done.set()
        clients.join()
        server.send_signal(signal.SIGINT)
        _read_until(screen, rb"stopped")
        assert server.wait(10) == 0, "the server did not end in order"
    finally:
        done.set()
        server.kill()
        server.wait()
        os.close(screen)
    _export(seen.decode())


def _send_traffic(done: threading.Event) -> None:
    """Two clients that talk, then one that passes the rate limit of the lines."""
    with (
        socket.create_connection(("127.0.0.1", PORT)) as first,
        socket.create_connection(("127.0.0.1", PORT)) as second,
    ):
        _echo(first, b"hello\n")
        _echo(second, b"a longer message, served by whichever worker is free\n")
        first.close()
        time.sleep(0.2)
        while not done.is_set():
            _echo(second, b"x" * 1024)


def _echo(client: socket.socket, message: bytes) -> None:
    client.sendall(message)
    received = b""
    while len(received) < len(message):
        received += client.recv(65536)
    assert received == message, "an echo differs from what was sent"


def _read_until(screen: int, pattern: bytes) -> bytes:
    text = b""
    while not re.search(pattern, text):
        text += os.read(screen, 1)  # Not a byte beyond the pattern.
    return text


def _export(output: str) -> None:
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    for line in output.split("\n"):
        # The live line erases itself before whatever is printed: what was erased is not seen.
        console.print(Text.from_ansi(line.strip("\r").rpartition("\x1b[2K")[2]))
    svg = console.export_svg(title="make serve", unique_id="serve")
    # No font from the web: the viewer's own monospace does.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    TARGET.write_text(svg.rstrip() + "\n", encoding="utf-8")
    print(f"{TARGET}: {len(svg):,} bytes")


if __name__ == "__main__":
    main()

"""``proactor`` as a process: what it prints, line by line, and how it ends."""

from __future__ import annotations

import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

import pytest

WAIT = 15.0

# Whatever the terminal of the developer says, a test runs without it.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "TERM", "TTY_COMPATIBLE")
}


INTERPRETER = [sys.executable, "-X", "dev"]


def command(*arguments: str) -> list[str]:
    return [*INTERPRETER, "-m", "proactor", *arguments]


def ran(
    *arguments: str, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=60,
        env={**ENVIRONMENT, **environment},
        cwd=cwd,
    )


class Serving:
    """``proactor serve`` on a port of its own, with its output piped, until the block ends.

    `code` is run in the same process before, to break something.
    """

    def __init__(self, *arguments: str, code: str = "pass", cwd: Path | None = None) -> None:
        program = f"{code}; from proactor.cli.main import main; raise SystemExit(main())"
        self.process = subprocess.Popen(
            [*INTERPRETER, "-c", program, "serve", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            cwd=cwd,
        )
        # A line that never comes must fail the test that waits for it, and not the whole run.
        self.limit = threading.Timer(2 * WAIT, self.process.kill)
        self.limit.start()
        self.first_lines: list[str] = []
        self.address = ("", 0)

    def __enter__(self) -> Serving:
        # A pipe that is not flushed line by line makes this hang, and the test time out.
        while not self.first_lines or "Ctrl-C" not in self.first_lines[-1]:
            line = self.line()
            assert line, f"it ended at once: {self.ended()}"
            self.first_lines.append(line)
        text = "\n".join(self.first_lines)
        found = re.search(r"nc ([\d.:a-f]+) (\d+)", text) or re.search(
            r"listening on ([\d.]+):(\d+)", text
        )
        assert found, text
        self.address = (found.group(1), int(found.group(2)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.limit.cancel()
        self.limit.join()

    def line(self) -> str:
        """Return the next line that it prints; an empty one if it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def line_with(self, words: str) -> str:
        """Return the next line that contains `words`."""
        while True:
            line = self.line()
            assert line, f"it ended without saying {words!r}: {self.ended()}"
            if words in line:
                return line

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=WAIT)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self) -> tuple[int, str, str]:
        """Wait for the end; return the exit code and what else was printed."""
        output, story = self.process.communicate(timeout=WAIT)
        return self.process.returncode, output, story


def echoed(client: socket.socket, message: bytes) -> bytes:
    """Send `message` and return as many bytes as come back."""
    client.sendall(message)
    received = b""
    while len(received) < len(message):
        part = client.recv(65536)
        assert part, "the server closed the connection"
        received += part
    return received


class Terminal:
    """A command on a pseudo-terminal, which stands in for the screen."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        pty = pytest.importorskip("pty")
        self.screen, terminal = pty.openpty()
        self.process = subprocess.Popen(
            command(*arguments),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "100", **environment},
        )
        os.close(terminal)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.screen)

    def port(self) -> int:
        found = re.search(rb"nc [\d.]+ (\d+)", self.read_until(rb"nc [\d.]+ \d+\D"))
        assert found is not None
        return int(found.group(1))

    def read_until(self, pattern: bytes) -> bytes:
        """Return what appears on the screen until `pattern` is there."""
        text = b""
        end = time.monotonic() + 2 * WAIT  # As `Serving`: the start alone may take long.
        while not re.search(pattern, text, re.DOTALL):
            assert select.select([self.screen], [], [], max(0, end - time.monotonic()))[0], text
            text += os.read(self.screen, 4096)
        return text

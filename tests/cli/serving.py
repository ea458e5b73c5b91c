"""``proactor`` as a process: what it prints, line by line, and how it ends."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from types import TracebackType

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


def ran(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=60,
        env={**ENVIRONMENT, **environment},
    )


class Serving:
    """``proactor serve`` on a port of its own, with its output piped, until the block ends.

    `code` is run in the same process before, to break something.
    """

    def __init__(self, *arguments: str, code: str = "pass") -> None:
        program = f"{code}; from proactor.cli.main import main; raise SystemExit(main())"
        self.process = subprocess.Popen(
            [*INTERPRETER, "-c", program, "serve", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
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
        found = re.search(r"nc ([\d.:a-f]+) (\d+)", text)
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

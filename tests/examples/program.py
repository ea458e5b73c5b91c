"""One example that runs in a process of its own, as its user runs it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from tests.support.processes import at_rest
from tests.support.sockets import LIMIT, plain_client

ROOT = Path(__file__).parents[2]


class Example:
    """One example that runs in a process of its own."""

    def __init__(self, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "examples" / name), "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        self.is_waiting = at_rest(psutil.Process(self.process.pid))
        """Whether it has nothing to do: people press Ctrl-C then."""
        self.lines: list[str] = []
        self._spoke = threading.Condition()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        assert self.says(r"\d+$"), "it did not say at which port it listens"
        self.address = ("127.0.0.1", int(self.lines[0].split()[-1]))

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._spoke:
                self.lines.append(line.rstrip("\n"))
                self._spoke.notify_all()

    def says(self, words: str, times: int = 1) -> bool:
        """Wait until it has printed `times` lines that match."""

        def said() -> bool:
            return sum(re.search(words, line) is not None for line in self.lines) >= times

        with self._spoke:
            return self._spoke.wait_for(said, LIMIT)

    def client(self) -> socket.socket:
        return plain_client(self.address)

    def interrupt(self) -> tuple[int, str]:
        """Press Ctrl-C; return the exit code and what stderr says."""
        assert self.process.stderr is not None
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(LIMIT)
        return code, self.process.stderr.read()

    def close(self) -> None:
        self.process.kill()
        self.process.wait(LIMIT)
        self._listener.join(LIMIT)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

"""The benchmarks' programs as processes, and servers that are wrong on purpose."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.sockets import LIMIT, plain_client, plain_listener


class ServedProgram:
    """A server that prints its port, and ends with code 0 when its input does."""

    def __init__(self, program: Path) -> None:
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def __enter__(self) -> ServedProgram:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            _, story = self.process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, story = self.process.communicate()
        if error is None:
            assert (self.process.returncode, story.decode()) == (0, "")

    def connect(self) -> socket.socket:
        return plain_client(("127.0.0.1", self.port))


@dataclass(frozen=True)
class LoadRun:
    """What a run of the load came to."""

    code: int
    figures: dict[str, Any]
    story: str


def run_load(program: Path, port: int, *options: str) -> LoadRun:
    """Run the load for 0.2 s, or as `options` say; it gives up what hangs after 0.5 s."""
    command = [program, "--port", str(port), "--seconds", "0.2", "--warmup", "0"]
    command += ["--patience", "0.5", *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=20)
    figures = json.loads(run.stdout) if run.stdout else {}
    return LoadRun(run.returncode, figures, run.stderr)


class FaultyEcho:
    """An echo server that passes what it received through `fault` before it sends it back.

    `fault` is called with the number of the connection, the count of its receives so far, and the
    bytes; None instead of bytes closes the connection. A reply goes out `part` bytes a packet.
    """

    def __init__(
        self, fault: Callable[[int, int, bytes], bytes | None], part: int = 1 << 20
    ) -> None:
        self.listener = plain_listener()
        self.port: int = self.listener.getsockname()[1]
        self.fault = fault
        self.part = part
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            number = len(self.threads) - 1
            thread = threading.Thread(target=self._echo, args=(sock, number), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _echo(self, sock: socket.socket, number: int) -> None:
        count = 0
        with sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while data := sock.recv(65536):
                    reply = self.fault(number, count, data)
                    if reply is None:
                        return
                    for at in range(0, len(reply), self.part):
                        sock.sendall(reply[at : at + self.part])
                    count += 1
            except OSError:
                return  # The load resets its connections when it is done.

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # Which ends an accept that waits; close does not.
        self.listener.close()
        for thread in self.threads:
            thread.join(LIMIT)


def noise(size: int) -> bytes:
    return os.urandom(size)

"""A whole process over a C library that is short, interrupted and busy: see ``shim.c``."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential.engines import environment, native_engines
from tests.faults.compiling import HERE, ROOT, compiler
from tests.support.sockets import pattern, plain_client, read_exactly
from tests.support.streams import InThread

if sys.platform != "linux":
    pytest.skip("LD_PRELOAD, and the native engines, are for Linux", allow_module_level=True)

CONNECTIONS = 12
BYTES = 250_000


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    subprocess.run(
        [
            *(compiler(), "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"),
            *(str(HERE / "shim.c"), "-ldl", "-o", str(library)),
        ],
        check=True,
    )
    return library


@pytest.fixture(params=["selectors", *native_engines()])
def server(request: pytest.FixtureRequest, shim: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.echo_child"],
        cwd=ROOT,
        env={**environment(request.param), "LD_PRELOAD": str(shim)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    if process.wait(10) is None:
        process.kill()


def test_an_echo_is_byte_exact_through_faults(
    server: subprocess.Popen[str], in_thread: InThread
) -> None:
    assert server.stdin is not None and server.stdout is not None
    address = ("127.0.0.1", int(server.stdout.readline()))

    def talk(number: int) -> None:
        with plain_client(address) as client:
            client.settimeout(20)
            text = pattern(BYTES, number)
            sending = in_thread(client.sendall, text)
            assert read_exactly(client, BYTES) == text
            sending.result()
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""

    for talking in [in_thread(talk, number) for number in range(CONNECTIONS)]:
        talking.result(40)

    report = json.loads(server.communicate("", 10)[0])
    assert report["errors"] == [] and report["sessions"] == 0
    assert report["faults"] > 200

"""Ctrl-C in the thread that serves: what began is ended, and the interrupt goes on its way."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

from tests.scenarios.serving import ALL_MODELS, echo
from tests.support.processes import at_rest
from tests.support.sockets import LIMIT, pattern, plain_client
from tests.support.streams import eventually

SERVER = """
import sys, threading
from proactor.models import MODELS
server = MODELS[sys.argv[1]]("127.0.0.1", 0)
print(server.address[1], flush=True)
try:
    server.serve()
except KeyboardInterrupt:
    threads = [t.name for t in threading.enumerate() if not t.name.startswith("proactor")]
    print(server.sessions, server.listener.fileno(), threads, server.traffic.disconnects.total())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT, as Ctrl-C does on a terminal")
@pytest.mark.parametrize("model", ALL_MODELS)
def test_ctrl_c_ends_the_server_in_order(model):
    command = [sys.executable, "-c", SERVER, model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        try:
            assert p.stdout is not None
            address = ("127.0.0.1", int(p.stdout.readline()))
            with plain_client(address) as client, plain_client(address) as other:
                assert echo(client, pattern(100)) == echo(other, pattern(100)) == pattern(100)
                # In a wait, where people press it; in the middle of a step anything is possible.
                assert eventually(at_rest(psutil.Process(p.pid)))

                p.send_signal(signal.SIGINT)
                said, complaints = p.communicate(timeout=LIMIT)

                assert said == "0 -1 ['MainThread'] 2\n"
                assert complaints == ""
                assert p.returncode == 0
                assert client.recv(1) == b""
        finally:
            p.kill()

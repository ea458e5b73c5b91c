"""Where the system forbids io_uring, or gives it little memory: what is chosen instead, and why.

`tests/native/test_probe.py` has what the probe says; here it is what a user sees who starts the
package there: the choice of an engine, and ``proactor engine``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proactor.engines import choose
from proactor.engines.native.probe import native_profile
from tests.differential.engines import environment

if sys.platform != "linux":
    pytest.skip("io_uring is Linux' own", allow_module_level=True)

SWITCH = Path("/proc/sys/kernel/io_uring_disabled")

# What a child does first; it ends with status 77 where this system does not let it.
FORBID = """
import ctypes, struct, sys
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]
# Load the number of the call; is it io_uring_setup, the answer is EPERM, else it is allowed.
code = b"".join(struct.pack("HBBI", *instruction) for instruction in [
    (0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)])
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(Program(4, code)), 0, 0):
    sys.exit(77)
"""
# Everything is imported before: the other user may not be able to read it.
LITTLE_MEMORY = """
import dataclasses, json, os, resource, socket, sys
import proactor, proactor.engines.native.probe, proactor.engines.python.selectors.engine
import encodings.idna
try:
    import proactor.engines.native._core, proactor.engines.native.engine
except ImportError:
    pass
resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""
NOTHING = ""

# Then it does what a program does: it echoes on a port, and asks what runs.
ECHO_AND_TELL = """
import dataclasses, json, socket
from proactor import CompletionPort, Overlapped, OverlappedSocket
from proactor.engines import choose
from proactor.engines.native.probe import native_profile
ours, peer = map(OverlappedSocket.adopt, socket.socketpair())
with CompletionPort() as port, ours, peer:
    port.attach(ours)
    buffer = bytearray(8)
    ours.recv(buffer, Overlapped())
    peer.send(b"echo")
    assert port.get(5).result() == 4 and buffer[:4] == b"echo"
about = choose.current().describe()
print(json.dumps({
    "engine": about.name, "refused": dict(about.refused), "features": dict(about.features),
    "native": dataclasses.asdict(native_profile()),
}))
"""
SHOW = "import sys; from proactor.cli.main import main; sys.argv = ['proactor', 'engine']; main()"


def run(before: str, then: str, engine: str = "auto") -> subprocess.CompletedProcess[str]:
    """Run ``then`` in a process in which ``before`` has been done; skip where it cannot be."""
    run = subprocess.run(
        [sys.executable, "-c", before + then],
        env=environment(engine),
        capture_output=True,
        text=True,
        timeout=30,
    )
    if run.returncode == 77:
        pytest.skip("this system lets no process set a seccomp filter")
    return run


def told(before: str, engine: str = "auto") -> dict[str, Any]:
    """Return what such a process tells; it must end well."""
    process = run(before, ECHO_AND_TELL, engine)
    assert process.returncode == 0, process.stderr
    found: dict[str, Any] = json.loads(process.stdout)
    return found


@pytest.fixture
def switched_off() -> Iterator[None]:
    """Forbid io_uring to the whole machine for the moment of a test, where that is wanted."""
    if not os.environ.get("PROACTOR_TEST_SYSCTL"):
        pytest.skip("it changes a setting of the machine: PROACTOR_TEST_SYSCTL=1 allows it")
    if not os.access(SWITCH, os.W_OK):
        pytest.skip(f"{SWITCH} cannot be written here")
    before = SWITCH.read_text(encoding="ascii")
    try:
        SWITCH.write_text("2", encoding="ascii")
        yield
    except OSError:
        pytest.skip(f"{SWITCH} cannot be written here")
    finally:
        SWITCH.write_text(before, encoding="ascii")


def needs_uring() -> None:
    """Skip the test where there is no io_uring that could be forbidden."""
    if native_profile().profile == "none":
        pytest.skip(f"no io_uring here to be forbidden: {native_profile().refused}")


def check_forbidden(before: str, word: str) -> None:
    """Check that a process where io_uring is forbidden runs on another engine, and says why."""
    found = told(before)
    assert found["engine"] != "io_uring"
    assert word in found["native"]["refused"]["io_uring"]
    shown = run(before, SHOW)
    assert shown.returncode == 0 and word in shown.stdout, shown.stdout + shown.stderr
    if "io_uring" not in choose.NAMES:
        return
    assert "io_uring" in found["refused"]
    forced = run(before, ECHO_AND_TELL, "io_uring")
    assert forced.returncode != 0 and word in forced.stderr, forced.stderr


def test_under_a_seccomp_filter_another_engine_runs_and_says_why() -> None:
    needs_uring()
    check_forbidden(FORBID, "seccomp")


def test_with_io_uring_switched_off_another_engine_runs_and_says_why(switched_off: None) -> None:
    if "native part" in native_profile().refused:
        pytest.skip("no native part to ask the kernel")
    check_forbidden(NOTHING, "io_uring_disabled")


@pytest.mark.parametrize("engine", ["auto", *(n for n in choose.NAMES if n == "io_uring")])
def test_with_64_kib_of_locked_memory_it_runs_smaller_or_elsewhere_with_words(engine: str) -> None:
    # Goal: RLIMIT_MEMLOCK of containers and old systems. Whether rings count against it depends on
    # the kernel: the queues are smaller, or it falls back with a reason; it never fails.
    needs_uring()

    found = told(LITTLE_MEMORY, engine)

    native = found["native"]
    assert native["profile"] != "none" or native["refused"]["io_uring"]
    assert native["profile"] == "none" or "requests" in native["features"]["queues"]

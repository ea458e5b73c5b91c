"""Choosing an engine: by itself, or by PROACTOR_ENGINE, which is obeyed or fails loudly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import proactor
from proactor.engines import choose
from proactor.engines.native.probe import native_profile
from tests.support.system import engine_name

SOURCE = Path(proactor.__file__).parents[1]

USE_IT = """
import proactor
print("imported", flush=True)
with proactor.CompletionPort() as port:
    port.post("works")
    print(port.get(5).key)
"""


def run(code: str, engine: str | None) -> subprocess.CompletedProcess[str]:
    """Run `code` in a new process, with or without a word on the engine."""
    environment = dict(os.environ)
    environment.pop(choose.VARIABLE, None)
    if engine is not None:
        environment[choose.VARIABLE] = engine
    path = [str(SOURCE), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )


def test_an_unknown_engine_fails_at_the_first_use_and_names_the_known_ones() -> None:
    ended = run(USE_IT, "nonsense")

    assert ended.returncode == 1
    assert ended.stdout.split() == ["imported"]  # The import alone chooses nothing.
    last = ended.stderr.strip().splitlines()[-1]
    assert "EngineUnavailable: PROACTOR_ENGINE=nonsense: unknown engine" in last
    for name in ("auto", *choose.NAMES):
        assert name in last


@pytest.mark.skipif(sys.platform == "win32", reason="iocp runs on Windows")
def test_an_engine_that_cannot_run_here_fails_with_the_reason_and_the_remedy() -> None:
    ended = run(USE_IT, "iocp")

    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert "PROACTOR_ENGINE=iocp cannot run here" in last
    assert "not Windows" in last
    assert "unset it" in last


def first_that_runs() -> str:
    """Return the engine that is right to choose, by what the system and the build offer."""
    if sys.platform == "win32":
        return "iocp"
    found = native_profile()
    if "native part" in found.refused:
        return "selectors"
    return "epoll" if found.profile == "none" else "io_uring"


@pytest.mark.parametrize("wanted", [None, "", "auto", engine_name()])
def test_an_engine_that_can_run_is_chosen_and_says_why(wanted: str | None) -> None:
    code = USE_IT + (
        "from proactor.engines import choose\n"
        "description = choose.current().describe()\n"
        "print(description.name, '|', description.reason)\n"
    )

    ended = run(code, wanted)

    assert ended.stderr == ""
    assert ended.returncode == 0
    _, served, line = ended.stdout.strip().splitlines()
    name, _, reason = line.partition(" | ")
    assert served == "works"
    if wanted == engine_name():
        assert (name, reason) == (wanted, "asked for by PROACTOR_ENGINE")
    else:
        assert name == first_that_runs()
        assert reason != "asked for by PROACTOR_ENGINE"
    assert len(reason.split()) > 3


def test_the_engine_is_one_for_the_process() -> None:
    assert choose.current() is choose.current()


def test_a_description_names_what_was_refused_and_why() -> None:
    description = choose.current().describe()

    assert description.name in choose.NAMES
    assert description.features
    for name, reason in description.refused.items():
        assert name in choose.NAMES
        assert reason

"""The C core over a kernel that is short, interrupted, busy and out of memory: `faults.c`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.compiling import compile_program

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the native core is for Linux"),
    pytest.mark.timeout(180),
]


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param([], id="as it is"),
        pytest.param(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], id="sanitized"),
    ],
)
def test_the_core_moves_each_byte_and_leaks_nothing_through_faults(
    flags: list[str], tmp_path: Path
) -> None:
    program = compile_program(tmp_path / "faults", *flags)

    run = subprocess.run([program], capture_output=True, text=True, timeout=120)

    assert run.returncode == 0, run.stdout + run.stderr
    assert "4 passed, 0 failed" in run.stdout

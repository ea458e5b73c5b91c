"""Compiling what the tests of faults need: skipped, with the reason, where there is no compiler."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
CORE = ROOT / "src/proactor/engines/native/core"


def compiler() -> str:
    """Return the C compiler of this machine, or skip the test."""
    found = shutil.which(os.environ.get("CC", "cc"))
    if found is None:
        pytest.skip("no C compiler on this machine")
    return found


def compile_program(target: Path, *flags: str) -> Path:
    """Compile the core with ``faults.c`` into the program `target`; skip if `flags` are unknown."""
    cc = compiler()
    source = HERE / "faults.c"
    calls = re.findall(r"\b__wrap_(\w+)", source.read_text(encoding="utf-8"))
    wraps = [f"-Wl,--wrap={name}" for name in sorted(set(calls))]
    probe = target.with_suffix(".c")
    probe.write_text("int main(void) { return 0; }\n", encoding="utf-8")
    tried = subprocess.run([cc, *flags, str(probe), "-o", str(target)], capture_output=True)
    if tried.returncode:
        pytest.skip(f"this compiler cannot: {' '.join(flags)}")
    harness = ROOT / "tests/native/reactor"
    subprocess.run(
        [
            *(cc, "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", *flags, *wraps),
            *(f"-I{CORE}", f"-I{harness}", str(source), *map(str, sorted(CORE.glob("*.c")))),
            *("-pthread", "-o", str(target)),
        ],
        check=True,
    )
    return target

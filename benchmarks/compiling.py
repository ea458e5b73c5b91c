"""Compile the C programs on demand into `.build`, which git ignores; nothing is compiled twice.

A program's file is named by the text of its folder and the flags, so that a change makes a new one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE / ".build"
PACKAGE = HERE.parent / "src" / "proactor"
LOAD_CORE = PACKAGE / "load" / "core"
NATIVE_CORE = PACKAGE / "engines" / "native" / "core"
FLAGS = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread")
OPTIMIZED = ("-O2",)
PARTS = {"load/load.c": LOAD_CORE, "ceilings/echo_core.c": NATIVE_CORE}
"""The folders whose C files a program is made of beside its own, and whose headers it includes."""

SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


class CannotCompile(RuntimeError):
    """There is no C compiler, or it refuses the program; the text says which."""


def compiled(source: str, mode: tuple[str, ...] = OPTIMIZED) -> Path:
    """Return the program made of `source`, a path below this folder; compile it if need be.

    Raises:
        CannotCompile: There is no compiler, or it failed.
    """
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None or shutil.which(compiler) is None:
        raise CannotCompile("there is no C compiler: install one, or name it in CC")
    path = HERE / source
    sources, headers = [path], [*path.parent.glob("*.h")]
    if (core := PARTS.get(source)) is not None:
        mode = (*mode, f"-I{core}")
        sources += sorted(core.glob("*.c"))
        headers += core.rglob("*.h")
    digest = hashlib.sha256(repr((compiler, FLAGS, mode)).encode())
    for part in sorted((*headers, *sources)):
        digest.update(part.read_bytes())
    program = BUILD / f"{path.stem}-{digest.hexdigest()[:12]}"
    if not program.exists():
        _compile(compiler, sources, program, mode)
    return program


def _compile(compiler: str, sources: list[Path], program: Path, mode: tuple[str, ...]) -> None:
    BUILD.mkdir(exist_ok=True)
    (BUILD / ".gitignore").write_text("*\n", encoding="utf-8")
    # Moved into place at the end: two runs may compile at the same moment.
    unfinished = program.with_suffix(f".{os.getpid()}")
    command = [compiler, *FLAGS, *mode, "-o", str(unfinished), *map(str, sources)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        reason = _first_error(run.stderr)
        raise CannotCompile(f"{compiler} cannot compile {sources[0].name}: {reason}")
    unfinished.replace(program)


def _first_error(text: str) -> str:
    lines = [line for line in text.splitlines() if "error" in line] or text.splitlines()
    return lines[0] if lines else "it says nothing"

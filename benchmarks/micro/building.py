"""Compile a program with the harness and the native core, on demand.

A program is one of `programs/`; one in Python loads what it needs of C from `beside_python/`.

Each source is an object of its own in `.build/micro`, named by its text, the text of all headers
and the flags: a change compiles what it touches, and nothing is compiled twice. The core is that
of this checkout, so a figure is always a figure of the code that stands beside it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from benchmarks.compiling import BUILD, CannotCompile

HERE: Final = Path(__file__).parent
CORE: Final = HERE.parents[1] / "src" / "proactor" / "engines" / "native" / "core"
HARNESS: Final = HERE / "harness"
PROGRAMS: Final = HERE / "programs"
BESIDE_PYTHON: Final = HERE / "beside_python"
FOLDER: Final = BUILD / "micro"
FLAGS: Final = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread")


def built(program: Path) -> Path:
    """Return the executable made of `program`, a C file; compile and link it if need be.

    Raises:
        CannotCompile: There is no compiler, or it failed; the text is its first error.
    """
    return _linked(program, (), "")


def loadable(name: str) -> Path:
    """Return a shared library of `beside_python/name.c`, the harness and the core, as `built`.

    Raises:
        CannotCompile: There is no compiler, or it failed; the text is its first error.
    """
    return _linked(BESIDE_PYTHON / f"{name}.c", ("-fPIC", "-shared"), ".so")


def _linked(source: Path, extra: tuple[str, ...], suffix: str) -> Path:
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None or shutil.which(compiler) is None:
        raise CannotCompile("there is no C compiler: install one, or name it in CC")
    flags = (*FLAGS, *extra)
    sources = [source, *sorted(HARNESS.glob("*.c")), *sorted(CORE.glob("*.c"))]
    headers = _digest_of_headers(compiler, flags)
    with ThreadPoolExecutor(max_workers=2) as pool:
        objects = list(pool.map(lambda one: _object(compiler, flags, one, headers), sources))
    digest = hashlib.sha256(repr(objects).encode()).hexdigest()[:12]
    target = FOLDER / f"{source.stem}-{digest}{suffix}"
    if not target.exists():
        _run([compiler, *flags, *map(str, objects)], target, source)
    return target


def _digest_of_headers(compiler: str, flags: tuple[str, ...]) -> bytes:
    digest = hashlib.sha256(repr((compiler, flags)).encode())
    for header in sorted((*HARNESS.glob("*.h"), *CORE.rglob("*.h"))):
        digest.update(header.read_bytes())
    return digest.digest()


def _object(compiler: str, flags: tuple[str, ...], source: Path, headers: bytes) -> Path:
    digest = hashlib.sha256(headers + source.read_bytes()).hexdigest()[:12]
    target = FOLDER / f"{source.stem}-{digest}.o"
    if not target.exists():
        folders = (f"-I{CORE}", f"-I{HARNESS}")
        _run([compiler, *flags, *folders, "-c", str(source)], target, source)
    return target


def _run(command: Sequence[str], target: Path, source: Path) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (BUILD / ".gitignore").write_text("*\n", encoding="utf-8")
    # Moved into place at the end: two runs may compile at the same moment.
    unfinished = target.with_suffix(f".{os.getpid()}")
    run = subprocess.run([*command, "-o", str(unfinished)], capture_output=True, text=True)
    if run.returncode:
        errors = [line for line in run.stderr.splitlines() if "error" in line]
        first = errors[0] if errors else run.stderr.strip() or "it says nothing"
        raise CannotCompile(f"{command[0]} cannot compile {source.name}: {first}")
    unfinished.replace(target)

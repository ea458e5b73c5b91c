"""The build of the native part, which is optional; everything else stands in pyproject.toml.

Where it is not to be built, or cannot be, the package installs all the same. The reason is then
written beside its modules, where `proactor engine` finds it; a file for each interpreter, since
several may share one source tree.
"""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

PACKAGE = "proactor.engines.native"
SOURCE = Path("src", *PACKAGE.split("."))
ARCHITECTURES = ("x86_64", "aarch64")

RING = ("probe", "ring", "sys")
"""The C files of `_core`, which tries io_uring; the engine has all of them but the probe."""


def why_not(environment: Mapping[str, str], system: str, machine: str, python: str) -> str | None:
    """Say why the native part is not to be built; None where it is."""
    if environment.get("PROACTOR_PURE", "") not in ("", "0"):
        return "PROACTOR_PURE asked the installation to leave it out"
    if system != "linux":
        return "it is for Linux only"
    if machine not in ARCHITECTURES or sys.maxsize < 2**32:
        return f"it is for {' and '.join(ARCHITECTURES)}, and this is {machine}"
    if python != "cpython":
        return f"it is for CPython, and this is {python}"
    return None


REASON = why_not(os.environ, sys.platform, platform.machine(), sys.implementation.name)


def write_down(folder: Path, reason: str | None) -> None:
    """Make `folder` tell `reason`, with no extension of an earlier build; None: tell nothing."""
    tag = sysconfig.get_config_var("SOABI")
    note = folder / f"not_built.{tag}.txt"
    note.unlink(missing_ok=True)
    if reason is not None:
        for name in ("_core", "_engine"):
            (folder / f"{name}.{tag}.so").unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{reason}\n", encoding="utf-8")


def in_words(error: Exception) -> str:
    """Say in one line why a build failed."""
    words = (" ".join(str(error).split()) or type(error).__name__)[:200]
    if isinstance(error, ImportError):
        return f"it was not built: Cython is missing ({words})"
    if "No such file" in words:
        return f"it was not built: there is no C compiler ({words})"
    return f"it was not built: {words}; pip install -v shows more"


class BuildModules(build_py):
    """Copies the Python modules, and writes down that the native part was not wanted."""

    def run(self) -> None:
        """Copy them, unless the installation is editable."""
        super().run()
        if REASON is not None:
            write_down(SOURCE if self.editable_mode else _below(self.build_lib), REASON)


class BuildNative(build_ext):
    """Builds the extension where that is possible, and elsewhere writes down why it is not."""

    reason: str | None = None

    def initialize_options(self) -> None:
        """Have the C code that Cython writes put away from the sources."""
        super().initialize_options()
        self.cython_c_in_temp = True

    def run(self) -> None:
        """Build, never fail, and leave the note where the modules are."""
        super().run()
        write_down(SOURCE if self.inplace else _below(self.build_lib), self.reason)

    def build_extension(self, extension: Extension) -> None:
        """Build `extension`; what goes wrong becomes the reason."""
        try:
            import Cython  # noqa: F401  # Without it, setuptools would look for C code of ours.

            super().build_extension(extension)
        except Exception as error:  # Whatever it is: the package works without the native part.
            self.reason = in_words(error)
            write_down(_below(self.build_lib), self.reason)
            print(f"proactor: no native part: {self.reason}", file=sys.stderr)


def _below(folder: str) -> Path:
    return Path(folder, *PACKAGE.split("."))


def extension(name: str, sources: list[Path]) -> Extension:
    """Return the extension of the Cython file `name` and of C files."""
    return Extension(
        f"{PACKAGE}.{name}",
        sources=[str(SOURCE / f"{name}.pyx"), *map(str, sources)],
        depends=sorted(map(str, [*SOURCE.glob("core/**/*.h"), *SOURCE.glob("face/*.pxi")])),
        include_dirs=[str(SOURCE)],
        extra_compile_args=["-std=gnu11", "-fvisibility=hidden", "-pthread"],
        extra_link_args=["-pthread"],
        optional=True,
    )


if __name__ == "__main__":
    sources = sorted(SOURCE.glob("core/*.c"))
    core = extension("_core", [path for path in sources if path.stem in RING])
    engine = extension("_engine", [path for path in sources if path.stem != "probe"])
    setup(
        ext_modules=[] if REASON else [core, engine],
        cmdclass={"build_ext": BuildNative, "build_py": BuildModules},
    )

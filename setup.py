"""The build of the native parts, which are optional; everything else stands in pyproject.toml.

There are two: the native engine, and the load generator. Where they are not to be built, or cannot
be, the package installs all the same. The reason is then written beside the modules of the part,
where `proactor engine` and `proactor load` find it; a file for each interpreter, since several may
share one source tree.
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
LOAD = "proactor.load"
PARTS = {PACKAGE: ("_core", "_engine"), LOAD: ("_generator",)}
"""The packages with a native part, and their extensions."""

SOURCE = Path("src", *PACKAGE.split("."))
ARCHITECTURES = ("x86_64", "aarch64")

RING = ("probe", "ring", "sys")
"""The C files of `_core`, which tries io_uring; the engine has all of them but the probe."""


def why_not(environment: Mapping[str, str], system: str, machine: str, python: str) -> str | None:
    """Say why the native parts are not to be built; None where they are."""
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
        for name in (name for names in PARTS.values() for name in names):
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
        for package in PARTS if REASON is not None else ():
            write_down(_folder(package, None if self.editable_mode else self.build_lib), REASON)


class BuildNative(build_ext):
    """Builds the extensions where that is possible, and elsewhere writes down why it is not."""

    def initialize_options(self) -> None:
        """Have the C code that Cython writes put away from the sources."""
        super().initialize_options()
        self.cython_c_in_temp = True
        self.reasons: dict[str, str] = {}  # By package: one part may fail and the other not.

    def run(self) -> None:
        """Build, never fail, and leave the note where the modules are."""
        super().run()
        for package in PARTS:
            folder = _folder(package, None if self.inplace else self.build_lib)
            write_down(folder, self.reasons.get(package))

    def build_extension(self, extension: Extension) -> None:
        """Build `extension`; what goes wrong becomes the reason."""
        try:
            import Cython  # noqa: F401  # Without it, setuptools would look for C code of ours.

            super().build_extension(extension)
        except Exception as error:  # Whatever it is: the package works without the native part.
            package = extension.name.rpartition(".")[0]
            self.reasons[package] = in_words(error)
            write_down(_folder(package, self.build_lib), self.reasons[package])
            print(f"proactor: no {extension.name}: {self.reasons[package]}", file=sys.stderr)


def _folder(package: str, build: str | None) -> Path:
    """Return where the modules of `package` are: in a build's folder, or None: the sources."""
    return Path(build or "src", *package.split("."))


def extension(name: str, sources: list[Path], package: str = PACKAGE) -> Extension:
    """Return the extension of the Cython file `name` and of C files."""
    source = _folder(package, None)
    return Extension(
        f"{package}.{name}",
        sources=[str(source / f"{name}.pyx"), *map(str, sources)],
        depends=sorted(map(str, [*source.glob("core/**/*.h"), *source.glob("face/*.pxi")])),
        include_dirs=[str(source)],
        extra_compile_args=["-std=gnu11", "-fvisibility=hidden", "-pthread"],
        extra_link_args=["-pthread"],
        optional=True,
    )


if __name__ == "__main__":
    load = extension("_generator", sorted(_folder(LOAD, None).glob("core/*.c")), LOAD)
    sources = sorted(SOURCE.glob("core/*.c"))
    core = extension("_core", [path for path in sources if path.stem in RING])
    engine = extension("_engine", [path for path in sources if path.stem != "probe"])
    setup(
        ext_modules=[] if REASON else [core, engine, load],
        cmdclass={"build_ext": BuildNative, "build_py": BuildModules},
    )

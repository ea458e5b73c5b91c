"""The decision of setup.py whether to build the native part, and what it leaves behind if not."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

SETUP = Path(__file__).parents[2] / "setup.py"


@pytest.fixture(scope="module")
def build():
    """Import setup.py as a module; it builds nothing then."""
    pytest.importorskip("setuptools", reason="setuptools is not installed here")
    spec = importlib.util.spec_from_file_location("proactor_setup", SETUP)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("environment", [{}, {"PROACTOR_PURE": ""}, {"PROACTOR_PURE": "0"}])
def test_it_is_built_on_linux_unless_asked_otherwise(build, machine, environment):
    assert build.why_not(environment, "linux", machine, "cpython") is None


@pytest.mark.parametrize(
    "environment, system, machine, python, word",
    [
        ({"PROACTOR_PURE": "1"}, "linux", "x86_64", "cpython", "PROACTOR_PURE"),
        ({}, "win32", "AMD64", "cpython", "Linux only"),
        ({}, "darwin", "arm64", "cpython", "Linux only"),
        ({}, "linux", "armv7l", "cpython", "armv7l"),
        ({}, "linux", "x86_64", "pypy", "pypy"),
    ],
)
def test_it_is_left_out_with_a_reason(build, environment, system, machine, python, word):
    assert word in build.why_not(environment, system, machine, python)


def test_the_build_and_the_probe_agree_on_the_architectures(build):
    from proactor.engines.native.probe import ARCHITECTURES

    assert build.ARCHITECTURES == ARCHITECTURES


def test_a_reason_replaces_the_extension_of_an_earlier_build(build, tmp_path):
    tag = sysconfig.get_config_var("SOABI")
    ours, other = tmp_path / f"_core.{tag}.so", tmp_path / "_core.another.so"
    ours.touch()
    other.touch()

    build.write_down(tmp_path, "there is no C compiler")

    note = tmp_path / f"not_built.{tag}.txt"
    assert note.read_text(encoding="utf-8") == "there is no C compiler\n"
    assert not ours.exists() and other.exists()

    build.write_down(tmp_path, None)

    assert not note.exists()


@pytest.mark.parametrize(
    "error, word",
    [
        (ModuleNotFoundError("No module named 'Cython'"), "Cython is missing"),
        (FileNotFoundError(2, "No such file or directory", "cc"), "there is no C compiler"),
        (RuntimeError("command 'gcc' failed\nwith exit code 1"), "failed with exit code 1"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_what_went_wrong_is_one_line(build, error, word):
    text = build.in_words(error)

    assert word in text
    assert "\n" not in text and len(text) < 300


def test_each_package_with_a_native_part_exists_and_has_the_sources_of_its_extensions(build):
    for package, names in build.PARTS.items():
        folder = SETUP.parent.joinpath("src", *package.split("."))
        assert {path.stem for path in folder.glob("*.pyx")} == set(names)
        assert list(folder.glob("core/*.c"))


def test_a_part_that_fails_is_told_where_it_is_and_does_not_stop_the_other(
    build, tmp_path, monkeypatch
):
    # Method: the compiler fails for the load generator alone.
    from setuptools import Distribution

    monkeypatch.setattr(
        build.build_ext,
        "build_extension",
        lambda self, extension: broken() if "load" in extension.name else None,
    )

    def broken() -> None:
        raise RuntimeError("command 'gcc' failed")

    monkeypatch.setitem(sys.modules, "Cython", ModuleType("Cython"))
    command = build.BuildNative(Distribution({"ext_modules": []}))
    command.build_lib, command.inplace = str(tmp_path), False
    for package, names in build.PARTS.items():
        for name in names:
            command.build_extension(build.extension(name, [], package))
    command.run()

    note = f"not_built.{sysconfig.get_config_var('SOABI')}.txt"
    assert "command 'gcc' failed" in (tmp_path / "proactor/load" / note).read_text("utf-8")
    assert not (tmp_path / "proactor/engines/native" / note).exists()

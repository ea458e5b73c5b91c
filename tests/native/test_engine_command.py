"""What `proactor engine` tells about the native part, and what it prints for containers."""

from __future__ import annotations

import dataclasses
import json

import pytest

from proactor.cli import app
from proactor.engines import choose
from proactor.engines.native import seccomp
from proactor.engines.native.probe import NativeProfile, native_profile


@pytest.fixture
def answer(capsys, monkeypatch):
    """``answer(*arguments)`` runs a command in this process: exit code, stdout, stderr."""
    monkeypatch.setenv(choose.VARIABLE, choose.current().name)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = app.run(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_engine_says_in_its_first_line_which_one_runs_and_why(answer):
    code, out, _ = answer("engine")

    description = choose.current().describe()
    assert code == 0
    assert out.splitlines()[0].startswith(f"{description.name}: ")


def test_engine_shows_each_feature_and_each_refusal(answer):
    _, out, _ = answer("engine")

    native = native_profile()
    for name, text in {**native.features, **native.refused}.items():
        assert f"  {name}  " in out and text in out
    assert native.kernel == "" or f"kernel {native.kernel}: profile {native.profile}" in out


def test_engine_as_json_has_the_same(answer):
    _, out, _ = answer("engine", "--json")

    expected = dataclasses.asdict(native_profile())
    assert json.loads(out)["native"] == expected


def test_a_missing_native_part_is_told_with_its_reason(answer, monkeypatch):
    missing = NativeProfile("none", refused={"native part": "there is no C compiler"})
    monkeypatch.setattr("proactor.cli.engine.native_profile", lambda: missing)

    code, out, _ = answer("engine")

    assert code == 0
    assert "  native part  there is no C compiler" in out
    assert "io_uring of kernel" not in out


def test_seccomp_prints_json_alone_and_says_beside_it_how_to_use_it(answer):
    code, out, err = answer("engine", "--seccomp")

    assert code == 0
    (rule,) = json.loads(out)["syscalls"]
    assert rule["names"] == ["io_uring_setup", "io_uring_enter", "io_uring_register"]
    assert rule["action"] == "SCMP_ACT_ALLOW"
    assert err == seccomp.HOW_TO_USE + "\n"

"""``proactor bench``: it finds the programs beside its sources, and says where they are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import proactor
from proactor.cli import app
from proactor.cli import bench as command

ROOT = Path(__file__).parents[2]


def test_without_a_checkout_it_says_what_it_needs(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(proactor, "__file__", str(tmp_path / "lib" / "proactor" / "__init__.py"))

    code = app.run(["bench"])

    assert code == 1
    story = capsys.readouterr().err
    assert len(story.splitlines()) == 1
    assert "bench needs a checkout" in story
    assert "pip install -e" in story


def test_every_option_reaches_the_runner(monkeypatch):
    seen: list[str] = []

    class Runner:
        @staticmethod
        def main(arguments: list[str]) -> int:
            seen.extend(arguments)
            return 7

    monkeypatch.setattr(command, "_programs", lambda root: Runner)

    code = app.run(
        [
            *("bench", "--only", "framed", "--only", "idle", "--peers", "uvloop", "--quick"),
            *("--rounds", "2", "--seconds", "0.5", "--note", "n", "--json", "-"),
            *("--markdown", "m", "--plot", "p", "--readme", "r", "--results", "s"),
        ]
    )

    assert code == 7
    assert seen == [
        *("--only=framed", "--only=idle", "--quick", "--peers=uvloop", "--rounds=2"),
        *("--seconds=0.5", "--note=n", "--json=-", "--markdown=m", "--plot=p", "--readme=r"),
        "--results=s",
    ]


def test_it_shows_the_results_that_are_kept_here(tmp_path, capsys):
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("these tests do not lie in a checkout")
    workload = {"workload": "posts-1", "words": "words", "rows": []}
    kept = {
        "machine": {"cpus": "a machine"},
        "settings": {"rounds": 1, "seconds": 1, "warmup": 0, "pinning": "none"},
        "missing": {},
        "workloads": [workload],
    }
    path = tmp_path / "kept.json"
    path.write_text(json.dumps(kept), encoding="utf-8")

    code = app.run(["bench", "--results", str(path)])

    assert code == 0
    assert "posts-1: words" in capsys.readouterr().out

"""Fixtures for commands that are run in the process of the test."""

from __future__ import annotations

import pytest

from proactor.cli import app
from proactor.engines import choose


@pytest.fixture
def answer(capsys, monkeypatch):
    """``answer(*arguments)`` runs a command in this process: exit code, stdout, stderr."""
    # The command sets the variable; what it sets must not outlive the test.
    monkeypatch.setenv(choose.VARIABLE, choose.current().name)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = app.run(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return run

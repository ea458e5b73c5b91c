"""``docs/serve.md`` is held against the command: every option with its names, default and words."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("typer")

from proactor.cli.serving.config import COMMAND_KEYS, read_config
from proactor.cli.serving.framings import CLASSES, options_of
from proactor.cli.serving.settings import settings
from proactor.cli.serving.values import Choice

PAGE = Path(__file__).parents[2] / "docs" / "serve.md"


def table() -> list[str]:
    """Return the lines of the options' table, as the page must have them."""
    lines = []
    group = ""
    for setting in settings():
        if setting.group != group:
            group = setting.group
            lines += ["", f"### {group}", "", "| flag | default | |", "|---|---|---|"]
        flags = ", ".join(f"`{flag}`" for flag in setting.flags)
        text = setting.text
        if isinstance(setting.kind, Choice):
            text += " " + ", ".join(f"`{name}`" for name in setting.kind.names) + "."
        lines.append(f"| {flags} | {setting.shown_default} | {text} |")
    return lines[1:]


def test_the_options_of_the_page_are_those_of_the_command():
    text = PAGE.read_text(encoding="utf-8")
    shown = text.split("<!-- options -->\n\n")[1].split("\n\n<!-- /options -->")[0]

    assert shown.splitlines() == table(), "the page must have:\n" + "\n".join(table())


def test_the_page_has_every_key_that_is_about_the_command_and_every_framing():
    text = PAGE.read_text(encoding="utf-8")

    assert re.findall(r"^\| `(\w+)` = ", text, re.MULTILINE) == list(COMMAND_KEYS)
    framings = re.findall(r"^\| `(\w+)` \| (.*) \|$", text.split("## Framings")[1], re.MULTILINE)
    assert {name: re.findall(r"`(\w+)`", options) for name, options in framings} == {
        name: options_of(name) for name in CLASSES
    }


def test_the_file_that_the_page_shows_is_accepted(tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    path = tmp_path / "server.toml"
    path.write_text(shown, encoding="utf-8")

    file = read_config(str(path))

    assert len(file.settings) + len(file.command) == len(tomllib.loads(shown))

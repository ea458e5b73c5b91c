"""The configuration file of ``proactor serve``: TOML, a key for each setting.

A key is the name of the flag without its dashes in front; ``-`` and ``_`` within it are the same.
Everything that is wrong is refused before anything is served, with the file and the key.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from proactor.cli.exits import Misused
from proactor.cli.serving.settings import by_key
from proactor.cli.serving.values import Kind, Number, OrOff, Switch, Text

COMMAND_KEYS: Final[dict[str, Kind]] = {
    "service": Text(),
    "engine": Text(),
    "quiet": Switch(),
    "report": OrOff(Number()),
}
"""Keys that are about the command, and no option of the server."""


@dataclass(frozen=True)
class Configured:
    """What a file says.

    Attributes:
        path: The file, as the user named it; empty: there is none.
        command: By key, what `COMMAND_KEYS` lists.
        settings: By name of the setting: its value.
        labels: By name of the setting: how an error names it.
    """

    path: str = ""
    command: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def read_config(path: str) -> Configured:
    """Read the file at `path`.

    Raises:
        Misused: It cannot be read, is no TOML, or a key or a value is wrong; the text says which,
            and what is accepted.
    """
    configured = Configured(path)
    for key, value in _pairs(path):
        label = f"{path}: {key}"
        name = key.replace("-", "_")
        try:
            if name in COMMAND_KEYS:
                _take_once(configured.command, name, _command(name, value, label), label)
                continue
            setting = by_key().get(name)
            if setting is None:
                raise ValueError(f"{path}: unknown key {key!r}: {_known(name)}")
            read = setting.read(value, label, as_text=False)
            _take_once(configured.settings, setting.name, read, label)
            configured.labels[setting.name] = label
        except ValueError as error:
            raise Misused(str(error)) from error
    return configured


def _pairs(path: str) -> Iterator[tuple[str, Any]]:
    try:
        text = Path(path).read_text(encoding="utf-8")
        yield from tomllib.loads(text).items()
    except OSError as error:
        raise Misused(f"cannot read the configuration {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise Misused(f"{path}: not UTF-8 at byte {error.start}, as TOML is") from error
    except tomllib.TOMLDecodeError as error:
        raise Misused(f'{path}: not TOML: {error}; a line is key = 5 or key = "text"') from error


def _command(name: str, value: Any, label: str) -> Any:
    kind = COMMAND_KEYS[name]
    try:
        read = kind.from_toml(value)
        if name == "report" and read is not None and read <= 0:
            raise ValueError(repr(value))
    except ValueError as error:
        accepts = 'a number of seconds above 0, or "off"' if name == "report" else kind.accepts
        raise ValueError(f"{label} is {accepts}, not {value!r}") from error
    return read


def _take_once(taken: dict[str, Any], name: str, value: Any, label: str) -> None:
    if name in taken:
        raise ValueError(f"{label} is given twice, under another name: leave one of them out")
    taken[name] = value


def _known(name: str) -> str:
    known = [*COMMAND_KEYS, *by_key()]
    near = difflib.get_close_matches(name, known, 1)
    meant = f"is it {near[0]}? " if near else ""
    return f"{meant}There are {', '.join(sorted(known))}"

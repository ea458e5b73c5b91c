r"""Framings as users write them: ``packet``, ``packet:byteorder=big,max_frame=4096``, ``lines``.

The options of a framing are the fields of its class, so a new one of those is an option here.
"""

from __future__ import annotations

import types
from dataclasses import dataclass, fields
from typing import Any, Final, get_args, get_origin, get_type_hints

from proactor.errors import ProactorError
from proactor.framing import (
    DelimiterFraming,
    FixedFraming,
    Framing,
    LengthFraming,
    PacketFraming,
    RawFraming,
    VarintFraming,
)

CLASSES: Final[dict[str, type[Any]]] = {
    "raw": RawFraming,
    "lines": DelimiterFraming,
    "packet": PacketFraming,
    "length": LengthFraming,
    "delimiter": DelimiterFraming,
    "fixed": FixedFraming,
    "varint": VarintFraming,
}


@dataclass(frozen=True)
class FramingKind:
    """A framing: a word of the command line, or in TOML that word or a table with its options."""

    metavar: str = "KIND[:OPTION=VALUE,...]"

    @property
    def accepts(self) -> str:
        """See `Kind`."""
        return f"one of {', '.join(CLASSES)}, with options as in packet:byteorder=big,id_bytes=4"

    def from_text(self, text: str) -> Framing:
        """See `Kind`."""
        name, _, rest = text.partition(":")
        options: dict[str, Any] = {}
        for part in filter(None, rest.split(",")):
            key, equals, value = part.partition("=")
            if not equals and name == "fixed":  # Its one option has no need of a name.
                key, value = "size", key
            options[key.strip()] = value
        return _framing(name.strip().lower(), options)

    def from_toml(self, value: Any) -> Framing:
        """See `Kind`."""
        if isinstance(value, str):
            return self.from_text(value)
        if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
            raise ValueError(repr(value))
        options = {name: option for name, option in value.items() if name != "kind"}
        return _framing(value["kind"], options)


def written_framing(framing: Framing) -> str:
    """Return the name of a framing as a user would write it, without its options."""
    if isinstance(framing, DelimiterFraming) and framing.delimiter == b"\n":
        return "lines"
    for name, found in reversed(CLASSES.items()):
        if type(framing) is found:
            return name
    return type(framing).__name__


def options_of(name: str) -> list[str]:
    """Return the names of the options that a framing has."""
    return [field.name for field in fields(CLASSES[name]) if field.init]


def _framing(name: str, options: dict[str, Any]) -> Framing:
    if name not in CLASSES:
        raise ValueError(repr(name))
    hints = get_type_hints(CLASSES[name])
    known = options_of(name)
    given = {}
    for key, value in options.items():
        if key not in known:
            has = ", ".join(known) if known else "none"
            raise ValueError(f"{name} with the option {key!r}: its options are {has}")
        given[key] = _option(name, key, value, hints[key])
    try:
        made: Framing = CLASSES[name](**given)
    except ProactorError as error:
        raise ValueError(f"{name}: {error.strerror or error}") from error
    except TypeError as error:
        raise ValueError(f"{name} without its options {', '.join(known)}") from error
    return made


def _option(name: str, key: str, value: Any, hint: Any) -> Any:
    """Return the option's value in the type of its field."""
    if get_origin(hint) is types.UnionType:
        hint = next(part for part in get_args(hint) if part is not type(None))
    try:
        if hint is bool:
            return value if isinstance(value, bool) else {"true": True, "false": False}[value]
        if hint is int:
            if isinstance(value, (bool, float)):
                raise ValueError
            return int(value)
        if not isinstance(value, str):
            raise ValueError
        return unescaped(value) if hint is bytes else value
    except (ValueError, KeyError, TypeError) as error:
        wanted = {bool: "true or false", int: "a whole number"}.get(hint, "text")
        raise ValueError(f"{name} with {key}={value!r}: give {wanted}") from error


def unescaped(text: str) -> bytes:
    r"""Return the bytes of `text`, in which ``\r``, ``\n``, ``\x00`` may be written.

    Raises:
        ValueError: A backslash is followed by what is no escape.
    """
    try:
        return text.encode().decode("unicode-escape").encode("latin-1")
    except UnicodeError as error:
        raise ValueError(repr(text)) from error

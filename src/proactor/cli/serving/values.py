"""Values as users write them, on the command line and in a TOML file, and what is accepted.

A kind reads one value and refuses what it is not with a `ValueError` whose text is the value as it
was written; whoever asked knows the name of the setting, and says what the kind `accepts`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final, Protocol

OFF: Final = "off"
"""How None is written: TOML has no word for it."""

MOST_BYTES: Final = 10**15
"""For counts of bytes, and for rates: what is beyond means nothing here."""

MOST_COUNT: Final = 2**31 - 1
"""For other counts, which the system takes as numbers of 32 bits."""

MOST_SECONDS: Final = 10**6
"""For times, which some systems count in milliseconds with 32 bits: more than eleven days."""


class Kind(Protocol):
    """One kind of value."""

    @property
    def metavar(self) -> str:
        """What stands for it in a usage line."""
        ...

    @property
    def accepts(self) -> str:
        """What it accepts, as the end of a sentence: "a whole number"."""
        ...

    def from_text(self, text: str) -> Any:
        """Return the value of a word of the command line.

        Raises:
            ValueError: It is not of this kind.
        """
        ...

    def from_toml(self, value: Any) -> Any:
        """Return the value of what a TOML file says.

        Raises:
            ValueError: It is not of this kind.
        """
        ...


@dataclass(frozen=True)
class Whole:
    """Whole numbers, up to `most`."""

    most: int = MOST_COUNT
    metavar: str = "N"
    accepts: str = "a whole number"

    def from_text(self, text: str) -> int:
        """See `Kind`."""
        try:
            return self.from_toml(int(text))
        except ValueError as error:
            raise ValueError(f"{text!r}{_limit(text, self.most)}") from error

    def from_toml(self, value: Any) -> int:
        """See `Kind`."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(repr(value))
        if abs(value) > self.most:
            raise ValueError(f"{value}{_limit(value, self.most)}")
        return value


@dataclass(frozen=True)
class Number:
    """Numbers with a fraction, up to `most`: seconds, and rates."""

    most: int = MOST_SECONDS
    metavar: str = "NUMBER"
    accepts: str = "a number"

    def from_text(self, text: str) -> float:
        """See `Kind`."""
        try:
            return self.from_toml(float(text))
        except ValueError as error:
            raise ValueError(f"{text!r}{_limit(text, self.most)}") from error

    def from_toml(self, value: Any) -> float:
        """See `Kind`."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(repr(value))
        if not abs(value) <= self.most:
            raise ValueError(f"{value}{_limit(value, self.most)}")
        return float(value)


@dataclass(frozen=True)
class Text:
    """Any text."""

    metavar: str = "TEXT"
    accepts: str = "text in quotes"

    def from_text(self, text: str) -> str:
        """See `Kind`."""
        return text

    def from_toml(self, value: Any) -> str:
        """See `Kind`."""
        if not isinstance(value, str):
            raise ValueError(repr(value))
        return value


@dataclass(frozen=True)
class Switch:
    """Yes or no. On the command line it is the flag itself, or the flag with ``no-`` before it."""

    metavar: str = ""
    accepts: str = "true or false"

    def from_text(self, text: str) -> bool:
        """See `Kind`."""
        raise ValueError(repr(text))

    def from_toml(self, value: Any) -> bool:
        """See `Kind`."""
        if not isinstance(value, bool):
            raise ValueError(repr(value))
        return value


@dataclass(frozen=True)
class Choice:
    """A member of an enum, written as its value; words are joined with ``-``."""

    members: type[enum.Enum]

    @property
    def names(self) -> dict[str, enum.Enum]:
        """Each member by the way it is written."""
        return {str(member.value).replace(" ", "-"): member for member in self.members}

    @property
    def metavar(self) -> str:
        """See `Kind`."""
        return "CHOICE"

    @property
    def accepts(self) -> str:
        """See `Kind`."""
        return "one of " + ", ".join(self.names)

    def from_text(self, text: str) -> enum.Enum:
        """See `Kind`."""
        member = self.names.get(text.strip().lower().replace(" ", "-").replace("_", "-"))
        if member is None:
            raise ValueError(repr(text))
        return member

    def from_toml(self, value: Any) -> enum.Enum:
        """See `Kind`."""
        if not isinstance(value, str):
            raise ValueError(repr(value))
        return self.from_text(value)


@dataclass(frozen=True)
class OrOff:
    """Another kind, or "off", which is None."""

    kind: Kind

    @property
    def metavar(self) -> str:
        """See `Kind`."""
        return f"{self.kind.metavar}|{OFF}"

    @property
    def accepts(self) -> str:
        """See `Kind`."""
        return f'{self.kind.accepts}, or "{OFF}"'

    def from_text(self, text: str) -> Any:
        """See `Kind`."""
        return None if text.strip().lower() == OFF else self.kind.from_text(text)

    def from_toml(self, value: Any) -> Any:
        """See `Kind`."""
        return None if value == OFF else self.kind.from_toml(value)


def written(value: Any) -> str:
    """Return `value` as a user would write it."""
    if value is None:
        return OFF
    if isinstance(value, enum.Enum):
        return str(value.value).replace(" ", "-")
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _limit(value: Any, most: int) -> str:
    """Return what to add to the refusal of a number that is one, and too large."""
    try:
        is_too_large = abs(float(value)) > most
    except (ValueError, OverflowError):
        is_too_large = False
    return f": it may be {most} at most" if is_too_large else ""

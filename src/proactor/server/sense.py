"""Which numbers make sense: refused where they are given, and not where they first do harm.

A text names the number as its owner calls it, and says what is allowed and what was given. Every
comparison is written so that NaN fails it.
"""

from __future__ import annotations

from math import inf
from typing import Any, Final

MOST_COUNT: Final = 2**31 - 1
"""The most of what systems and engines take as a number of 32 bits."""

MOST_SECONDS: Final = MOST_COUNT // 1000
"""The most seconds of what systems take in milliseconds: more than 24 days."""


def check_whole(name: str, number: Any, least: int, *, most: float = inf, off: str = "") -> None:
    """Refuse what is no whole number from `least` to `most`.

    Args:
        name: What the number is called.
        number: What was given.
        least: The least that is allowed.
        most: The most that is allowed.
        off: If not empty, None is allowed, and this is how the text says so.

    Raises:
        TypeError: It is no whole number.
        ValueError: It is too small or too large.
    """
    if number is None and off:
        return
    or_off = f", or {off}" if off else ""
    if not isinstance(number, int):
        raise TypeError(f"{name} is a whole number{or_off}, not {number!r}")
    if number < least and most >= MOST_COUNT:  # Its most is the system's, and not the question.
        raise ValueError(f"{name} is {least} or more{or_off}, not {number}")
    if not least <= number <= most:
        raise ValueError(f"{name} is from {least} to {most}{or_off}, not {number}")


def check_positive(name: str, number: Any, *, most: float = inf, off: str = "") -> None:
    """Refuse what is no finite number above 0, `most` at most; the arguments are as above.

    Raises:
        TypeError: It is no number.
        ValueError: It is zero or less, endless, NaN, or too large.
    """
    if number is None and off:
        return
    or_off = f", or {off}" if off else ""
    _refuse_words(name, number, or_off)
    if not 0 < number < inf:
        raise ValueError(f"{name} is a number above 0{or_off}, not {number!r}")
    if not number <= most:
        raise ValueError(f"{name} is a number above 0, {most} at most{or_off}, not {number!r}")


def check_seconds(name: str, number: Any) -> None:
    """Refuse what is no time: a finite number of seconds, 0 or more.

    Raises:
        TypeError: It is no number.
        ValueError: It is negative, endless or NaN.
    """
    _refuse_words(name, number, "")
    if not 0 <= number < inf:
        raise ValueError(f"{name} is 0 or more seconds, not {number!r}")


def _refuse_words(name: str, number: Any, or_off: str) -> None:
    if not isinstance(number, (int, float)):
        raise TypeError(f"{name} is a number{or_off}, not {number!r}")

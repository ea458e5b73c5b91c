"""How a command ends: 0 done, 1 failed, 2 misused; an error is one line that ends in the remedy."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
FAILED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130
"""Ended at once by Ctrl-C: 128 and the number of the signal, as shells count."""


class CommandError(Exception):
    """A command cannot go on; its text is the one line that the user reads."""

    code = FAILED


class Failed(CommandError):
    """The command was right and did not succeed."""


class Misused(CommandError):
    """What was asked for cannot be done like this: the text says what to ask instead."""

    code = MISUSED

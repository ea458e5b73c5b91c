"""What this process has open, from Linux' own table."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

_TABLE = "/proc/self/fd"
_RING = "anon_inode:[io_uring]"

COUNTS_DESCRIPTORS = sys.platform == "linux"
"""Whether `descriptors` can answer. Under Wine the table can be read, but is another process's."""


def descriptors() -> int:
    """Return how many descriptors this process has open, beside the ring of its engine.

    The ring belongs to the thread that moves the bytes: it goes when that thread ends (a little
    after it has been joined), and the next one opens another. Two of them are one too many.
    """
    names = [name.partition(": ")[2] for name in names_of_descriptors()]
    return len(names) - min(names.count(_RING), 1)


def names_of_descriptors() -> list[str]:
    """Return the number of each and what it is, for the text of a failure."""
    names = []
    for number in os.listdir(_TABLE):
        with suppress(OSError):  # The one that lists them is closed by now.
            names.append(f"{number}: {os.readlink(f'{_TABLE}/{number}')}")
    return names

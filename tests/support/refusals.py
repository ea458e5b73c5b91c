"""Numbers of failures: what a refused call raises, and what a packet carries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proactor import CompletionPacket, ProactorError

# What a stream that is gone may be reported as, by the side that closed it (A7 of the contracts):
# it varies with the system, so that a program decides by its own flag that it was it who closed.
CLOSED_HERE = {64, 995, 1236}


@contextmanager
def refused_with(number: int) -> Iterator[pytest.ExceptionInfo[ProactorError]]:
    """Expect the block to raise a `ProactorError` with this Winsock (or Win32) number."""
    with pytest.raises(ProactorError) as caught:
        yield caught
    assert number in (caught.value.winerror, caught.value.wsaerror), f"{caught.value!r}"


def numbers(packet: CompletionPacket) -> tuple[int, int]:
    """Return the two numbers of a failed packet: the port's and Winsock's."""
    error = packet.error
    assert isinstance(error, ProactorError), f"not a failed packet: {packet!r}"
    return error.winerror, error.wsaerror

"""A served port, and streams on it whose peers are closed at the end of the test."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from proactor import Stream
from tests.streams.serving import Recorder, Served


@pytest.fixture
def served() -> Iterator[Served]:
    """Return a port that five threads serve."""
    made = Served(5)
    yield made
    made.close()


@pytest.fixture
def connected(served: Served) -> Iterator[Callable[..., tuple[Stream, socket.socket]]]:
    """``connected(sink, framing, limits)`` returns a stream and its peer."""
    with ExitStack() as stack:

        def connect(sink: Recorder, *arguments: Any, **named: Any) -> tuple[Stream, socket.socket]:
            stream, peer = served.open(sink, *arguments, **named)
            stack.enter_context(peer)
            return stream, peer

        yield connect

"""Servers and clients of a test: closed at its end, and nothing of them may be left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from proactor import Server, Session
from tests.server.serving import Client


@pytest.fixture
def serving() -> Iterator[Callable[..., Server]]:
    """``serving(session_class, **options)`` starts a server on a port of the system's choice."""
    with ExitStack() as stack:

        def start(session_class: type[Session], **options: Any) -> Server:
            server = Server(session_class, **{"port": 0, "workers": 2, **options})
            stack.callback(server.close)
            server.start()
            return server

        yield start


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    """``client(server)`` connects a client that is closed at the end of the test."""
    with ExitStack() as stack:

        def connect(server: Server, **options: Any) -> Client:
            connected = Client(server, **options)
            stack.callback(connected.close)
            return connected

        yield connect

"""The iocp engine's own tests: what only the kernel's port can get wrong. They run on Windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from proactor import CompletionPort, OverlappedSocket
from tests.support.sockets import PeerPair, plain_pair


@pytest.fixture
def port() -> Iterator[CompletionPort]:
    """Return a port that does not limit how many threads run."""
    with CompletionPort(8) as made:
        yield made


@pytest.fixture
def peer_pair(opened: Callable[..., OverlappedSocket]) -> Iterator[PeerPair]:
    """Return (ours, peer): an overlapped socket and the plain socket at its other end."""
    server, client = plain_pair()
    with client:
        yield opened(OverlappedSocket.adopt(server)), client

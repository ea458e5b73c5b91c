"""The shared ground of the conformance suite: ports, sockets and their peers, on one engine.

Each test bears the engine in its id, so that runs on several engines can stand side by side.
`server` is always the accepted end of a pair and `client` the connecting one; a *peer* is a plain
`socket.socket`, driven without the engine. Everything is on the loopback, on ephemeral ports, and
is closed when the test ends.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from proactor import CompletionPort, Event, OverlappedSocket, select
from tests.support.descriptors import COUNTS_DESCRIPTORS, descriptors, names_of_descriptors
from tests.support.sockets import PeerPair as PeerPair
from tests.support.sockets import TcpPair as TcpPair
from tests.support.sockets import loopback, plain_pair
from tests.support.streams import eventually
from tests.support.system import engine_name


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Put the name of the engine into the id of every test of this folder."""
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", [engine_name()], indirect=True, scope="session")


@pytest.fixture(scope="session", autouse=True)
def engine(request: pytest.FixtureRequest) -> str:
    """Return the name of the engine, which has by now opened what it keeps for the process."""
    with CompletionPort() as port, OverlappedSocket(type=socket.SOCK_DGRAM) as warm_up:
        port.attach(warm_up)
        select([warm_up], timeout=0.01)
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
def no_descriptor_is_left(engine: str) -> Iterator[None]:
    """Fail a test after which more descriptors are open than before, where they can be counted.

    A socket that was forgotten also fails by its ResourceWarning, on every system.
    """
    if not COUNTS_DESCRIPTORS:
        yield
        return
    before = descriptors()
    yield
    # An engine may close in a thread of its own, which nobody can wait for.
    assert eventually(lambda: descriptors() <= before), names_of_descriptors()


@pytest.fixture
def port(engine: str) -> Iterator[CompletionPort]:
    """Return a port that does not limit how many threads run."""
    with CompletionPort(8) as made:
        yield made


@pytest.fixture
def second_port(engine: str) -> Iterator[CompletionPort]:
    """Return another port."""
    with CompletionPort(8) as made:
        yield made


@pytest.fixture
def strict_port(engine: str) -> Iterator[CompletionPort]:
    """Return a port of concurrency 1 that never takes a slow worker for a blocked one."""
    with CompletionPort(1, stall_timeout=None) as made:
        yield made


@pytest.fixture
def tcp_pair(opened: Callable[[OverlappedSocket], OverlappedSocket], engine: str) -> TcpPair:
    """Return (server, client): both ends of a connection, both overlapped."""
    server, client = plain_pair()
    return opened(OverlappedSocket.adopt(server)), opened(OverlappedSocket.adopt(client))


@pytest.fixture
def peer_pair(opened: Callable[..., OverlappedSocket], engine: str) -> Iterator[PeerPair]:
    """Return (ours, peer): an overlapped socket and the plain socket at its other end."""
    server, client = plain_pair()
    with client:
        yield opened(OverlappedSocket.adopt(server)), client


@pytest.fixture
def listener(engine: str) -> Iterator[OverlappedSocket]:
    """Return an overlapped socket that listens."""
    with OverlappedSocket() as made:
        made.bind(loopback())
        made.listen()
        yield made


@pytest.fixture
def udp_pair(opened: Callable[[OverlappedSocket], OverlappedSocket], engine: str) -> TcpPair:
    """Return two bound UDP sockets, which are not connected."""
    ours = opened(OverlappedSocket(type=socket.SOCK_DGRAM))
    theirs = opened(OverlappedSocket(type=socket.SOCK_DGRAM))
    ours.bind(loopback())
    theirs.bind(loopback())
    return ours, theirs


@pytest.fixture
def event(engine: str) -> Iterator[Event]:
    """Return a manual-reset event, not signaled."""
    with Event() as made:
        yield made

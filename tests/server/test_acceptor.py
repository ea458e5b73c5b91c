"""The acceptor by itself: what it lets go of, and when it is over. See also test_admission."""

from __future__ import annotations

import socket
import threading
import warnings
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from proactor import Server, ServerOptions, Session, TimerQueue, errors, statuses
from proactor.packets import CompletionPacket
from proactor.server.acceptor import Acceptor
from proactor.server.tallies import Tally
from tests.support.sockets import LIMIT


class Listener:
    """Accepts that end when the test says so."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.is_closed = False

    def accept(self, overlapped: Any) -> None:
        if self.is_closed:
            raise errors.refused(statuses.WSAENOTSOCK, "accept: it is closed")
        self.begun.append(overlapped)

    def close(self) -> None:
        self.is_closed = True


class Connection:
    aborted = False

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def admitted():
    return []


@pytest.fixture
def acceptor(listener, admitted):
    port: Any = SimpleNamespace(attach=lambda sock, key: None)
    sock: Any = listener
    options = ServerOptions(accepts=2)
    made = Acceptor(port, sock, TimerQueue(), options, Tally(), admitted.append)
    made.start()
    return made


def came(acceptor: Acceptor, listener: Listener) -> Connection:
    overlapped = listener.begun.pop(0)
    overlapped.accepted = connection = Connection()
    acceptor._accepted(CompletionPacket(None, overlapped))
    return connection


def failed(acceptor: Acceptor, listener: Listener) -> None:
    packet = CompletionPacket(None, listener.begun.pop(0))
    packet.error = ConnectionAbortedError("accept: cancelled")
    acceptor._accepted(packet)


def test_it_is_over_when_the_last_accept_has_come_back(acceptor, listener):
    acceptor.stop()

    assert not acceptor.join(0)
    failed(acceptor, listener)
    assert not acceptor.join(0)
    failed(acceptor, listener)
    assert acceptor.join(0) and not listener.begun


def test_a_connection_that_comes_after_the_stop_is_let_go(acceptor, listener, admitted):
    early = came(acceptor, listener)
    acceptor.stop()

    late = came(acceptor, listener)

    assert (early.aborted, late.aborted) == (False, True)
    assert admitted == [early]


def test_it_is_not_over_while_a_connection_is_admitted(acceptor, listener, admitted):
    entered, leave = threading.Event(), threading.Event()
    acceptor._admit = lambda sock: (entered.set(), leave.wait(LIMIT))
    worker = threading.Thread(target=came, args=(acceptor, listener))
    worker.start()
    assert entered.wait(LIMIT)

    acceptor.stop()
    while listener.begun:
        failed(acceptor, listener)
    assert not acceptor.join(0)

    leave.set()
    assert acceptor.join(LIMIT)
    worker.join()


def test_one_that_was_never_started_is_over(listener, admitted):
    nowhere: Any = None
    sock: Any = listener
    acceptor = Acceptor(nowhere, sock, TimerQueue(), ServerOptions(), Tally(), admitted.append)

    acceptor.stop()

    assert acceptor.join(0)


def test_who_comes_while_the_server_closes_is_not_left_in_limbo():
    # Method: the accept ends about when the workers are told to leave. Without a GIL one in a
    # hundred was lost.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(100):
            server = Server(Session, port=0, workers=2, proxy_protocol=True)
            server.start()
            with socket.create_connection(server.address, timeout=LIMIT) as client:
                client.sendall(b"PROXY")
                server.close()
                with suppress(ConnectionError):  # It was reset: in the backlog, or in the door.
                    assert client.recv(1) == b""

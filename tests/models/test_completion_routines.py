"""What only the routine model can get wrong: its accept, between routines and events."""

from __future__ import annotations

import socket
import threading

from proactor import queue_user_apc
from tests.scenarios.serving import Served, echo
from tests.support.sockets import LIMIT, pattern, plain_client
from tests.support.streams import eventually


def test_a_client_that_comes_while_routines_run_is_not_lost():
    # Goal: the wait then ends because routines ran, and not by the event of the accept; whoever
    # starts the next accept on that news throws the client away.
    # Method: an APC that does not return before the accept has completed.
    clients: list[socket.socket] = []
    came = threading.Event()

    def come_in(served: Served) -> None:
        clients.append(plain_client(served.address))
        assert eventually(lambda: served.server._accept_operation.is_complete)
        came.set()

    with Served("overlapped-routine") as served:
        with served.client() as first:
            assert echo(first, pattern(10)) == pattern(10)
        serving = served.server._thread
        assert serving is not None

        queue_user_apc(serving, come_in, served)

        assert came.wait(LIMIT)
        with clients[0] as client:
            assert echo(client, pattern(100)) == pattern(100)

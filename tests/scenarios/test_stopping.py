"""Stopping: at once, in order, from anywhere, any number of times."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from proactor.models import MODELS, Reason
from tests.scenarios.serving import Served, echo
from tests.support.descriptors import COUNTS_DESCRIPTORS, descriptors
from tests.support.sockets import LIMIT, pattern
from tests.support.threads import Running

MESSAGE = pattern(100)


def test_stop_with_fifty_live_sessions_ends_in_time(model):
    served = Served(model)
    with ExitStack() as stack:
        with served:
            clients = [stack.enter_context(served.client()) for _ in range(50)]
            for client in clients:
                assert echo(client, MESSAGE) == MESSAGE
            served.wait_for_sessions(50)

            assert served.stop() < 2.0

            assert served.sessions == 0
            assert served.traffic.disconnects == {Reason.STOPPED: 50}
        for client in clients:
            assert client.recv(1) == b""


def test_stop_wakes_an_idle_server_at_once(served):
    assert served.stop() < 0.5


def test_stop_before_serve_makes_serve_return_at_once(model):
    with MODELS[model]("127.0.0.1", 0) as server:
        server.stop()
        Running(server.serve).result()

        assert server.sessions == 0


def test_stop_may_be_repeated_and_come_after_the_end(model):
    with MODELS[model]("127.0.0.1", 0) as server:
        running = Running(server.serve)
        server.stop()
        server.stop()
        running.result()
        server.stop()


def test_close_without_serve_frees_the_port(model):
    server = MODELS[model]("127.0.0.1", 0)
    host, port = server.address
    server.close()

    with MODELS[model](host, port) as again:
        assert again.address == (host, port)


def test_close_waits_for_serve_in_another_thread(model):
    server = MODELS[model]("127.0.0.1", 0)
    running = Running(server.serve)
    server.close()

    running.result(0.5)


def test_a_server_serves_once(model):
    with MODELS[model]("127.0.0.1", 0) as server:
        running = Running(server.serve)
        server.stop()
        running.result()

        with pytest.raises(RuntimeError, match="make a new one"):
            server.serve()


def test_stop_while_clients_are_sending_leaves_nothing(model, in_thread):
    # Goal: operations of every kind are in flight when the end comes.
    def send_until_closed(served: Served, begun: threading.Barrier) -> None:
        with served.client() as client:
            try:
                echo(client, MESSAGE)
                begun.wait(LIMIT)
                while echo(client, MESSAGE):
                    pass
            except ConnectionError:
                pass

    begun = threading.Barrier(9)
    with Served(model) as served:
        clients = [in_thread(send_until_closed, served, begun) for _ in range(8)]
        begun.wait(LIMIT)

        assert served.stop() < 2.0

        for client in clients:
            client.result()


def test_stop_ends_a_session_whose_client_does_not_read(model, in_thread):
    def send_for_ever(client) -> None:
        with pytest.raises(OSError):
            while True:
                client.sendall(pattern(1 << 20))

    with Served(model) as served, served.client() as client:
        client.settimeout(4 * LIMIT)
        sender = in_thread(send_for_ever, client)
        served.traffic.wait_for(lambda: served.traffic.bytes_in > 0)
        served.traffic.wait_until_quiet()

        assert served.stop() < 2.0

        sender.result()


@pytest.mark.skipif(not COUNTS_DESCRIPTORS, reason="counts descriptors in Linux' own table")
def test_a_stopped_server_gives_every_descriptor_back(model):
    with Served(model) as first, first.client() as client:  # May open what stays open.
        assert echo(client, MESSAGE) == MESSAGE
    before = descriptors()

    with ExitStack() as stack, Served(model) as served:
        clients = [stack.enter_context(served.client()) for _ in range(20)]
        for client in clients:
            assert echo(client, MESSAGE) == MESSAGE

    assert descriptors() == before

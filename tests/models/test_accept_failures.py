"""No descriptor is left: no hot loop, no lost server, and the client that waits is served later."""

from __future__ import annotations

import errno
import logging
import subprocess
import sys
import threading
import time

import psutil
import pytest

from proactor import Event, OverlappedSocket
from proactor.models import MODELS, Reason, event_groups, event_objects, overlapped_events
from proactor.models.echo import AcceptPause
from tests.scenarios.serving import ALL_MODELS, Served, echo, processor_seconds
from tests.support.sockets import pattern, plain_client, read_to_end
from tests.support.streams import eventually

MESSAGE = pattern(100)

# A server with room for few descriptors, in a process of its own: the clients need theirs here.
CRAMPED_SERVER = """
import resource, sys
from proactor.models import MODELS
with MODELS[sys.argv[1]]("127.0.0.1", 0) as server:
    server.traffic.connected(("127.0.0.1", 1))  # Everything that is imported late, is now.
    resource.setrlimit(resource.RLIMIT_NOFILE, (48, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    print(server.address[1], flush=True)
    server.serve()
"""


@pytest.fixture(params=ALL_MODELS)
def model(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_a_pause_ends_once_and_when_its_time_has_come(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pause = AcceptPause()
    assert not pause.is_on
    assert pause.seconds_left() is None
    assert not pause.end_if_due()

    assert pause.begin()
    assert pause.is_on
    assert pause.seconds_left() == pytest.approx(AcceptPause.SECONDS)
    assert not pause.end_if_due()

    now += AcceptPause.SECONDS + 0.001
    assert pause.seconds_left() == 0.0
    assert pause.end_if_due()
    assert not pause.is_on
    assert not pause.end_if_due()


def test_a_pause_is_news_once_in_a_while(monkeypatch):
    # Goal: a server without descriptors does not fill the log as well.
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pause = AcceptPause()

    assert [pause.begin(), pause.begin()] == [True, False]
    now += AcceptPause.SILENCE
    assert pause.begin()


def test_a_server_that_cannot_accept_stops_all_the_same(model, monkeypatch):
    def failing(self, *arguments, **keywords):
        raise OSError(errno.EMFILE, "no descriptor is left")

    monkeypatch.setattr(OverlappedSocket, "accept", failing)
    with Served(model) as served, served.client():
        assert eventually(lambda: served.server._pause.is_on)

        assert served.stop() < 2.0


def test_a_client_that_has_gone_begins_no_pause():
    with MODELS["select"]("127.0.0.1", 0) as server:
        server._accept_failed(ConnectionAbortedError(errno.ECONNABORTED, "gone"))
        assert not server._pause.is_on

        server._accept_failed(OSError(errno.EMFILE, "no descriptor is left"))
        assert server._pause.is_on


@pytest.mark.skipif(sys.platform != "linux", reason="limits descriptors with RLIMIT_NOFILE")
def test_a_server_out_of_descriptors_waits_and_goes_on(model):
    # Method: far more clients than the server has descriptors. Measure its processor time while
    # the rest waits in the backlog; then let the served ones go, and the rest must be served.
    command = [sys.executable, "-c", CRAMPED_SERVER, model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        clients = []
        try:
            assert p.stdout is not None
            address = ("127.0.0.1", int(p.stdout.readline()))
            clients = [plain_client(address) for _ in range(80)]
            served = [client for client in clients[:10] if echo(client, MESSAGE) == MESSAGE]
            assert len(served) == 10

            process = psutil.Process(p.pid)
            before = sum(process.cpu_times()[:2])
            processor_seconds(0.6)
            assert sum(process.cpu_times()[:2]) - before < 0.15

            for client in clients[:60]:
                client.close()
            for client in clients[60:]:
                assert echo(client, MESSAGE) == MESSAGE
        finally:
            for client in clients:
                client.close()
            p.kill()


def test_an_accept_that_fails_is_logged_and_tried_again(model, monkeypatch, caplog):
    # Goal: on every system. Method: the first accepts fail as they do without descriptors.
    real, failures = OverlappedSocket.accept, []

    def failing(self, *arguments, **keywords):
        if len(failures) < 3:
            failures.append(time.monotonic())
            raise OSError(errno.EMFILE, "no descriptor is left")
        return real(self, *arguments, **keywords)

    monkeypatch.setattr(OverlappedSocket, "accept", failing)
    with caplog.at_level(logging.WARNING), Served(model) as served, served.client() as client:
        assert echo(client, MESSAGE) == MESSAGE

    assert len(failures) == 3
    assert failures[2] - failures[0] >= 2 * AcceptPause.SECONDS * 0.9
    assert eventually(lambda: "accept failed" in caplog.text)


@pytest.mark.parametrize("model", ["overlapped-event", "overlapped-routine", "completion-port"])
def test_an_accept_in_flight_that_fails_is_started_again(model):
    # Goal: the failure comes as news here, and not as the answer of the call.
    with Served(model) as served:
        with served.client() as client:
            assert echo(client, MESSAGE) == MESSAGE

        # The next accept may not have been started yet.
        assert eventually(served.server.listener.cancel)

        with served.client() as client:
            assert echo(client, MESSAGE) == MESSAGE


@pytest.mark.parametrize(
    ("model", "module"),
    [("event-select", event_objects), ("overlapped-event", overlapped_events)],
)
def test_a_client_for_whom_no_event_is_left_is_turned_away(model, module, monkeypatch):
    made: list[Event] = []

    def scarce() -> Event:
        # The first is the listener's, the second is the first client's.
        made.append(Event())
        if len(made) == 2:
            made[1].close()
            raise OSError(errno.EMFILE, "no event is left")
        return made[-1]

    monkeypatch.setattr(module, "Event", scarce)
    with Served(model) as served:
        with served.client() as turned_away:
            assert read_to_end(turned_away) == b""
        with served.client() as client:
            assert echo(client, MESSAGE) == MESSAGE
        served.wait_for_departures(1)
        assert served.traffic.connects == 1


@pytest.mark.parametrize("model", ["event-select", "overlapped-event"])
def test_a_client_for_whom_no_thread_can_be_had_is_turned_away(model, monkeypatch):
    # Method: one wait takes three events, so that a group has room for the listener and one client.
    start = threading.Thread.start

    def no_more_groups(thread: threading.Thread) -> None:
        if thread.name.startswith(model):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(event_groups, "max_wait_objects", lambda: 3)
    monkeypatch.setattr(threading.Thread, "start", no_more_groups)
    with Served(model) as served, served.client() as client:
        assert echo(client, MESSAGE) == MESSAGE
        with served.client() as turned_away:
            assert read_to_end(turned_away) == b""
        assert served.wait_for_departures(1) == [Reason.ERROR]
        assert echo(client, MESSAGE) == MESSAGE

"""Hooks of `Traffic` that raise: one session pays for it, the server does not."""

from __future__ import annotations

import logging

import pytest

from proactor.models import MODELS, Reason, Traffic
from tests.scenarios.serving import ALL_MODELS, echo
from tests.support.sockets import pattern, plain_client, read_to_end
from tests.support.streams import eventually
from tests.support.threads import Running

MESSAGE = pattern(100)


class Faulty(Traffic):
    """Raises in one hook, for the client that sends 13 bytes or in every call."""

    def __init__(self, hook: str) -> None:
        super().__init__()
        self._hook = hook

    def connected(self, peer) -> None:
        super().connected(peer)
        if self._hook == "connected":
            raise RuntimeError("a hook that raises")

    def received(self, peer, count) -> None:
        super().received(peer, count)
        if self._hook == "received" and count == 13:
            raise RuntimeError("a hook that raises")

    def sent(self, peer, count) -> None:
        super().sent(peer, count)
        if self._hook == "sent" and count == 13:
            raise RuntimeError("a hook that raises")

    def disconnected(self, peer, reason) -> None:
        super().disconnected(peer, reason)
        if self._hook == "disconnected":
            raise RuntimeError("a hook that raises")


@pytest.mark.parametrize("model", ALL_MODELS)
@pytest.mark.parametrize("hook", ["connected", "received", "sent", "disconnected"])
def test_a_hook_that_raises_ends_no_other_session(model, hook, caplog):
    traffic = Faulty(hook)
    with (
        caplog.at_level(logging.ERROR),
        MODELS[model]("127.0.0.1", 0, traffic=traffic) as server,
    ):
        running = Running(server.serve)
        try:
            with plain_client(server.address) as stays, plain_client(server.address) as hurt:
                assert echo(stays, MESSAGE) == MESSAGE
                hurt.sendall(pattern(13))
                if hook in ("received", "sent"):
                    assert read_to_end(hurt) in (b"", pattern(13))
                hurt.close()
                assert echo(stays, MESSAGE) == MESSAGE
                assert eventually(lambda: sum(traffic.disconnects.values()) == 1)
        finally:
            server.stop()
            running.result()
    assert "a hook that raises" in caplog.text
    assert server.sessions == 0
    assert traffic.connects == sum(traffic.disconnects.values()) == 2
    if hook in ("received", "sent"):
        assert traffic.disconnects[Reason.ERROR] == 1

"""Where a server listens, and what it says when it cannot."""

from __future__ import annotations

import socket

import pytest

from proactor.models import MODELS
from tests.scenarios.serving import Served, echo
from tests.support.sockets import pattern
from tests.support.system import has_ipv6

MESSAGE = pattern(100)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_a_server_on_the_ipv6_loopback_serves(model):
    with Served(model, host="::1") as served, served.client() as client:
        assert served.address[0] == "::1"
        assert echo(client, MESSAGE) == MESSAGE


def test_a_host_may_be_a_name(model):
    with Served(model, host="localhost") as served, served.client() as client:
        assert echo(client, MESSAGE) == MESSAGE


def test_an_address_in_use_is_refused_with_a_clear_text(served, model):
    host, port = served.address

    with pytest.raises(OSError, match=rf"cannot listen on {host}:{port}: .*in use"):
        MODELS[model](host, port)


def test_an_address_in_use_is_refused_also_by_another_program(model):
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="in use"),
    ):
        MODELS[model]("127.0.0.1", taken.getsockname()[1])


def test_a_host_that_does_not_exist_is_refused_with_its_name(model):
    with pytest.raises(OSError, match=r"cannot listen on host\.invalid:0"):
        MODELS[model]("host.invalid", 0)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port_is_refused(model, port):
    with pytest.raises(ValueError, match="0 to 65535"):
        MODELS[model]("127.0.0.1", port)


def test_less_than_one_worker_is_refused(model):
    with pytest.raises(ValueError, match="1 worker or more"):
        MODELS[model]("127.0.0.1", 0, workers=0)

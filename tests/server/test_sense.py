"""Numbers that make no sense: refused at construction, by name, with what is allowed."""

from __future__ import annotations

import math
import re
from dataclasses import fields

import pytest

from proactor import Room, Server, ServerOptions, StreamLimits
from tests.server.serving import recorded

NAN, INF = math.nan, math.inf
NUMBERS = [field.name for field in fields(ServerOptions) if field.type not in ("str", "bool")]
NUMBERS.remove("rate_action")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"concurrency": -1}, "concurrency is 0 or more, not -1"),
        ({"workers": 0}, "workers is 1 or more, not 0"),
        ({"workers": 2.5}, "workers is a whole number, not 2.5"),
        ({"workers": None}, "workers is a whole number, not None"),
        ({"workers": 2**31}, "workers is from 1 to 2147483647, not 2147483648"),
        ({"port": -1}, "port is from 0 to 65535, not -1"),
        ({"port": 70000}, "port is from 0 to 65535, not 70000"),
        ({"max_per_address": 0}, "max_per_address is 1 or more, or None for off, not 0"),
        ({"byte_burst": -5}, "byte_burst is 1 or more, or None for as much as the rate, not -5"),
        ({"idle_timeout": 0}, "idle_timeout is a number above 0, or None for off, not 0"),
        ({"heartbeat": NAN}, "heartbeat is a number above 0, or None for off, not nan"),
        ({"accept_rate": INF}, "accept_rate is a number above 0, or None for off, not inf"),
        (
            {"tcp_user_timeout": 1e7},
            "tcp_user_timeout is a number above 0, 2147483 at most, or None for off, not "
            "10000000.0",
        ),
        ({"drain_timeout": -1}, "drain_timeout is 0 or more seconds, not -1"),
        ({"close_timeout": NAN}, "close_timeout is 0 or more seconds, not nan"),
        ({"proxy_timeout": None}, "proxy_timeout is a number, not None"),
    ],
)
def test_the_refusal_of_an_option_names_it_and_what_is_allowed(changes, text):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(text)}$"):
        ServerOptions(**changes)


@pytest.mark.parametrize("number", [-1, NAN, INF, "3"])
@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_of_the_options_is_forgotten(name, number):
    with pytest.raises((TypeError, ValueError), match=rf"^{name} is .*, not {number!r}$"):
        ServerOptions(**{name: number})


def test_a_server_refuses_them_before_it_listens():
    with pytest.raises(ValueError, match="concurrency is 0 or more, not -1"):
        Server(recorded(), port=0, concurrency=-1)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"max_members": 0}, "max_members is 1 or more, or None for no cap, not 0"),
        ({"mailbox": 0}, "mailbox is 1 or more, not 0"),
        ({"mailbox": 1e3}, "mailbox is a whole number, not 1000.0"),
        ({"tick": NAN}, "tick is a number above 0, or None for no ticks, not nan"),
        ({"tick": INF}, "tick is a number above 0, or None for no ticks, not inf"),
        ({"tick": -0.1}, "tick is a number above 0, or None for no ticks, not -0.1"),
    ],
)
def test_the_refusal_of_a_room_names_the_argument(changes, text):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(text)}$"):
        Room(**changes)


def test_the_attributes_of_a_room_class_are_looked_at_too():
    with pytest.raises(ValueError, match="catch_up is 1 or more, not 0"):
        type("Hasty", (Room,), {"catch_up": 0})()
    with pytest.raises(ValueError, match="tick is a number above 0"):
        type("Still", (Room,), {"tick": 0})()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"send_low": 10, "send_high": 5}, "send_low is from 0 to send_high (5), not 10"),
        ({"inbox_low": -1}, "inbox_low is from 0 to inbox_high (262144), not -1"),
        ({"send_bytes": 0}, "send_bytes is 1 or more, not 0"),
        ({"send_bytes": NAN}, "send_bytes is a whole number, not nan"),
        ({"inbox_high": INF}, "inbox_high is a whole number, not inf"),
        ({"send_packets": 2**31}, "send_packets is 2147483647 at most, not 2147483648"),
        ({"send_high": 2**63}, f"send_high is {2**62} at most, not {2**63}"),
    ],
)
def test_the_refusal_of_a_limit_names_it(changes, text):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(text)}$"):
        StreamLimits(**changes)


@pytest.mark.parametrize("deadline", [-1, NAN, INF])
def test_a_drain_refuses_a_deadline_that_is_no_time_and_changes_nothing(serving, deadline):
    server = serving(recorded())
    with pytest.raises(ValueError, match="deadline is 0 or more seconds"):
        server.drain(deadline)
    assert server.state.value == "serving"

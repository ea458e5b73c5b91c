"""What a plan fills in, and what it refuses."""

from __future__ import annotations

import dataclasses

import pytest

from proactor.load import LoadPlan, PlanError, run_load


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"port": 0}, "--port 0 is out of range for echo: give 1 to 65,535"),
        ({"kind": "flood"}, "unknown traffic 'flood': choose one of echo, framed, fanout"),
        ({"byteorder": "middle"}, "unknown byte order 'middle'"),
        ({"connections": 0}, "--connections 0"),
        ({"connections": 2001, "kind": "fanout"}, "--connections 2001 is out of range for fanout"),
        ({"size": -1}, "--size -1"),
        ({"size": 3, "kind": "framed"}, "--size 3 is out of range for framed: give 4 to 65,535"),
        ({"size": 11, "kind": "fanout"}, "give 12 to 65,535"),
        ({"depth": 65537}, "--depth 65537"),
        ({"depth": 65536, "connections": 25000}, "too much to keep account of"),
        ({"duration": 0}, "--duration 0"),
        ({"rate": -1.0}, "--rate -1.0"),
        ({"rate": float("nan")}, "--rate nan"),
        ({"ramp": -1.0}, "--ramp -1.0"),
        ({"timeout": 0}, "--timeout 0"),
        ({"id": 65536}, "--id 65536"),
        ({"messages": 5, "warmup": 1.0}, "leave --warmup out"),
        ({"others_only": True}, "--others-only is about fan-out"),
        ({"others_only": True, "kind": "fanout", "connections": 1}, "--connections 1"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(options, text):
    with pytest.raises(PlanError, match=r"give|choose|leave") as caught:
        run_load(LoadPlan(**{"port": 1, **options}))

    assert text in str(caught.value)


def test_the_defaults_depend_on_the_traffic_and_on_the_loop():
    plan = LoadPlan(1)

    assert plan.host == "127.0.0.1"
    assert (plan.duration, plan.message_size, plan.in_flight) == (10.0, 1024, 1)
    assert plan.warmup_seconds == 0.5
    assert dataclasses.replace(plan, rate=1.0).in_flight == 1024
    assert dataclasses.replace(plan, messages=1).warmup_seconds == 0
    assert dataclasses.replace(plan, kind="framed").message_size == 36
    assert dataclasses.replace(plan, kind="fanout").message_size == 132


def test_a_host_that_is_not_known_is_an_error_of_the_system():
    with pytest.raises(OSError):
        run_load(LoadPlan(1, host="no.such.host.invalid"))

"""Every server that is measured, for a moment: what it sends back is right, on every engine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.contenders import Contender, Field, everybody
from benchmarks.measuring import Clocking, measure
from benchmarks.workloads import WORKLOADS, Workload

A_MOMENT = Clocking(0.1, 0.0, None)
KNOWN = {workload.name: workload for workload in WORKLOADS}


def small(name: str) -> Workload:
    return replace(KNOWN[name], connections=9)


@pytest.fixture(scope="module")
def field(load_program) -> Field:
    return everybody()


def contender(field: Field, workload: Workload, label: str) -> Contender:
    found = field.chosen(workload, [label])
    if not found:
        name, _, engine = label.partition("@")
        reason = field.missing.get(name) or field.missing.get(label)
        pytest.skip(reason or field.missing[f"our engine {engine}"])
    return found[0]


@pytest.mark.parametrize(
    ("workload", "label"),
    [
        ("echo-1k", "core-echo@epoll"),
        ("echo-1k", "core-echo@io_uring"),
        ("echo-1k", "session-1@selectors"),
        ("echo-1k", "session-5@io_uring"),
        ("echo-1k", "stream-port-1@epoll"),
        ("echo-1k", "stream-port-5@selectors"),
        ("framed", "asyncio"),
        ("framed", "aiofastnet"),
        ("framed", "uvloop-gathered"),
        ("framed", "session-1@selectors"),
        ("framed", "session-5@epoll"),
        ("fanout-8", "asyncio"),
        ("fanout-8", "uvloop"),
        ("fanout-8", "session-1@selectors"),
        ("fanout-8", "session-5@io_uring"),
        ("fanout-8", "room-1@epoll"),
        ("fanout-8", "room-5@selectors"),
        ("cpu-bound", "session-2@selectors"),
    ],
)
def test_a_server_answers_rightly(field, workload, label):
    figures = measure(contender(field, small(workload), label), small(workload), A_MOMENT)

    # A wrong, missing or surplus reply would have raised.
    assert figures["messages"] > 0
    assert figures["cpu"] > 0


def test_an_idle_session_tells_its_object_apart_from_what_is_ours(field):
    workload = small("idle")

    figures = measure(contender(field, workload, "session-1@selectors"), workload, A_MOMENT)

    assert figures["object_bytes"] > 100
    grown = figures["server_bytes_a_connection"]
    assert figures["own_bytes"] == max(0, grown - figures["object_bytes"])


def test_a_burning_handler_takes_its_time(field):
    # Method: one connection; a handler of 50 us must show in the CPU time of each message.
    workload = replace(KNOWN["cpu-bound"], connections=1)

    figures = measure(contender(field, workload, "session-1@selectors"), workload, A_MOMENT)

    assert figures["cpu"] > 30e-6


def test_every_workload_names_servers_that_there_are(field):
    known = {(c.service, name) for c in field.contenders for name in (c.name, c.label)}

    for workload in WORKLOADS:
        for label in workload.servers:
            name, _, engine = label.partition("@")
            if name in field.missing or f"our engine {engine}" in field.missing:
                continue
            assert (workload.service, label) in known
        for bar in workload.bars:
            assert any(server.partition("@")[0] == bar.server for server in workload.servers)

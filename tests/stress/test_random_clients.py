"""300 clients that connect, send, half-close and reset at random, against each model."""

from __future__ import annotations

import os
import random
import sys

import pytest

from tests.scenarios.serving import ALL_MODELS, Served, echo
from tests.stress.crowd import Crowd
from tests.stress.ledger import Ledger
from tests.support.descriptors import COUNTS_DESCRIPTORS, descriptors, names_of_descriptors
from tests.support.sockets import pattern
from tests.support.streams import eventually

SECONDS = float(os.environ.get("PROACTOR_STRESS_SECONDS", "4"))
SEED = int(os.environ.get("PROACTOR_STRESS_SEED", random.randrange(1 << 32)))

pytestmark = [pytest.mark.stress, pytest.mark.timeout(120)]


@pytest.mark.parametrize("model", ALL_MODELS)
def test_a_crowd_leaves_no_wrong_echo_and_nothing_behind(model, monkeypatch):
    # Goal: no wrong echo, each operation indicated exactly once, and sessions and descriptors
    # back to zero. The seed is printed when it fails: PROACTOR_STRESS_SEED runs it again.
    print(f"PROACTOR_STRESS_SEED={SEED}")
    with Served(model) as warm, warm.client() as client:  # Opens what stays open.
        assert echo(client, pattern(10)) == pattern(10)
    before = descriptors() if COUNTS_DESCRIPTORS else 0
    ledger = Ledger(monkeypatch)

    with Served(model) as served:
        crowd = Crowd(served.address, 300, SEED)
        crowd.run(SECONDS)
        assert not crowd.faults, f"{len(crowd.faults)} faults: {crowd.faults[:5]}"

        traffic = served.traffic
        served.wait_for_sessions(0)
        # A session is told of a little after it has gone.
        assert traffic.wait_for(lambda: traffic.connects == sum(traffic.disconnects.values()))
        assert traffic.connects <= sum(crowd.endings.values())
        with served.client() as client:
            assert echo(client, pattern(1000)) == pattern(1000)

    ledger.check()
    if COUNTS_DESCRIPTORS:
        assert eventually(lambda: descriptors() == before), names_of_descriptors()
    print(f"{model} on {sys.platform}: {dict(crowd.endings)}, {traffic.messages} messages")

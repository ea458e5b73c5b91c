"""The Python engine and the native ones run the same programs, and must indicate the same.

Hypothesis writes the programs; `interpreter` runs them, in one child for each engine that lives as
long as the test. ``PROACTOR_DIFFERENTIAL`` is how many programs are run at random; without it a
fixed set is, the same in every run. A program that fails is shown, and found again by Hypothesis;
where engines differ, the contracts of Winsock decide which one is right.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.differential.engines import Child, native_engines

if sys.platform != "linux":
    pytest.skip("the native engines are for Linux", allow_module_level=True)

from tests.differential.kernel import can_be_asked
from tests.differential.programs import PROGRAMS

EXAMPLES = int(os.environ.get("PROACTOR_DIFFERENTIAL", "0"))
ORACLE = "selectors"

if not can_be_asked():
    pytest.skip("this kernel does not tell when it is at rest", allow_module_level=True)

PROFILE = settings(
    max_examples=EXAMPLES or 120,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,  # What a program takes is bounded where it waits.
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def oracle() -> Iterator[Child]:
    with Child(ORACLE) as child:
        yield child


@pytest.fixture(scope="module", params=[*native_engines(), ORACLE])
def subject(request: pytest.FixtureRequest) -> Iterator[Child]:
    """Run on each native engine; and on the oracle, against itself: its programs are determined."""
    with Child(request.param) as child:
        yield child


def difference(expected: dict[str, Any], found: dict[str, Any]) -> str:
    """Return what two traces do not agree on, in words; empty if they do."""
    lines = [f"a fault: {fault}" for fault in (*expected["faults"], *found["faults"])]
    for part, here in expected.items():
        if part != "faults" and here != found[part]:
            lines.append(f"{part}: {here}\n     is not: {found[part]}")
    return "\n".join(lines)


def test_a_program_is_indicated_as_the_python_engine_indicates_it(
    oracle: Child, subject: Child
) -> None:
    @PROFILE
    @given(PROGRAMS)
    def agrees(program: list[dict[str, Any]]) -> None:
        differs = difference(oracle.run(program), subject.run(program))
        assert not differs, f"{subject.engine} differs from {oracle.engine}\n{differs}"

    agrees()


def test_a_packet_that_differs_is_seen(oracle: Child) -> None:
    # Goal: the comparison can fail. Method: a trace in which one byte, and one in which the order
    # of one socket's packets is another.
    program = [
        {"do": "recv", "sock": 0, "sizes": [4]},
        {"do": "recv", "sock": 0, "sizes": [4]},
        {"do": "send", "sock": 1, "sizes": [8]},
    ]
    trace = oracle.run(program)
    assert not difference(trace, trace)

    other_byte, other_order = copy.deepcopy(trace), copy.deepcopy(trace)
    other_byte["packets"]["a0"][0][-1] = "00000000"
    other_order["packets"]["a0"].reverse()

    assert "packets" in difference(trace, other_byte)
    assert "packets" in difference(trace, other_order)


def test_a_fault_of_both_is_seen(oracle: Child) -> None:
    trace = oracle.run([])

    assert "a fault" in difference({**trace, "faults": ["twice"]}, {**trace, "faults": ["twice"]})

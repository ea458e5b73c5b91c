"""What the rounds come to, without a process: medians, ratios within a round, bars."""

from __future__ import annotations

import pytest

from benchmarks.contenders import Contender
from benchmarks.report import Report
from benchmarks.results import Row, Table
from benchmarks.workloads import Bar, Workload

BAR = Bar("port-1", "rate", "uvloop", 1.0, ("io_uring",))
WORKLOAD = Workload("echo", "some", connections=1, size=8, bars=(BAR,))


def figures(rate: float, cpu: float = 1e-6, load: float = 0.5) -> dict[str, float]:
    times = {"p50": 1e-5, "p90": 2e-5, "p99": 3e-5}
    return {"rate": rate, "cpu": cpu, "load_cpu_share": load, **times}


def row(name: str, *rounds: dict[str, float] | None, engine: str = "") -> Row:
    return Row(Contender(name, ("true",), engine), list(rounds))


def text_of(table: Table, *, markdown: bool = False) -> str:
    settings = {"rounds": 3, "seconds": 1, "warmup": 0, "pinning": "nothing is pinned"}
    report = Report({"cpus": "2 CPUs"}, settings, {"c-uring": "refused"}, [table])
    return "\n".join(report.lines(markdown=markdown))


def test_a_ratio_is_taken_within_each_round_and_the_median_counts():
    # Goal: a machine that is slow in one round is slow for both, and changes no ratio.
    mine = row("port-1", figures(50), figures(5), figures(60))
    other = row("uvloop", figures(100), figures(10), figures(100))

    assert Table(WORKLOAD, [mine, other]).ratio(mine, "rate", "uvloop") == 0.5


def test_the_ceiling_of_a_round_is_the_cheaper_of_those_in_it():
    mine = row("port-1", figures(1, cpu=8e-6), figures(1, cpu=8e-6))
    epoll = row("c-epoll", figures(1, cpu=4e-6), figures(1, cpu=2e-6))
    uring = row("c-uring", figures(1, cpu=2e-6), None)

    assert Table(WORKLOAD, [mine, epoll, uring]).ratio(mine, "cpu", "C") == 4.0


def test_a_round_that_failed_on_one_side_has_no_ratio():
    mine = row("port-1", figures(50), None, figures(80))
    other = row("uvloop", None, figures(10), figures(100))

    assert Table(WORKLOAD, [mine, other]).ratio(mine, "rate", "uvloop") == 0.8


def test_without_the_other_one_there_is_no_ratio_and_no_bar():
    mine = row("port-1", figures(50), engine="io_uring")
    table = Table(WORKLOAD, [mine])

    assert table.ratio(mine, "rate", "uvloop") is None
    assert list(table.bars()) == []
    assert "port-1@io_uring" in text_of(table)


@pytest.mark.parametrize(
    ("rate", "verdict"), [(100, "1.00, met\n"), (80, "0.80, MISSED by 20.0%\n")]
)
def test_a_bar_is_judged_for_the_engine_that_it_binds(rate, verdict):
    mine = row("port-1", figures(rate), engine="io_uring")

    text = text_of(Table(WORKLOAD, [mine, row("uvloop", figures(100))]))

    assert f"port-1@io_uring: rate at least 1 x uvloop: {verdict}" in text


def test_for_another_engine_the_bar_is_a_distance_and_no_verdict():
    mine = row("port-1", figures(40), engine="selectors")

    text = text_of(Table(WORKLOAD, [mine, row("uvloop", figures(100))]))

    assert "port-1@selectors: 0.40; the bar of io_uring is rate at least 1 x uvloop" in text
    assert "MISSED" not in text


def test_a_row_whose_load_was_the_limit_says_so():
    table = Table(WORKLOAD, [row("c-epoll", figures(100_000, load=0.99))])

    assert ">= 100,000" in text_of(table)
    assert "the load was the limit" in text_of(table)


@pytest.mark.parametrize("markdown", [False, True])
def test_a_row_that_failed_is_shown_with_its_reason_and_who_is_missing_is_named(markdown):
    failed = row("uvloop", None, None)
    failed.problem = "a reply is not what was sent"

    text = text_of(Table(WORKLOAD, [failed]), markdown=markdown)

    assert "failed" in text
    assert "uvloop: 2 of 2 rounds failed: a reply is not what was sent" in text
    assert "Left out: c-uring, refused." in text

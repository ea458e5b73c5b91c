"""What is made of results without measuring: tables of every workload, the README, figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import readme
from benchmarks.contenders import Contender
from benchmarks.report import Report
from benchmarks.results import Row, Table
from benchmarks.run import main
from benchmarks.workloads import WORKLOADS, Workload

FIGURES = {
    **{"rate": 1000.0, "cpu": 2e-6, "p50": 1e-4, "p90": 2e-4, "p99": 3e-3},
    **{"load_cpu_share": 0.1, "server_bytes_a_connection": 900, "object_bytes": 400},
    **{"own_bytes": 500, "wakes_a_packet": 0.01},
}


def row(label: str, rate: float = 1.0) -> Row:
    name, _, engine = label.partition("@")
    figures = {**FIGURES, "rate": FIGURES["rate"] * rate}
    return Row(Contender(name, (), engine), [figures, figures])


def table(workload: Workload) -> Table:
    return Table(workload, [row(label) for label in workload.servers])


def report(*tables: Table) -> Report:
    settings = {"rounds": 2, "seconds": 1, "warmup": 0, "pinning": "nothing is pinned"}
    return Report({"cpus": "2 CPUs"}, settings, {"c-uring": "refused"}, list(tables))


@pytest.fixture
def kept(tmp_path) -> Path:
    path = tmp_path / "results.json"
    text = json.dumps(report(*map(table, WORKLOADS)).as_json())
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
@pytest.mark.parametrize("markdown", [False, True])
def test_every_workload_has_a_table_with_each_of_its_servers(workload, markdown):
    text = "\n".join(report(table(workload)).lines(markdown=markdown))

    for label in workload.servers:
        assert label in text
    assert text.count("The bars: ") == 1
    assert "None" not in text


def test_what_was_written_is_read_as_it_was(kept):
    written = report(*map(table, WORKLOADS))

    read = Report.read(kept)

    assert read.as_json() == written.as_json()
    assert [*read.lines(markdown=True)] == [*written.lines(markdown=True)]


@pytest.mark.parametrize("text", ["{", "[]", '{"workloads": [{"workload": "echo-2k"}]}'])
def test_a_file_that_holds_no_results_is_refused_by_its_name(tmp_path, text, capsys):
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")

    assert main(["--results", str(path)]) == 2
    assert "other.json is no result of --json" in capsys.readouterr().err


@pytest.mark.parametrize(("busy", "is_told"), [(0.2, False), (3.1, True)])
def test_a_machine_that_was_not_quiet_is_told(busy, is_told):
    made = report()
    made.settings["busy"] = busy

    assert ("load average was 3.1" in " ".join(made.circumstances())) is is_told


def test_a_ratio_to_one_of_ours_is_to_the_one_on_the_same_engine():
    rows = [row("session-1@epoll"), row("session-1@io_uring", 4), row("session-2@epoll", 2)]

    assert Table(WORKLOADS[0], rows).ratio(rows[2], "rate", "session-1") == 2.0


def test_the_bars_of_all_workloads_are_counted_at_the_end():
    met = [row("uvloop"), row("session-1@io_uring", 9)]
    missed = [row("uvloop"), row("session-1@io_uring", 0.65)]
    workload = next(workload for workload in WORKLOADS if workload.name == "fanout-1")

    text = "\n".join(report(Table(workload, met), Table(workload, missed)).lines(markdown=False))

    assert "The bars: 1 of 2 are met" in text
    assert "MISSED by 50.0%" in text


def test_the_readme_gets_the_table_between_its_marks_and_keeps_the_rest(kept, tmp_path, capsys):
    page = tmp_path / "README.md"
    page.write_text(f"before\n{readme.BEGIN}old\n{readme.END}after\n", encoding="utf-8")

    for _ in range(2):  # Twice gives the same.
        assert main(["--results", str(kept), "--readme", str(page)]) == 0

    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{readme.BEGIN}\n")
    assert text.endswith(f"\n\n{readme.END}after\n")
    assert "old" not in text
    assert "| fan-out to 500, 8 in flight | - | 1,000/s, 2 us | 1.00 x, 2 us |" in text


def test_a_readme_without_marks_is_refused_before_anything_is_measured(tmp_path, capsys):
    page = tmp_path / "README.md"
    page.write_text("nothing\n", encoding="utf-8")

    assert main(["--readme", str(page)]) == 2
    assert readme.BEGIN.strip() in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == "nothing\n"


def test_our_readme_has_the_marks():
    readme.check(Path(__file__).parents[2] / "README.md")


def test_figures_are_the_same_for_the_same_results(kept, tmp_path):
    pytest.importorskip("matplotlib")
    folders = [tmp_path / "one", tmp_path / "two"]

    for folder in folders:
        assert main(["--results", str(kept), "--plot", str(folder)]) == 0

    names = sorted(path.name for path in folders[0].iterdir())
    assert "overview.svg" in names
    assert "framed.svg" in names
    for name in names:
        first, second = ((folder / name).read_bytes() for folder in folders)
        assert first == second
        assert b"<svg" in first

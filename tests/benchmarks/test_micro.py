"""The micro-benchmarks: every program measures, and the runner chooses, judges and writes down."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compiling import CannotCompile
from benchmarks.micro import beside_python, registry, tables
from benchmarks.micro.beside_python import Result, Words, python_main
from benchmarks.micro.measuring import CaseFigures, Outcome, measure
from benchmarks.micro.registry import CannotRun, Case, Failed, Program, Unknown, measured, programs

ROOT = Path(__file__).parents[2]
TINY = 0.001
FILES = sorted(registry.PROGRAMS.glob("[0-9]*.[cp]*"))


def named(number: str) -> Program:
    """Compile one program; skip where there is no compiler."""
    try:
        return programs([number])[0]
    except CannotCompile as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_program_describes_itself_and_measures_its_smallest_case(file):
    number = file.stem.partition("_")[0].lstrip("0")
    program = named(number)
    # The file's name is what the runner looks it up by, so the program must say the same.
    assert program.number == number
    assert f"_{program.name.replace('-', '_')}" in f"_{file.stem}"
    assert any(case.bound for case in program.cases)
    assert program.choice in ("best", "median")

    try:
        result = measured(program, program.cases[0], TINY)
    except CannotRun as error:
        pytest.skip(str(error))

    assert isinstance(result["figure"], float | int)
    assert result["parts"]


def test_a_program_alone_prints_one_number_with_its_bound():
    program = named("6c")

    run = subprocess.run(
        [*program.command, "--scale", "0.01"], capture_output=True, text=True, timeout=60
    )

    verdict = {0: "ok", 1: "over"}[run.returncode]
    assert run.stdout.startswith("6c vectors: ")
    assert run.stdout.rstrip().endswith(f"bound <= 1.75: {verdict}")


@pytest.mark.parametrize("number", ["6c", "9"])
@pytest.mark.parametrize("words", [["--case", "no such case"], ["--scale"], ["nonsense"]])
def test_a_misused_program_ends_with_2(number, words):
    command = [*named(number).command, *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src")))}

    run = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)

    assert run.returncode == 2
    assert run.stdout == ""


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.micro", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)


def test_the_command_prints_json_of_every_repeat():
    named("6b")

    run = ran("6b", "--scale", "0.01", "--repeats", "2", "--json")

    assert run.returncode in (0, 1), run.stderr
    (program,) = json.loads(run.stdout)["programs"]
    assert program["name"] == "staging"
    assert program["ok"] is (run.returncode == 0)
    assert all(len(case["repeats"]) == 2 for case in program["cases"])


def test_the_command_prints_a_table_to_paste():
    named("6b")

    run = ran("6b", "--scale", "0.01", "--repeats", "1", "--markdown", "--note", "a test ran")

    assert run.returncode in (0, 1), run.stderr
    assert "; a test ran.\n" in run.stdout
    assert "\n| 6b | `staging` | " in run.stdout
    assert "\n| 8 KiB | " in run.stdout


def test_an_unknown_name_is_misuse_and_lists_the_known_ones():
    run = ran("no-such-thing")

    assert run.returncode == 2
    assert "there is no micro-benchmark 'no-such-thing'; there are " in run.stderr
    assert "2b posted-and-streamed" in run.stderr


# -- the programs that show what streams cost --


@pytest.mark.parametrize("number", ["7", "9", "12", "5b"])
def test_each_case_of_the_programs_of_streams_measures(number):
    program = named(number)

    for case in program.cases:
        result = measured(program, case, TINY)

        assert result["figure"] > 0
        assert all(value >= 0 for name, value in result["parts"].items() if "kernel" not in name)


def test_framing_is_not_measured_where_the_two_sides_differ():
    named("9")
    program = runpy.run_path(str(registry.PROGRAMS / "09_framing.py"))
    of_this_file = program["run"].__globals__
    decoded = of_this_file["in_python"]

    def with_another_id(stream: bytes, piece: int) -> list[Any]:
        packets = decoded(stream, piece)
        packets[-1].id ^= 1
        return packets

    of_this_file["in_python"] = with_another_id
    try:
        with pytest.raises(AssertionError, match="does not cut what the decoder cuts"):
            program["run"]("36 B, many a read", TINY)
    except CannotCompile as error:
        pytest.skip(str(error))


# -- what the programs in Python share --


def words_of(*, is_least: bool = False) -> Words:
    return Words("9", "a-name", "a title", "units", "parts", "best", "so it is", is_least, 0)


@pytest.mark.parametrize(
    ("is_least", "figures", "code", "end"),
    [
        (False, {"one": 2.0, "two": 11.0}, 1, "11 units (two), bound <= 10: over"),
        (False, {"one": 4.0, "two": 5.0}, 0, "4 units (one), bound <= 5: ok"),
        (True, {"one": 4.0, "two": 11.0}, 1, "4 units (one), bound >= 5: over"),
        (True, {"one": 60.0, "two": 11.0}, 0, "11 units (two), bound >= 10: ok"),
    ],
)
def test_a_program_in_python_alone_prints_the_number_nearest_to_its_bound(
    capsys, is_least, figures, code, end
):
    def run(name: str, scale: float) -> Result:
        return figures[name], {}

    cases = {"one": 5.0, "unbound": 0.0, "two": 10.0}

    assert python_main(words_of(is_least=is_least), cases, run, []) == code
    assert capsys.readouterr().out == f"9 a-name: {end}\n"


@pytest.mark.parametrize(
    "error", [beside_python.CannotRun("it is not there"), CannotCompile("it is not there")]
)
def test_a_program_in_python_that_cannot_run_ends_with_3_and_says_why(capsys, error):
    def run(name: str, scale: float) -> Result:
        raise error

    assert python_main(words_of(), {"one": 5.0}, run, ["--case", "one"]) == 3
    assert capsys.readouterr().err == "micro: it is not there\n"


# -- the runner's own arithmetic, without a program --


def program_of(*bounds: float | None, choice: str = "median", is_least: bool = False) -> Program:
    cases = tuple(Case(f"case {index}", bound) for index, bound in enumerate(bounds))
    words = {"title": "a title", "unit": "units", "parts_unit": "parts", "reason": "so it is"}
    return Program(
        ("true",), "9", "a-name", choice=choice, is_least=is_least, repeats=0, cases=cases, **words
    )


def outcome_of(program: Program, *figures: list[float]) -> Outcome:
    cases = [
        CaseFigures(case, [{"figure": figure, "parts": {"one": figure}} for figure in repeats])
        for case, repeats in zip(program.cases, figures, strict=True)
    ]
    return Outcome(program, cases)


def test_the_number_is_that_of_the_case_nearest_to_its_bound():
    outcome = outcome_of(program_of(1.0, 10.0, None), [0.8], [9.0], [1e6])

    number = outcome.number()

    assert number is not None
    assert (number[0].case.name, number[1]) == ("case 1", 9.0)
    assert not outcome.is_over()


@pytest.mark.parametrize(
    ("choice", "is_least", "figure", "is_over"),
    [
        ("median", False, 2.0, True),
        ("best", False, 1.0, False),
        ("median", True, 2.0, False),
        ("best", True, 6.0, False),
    ],
)
def test_repeats_are_chosen_from_as_the_program_says(choice, is_least, figure, is_over):
    outcome = outcome_of(program_of(1.5, choice=choice, is_least=is_least), [2.0, 1.0, 6.0])

    assert outcome.figure(outcome.cases[0]) == figure
    assert outcome.is_over() is is_over


def test_a_figure_below_the_least_is_over():
    assert outcome_of(program_of(3.0, is_least=True), [2.9]).is_over()


@pytest.fixture
def answers(monkeypatch) -> dict[str, Any]:
    """What a measurement of each case comes to: a figure, or an exception to raise."""
    known: dict[str, Any] = {}

    def instead(program: Program, case: Case, scale: float) -> dict[str, Any]:
        if isinstance(known[case.name], Exception):
            raise known[case.name]
        return {"figure": known[case.name], "parts": {}}

    monkeypatch.setattr("benchmarks.micro.measuring.measured", instead)
    return known


def test_each_repeat_measures_every_case_once_in_an_order_of_its_own(answers):
    answers |= {"case 0": 1.0, "case 1": 2.0}
    story: list[str] = []

    measure([program_of(1.0, 1.0)], 2, 1.0, story.append, lambda plan: plan.reverse())

    assert [line.rpartition(" ")[2] for line in story] == ["1", "0", "1", "0"]


@pytest.mark.parametrize(
    ("error", "field", "word"),
    [(Failed("it broke"), "problem", "FAILED"), (CannotRun("no ring"), "left_out", "LEFT OUT")],
)
def test_a_program_that_fails_or_cannot_run_has_no_number_and_stops(answers, error, field, word):
    answers |= {"case 0": error, "case 1": 1.0}

    (outcome,) = measure([program_of(1.0, 1.0)], 3, 1.0, shuffle=lambda plan: None)

    assert getattr(outcome, field) == str(error)
    assert outcome.number() is None
    assert outcome.cases[1].repeats == []
    assert word in tables.text_lines([outcome])[0]
    assert word in "\n".join(tables.markdown_lines([outcome], "here."))


PAGE = """# A page
before
<!-- micro: 9 -->
old
<!-- /micro -->
between
<!-- micro: 9 10 -->
kept
<!-- /micro -->
after
"""


def test_a_page_gets_the_figures_it_asks_for_and_keeps_the_rest(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")

    story = tables.rewrite_pages(tmp_path, [outcome_of(program_of(1.5), [1.25])], "This machine.")

    text = page.read_text(encoding="utf-8")
    assert "old" not in text and "| case 0 | 1.25 | <= 1.5 | 1.25 |" in text
    assert text.startswith("# A page\nbefore\n<!-- micro: 9 -->\n\nThis machine.\n")
    assert "<!-- micro: 9 10 -->\nkept\n<!-- /micro -->\nafter\n" in text
    assert story == ["page.md: rewritten with 9", "page.md: as it was; not measured: 10"]
    # A second time finds its marks again.
    tables.rewrite_pages(tmp_path, [outcome_of(program_of(1.5), [1.25])], "This machine.")
    assert page.read_text(encoding="utf-8") == text


def test_an_unknown_number_names_those_that_there_are():
    with pytest.raises(Unknown, match="6 coalescing"):
        programs(["7777"])


def test_a_program_that_never_ends_or_says_nonsense_is_a_failure(monkeypatch):
    monkeypatch.setattr(registry, "LIMIT", 0.2)
    with pytest.raises(Failed, match=r"did not end within 0\.2 s"):
        registry.answer((sys.executable, "-c", "import threading; threading.Event().wait()"), "it")
    monkeypatch.setattr(registry, "LIMIT", 20.0)
    with pytest.raises(Failed, match="printed no JSON"):
        registry.answer((sys.executable, "-c", "print('nonsense')"), "it")
    with pytest.raises(Failed, match="ended with 5: no word"):
        registry.answer((sys.executable, "-c", "raise SystemExit(5)"), "it")
    with pytest.raises(CannotRun, match="no ring here"):
        code = "import sys; print('no ring here', file=sys.stderr); sys.exit(3)"
        registry.answer((sys.executable, "-c", code), "it")


PYTHON_PROGRAM = """
import json, sys
case = {"name": "the case", "bound": 2.0}
words = {"number": "9", "name": "in-python", "title": "t", "unit": "u", "parts_unit": "p"}
words |= {"choice": "median", "reason": "r", "is_least": False, "repeats": 0, "cases": [case]}
if sys.argv[1] == "--describe":
    print(json.dumps(words))
elif sys.argv[1:] == ["--case", "the case", "--scale", "0.5"]:
    print(json.dumps({"figure": 1.5, "parts": {"one": 1.0}}))
"""


def test_a_file_that_is_put_into_the_folder_is_a_program_in_python_too(tmp_path, monkeypatch):
    (tmp_path / "09_in_python.py").write_text(PYTHON_PROGRAM, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("not a program", encoding="utf-8")
    monkeypatch.setattr(registry, "PROGRAMS", tmp_path)

    (program,) = programs()
    (outcome,) = measure([program], 1, 0.5)

    assert outcome.number() == (outcome.cases[0], 1.5)
    assert programs(["in-python"]) == programs(["9"]) == [program]

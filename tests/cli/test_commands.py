"""The commands that only answer: engine, models, version, help, and what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import proactor
from proactor.cli import app, shown
from proactor.cli.models import SUMMARIES, file_of
from proactor.engines import choose
from proactor.models import MODELS
from tests.cli.serving import ran


def test_engine_as_json_is_what_the_engine_says_of_itself(answer):
    code, out, err = answer("engine", "--json")

    assert (code, err) == (0, "")
    description = choose.current().describe()
    told = json.loads(out)
    del told["native"]  # Not of this engine; tests/native asks about it.
    assert told == {
        "name": description.name,
        "reason": description.reason,
        "features": description.features,
        "refused": description.refused,
    }


def test_engine_names_the_engine_and_the_reason_in_its_first_line(answer):
    code, out, _ = answer("engine")

    description = choose.current().describe()
    assert code == 0
    assert out.splitlines()[0] == f"{description.name}: {description.reason}"
    for name, text in {**description.features, **description.refused}.items():
        assert f"{name}  " in out and text in out


def test_the_environment_chooses_the_engine_and_a_wrong_name_is_told():
    result = ran("engine", PROACTOR_ENGINE="quick")

    assert (result.returncode, result.stdout) == (2, "")
    assert "unknown engine 'quick'" in result.stderr


def test_models_lists_the_six_with_their_files(answer):
    code, out, _ = answer("models", "--json")

    assert code == 0
    rows = json.loads(out)
    assert [row["model"] for row in rows] == list(MODELS)
    for row in rows:
        source = Path(proactor.__file__).parents[1] / row["file"]
        assert source.is_file()
        assert f'model = "{row["model"]}"' in source.read_text(encoding="utf-8")


def test_models_as_a_table_and_as_markdown_name_the_same(answer):
    _, table, _ = answer("models")
    _, markdown, _ = answer("models", "--markdown")

    for name in MODELS:
        assert name in table and file_of(name) in table
        assert f"| {name} | {SUMMARIES[name].news} | {SUMMARIES[name].limit} |" in markdown


def test_each_model_has_its_two_phrases():
    assert list(SUMMARIES) == list(MODELS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("models", "--model", "poll"), "unknown model 'poll'"),
        (("models", "--json", "--markdown"), "exclude each other"),
        (("models", "--measure", "--connections", "many"), "give for example 1,50,500"),
        (("models", "--measure", "--connections", "0"), "give for example 1,50,500"),
        (("models", "--measure", "--size", "0"), "--size 0 is out of range: give 1 to 65,536"),
        (("models", "--measure", "--seconds", "1e9"), "--seconds 1000000000.0 is out of range"),
        (("models", "--measure", "--rounds", "0"), "--rounds 0 is out of range"),
        (("sreve",), "No such command"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(answer, arguments, words):
    code, out, err = answer(*arguments)

    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_version(answer):
    assert answer("--version") == (0, f"proactor {proactor.__version__}\n", "")


def test_without_a_command_the_help_is_shown(answer):
    code, out, _ = answer()

    assert code == 0
    assert all(command in out for command in ("serve", "models", "engine"))


@pytest.mark.parametrize("arguments", [[], ["serve"], ["models"], ["engine"]])
def test_help_explains_each_option(arguments):
    result = CliRunner().invoke(app.app, [*arguments, "--help"])

    assert result.exit_code == 0
    assert "Usage: " in result.output


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_one_line_says_which(missing):
    # Method: None in sys.modules makes an import fail as if nothing were installed.
    code = (
        f"import sys; sys.modules[{missing!r}] = None;"
        "from proactor.cli.main import main; sys.exit(main([]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"proactor: the command line needs {missing}, which comes with an extra: "
        "python -m pip install 'proactor[cli]'\n"
    )


def test_a_reader_that_goes_away_is_no_traceback():
    # Method: `head -1` closes the pipe while the answer is written; a closed one does the same.
    process = subprocess.Popen(
        [sys.executable, "-m", "proactor", "models"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, story = process.communicate(timeout=30)

    assert "Traceback" not in story


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1.0 KiB"),
        (1536 * 1024, "1.5 MiB"),
        (2**40, "1.0 TiB"),
    ],
)
def test_bytes_are_shown_in_the_unit_that_fits(count, text):
    assert shown.byte_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (185, "3 min 5 s"), (7_800, "2 h 10 min")]
)
def test_a_time_span_is_shown_as_a_person_says_it(seconds, text):
    assert shown.duration(seconds) == text

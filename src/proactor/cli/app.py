"""The commands and their options: what is asked for is checked here, and done in other modules."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, Optional

import typer

import proactor
from proactor.cli import exits
from proactor.cli.bench import bench
from proactor.cli.engine import show_engine, show_seccomp
from proactor.cli.engine_option import EngineOption, choose_engine
from proactor.cli.exits import CommandError, Misused
from proactor.cli.load import HELP as LOAD_HELP
from proactor.cli.load import load
from proactor.cli.measure import measure_models
from proactor.cli.measure_rows import Load
from proactor.cli.models import show_models
from proactor.cli.serving.command import HELP, check_model, serve
from proactor.engines import choose
from proactor.models import MODELS

app = typer.Typer(
    name="proactor",
    help="I/O completion ports for Python: run a server on them, or one of the six Windows socket "
    "I/O models, and put it under load.",
    epilog="Start with: proactor serve. Then, in another terminal: proactor load",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# What typer raises for an option that it does not know or cannot read. Where the class is
# defined differs between versions of typer; that BadParameter derives from it does not.
_OptionError: type[Exception] = typer.BadParameter.__mro__[2]


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; an error is one line on stderr."""
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, prog_name="proactor", standalone_mode=False)
    except CommandError as error:
        return _say(str(error), error.code)
    except _OptionError as error:
        return _say(_option_error(error), exits.MISUSED)
    except (KeyboardInterrupt, typer.Abort):
        return exits.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (as `head` does); the interpreter would try again.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        return exits.FAILED
    return code if isinstance(code, int) else exits.DONE


def _option_error(error: Any) -> str:
    path = error.ctx.command_path if getattr(error, "ctx", None) else "proactor"
    return f"{error.format_message().rstrip('.')}; see: {path} --help"


def _say(text: str, code: int) -> int:
    print("proactor:", " ".join(text.split()), file=sys.stderr)
    return code


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"proactor {proactor.__version__}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


app.command(help=HELP)(serve)


@app.command()
def models(
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Run each against a load, beside asyncio; takes minutes."),
    ] = False,
    model: Annotated[
        Optional[list[str]],  # noqa: UP045  typer reads the annotation, and 0.12 not the new form
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help=f"Only this one; may be repeated. {', '.join(MODELS)}.",
        ),
    ] = None,
    connections: Annotated[
        str, typer.Option(metavar="N[,N...]", help="How many clients at once.")
    ] = "1,50,500",
    size: Annotated[int, typer.Option(help="Bytes in a message.")] = 1024,
    seconds: Annotated[float, typer.Option(help="Length of one measurement.")] = 2.0,
    rounds: Annotated[int, typer.Option(help="Measurements of each; the median counts.")] = 3,
    workers: Annotated[int, typer.Option(help="Threads on the port (completion-port).")] = 5,
    engine: EngineOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """List the six models, or measure them."""
    chosen = model or list(MODELS)
    for name in chosen:
        check_model(name)
    if as_json and markdown:
        raise Misused("--json and --markdown exclude each other: give one of them")
    form = "json" if as_json else "markdown" if markdown else "table"
    if not measure:
        show_models(chosen, form)
        return
    choose_engine(engine)
    load = Load(_numbers(connections), size, seconds, rounds, workers)
    measure_models(chosen, load, form)


app.command(help=LOAD_HELP)(load)
app.command()(bench)


@app.command()
def engine(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    seccomp: Annotated[
        bool,
        typer.Option("--seccomp", help="Print what a container must allow for io_uring, as JSON."),
    ] = False,
) -> None:
    """Say which engine runs here and why, what it uses, and why others do not."""
    if seccomp:
        show_seccomp()
        return
    choose_engine(os.environ.get(choose.VARIABLE, "auto"))
    show_engine(choose.current().describe(), as_json=as_json)


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise Misused(f"--connections {text!r} is no list of counts: give for example 1,50,500")
    return numbers

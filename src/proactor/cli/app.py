"""The commands and their options: what is asked for is checked here, and done in other modules."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, Optional

import typer
from rich.console import Console

import proactor
from proactor.cli import exits
from proactor.cli.bench import bench
from proactor.cli.engine import show_engine, show_seccomp
from proactor.cli.exits import CommandError, Misused
from proactor.cli.load import load
from proactor.cli.measure import measure_models
from proactor.cli.measure_rows import Load
from proactor.cli.models import show_models
from proactor.cli.serve import Service, serve_model
from proactor.engines import choose
from proactor.errors import EngineUnavailable
from proactor.models import DEFAULT_MODEL, MODELS

app = typer.Typer(
    name="proactor",
    help="I/O completion ports for Python, and the six Windows socket I/O models as servers.",
    epilog="Start with: proactor serve",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# What typer raises for an option that it does not know or cannot read. Where the class is
# defined differs between versions of typer; that BadParameter derives from it does not.
_OptionError: type[Exception] = typer.BadParameter.__mro__[2]

_Engine = Annotated[
    str,
    typer.Option(
        envvar=choose.VARIABLE,
        metavar="NAME",
        help=f"The engine to run on: auto, {', '.join(choose.NAMES)}.",
    ),
]


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


@app.command()
def serve(
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="MODEL", help=f"{', '.join(MODELS)}.")
    ] = DEFAULT_MODEL,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 opens it to other machines.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", help="0 takes a free one.")] = 7777,
    workers: Annotated[
        int, typer.Option("--workers", "-w", help="Threads on the port (completion-port).")
    ] = 5,
    engine: _Engine = "auto",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Leave out the lines for single connections.")
    ] = False,
) -> None:
    """Run an echo server built on one of the six models, until Ctrl-C."""
    _check_model(model)
    if not 0 <= port <= 65535:
        raise Misused(f"port {port} is out of range: give 1 to 65535, or 0 for a free one")
    if workers < 1:
        raise Misused(f"{workers} workers cannot serve: give --workers 1 or more")
    _choose_engine(engine)
    serve_model(Service(model, host, port, workers, quiet), Console(soft_wrap=True))


@app.command()
def models(
    measure: Annotated[
        bool, typer.Option("--measure", help="Run each against a load, beside asyncio.")
    ] = False,
    model: Annotated[
        Optional[list[str]],  # noqa: UP045  typer reads the annotation, and 0.12 not the new form
        typer.Option("--model", "-m", metavar="MODEL", help="Only this one; may be repeated."),
    ] = None,
    connections: Annotated[
        str, typer.Option(metavar="N[,N...]", help="How many clients at once.")
    ] = "1,50,500",
    size: Annotated[int, typer.Option(help="Bytes in a message.")] = 1024,
    seconds: Annotated[float, typer.Option(help="Length of one measurement.")] = 2.0,
    rounds: Annotated[int, typer.Option(help="Measurements of each; the median counts.")] = 3,
    workers: Annotated[int, typer.Option(help="Threads on the port (completion-port).")] = 5,
    engine: _Engine = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """List the six models, or measure them."""
    chosen = model or list(MODELS)
    for name in chosen:
        _check_model(name)
    if as_json and markdown:
        raise Misused("--json and --markdown exclude each other: give one of them")
    form = "json" if as_json else "markdown" if markdown else "table"
    if not measure:
        show_models(chosen, form)
        return
    _choose_engine(engine)
    load = Load(_numbers(connections), size, seconds, rounds, workers)
    measure_models(chosen, load, form)


app.command()(load)
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
    _choose_engine(os.environ.get(choose.VARIABLE, "auto"))
    show_engine(choose.current().describe(), as_json=as_json)


def _check_model(name: str) -> None:
    if name not in MODELS:
        raise Misused(f"unknown model {name!r}: choose one of {', '.join(MODELS)}")


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise Misused(f"--connections {text!r} is no list of counts: give for example 1,50,500")
    return numbers


def _choose_engine(name: str) -> None:
    """Let `name` decide, for this process and those it starts, before anything asks for one."""
    known = ("auto", *choose.NAMES)
    if name not in known:
        raise Misused(f"unknown engine {name!r}: choose one of {', '.join(known)}")
    os.environ[choose.VARIABLE] = name
    try:
        choose.current()
    except EngineUnavailable as error:
        reason: Any = error.__cause__ or error
        raise Misused(
            f"engine {name} cannot run here: {reason}; leave --engine and {choose.VARIABLE} out "
            "to let one be chosen"
        ) from error

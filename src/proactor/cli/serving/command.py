"""The command ``proactor serve``: its options, where each value comes from, and what then serves.

A flag wins over the configuration file, and that over the default. Without a service it is one of
the six models, which know the options of listening only.
"""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Final, Optional

import typer
from rich.console import Console

from proactor.cli.engine_option import choose_engine
from proactor.cli.exits import Misused
from proactor.cli.serve import Service, serve_model
from proactor.cli.services import SERVICES
from proactor.cli.serving.config import Configured, read_config
from proactor.cli.serving.running import Order, serve_sessions
from proactor.cli.serving.session_class import configured, session_class_of
from proactor.cli.serving.settings import Setting, settings
from proactor.cli.serving.values import Choice, Number, OrOff, Switch, Whole
from proactor.engines import choose
from proactor.models import DEFAULT_MODEL, MODELS
from proactor.server import ServerOptions

REPORT: Final = 60.0
"""Seconds between two lines of status, unless the user says otherwise."""

HELP: Final = """Run a server until Ctrl-C: a service on the server core, or one of the six models.

\b
proactor serve echo                           sends back what comes
proactor serve chat -p 4000 --send-limit 9999 rooms for people with nc
proactor serve fanout                         what one sends goes to all
proactor serve game.sessions:Player -w 8      a class of your own
proactor serve --config server.toml           all of it from a file
proactor serve --model select                 the oldest model, as an echo

Times are seconds. A flag wins over the file, whose keys are the flags without their dashes in \
front. docs/serve.md has one table of all.
"""
"""What ``proactor serve --help`` says first; the backspace keeps the lines below it apart."""

_OF_MODELS: Final = ("host", "port", "workers")
"""The settings that a model knows, too."""

# typer reads the annotations, and 0.12 does not know the new form.
_OptionalText = Optional[str]  # noqa: UP045
_OptionalBool = Optional[bool]  # noqa: UP045
_OptionalInt = Optional[int]  # noqa: UP045


def serve(
    service: Annotated[
        _OptionalText,
        typer.Argument(
            metavar="SERVICE", help=f"{', '.join(SERVICES)}, or package.module:SessionClass."
        ),
    ] = None,
    config: Annotated[
        _OptionalText,
        typer.Option("--config", "-c", metavar="FILE", help="A TOML file with any of the options."),
    ] = None,
    model: Annotated[
        _OptionalText,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            show_default=DEFAULT_MODEL,
            help=f"Instead of a service, an echo server as: {', '.join(MODELS)}.",
        ),
    ] = None,
    engine: Annotated[
        _OptionalText,
        typer.Option(
            envvar=choose.VARIABLE,
            metavar="NAME",
            show_default="auto",
            help=f"The engine to run on: auto, {', '.join(choose.NAMES)}.",
        ),
    ] = None,
    quiet: Annotated[
        _OptionalBool,
        typer.Option(
            "--quiet/--no-quiet",
            "-q",
            show_default="no-quiet",
            help="Leave out the lines for single sessions.",
        ),
    ] = None,
    report: Annotated[
        _OptionalText,
        typer.Option(
            metavar="SECONDS|off",
            show_default=f"{REPORT:g}",
            help="How often a line of status is printed where there is no terminal.",
        ),
    ] = None,
    **given: Any,
) -> None:
    """Read what is to be served from flags and file, and serve it; see `HELP`."""
    console = Console(soft_wrap=True)
    if model is not None and (service is not None or config is not None):
        other = "a service" if service is not None else "--config"
        raise Misused(f"--model and {other} exclude each other: leave one of them out")
    file = read_config(config) if config is not None else Configured()
    name = service or file.command.get("service")
    choose_engine(engine or file.command.get("engine") or "auto")
    if name is None:
        if config is not None:
            raise Misused(f'{config} names no service: add service = "echo", or say which to serve')
        serve_model(_model(model or DEFAULT_MODEL, given, bool(quiet)), console)
        return
    every = _seconds(report) if report is not None else file.command.get("report", REPORT)
    is_quiet = file.command.get("quiet", False) if quiet is None else quiet
    serve_sessions(order_of(name, file, given, quiet=is_quiet, report=every), console)


def order_of(
    name: str,
    file: Configured,
    given: dict[str, Any],
    *,
    quiet: bool = False,
    report: float | None = None,
) -> Order:
    """Return what is to be served.

    Args:
        name: The service.
        file: What the configuration file says.
        given: What the flags say, by name of the setting; None: nothing.
        quiet: Leave out the lines for single sessions.
        report: Seconds between two lines of status; None: no lines.

    Raises:
        Misused: A value makes no sense, or there is no such service; the text says which flag or
            which key of which file, and what is accepted.
        Failed: The module of the session class cannot be imported.
    """
    values: dict[str, dict[str, Any]] = {"server": {}, "stream": {}, "session": {}}
    labels: dict[str, str] = {}
    try:
        for setting in settings():
            text = given.get(setting.name)
            if text is not None:
                values[setting.part][setting.name] = _flag_value(setting, text)
                labels[setting.name] = setting.flag
            elif setting.name in file.settings:
                values[setting.part][setting.name] = file.settings[setting.name]
                labels[setting.name] = file.labels[setting.name]
        options = ServerOptions(**values["server"])
        session_class = session_class_of(name)
        session_class = configured(session_class, values["session"], values["stream"])
    except ValueError as error:
        raise Misused(_labelled(str(error), labels)) from error
    return Order(name, session_class, options, quiet, report)


def _flag_value(setting: Setting, given: Any) -> Any:
    if isinstance(given, str):
        return setting.read(given, setting.flag, as_text=True)
    return setting.read(given, setting.flag, as_text=False)  # typer has made a number of it.


def _labelled(text: str, labels: dict[str, str]) -> str:
    """Return an error of several values with the name of the first as the user gave it."""
    name, _, rest = text.partition(" ")
    return f"{labels[name]} {rest}" if name in labels else text


def _seconds(text: str) -> float | None:
    try:
        seconds: float | None = OrOff(Number()).from_text(text)
        if seconds is not None and seconds <= 0:
            raise ValueError(text)
    except ValueError as error:
        raise Misused(f"--report is a number of seconds above 0, or off, not {text!r}") from error
    return seconds


def check_model(name: str) -> None:
    """Refuse what is no model.

    Raises:
        Misused: There is no such model.
    """
    if name not in MODELS:
        raise Misused(f"unknown model {name!r}: choose one of {', '.join(MODELS)}")


def _model(name: str, given: dict[str, Any], quiet: bool) -> Service:
    check_model(name)
    defaults = {setting.name: setting for setting in settings()}
    for other in given:
        if other not in _OF_MODELS and given[other] is not None:
            flag = defaults[other].flag
            raise Misused(f"{flag} is for a service: name one, as in proactor serve echo {flag}")
    host, port, workers = (
        defaults[name].default if given.get(name) is None else given[name] for name in _OF_MODELS
    )
    if not 0 <= port <= 65535:
        raise Misused(f"port {port} is out of range: give 1 to 65535, or 0 for a free one")
    if workers < 1:
        raise Misused(f"{workers} workers cannot serve: give --workers 1 or more")
    return Service(name, host, port, workers, quiet)


def _parameter(setting: Setting) -> inspect.Parameter:
    """Return the parameter that makes typer offer a setting."""
    flags, kind = list(setting.flags), setting.kind
    annotation: Any = _OptionalText
    if isinstance(kind, Switch):
        own = flags[0]
        flags = [f"{own}/--no-{own.removeprefix('--')}"]
        annotation = _OptionalBool
    elif isinstance(kind, Whole):
        annotation = _OptionalInt
    option: Any = typer.Option(
        None,
        *flags,
        metavar=kind.metavar or None,
        help=_help(setting),
        rich_help_panel=setting.group,
        show_default=setting.shown_default,
    )
    return inspect.Parameter(
        setting.name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=annotation
    )


def _help(setting: Setting) -> str:
    kind = setting.kind
    return f"{setting.text} {', '.join(kind.names)}." if isinstance(kind, Choice) else setting.text


def _offer_settings(command: Any) -> None:
    """Let the command have an option for each setting, in place of its ``**given``."""
    written = inspect.signature(command, eval_str=True).parameters.values()
    own = [parameter for parameter in written if parameter.kind is not parameter.VAR_KEYWORD]
    derived = [_parameter(setting) for setting in settings()]
    command.__signature__ = inspect.Signature(
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + derived
    )
    annotations = {name: hint for name, hint in command.__annotations__.items() if name != "given"}
    command.__annotations__ = annotations | {
        parameter.name: parameter.annotation for parameter in derived
    }


_offer_settings(serve)

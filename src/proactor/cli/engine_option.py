"""The option ``--engine``: it decides for this process, and for those that it starts."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from proactor.cli.exits import Misused
from proactor.engines import choose
from proactor.errors import EngineUnavailable

EngineOption = Annotated[
    str,
    typer.Option(
        envvar=choose.VARIABLE,
        metavar="NAME",
        help=f"The engine to run on: auto, {', '.join(choose.NAMES)}.",
    ),
]


def choose_engine(name: str) -> None:
    """Let `name` decide, for this process and those it starts, before anything asks for one.

    Raises:
        Misused: There is no such engine, or it cannot run here; the text says why.
    """
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

"""``proactor bench``: the table of our servers beside their peers, from a checkout.

The programs, the peers' servers and the C ceilings are the folder `benchmarks` of the repository,
which is not installed with the package; ``python -m benchmarks`` there is the same.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

import proactor
from proactor.cli.exits import Failed

_Names = Optional[list[str]]  # noqa: UP045  typer reads the annotation, and 0.12 not the new form
_Text = Optional[str]  # noqa: UP045
_Count = Optional[int]  # noqa: UP045
_Seconds = Optional[float]  # noqa: UP045


def bench(
    only: Annotated[
        _Names, typer.Option(metavar="WORKLOAD", help="Only this one; may be repeated.")
    ] = None,
    peers: Annotated[
        _Text, typer.Option(metavar="A,B", help="Only these servers: uvloop,session-1@epoll.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One short round each: 3 minutes instead of 11.")
    ] = False,
    rounds: Annotated[
        _Count, typer.Option(min=1, max=100, help="Of each; the median counts; 3.")
    ] = None,
    seconds: Annotated[
        _Seconds, typer.Option(min=0.05, max=60, help="Length of a round; 1.2.")
    ] = None,
    note: Annotated[_Text, typer.Option(help="What a reader of the table must know.")] = None,
    json: Annotated[
        _Text, typer.Option(metavar="FILE", help="Write every round; - is standard output.")
    ] = None,
    markdown: Annotated[
        _Text, typer.Option(metavar="FILE", help="Write the tables; - is standard output.")
    ] = None,
    plot: Annotated[
        _Text, typer.Option(metavar="FOLDER", help="Write figures (SVG); needs matplotlib.")
    ] = None,
    readme: Annotated[
        _Text, typer.Option(metavar="FILE", help="Put the short table between its marks.")
    ] = None,
    results: Annotated[
        _Text, typer.Option(metavar="FILE", help="Measure nothing: show what --json wrote.")
    ] = None,
) -> int:
    """Measure our servers beside asyncio, uvloop, aiofastnet and C (Linux, from a checkout)."""
    arguments = [f"--only={name}" for name in only or ()]
    arguments += ["--quick"] if quick else []
    values = {
        **{"peers": peers, "rounds": rounds, "seconds": seconds, "note": note, "json": json},
        **{"markdown": markdown, "plot": plot, "readme": readme, "results": results},
    }
    arguments += [f"--{name}={value}" for name, value in values.items() if value is not None]
    code: int = _programs(Path(proactor.__file__).parents[2]).main(arguments)
    return code


def _programs(root: Path) -> Any:
    """Return the runner that lies beside the sources of this package.

    Raises:
        Failed: This package was installed without them.
    """
    if not (root / "benchmarks" / "run.py").exists():
        raise Failed(
            "bench needs a checkout, whose folder `benchmarks` has the peers and the C programs: "
            "clone the repository, install it with python -m pip install -e '.[cli,bench]', and "
            "run proactor bench there"
        )
    sys.path.insert(0, str(root))
    return importlib.import_module("benchmarks.run")

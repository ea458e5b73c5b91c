"""Where the command line starts; it needs nothing but the standard library to say what it needs."""

from __future__ import annotations

import sys

from proactor.cli import exits


def main(arguments: list[str] | None = None) -> int:
    """Run the command that `arguments` (by default the process' own) ask for.

    Returns:
        The exit code: 0 done, 1 failed, 2 misused.
    """
    try:
        # Imported here, not above: typer and rich come with an extra and may be missing.
        from proactor.cli.app import run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("typer", "rich"):
            raise
        print(
            f"proactor: the command line needs {missing}, which comes with an extra: "
            "python -m pip install 'proactor[cli]'",
            file=sys.stderr,
        )
        return exits.FAILED
    return run(sys.argv[1:] if arguments is None else arguments)

"""The rows of the design, read from `[tool.proactor.layers]` of pyproject.toml.

A *part* is a module or a folder directly below the package, and stands in exactly one row.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One row: its parts, and what makes it different from the others."""

    name: str
    parts: tuple[str, ...]
    asks_os: bool = False  # May ask which operating system this is.
    strangers: bool = False  # Its parts never import each other.


@dataclass(frozen=True)
class Layout:
    """All rows, lowest first, and what stands outside of them."""

    package: str
    rows: tuple[Row, ...]
    facade: tuple[str, ...]  # Rows or parts that the package's own __init__ may import.
    lazy: tuple[str, ...]  # Parts that it may import as well, but only when a name is asked for.
    entry_points: tuple[str, ...]  # Patterns of modules that nobody imports, and that is right.

    def part(self, module: str) -> str:
        """Return the part that `module` (a dotted name) is or belongs to; "" for the package."""
        return module.removeprefix(self.package).removeprefix(".").partition(".")[0]

    def rank(self, module: str) -> float | None:
        """Return how high `module` stands, or None if its part is in no row.

        The package itself stands just above the highest row that it imports at once.
        """
        part = self.part(module)
        if not part:
            return 0.5 + max(
                rank
                for rank, row in enumerate(self.rows)
                if row.name in self.facade or set(row.parts) & set(self.facade)
            )
        for rank, row in enumerate(self.rows):
            if part in row.parts:
                return rank
        return None

    def row(self, module: str) -> Row | None:
        """Return the row of `module`; None for the package itself and for what is in no row."""
        part = self.part(module)
        return next((row for row in self.rows if part in row.parts), None)


def read_layout(pyproject: Path) -> Layout:
    """Read the layout, and take the console scripts as entry points too."""
    settings: dict[str, Any] = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    layers = settings["tool"]["proactor"]["layers"]
    scripts: dict[str, str] = settings.get("project", {}).get("scripts", {})
    return Layout(
        package=layers["package"],
        rows=tuple(Row(**{**row, "parts": tuple(row["parts"])}) for row in layers["rows"]),
        facade=tuple(layers["facade"]),
        lazy=tuple(layers.get("lazy", ())),
        entry_points=(
            *layers.get("entry_points", ()),
            *(target.partition(":")[0] for target in scripts.values()),
        ),
    )

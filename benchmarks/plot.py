"""The results as figures: one for all workloads, and one for each, as SVG.

Every figure shows the same two things side by side: the rate, and the CPU a message, which is the
steadier one. Both are relative to uvloop, whose bar is therefore 1 everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import matplotlib  # type: ignore[import-not-found,unused-ignore]  # Of the extra `bench`.

from benchmarks.bars import Figure
from benchmarks.contenders import CEILINGS
from benchmarks.report import Report
from benchmarks.results import Row, Table

OVERVIEW: Final = "overview.svg"
AGAINST: Final = "uvloop"

_COLOURS: Final = {
    "C": "#9aa0a6",
    "asyncio": "#d9a441",
    "uvloop": "#b5651d",
    "session-1@io_uring": "#1f5fa8",
    "session-1@epoll": "#6fa3d8",
    "session-5@io_uring": "#1c7c54",
}
"""Who is shown in the overview, in this order. "C" is the cheaper of the two ceilings."""

_OURS: Final = "#1f5fa8"
_OTHERS: Final = "#9aa0a6"
_PANELS: Final[tuple[tuple[Figure, str], ...]] = (
    ("cpu", "CPU a message, relative to uvloop (less is better)"),
    ("rate", "rate, relative to uvloop (more is better)"),
)


def write(report: Report, folder: Path) -> list[Path]:
    """Write the figures into `folder`, which is there; return their paths."""
    matplotlib.use("svg")
    # Text stays text, and the same results make the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "proactor"})
    tables = [table for table in report.tables if _is_comparable(table)]
    if not tables:
        return []
    foot = " ".join(report.circumstances())
    paths = [_overview(tables, foot, folder / OVERVIEW)]
    paths += [_single(table, foot, folder / f"{table.workload.name}.svg") for table in tables]
    return paths


def _is_comparable(table: Table) -> bool:
    names = {row.contender.name for row in table.rows if row.good}
    return AGAINST in names and not table.workload.is_idle


def _overview(tables: list[Table], foot: str, path: Path) -> Path:
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 1, figsize=(9, 6.4), sharex=True)
    width = 0.84 / len(_COLOURS)
    for panel, (what, title) in zip(panels, _PANELS, strict=True):
        for number, (label, colour) in enumerate(_COLOURS.items()):
            places, values = [], []
            for place, table in enumerate(tables):
                value = _relative(table, label, what)
                if value is not None:
                    places.append(place + (number - (len(_COLOURS) - 1) / 2) * width)
                    values.append(value)
            panel.bar(places, values, width, color=colour, label=label)
        _dress(panel, title)
    panels[1].set_xticks(range(len(tables)), [table.workload.name for table in tables])
    panels[0].legend(ncols=3, fontsize=8, frameon=False)
    return _saved(figure, foot, path)


def _single(table: Table, foot: str, path: Path) -> Path:
    from matplotlib import pyplot

    rows = [row for row in table.rows if row.good]
    height = 1.6 + 0.28 * len(rows)
    figure, panels = pyplot.subplots(1, 2, figsize=(10, height), sharey=True)
    for panel, (what, title) in zip(panels, _PANELS, strict=True):
        values = [table.ratio(row, what, AGAINST) or 0.0 for row in rows]
        colours = [_OURS if row.contender.engine else _OTHERS for row in rows]
        drawn = panel.barh(range(len(rows)), values, color=colours)
        panel.bar_label(drawn, fmt="%.2f", padding=2, fontsize=8)
        panel.margins(x=0.12)
        _dress(panel, title, is_flat=True)
    panels[0].set_yticks(range(len(rows)), [row.contender.label for row in rows])
    panels[0].invert_yaxis()
    figure.suptitle(f"{table.workload.name}: {table.workload.words}", fontsize=10)
    return _saved(figure, foot, path)


def _relative(table: Table, label: str, what: Figure) -> float | None:
    names = CEILINGS if label == "C" else (label,)
    rows: list[Row] = [row for row in table.rows if row.contender.label in names and row.good]
    values = [table.ratio(row, what, AGAINST) for row in rows]
    known = [value for value in values if value is not None]
    if not known:
        return None
    return max(known) if what == "rate" else min(known)


def _dress(panel: Any, title: str, *, is_flat: bool = False) -> None:
    panel.set_title(title, fontsize=9, loc="left")
    (panel.axvline if is_flat else panel.axhline)(1, color="#444444", linewidth=0.8, zorder=0)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8)


def _saved(figure: Any, foot: str, path: Path) -> Path:
    from matplotlib import pyplot

    figure.text(0.01, 0.005, foot, fontsize=6, color="#666666")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    # Without a date, which would make every file a new one.
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path

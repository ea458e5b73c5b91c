"""The outcomes in words: a text table, Markdown, JSON, and the sections of the decision pages.

A page asks for its figures by a pair of comments, ``<!-- micro: 2 2b -->`` and ``<!-- /micro -->``;
what stands between them is rewritten and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.micro.measuring import CaseFigures, Outcome

SECTION: Final = re.compile(r"(<!-- micro: ([\w ]+) -->\n).*?(<!-- /micro -->)", re.DOTALL)


def number_words(outcome: Outcome) -> tuple[str, str, str, str]:
    """Return figure, case, bound and verdict of a program's one number."""
    if outcome.problem or outcome.left_out:
        return "-", outcome.problem or outcome.left_out or "", "-", _no_number(outcome)
    number = outcome.number()
    if number is None:
        return "-", "no case has a bound", "-", "no number"
    one, figure = number
    verdict = "over" if outcome.is_over() else "ok"
    return f"{figure:.3g} {outcome.program.unit}", one.case.name, bound_words(outcome, one), verdict


def _no_number(outcome: Outcome) -> str:
    return "FAILED" if outcome.problem else "LEFT OUT"


def bound_words(outcome: Outcome, one: CaseFigures) -> str:
    """Return the bound of a case with its direction; empty where it has none."""
    if one.case.bound is None:
        return ""
    return f"{'>=' if outcome.program.is_least else '<='} {one.case.bound:,g}"


def text_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the table for a terminal: a line for each program."""
    rows = []
    for outcome in outcomes:
        figure, case, bound, verdict = number_words(outcome)
        name = f"{outcome.program.number:>3} {outcome.program.name}"
        rows.append((name, figure, f"({case})", bound, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def markdown_lines(outcomes: Sequence[Outcome], conditions: str) -> list[str]:
    """Return one table of all numbers, and below it one table for each program."""
    lines = [conditions, "", "| number | what | figure | bound | |", "|---|---|---|---|---|"]
    for outcome in outcomes:
        figure, case, bound, verdict = number_words(outcome)
        program = outcome.program
        lines.append(
            f"| {program.number} | `{program.name}` | {figure} ({case}) | {bound} | {verdict} |"
        )
    for outcome in outcomes:
        lines += ["", *program_lines(outcome)]
    return lines


def program_lines(outcome: Outcome) -> list[str]:
    """Return the Markdown table of one program: a row for each case, a column for each part."""
    program = outcome.program
    lines = [f"**{program.number} {program.name}**: {program.title}."]
    if outcome.problem or outcome.left_out:
        return [*lines, f"{_no_number(outcome)}: {outcome.problem or outcome.left_out}."]
    known = [one for one in outcome.cases if one.repeats]
    names = list(dict.fromkeys(name for one in known for name in outcome.parts(one)))
    lines += ["", f"| case | {program.unit} | bound | {' | '.join(names)} |"]
    lines.append("|---|---:|---:|" + "---:|" * len(names))
    for one in known:
        parts = outcome.parts(one)
        cells = [shown(parts[name]) if name in parts else "" for name in names]
        figure = shown(outcome.figure(one))
        bound = bound_words(outcome, one)
        lines.append(f"| {one.case.name} | {figure} | {bound} | {' | '.join(cells)} |")
    what = "The best" if program.choice == "best" else "The median"
    times = max(len(one.repeats) for one in known)
    lines += ["", f"Right of the bound: {program.parts_unit}. {what} of {times}: {program.reason}."]
    return lines


def shown(value: float) -> str:
    """Return a figure with three digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def as_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return everything, for ``--json``."""
    return [_outcome_as_json(outcome) for outcome in outcomes]


def _outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    program, number = outcome.program, outcome.number()
    return {
        "number": program.number,
        "name": program.name,
        "title": program.title,
        "unit": program.unit,
        "choice": program.choice,
        "figure": number[1] if number else None,
        "at": number[0].case.name if number else None,
        "bound": number[0].case.bound if number else None,
        "ok": not outcome.is_over() if number else None,
        "problem": outcome.problem,
        "left_out": outcome.left_out,
        "cases": [
            {
                "name": one.case.name,
                "bound": one.case.bound,
                "figure": outcome.figure(one),
                "spread": outcome.spread(one),
                "parts": outcome.parts(one),
                "repeats": one.repeats,
            }
            for one in outcome.cases
            if one.repeats
        ],
    }


def rewrite_pages(folder: Path, outcomes: Sequence[Outcome], conditions: str) -> list[str]:
    """Put the figures into every section of the pages whose programs were all measured.

    Returns:
        What was done with each section, in words.
    """
    known = {outcome.program.number: outcome for outcome in outcomes if outcome.number()}
    story = []
    for page in sorted(folder.glob("*.md")):
        text = page.read_text(encoding="utf-8")

        def section(found: re.Match[str], page: Path = page) -> str:
            numbers = found[2].split()
            missing = [number for number in numbers if number not in known]
            if missing:
                story.append(f"{page.name}: as it was; not measured: {' '.join(missing)}")
                return found[0]
            story.append(f"{page.name}: rewritten with {' '.join(numbers)}")
            parts = ["\n".join(program_lines(known[number])) for number in numbers]
            return f"{found[1]}\n{conditions}\n\n" + "\n\n".join(parts) + f"\n\n{found[3]}"

        rewritten = SECTION.sub(section, text)
        if rewritten != text:
            page.write_text(rewritten, encoding="utf-8")
    return story

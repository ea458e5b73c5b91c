"""``proactor engine``: which engine runs here and why, what it uses, which ones it is not."""

from __future__ import annotations

import dataclasses
import json
import sys

from proactor.engines.contract import EngineDescription


def show_engine(description: EngineDescription, *, as_json: bool) -> None:
    """Print `description` for a person, or as JSON with the same four fields."""
    if as_json:
        json.dump(dataclasses.asdict(description), sys.stdout, indent=2)
        print()
        return
    print(f"{description.name}: {description.reason}")
    _print_pairs("What it uses", description.features)
    _print_pairs("What else there is, and why not", description.refused)


def _print_pairs(title: str, pairs: dict[str, str]) -> None:
    if not pairs:
        return
    print(f"\n{title}")
    width = max(map(len, pairs))
    for name, text in pairs.items():
        print(f"  {name:<{width}}  {text}")

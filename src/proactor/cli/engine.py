"""``proactor engine``: which engine runs here and why, what it uses, which ones it is not."""

from __future__ import annotations

import dataclasses
import json
import sys

from proactor.engines.contract import EngineDescription
from proactor.engines.native import seccomp
from proactor.engines.native.probe import NativeProfile, native_profile


def show_engine(description: EngineDescription, *, as_json: bool) -> None:
    """Print `description` and what the native part finds, for a person or as JSON."""
    native = native_profile()
    if as_json:
        answer = dataclasses.asdict(description)
        answer["native"] = dataclasses.asdict(native)
        json.dump(answer, sys.stdout, indent=2)
        print()
        return
    print(f"{description.name}: {description.reason}")
    _print_pairs("What it uses", description.features)
    _print_pairs("What else there is, and why not", description.refused)
    _print_native(native)


def show_seccomp() -> None:
    """Print what a container must allow: JSON to stdout, how to use it to stderr."""
    json.dump(seccomp.fragment(), sys.stdout, indent=2)
    print()
    print(seccomp.HOW_TO_USE, file=sys.stderr)


def _print_native(native: NativeProfile) -> None:
    if native.kernel:
        print(f"\nio_uring of kernel {native.kernel}: profile {native.profile}")
    _print_pairs("What of io_uring is used by the engine of that name", native.features)
    _print_pairs("What is not, and why", native.refused)


def _print_pairs(title: str, pairs: dict[str, str]) -> None:
    if not pairs:
        return
    print(f"\n{title}")
    width = max(map(len, pairs))
    for name, text in pairs.items():
        print(f"  {name:<{width}}  {text}")

"""What the native part finds on this machine, in words: is it there, and what can the kernel do.

The extension `_core` is optional: it is not built on other systems and architectures, without a
compiler, or when ``PROACTOR_PURE`` asks for that. Its absence is an answer here, never an error.
"""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

Profile = Literal["multishot", "basic", "none"]

ARCHITECTURES: Final = ("x86_64", "aarch64")

RING_VARIABLE: Final = "PROACTOR_RING"
"""Sizes of the ring, for tests: ``cq_entries=8,buffer_count=8``, say."""


@dataclass(frozen=True, slots=True)
class NativeProfile:
    """What the native part can use here.

    Attributes:
        profile: ``multishot`` (one request, many completions), ``basic`` (one completion a
            request), or ``none`` (no io_uring, or no native part at all).
        kernel: The kernel's release; empty where there is no native part to ask it.
        features: Name of each feature that is used, with what it is good for.
        refused: Name of each one that is not, with the reason.
    """

    profile: Profile
    kernel: str = ""
    features: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def ring(self) -> dict[str, int]:
        """Return what the core makes its ring of; the variable `RING_VARIABLE` adds to it.

        Raises:
            ValueError: The variable is not ``field=number,...``.
        """
        made = {
            "multishot": int(self.profile == "multishot"),
            "incremental": int("incremental buffers" in self.features),
        }
        for part in filter(None, os.environ.get(RING_VARIABLE, "").split(",")):
            name, _, number = part.partition("=")
            made[name] = int(number)
        return made

    def in_words(self) -> str:
        """Say how streams receive by the ring."""
        how = "one request, many completions" if self.profile == "multishot" else "one request each"
        return f"received by io_uring, {how} (profile {self.profile})"


def native_profile() -> NativeProfile:
    """Ask the kernel what it offers, by trying; takes about a millisecond, and never raises."""
    reason = why_not_for(sys.platform, platform.machine())
    if reason is None:
        try:
            # Not at the top: it may be missing, and that is an answer.
            from proactor.engines.native import _core
        except ImportError as error:
            reason = _why_not_built(error)
        else:
            return NativeProfile(**_core.probe())
    return NativeProfile("none", refused={"native part": reason})


def why_not_for(system: str, machine: str) -> str | None:
    """Say why there is no native part for this `system` and `machine`; None where there is one."""
    if system != "linux":
        return "it is for Linux only"
    if machine not in ARCHITECTURES:
        return f"it is for {' and '.join(ARCHITECTURES)}, and this is {machine or 'unknown'}"
    if sys.maxsize < 2**32:
        return "it is for 64-bit processes, and this one has 32"
    return None


def _why_not_built(error: ImportError) -> str:
    """Say why the extension could not be imported: what the build wrote down, or `error`."""
    here = Path(__file__).parent
    try:
        note = here / f"not_built.{sysconfig.get_config_var('SOABI')}.txt"
        return note.read_text(encoding="utf-8").strip()
    except OSError:
        if (here / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}").exists():
            return f"it cannot be loaded: {error}"
        return "it was not built: install the package where there is a C compiler"

"""The machine in words: what a reader must know to place the figures, and nothing that names it."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path


def describe() -> dict[str, str]:
    """Return CPUs, kernel and Python."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    count = allowed or os.cpu_count() or 1
    release = re.match(r"[\d.]+\d", platform.release())
    gil = ", without GIL" if is_without_gil() else ""
    return {
        "cpus": f"{count} CPU{'' if count == 1 else 's'}{_model()}{_virtual()}",
        "system": f"{platform.system()} {release[0] if release else ''}, {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}{gil}",
    }


def busy() -> float:
    """Return how many threads of others wanted a CPU in the last minute, on average."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else 0.0


def is_without_gil() -> bool:
    """Say whether this interpreter runs threads side by side."""
    return not getattr(sys, "_is_gil_enabled", lambda: True)()


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""


def _model() -> str:
    found = re.search(r"^model name\s*: (.+)$", _cpuinfo(), re.MULTILINE)
    return f", {found[1].strip()}" if found else ""


def _virtual() -> str:
    return ", virtual" if re.search(r"^flags\s*:.*\bhypervisor\b", _cpuinfo(), re.MULTILINE) else ""

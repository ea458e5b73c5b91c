"""Which engine runs in this process, and why.

Candidates are tried in order of preference; ``PROACTOR_ENGINE`` forces one or fails loudly. The
choice is made once, at the first use, and forgotten in a forked child, which then makes its own.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from collections.abc import Callable

from proactor.engines.contract import Engine
from proactor.engines.native.probe import NativeProfile, native_profile
from proactor.errors import EngineUnavailable

VARIABLE = "PROACTOR_ENGINE"


def _open_selectors(reason: str, refused: dict[str, str]) -> Engine:
    if sys.platform == "win32":
        raise EngineUnavailable("selectors needs poll and sendmsg, which Windows does not have")
    from proactor.engines.python.selectors.engine import SelectorsEngine

    return SelectorsEngine(reason, refused)


def _open_iocp(reason: str, refused: dict[str, str]) -> Engine:
    if sys.platform != "win32":
        raise EngineUnavailable("iocp is the Windows kernel's own port, and this is not Windows")
    from proactor.engines.python.iocp.engine import IocpEngine

    return IocpEngine(reason, refused)


def _open_native(
    name: str, reason: str, refused: dict[str, str], profile: NativeProfile | None
) -> Engine:
    if sys.platform != "linux":
        raise EngineUnavailable(f"{name} is the native engine for Linux, and this is not Linux")
    try:
        from proactor.engines.native.engine import NativeEngine
    except ImportError as error:
        why = native_profile().refused.get("native part", str(error))
        raise EngineUnavailable(
            f"the native part is not there ({why}): install proactor where there is a C compiler"
        ) from error
    try:
        return NativeEngine(name, reason, refused, profile)
    except OSError as error:
        raise EngineUnavailable(f"the kernel refuses what {name} needs: {error}") from error


def _open_epoll(reason: str, refused: dict[str, str]) -> Engine:
    return _open_native("epoll", reason, refused, None)


def _open_io_uring(reason: str, refused: dict[str, str]) -> Engine:
    return _open_ring("io_uring", reason, refused, native_profile())


def _open_basic(reason: str, refused: dict[str, str]) -> Engine:
    found = native_profile()
    if found.profile == "multishot":
        features = {name: what for name, what in found.features.items() if name not in _NOT_BASIC}
        found = dataclasses.replace(found, profile="basic", features=features)
    return _open_ring("io_uring-basic", reason, refused, found)


_NOT_BASIC = ("multishot", "incremental buffers")


def _open_ring(name: str, reason: str, refused: dict[str, str], profile: NativeProfile) -> Engine:
    if profile.profile == "none":
        why = profile.refused
        raise EngineUnavailable(
            why.get("native part") or why.get("io_uring") or "; ".join(why.values())
        )
    return _open_native(name, reason, refused, profile)


# In order of preference. An opener raises EngineUnavailable where its engine cannot run.
_CANDIDATES: dict[str, tuple[Callable[[str, dict[str, str]], Engine], str]] = {
    "iocp": (_open_iocp, "the Windows kernel has completion ports of its own"),
    "io_uring": (_open_io_uring, "in C, and the kernel receives for the streams by itself"),
    "epoll": (_open_epoll, "in C: no bytes wait for the interpreter"),
    "selectors": (_open_selectors, "readiness turned into completion, in plain Python"),
    "io_uring-basic": (_open_basic, "io_uring as it is used on kernels before 6.8"),
}

NAMES = tuple(_CANDIDATES)
"""The engines that can be asked for by name."""

_current: Engine | None = None
_lock = threading.Lock()


def current() -> Engine:
    """Return this process' engine, choosing it at the first call.

    Raises:
        EngineUnavailable: ``PROACTOR_ENGINE`` names one that is unknown or cannot run here.
    """
    global _current
    if _current is None:
        with _lock:
            if _current is None:
                _current = _choose(os.environ.get(VARIABLE, "auto"))
    return _current


def _choose(wanted: str) -> Engine:
    if wanted in ("", "auto"):
        return _first_that_runs()
    if wanted not in _CANDIDATES:
        known = ", ".join(NAMES)
        raise EngineUnavailable(f"{VARIABLE}={wanted}: unknown engine; known are auto, {known}")
    opener, _ = _CANDIDATES[wanted]
    try:
        return opener(f"asked for by {VARIABLE}", {})
    except EngineUnavailable as error:
        raise EngineUnavailable(
            f"{VARIABLE}={wanted} cannot run here: {error}; unset it to let one be chosen"
        ) from error


def _first_that_runs() -> Engine:
    refused: dict[str, str] = {}
    chosen: Engine | None = None
    for name, (opener, reason) in _CANDIDATES.items():
        if chosen is not None:
            refused[name] = f"not preferred: {reason}; {VARIABLE}={name} asks for it"
            continue
        try:
            chosen = opener(reason, refused)
        except EngineUnavailable as error:
            refused[name] = str(error)
    if chosen is None:
        raise EngineUnavailable(f"no engine can run here: {refused}")
    return chosen


def _forget() -> None:
    global _current, _lock
    _current = None
    # A lock that another thread of the parent held stays locked for ever in the child.
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

"""Where the tests run: which engine, which system, and whether Windows is Wine."""

from __future__ import annotations

import ctypes
import functools
import socket
import sys

import pytest

from proactor import EngineUnavailable
from proactor.engines import choose

NATIVE = ("io_uring", "epoll", "io_uring-basic")
"""The engines of the native core."""


@functools.cache
def engine_name() -> str:
    """Return the name of the engine that this process tests.

    Raises:
        pytest.UsageError: It cannot run here; pytest then ends with one line and exit code 4.
    """
    try:
        return choose.current().name
    except EngineUnavailable as error:
        raise pytest.UsageError(str(error)) from error


@functools.cache
def under_wine() -> bool:
    """Say whether this Windows is Wine, whose ntdll tells its version."""
    if sys.platform != "win32":
        return False
    return hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


@functools.cache
def has_ipv6() -> bool:
    """Say whether the loopback address ::1 can be bound here."""
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def family_parameters() -> list[object]:
    """Return AF_INET and AF_INET6 as pytest parameters; the second is skipped where it is off."""
    no_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
    return [
        pytest.param(socket.AF_INET, id="IPv4"),
        pytest.param(socket.AF_INET6, id="IPv6", marks=no_ipv6),
    ]


def has_gil() -> bool:
    """Say whether one thread of this interpreter runs at a time."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def allow_descriptors(count: int) -> bool:
    """Let this process have so many descriptors; False if the system does not."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        return False
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    return True

"""Where a server of the command line listens: what can be wrong with an address, and how to try it.

Models and the server core raise `OSError` alike; here it becomes one line with the remedy.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from proactor.cli.exits import Failed, Misused
from proactor.models import address_text

_REMEDIES: Final = {
    errno.EADDRINUSE: "the port is in use; choose another with --port, or --port 0 for a free one",
    errno.EACCES: "this port is not allowed to you; choose one from 1024 on with --port",
    errno.EADDRNOTAVAIL: "this machine has no such address; leave --host out for 127.0.0.1",
}


@contextmanager
def listening_errors(host: str, port: int) -> Iterator[None]:
    """Turn what goes wrong in this block, which listens at `host` and `port`, into one line.

    Raises:
        Misused: The host is unknown, or the address cannot be listened on; the text says why.
        Failed: It failed for another reason of the system's.
    """
    try:
        if not host:
            raise OSError("empty")
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Misused(
            f"unknown host {host!r}: give an address of this machine, such as 127.0.0.1"
        ) from error
    try:
        yield
    except OSError as error:
        where = address_text((host, port))
        remedy = _REMEDIES.get(error.errno or 0)
        if remedy is None:
            text = (error.strerror or str(error)).removeprefix(f"cannot listen on {where}: ")
            raise Failed(f"cannot listen on {where}: {text}") from error
        raise Misused(f"cannot listen on {where}: {remedy}") from error


def reachable_host(address: tuple[Any, ...]) -> str:
    """Return the host at which a program on this machine reaches `address`."""
    host: str = address[0]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)

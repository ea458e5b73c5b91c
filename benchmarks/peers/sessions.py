"""What every server on the server core does here: workers by the command line, a port, an end.

At its end it may tell what the user's object takes while it is connected (it has more attributes
once it has ended), so that the memory of the rest can be told from it.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from benchmarks.peers.serving import announce
from proactor import Server, Session, serve

BACKLOG = 4096
ACCEPTS = 64


def parser() -> argparse.ArgumentParser:
    """Return a parser that knows ``--workers``."""
    made = argparse.ArgumentParser()
    made.add_argument("--workers", type=int, default=1)
    return made


def run(session_class: type[Session], workers: int) -> None:
    """Serve `session_class` until the standard input ends."""

    def announce_it(server: Server) -> None:
        announce(server.address[1], server.stop)

    serve(
        session_class, ready=announce_it, port=0, workers=workers, backlog=BACKLOG, accepts=ACCEPTS
    )


def size_of(session: Any) -> int:
    """Return the bytes of the user's own object: the session with its attributes."""
    return sys.getsizeof(session) + sys.getsizeof(session.__dict__)


def tell_size(size: int) -> None:
    """Print the bytes of one such object."""
    print(json.dumps({"object_bytes": size}), flush=True)

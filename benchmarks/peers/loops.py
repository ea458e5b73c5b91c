"""The loops that a protocol of the peers can run on: ``--loop asyncio|uvloop|aiofastnet``."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from functools import partial

from benchmarks.peers.asyncio_protocol import serve

LOOPS = ("asyncio", "uvloop", "aiofastnet")


def parser() -> argparse.ArgumentParser:
    """Return a parser that knows ``--loop``."""
    made = argparse.ArgumentParser()
    made.add_argument("--loop", choices=LOOPS, default="asyncio")
    return made


def run(loop: str, protocol: Callable[[], asyncio.Protocol]) -> None:
    """Serve `protocol` on `loop` until the standard input ends."""
    if loop == "uvloop":
        import uvloop  # type: ignore[import-not-found,unused-ignore]  # Of the extra `bench`.

        uvloop.run(serve(protocol=protocol))
    elif loop == "aiofastnet":
        asyncio.run(_serve_fast(protocol))
    else:
        asyncio.run(serve(protocol=protocol))


async def _serve_fast(protocol: Callable[[], asyncio.Protocol]) -> None:
    import aiofastnet  # type: ignore[import-not-found,unused-ignore]  # Of the extra `bench`.

    await serve(partial(aiofastnet.create_server, asyncio.get_running_loop()), protocol)

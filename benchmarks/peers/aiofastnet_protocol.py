"""aiofastnet's echo: the same protocol on asyncio's loop, with its compiled transports."""

from __future__ import annotations

import asyncio
from functools import partial

import aiofastnet  # type: ignore[import-not-found,unused-ignore]  # Of the extra `bench`.

from benchmarks.peers.asyncio_protocol import serve


async def main() -> None:
    """Serve with aiofastnet's way to make a server."""
    await serve(partial(aiofastnet.create_server, asyncio.get_running_loop()))


if __name__ == "__main__":
    asyncio.run(main())

"""uvloop's echo: the same protocol on libuv's loop."""

from __future__ import annotations

import uvloop  # type: ignore[import-not-found,unused-ignore]  # Of the extra `bench`.

from benchmarks.peers.asyncio_protocol import serve

if __name__ == "__main__":
    uvloop.run(serve())

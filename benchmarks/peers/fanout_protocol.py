"""The peers' fan-out: each frame that comes is written to every transport.

python -m benchmarks.peers.fanout_protocol [--loop asyncio|uvloop|aiofastnet]
"""

from __future__ import annotations

from typing import Any

from benchmarks.peers import loops
from benchmarks.peers.framed_protocol import FramedProtocol

members: set[Any] = set()
"""The transports of all clients."""


class FanOutProtocol(FramedProtocol):
    """One member."""

    def connection_made(self, transport: Any) -> None:
        """Be a member."""
        super().connection_made(transport)
        members.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Be none any more."""
        members.discard(self.transport)

    def on_packet(self, packet_id: int, frame: bytes) -> None:
        """Send the frame to every member, its sender too."""
        for member in members:
            member.write(frame)


if __name__ == "__main__":
    loops.run(loops.parser().parse_args().loop, FanOutProtocol)

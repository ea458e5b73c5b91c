"""The peers' framed echo: packets of a u16 size and a u16 id, cut in `data_received` by hand.

    python -m benchmarks.peers.framed_protocol [--loop asyncio|uvloop|aiofastnet] [--gather]

Written as a user of these loops would write it who knows how to be quick: no stream reader, the
header by one compiled `Struct`, a whole frame passed on by one slice. A reply is written a packet;
with ``--gather`` the replies of one `data_received` are joined by hand and written together.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from benchmarks.peers import loops

HEADER = struct.Struct("<HH")


class FramedProtocol(asyncio.Protocol):
    """One client; what is left of an unfinished frame is kept for the next bytes."""

    def connection_made(self, transport: Any) -> None:
        """Keep the transport, which each loop makes of a class of its own."""
        self.transport = transport
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        """Cut frames, and pass each on."""
        if self.rest:
            data = self.rest + data
        at, end = 0, len(data)
        while end - at >= HEADER.size:
            size, packet_id = HEADER.unpack_from(data, at)
            if size < HEADER.size:
                self.transport.abort()
                return
            if end - at < size:
                break
            self.on_packet(packet_id, data[at : at + size])
            at += size
        self.rest = data[at:]

    def on_packet(self, packet_id: int, frame: bytes) -> None:
        """Send the frame back."""
        self.transport.write(frame)


class GatheringProtocol(FramedProtocol):
    """The same, where the replies to what came together leave together."""

    def connection_made(self, transport: Any) -> None:
        """Begin without replies."""
        super().connection_made(transport)
        self.replies: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        """Cut frames, and write all replies at once."""
        super().data_received(data)
        self.transport.write(b"".join(self.replies))
        self.replies.clear()

    def on_packet(self, packet_id: int, frame: bytes) -> None:
        """Send the frame back, with the others."""
        self.replies.append(frame)


def main() -> None:
    """Serve until the standard input ends."""
    parser = loops.parser()
    parser.add_argument("--gather", action="store_true")
    options = parser.parse_args()
    loops.run(options.loop, GatheringProtocol if options.gather else FramedProtocol)


if __name__ == "__main__":
    main()

"""Our server core with framing: a session that sends back each packet.

python -m benchmarks.peers.session_framed [--workers N]
"""

from __future__ import annotations

from benchmarks.peers import sessions
from proactor import Packet, PacketFraming, Session


class Echo(Session):
    """One client."""

    framing = PacketFraming()

    def on_packet(self, packet: Packet) -> None:
        """Send it back."""
        self.send(packet)


if __name__ == "__main__":
    sessions.run(Echo, sessions.parser().parse_args().workers)

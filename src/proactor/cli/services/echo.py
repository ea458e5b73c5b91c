"""``proactor serve echo``: every packet comes back."""

from __future__ import annotations

from typing import Any

from proactor.server import Session


class Echo(Session):
    """Sends what it gets. From a client that does not read it takes no more, so it loses nothing.

    It serves any framing; without one, bytes.
    """

    def on_packet(self, packet: Any) -> None:
        """Send it back."""
        self.send(packet)

    def on_backpressure(self) -> None:
        """Take no more until what is queued has left."""
        self.pause()

    def on_drained(self) -> None:
        """Go on."""
        self.resume()

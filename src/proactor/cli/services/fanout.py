"""``proactor serve fanout``: what one session sends goes to all, itself included."""

from __future__ import annotations

from typing import Any, ClassVar

from proactor.framing import Framing, PacketFraming
from proactor.server import Group, Session


class Member(Session):
    """One of those who hear everything. It serves any framing.

    Nobody waits for a member that does not read: its queue is bounded, and what happens when it is
    full is the policy of every session, `slow_consumer`.
    """

    framing: ClassVar[Framing] = PacketFraming()
    members: ClassVar[Group] = Group()

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Give each server, which makes a class of its own, members of its own."""
        super().__init_subclass__(**arguments)
        cls.members = Group()

    def on_connected(self) -> None:
        """Be a member, until the end."""
        self.members.add(self)

    def on_packet(self, packet: Any) -> None:
        """Send it to every member, this one too."""
        self.members.broadcast(packet)

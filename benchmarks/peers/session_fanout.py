"""Our server core's fan-out: what a session sends goes to all, by a group or by a room.

    python -m benchmarks.peers.session_fanout [--workers N] [--room]

A group sends in the turn of the session that broadcasts. With ``--room`` the packet goes to the
room first, which handles packets one at a time in a turn of its own, as a game's state wants it.
"""

from __future__ import annotations

from benchmarks.peers import sessions
from proactor import Group, Packet, PacketFraming, Room, Session

group = Group()


class Hall(Room):
    """Everybody's room."""

    def on_packet(self, session: Session, packet: Packet) -> None:
        """Send it to every member."""
        self.broadcast(packet)


hall = Hall("hall")


class GroupMember(Session):
    """A member of the group."""

    framing = PacketFraming()

    def on_connected(self) -> None:
        """Be a member."""
        group.add(self)

    def on_packet(self, packet: Packet) -> None:
        """Send it to every member, this one too."""
        group.broadcast(packet)


class RoomMember(Session):
    """A member of the room, to which its packets go by themselves."""

    framing = PacketFraming()

    def on_connected(self) -> None:
        """Be a member."""
        hall.join(self)


if __name__ == "__main__":
    parser = sessions.parser()
    parser.add_argument("--room", action="store_true")
    options = parser.parse_args()
    sessions.run(RoomMember if options.room else GroupMember, options.workers)

"""A chat with rooms, a line a message: nc 127.0.0.1 7777, then /name, /join and /who.

A room is made by its first guest and ends with its last. Everything of a room runs in its own
turns, one at a time, so it needs no lock; the table of rooms is shared by all sessions, and does.
"""

import sys
import threading

import proactor
from proactor import DelimiterFraming, Room, Session, SlowConsumer

rooms = {}
rooms_lock = threading.Lock()


class ChatRoom(Room):
    dispose_when_empty = True

    def on_dispose(self):
        with rooms_lock:
            if rooms.get(self.name) is self:
                del rooms[self.name]

    def on_join(self, guest):
        self.broadcast(f"* {guest.name} joins {self.name}".encode())

    def on_leave(self, guest):
        self.broadcast(f"* {guest.name} leaves {self.name}".encode())

    def on_packet(self, guest, line):
        self.broadcast(f"{guest.name}: ".encode() + line)

    def tell_who(self, guest):
        guest.send(("* here: " + ", ".join(sorted(other.name for other in self))).encode())


def enter(guest, name):
    """Let a guest go to the room with this name, and make it if there is none."""
    while True:
        with rooms_lock:
            room = rooms.get(name)
            if room is None or room.is_disposed:
                room = rooms[name] = ChatRoom(name, max_members=1000)
        here = guest.room
        if here is room:
            return
        if here.move(guest, room) if here is not None else room.join(guest):
            return
        if not room.is_disposed:  # Else it has just ended: a new one is made.
            guest.send(b"* that room is full")
            return


class Guest(Session):
    framing = DelimiterFraming(b"\n", 1000)
    slow_consumer = SlowConsumer.DROP_OLDEST

    def on_connected(self):
        self.name = f"guest{self.id & 0xFFFF}"
        self.send(b"* hello; /name NAME, /join ROOM, /who, /quit")
        enter(self, "lobby")

    def on_packet(self, line):
        command, _, rest = line.decode(errors="replace").strip().partition(" ")
        if command == "/name" and rest:
            self.name = rest[:20]
        elif command == "/join" and rest:
            enter(self, rest[:20])
        elif command == "/who" and self.room is not None:
            self.room.post(self.room.tell_who, self)
        elif command == "/quit":
            self.send(b"* bye")
            self.close()
        elif self.room is not None:
            self.room.deliver(self, line.rstrip(b"\r"))

    def on_draining(self):
        self.send(b"* the server stops")


if __name__ == "__main__":
    proactor.serve(
        Guest,
        port=int(sys.argv[1]) if len(sys.argv) > 1 else 7777,
        workers=5,
        idle_timeout=600,
        packets_per_second=10,
        packet_burst=50,
        drain_timeout=1,
        ready=lambda server: print("chat on port", server.address[1], flush=True),
    )

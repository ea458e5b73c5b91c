"""An arena: players move, the room ticks 20 times a second, everybody sees the latest state.

    python examples/arena.py [port]

A packet is u16 size, u16 id, body, little endian. From a player: MOVE, two i8, its direction.
To it: WELCOME with its number (u32), then in each tick a STATE: u32 tick, then for each player
u32 number, i32 x, i32 y. A player that reads too slowly misses states, but never sees an old one
after a newer one, and never holds up the others.
"""

import struct
import sys

import proactor
from proactor import Packet, PacketFraming, Room, Session, SlowConsumer, handles

MOVE, WELCOME, STATE = 1, 2, 3
SIZE = 1000


class Player(Session):
    framing = PacketFraming(2048)
    slow_consumer = SlowConsumer.LATEST
    number = x = y = dx = dy = 0

    def on_connected(self):
        arena.join(self)

    # There is no on_packet: packets go to the room.


class Arena(Room):
    tick = 0.05
    numbers = ticks = 0

    def on_join(self, player):
        self.numbers += 1
        player.number = self.numbers
        player.send(Packet(WELCOME, struct.pack("<I", player.number)))

    @handles(MOVE)
    def on_move(self, player, packet):
        player.dx, player.dy = struct.unpack("<bb", packet.body)

    def on_tick(self, step):
        self.ticks += 1
        state = [struct.pack("<I", self.ticks)]
        for player in self:
            player.x = max(0, min(SIZE, player.x + player.dx))
            player.y = max(0, min(SIZE, player.y + player.dy))
            state.append(struct.pack("<Iii", player.number, player.x, player.y))
        self.broadcast(Packet(STATE, b"".join(state)))


arena = Arena("arena", max_members=100)

if __name__ == "__main__":
    proactor.serve(
        Player,
        port=int(sys.argv[1]) if len(sys.argv) > 1 else 7777,
        workers=5,
        first_packet_timeout=30,
        packets_per_second=60,
        drain_timeout=1,
        ready=lambda server: print("arena on port", server.address[1], flush=True),
    )

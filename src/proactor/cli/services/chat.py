"""``proactor serve chat``: rooms for people, by lines of text or by packets.

With `PacketFraming` a packet's body is one line: guests send packets with the id `SAY`, and get
what others say as `SAY` and the server's own words as `NOTICE`. Any other framing carries the lines
as they are; notices begin with ``* ``. A room is made by its first guest and ends with its last.
"""

from __future__ import annotations

import threading
from typing import Any, ClassVar, Final

from proactor.errors import ProactorError
from proactor.framing import DelimiterFraming, Framing, Packet, PacketFraming, RawFraming
from proactor.server import Room, Session, SlowConsumer

SAY: Final = 1
NOTICE: Final = 2

LONGEST_LINE: Final = 1000
LARGEST_FRAME_MARKS: Final = 16
"""Bytes that a framing adds to a body at most."""

LONGEST_NAME: Final = 20
MOST_ROOMS: Final = 1000
MOST_IN_A_ROOM: Final = 1000

HELP: Final = "/name NAME, /join ROOM, /who, /rooms, /quit"


class ChatRoom(Room):
    """Where guests hear each other."""

    dispose_when_empty: ClassVar[bool] = True

    def __init__(self, house: House, name: str) -> None:
        """Open the room of this name in `house`."""
        super().__init__(name, max_members=MOST_IN_A_ROOM)
        self._house = house

    def on_dispose(self) -> None:
        """Leave the house."""
        self._house.forget(self)

    def on_join(self, session: Session) -> None:
        """Tell everybody, also the one who comes."""
        self.broadcast(_line(session.framing, f"* {_name(session)} joins {self.name}", NOTICE))

    def on_leave(self, session: Session) -> None:
        """Tell those who stay."""
        self.broadcast(_line(session.framing, f"* {_name(session)} leaves {self.name}", NOTICE))

    def on_packet(self, session: Session, packet: Any) -> None:
        """Let everybody hear a line, also the one who says it."""
        self.broadcast(_line(session.framing, f"{_name(session)}: {packet}", SAY))

    def tell_who(self, guest: Guest) -> None:
        """Tell one guest who is here. In the room's turn."""
        names = sorted(_name(member) for member in self)
        shown = ", ".join(names[:50]) + f" and {len(names) - 50} more" * (len(names) > 50)
        guest.notice(f"here: {shown}")


class House:
    """The rooms of one server, by name. Thread-safe."""

    def __init__(self) -> None:
        """Begin without a room."""
        self._lock = threading.Lock()
        self._rooms: dict[str, ChatRoom] = {}

    def room(self, name: str) -> ChatRoom | None:
        """Return the room of this name, a new one if need be; None: there are too many."""
        with self._lock:
            room = self._rooms.get(name)
            if room is None or room.is_disposed:
                if room is None and len(self._rooms) >= MOST_ROOMS:
                    return None
                room = self._rooms[name] = ChatRoom(self, name)
            return room

    def forget(self, room: ChatRoom) -> None:
        """Strike out a room that is over."""
        with self._lock:
            if self._rooms.get(room.name) is room:
                del self._rooms[room.name]

    def names(self) -> list[str]:
        """Return the names of the rooms."""
        with self._lock:
            return sorted(self._rooms)


class Guest(Session):
    """One who chats."""

    framing: ClassVar[Framing] = DelimiterFraming(b"\n", LONGEST_LINE)
    slow_consumer: ClassVar[SlowConsumer] = SlowConsumer.DROP_OLDEST
    house: ClassVar[House] = House()
    name: str = "guest"

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Give each server, which makes a class of its own, a house of its own."""
        super().__init_subclass__(**arguments)
        cls.house = House()

    @classmethod
    def check_class(cls) -> None:
        """Refuse a framing that cannot carry lines of any length.

        Raises:
            TypeError: It is such a framing.
        """
        try:
            carries = not isinstance(cls.framing, RawFraming)
            cls.framing.encode(_line(cls.framing, "* hello", NOTICE))
        except ProactorError:
            carries = False
        if not carries:
            raise TypeError(
                "a chat speaks in lines, which this framing cannot carry: choose lines, packet, "
                "length or varint"
            )
        super().check_class()

    def on_connected(self) -> None:
        """Greet, and lead to the lobby."""
        self.name = f"guest{self.id & 0xFFFF}"
        self.notice(f"hello {self.name}: what you type is said to the room, but for {HELP}")
        self._enter("lobby")

    def on_packet(self, packet: Any) -> None:
        """Do what a line says, or say it in the room."""
        line = _text(packet)
        if not line:
            return
        word, _, rest = line.partition(" ")
        command = self._COMMANDS.get(word)
        if command is not None:
            command(self, rest.strip()[:LONGEST_NAME])
        elif word.startswith("/"):
            self.notice(f"no such command: {word[:LONGEST_NAME]}; {HELP}")
        elif self.room is not None:
            self.room.deliver(self, line)

    def on_draining(self) -> None:
        """Say that it is over."""
        self.notice("the server stops")

    def notice(self, text: str) -> None:
        """Tell this guest something that nobody said."""
        self.send(_line(self.framing, f"* {text}", NOTICE))

    def _enter(self, name: str) -> None:
        while True:
            room = self.house.room(name)
            here = self.room
            if room is None:
                self.notice("there are as many rooms as there may be")
                return
            if here is room:
                return
            if here.move(self, room) if here is not None else room.join(self):
                return
            if not room.is_disposed:  # Else it has just ended, and the house makes a new one.
                self.notice(f"{name} is full")
                return

    def _rename(self, name: str) -> None:
        if not name or name == self.name:
            return
        before, self.name = self.name, name
        self.notice(f"you are {name}")
        if self.room is not None:
            text = f"* {before} is {name} now"
            self.room.broadcast(_line(self.framing, text, NOTICE), exclude=self)

    def _join(self, name: str) -> None:
        if name:
            self._enter(name)

    def _who(self, _: str) -> None:
        if self.room is not None:
            self.room.post(self.room.tell_who, self)

    def _tell_rooms(self, _: str) -> None:
        names = self.house.names()
        shown = ", ".join(names[:20]) + f" and {len(names) - 20} more" * (len(names) > 20)
        self.notice(f"rooms: {shown}")

    def _quit(self, _: str) -> None:
        self.notice("bye")
        if self.room is not None:
            self.room.leave(self)  # Now, and not when the client has closed its side.
        self.close()

    _COMMANDS: ClassVar[dict[str, Any]] = {
        "/name": _rename,
        "/join": _join,
        "/who": _who,
        "/rooms": _tell_rooms,
        "/quit": _quit,
    }


def _name(session: Session) -> str:
    return getattr(session, "name", "guest")


def _text(packet: Any) -> str:
    """Return the line that a packet carries, without what could move a terminal's cursor."""
    body = packet.body if isinstance(packet, Packet) else bytes(packet)
    text = body.decode(errors="replace")
    return "".join(letter for letter in text if letter.isprintable()).strip()


def _line(framing: Framing, text: str, kind: int) -> Any:
    """Return `text` as something that the framing can send, cut where it would be too long."""
    body = text.encode()
    most = framing.max_frame - LARGEST_FRAME_MARKS
    if len(body) > most:
        body = body[: max(0, most)].decode(errors="ignore").encode()
    return Packet(kind, body) if isinstance(framing, PacketFraming) else body

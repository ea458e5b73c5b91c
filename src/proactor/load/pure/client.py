"""One connection of the load, and what is known of it."""

from __future__ import annotations

import enum
import socket
from collections import deque


class State(enum.Enum):
    """The life of a connection."""

    WAITS = 0
    CONNECTS = 1
    GREETS = 2
    RUNS = 3
    GONE = 4


class Client:
    """One connection; the loop and the account change it.

    Attributes:
        index: Its number.
        sock: None before it is opened and once it is given up.
        state: Where in its life it is.
        events: What the selector watches it for; 0 for nothing.
        rest: What is begun and not sent yet.
        received: Bytes that came and were right.
        begun: Messages that were begun, greetings included.
        done: Of those, the ones of which everything awaited has come.
        due: Open loop: messages that the schedule has reached.
        hellos: Greetings that may be, or were, sent.
        news: When something came, or the first of what is awaited was sent; nanoseconds.
        reply: The message whose reply is arriving, once it was needed.
        arriving: Fan-out: bytes of frames that are not whole yet.
        begun_at: When each message from `done` on was begun, or intended.
        awaited: Fan-out: the deliveries that each message from `done` on lacks.
        due_from: Fan-out: the number that is due from each sender.
    """

    __slots__ = (
        "arriving", "awaited", "begun", "begun_at", "done", "due", "due_from", "events", "hellos",
        "index", "news", "received", "reply", "rest", "sock", "state",
    )  # fmt: skip

    def __init__(self, index: int) -> None:
        self.index = index
        self.sock: socket.socket | None = None
        self.state = State.WAITS
        self.events = 0
        self.rest = memoryview(b"")
        self.received = 0
        self.begun = 0
        self.done = 0
        self.due = 0
        self.hellos = 1
        self.news = 0
        self.reply = b""
        self.arriving = bytearray()
        self.begun_at: deque[int] = deque()
        self.awaited: deque[int] = deque()
        self.due_from: list[int] = []

"""Why a session ended: one enum for every way, so that code and counters can tell them apart."""

from __future__ import annotations

import enum


class DisconnectReason(enum.Enum):
    """Why a session ended; `Session.on_disconnected` is given exactly one of them.

    The first cause counts: a session that is kicked and whose peer then resets was kicked.
    """

    PEER_CLOSED = "the peer closed the connection"
    RESET = "the connection was reset"
    CLOSED = "closed by the session"
    ABORTED = "aborted by the session"
    KICKED = "kicked"
    IDLE = "nothing came for the idle time-out"
    HEARTBEAT = "no answer to the heartbeats"
    FIRST_PACKET = "no packet within the time limit for the first one"
    SLOW_CONSUMER = "did not read what was sent to it"
    RATE = "sent more than it may"
    PROTOCOL_ERROR = "broke the protocol"
    UNKNOWN_PACKET = "sent a packet that nobody handles"
    HANDLER_ERROR = "a handler raised"
    DRAINING = "the server stops"
    ERROR = "the connection failed"

    # Members are compared by identity, so they may be hashed by it too: Enum hashes the name.
    __hash__ = object.__hash__

    def __str__(self) -> str:
        return self.value


class Refusal(enum.Enum):
    """Why a connection did not become a session; counted in `ServerStatistics.refused`."""

    FULL = "as many sessions as the server may have"
    ADDRESS_FULL = "as many sessions as one address may have"
    STOPPING = "the server stops"
    GONE = "the client had gone already"
    PROXY = "no good PROXY header came"
    BROKEN = "the session could not be made"

    __hash__ = object.__hash__

    def __str__(self) -> str:
        return self.value

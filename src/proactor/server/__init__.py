"""The server core: sessions, groups and rooms on a completion port.

`Server` owns the life of a server, `Session` that of a client, `Room` that of a place where clients
meet. Traffic goes from a session's stream to the session, in the stream's turns, with nothing of
this package in between unless it was asked for (rate limits, handlers by id, a room).
"""

from __future__ import annotations

from proactor.server.groups import Group
from proactor.server.handlers import handles
from proactor.server.options import ServerOptions
from proactor.server.owned_timers import OwnedTimer
from proactor.server.policies import RateAction, SlowConsumer, UnknownPacket
from proactor.server.reasons import DisconnectReason, Refusal
from proactor.server.rooms import Room
from proactor.server.server import Server, ServerState
from proactor.server.serving import serve
from proactor.server.session import Session, SessionState
from proactor.server.tallies import ServerStatistics
from proactor.server.ticking import TickStatistics

__all__ = [
    "DisconnectReason",
    "Group",
    "OwnedTimer",
    "RateAction",
    "Refusal",
    "Room",
    "Server",
    "ServerOptions",
    "ServerState",
    "ServerStatistics",
    "Session",
    "SessionState",
    "SlowConsumer",
    "TickStatistics",
    "UnknownPacket",
    "handles",
    "serve",
]

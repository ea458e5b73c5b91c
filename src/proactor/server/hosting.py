"""What a session and a room know of the server that they belong to."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from proactor.port import CompletionPort
from proactor.server.options import ServerOptions
from proactor.server.reasons import DisconnectReason
from proactor.server.tallies import Tally
from proactor.timers import TimerQueue

logger = logging.getLogger("proactor.server")


class Host(Protocol):
    """A server, as seen from its sessions and rooms."""

    @property
    def options(self) -> ServerOptions:
        """Its options."""

    @property
    def port(self) -> CompletionPort:
        """The port that its workers serve."""

    @property
    def timers(self) -> TimerQueue:
        """The timers that its workers run."""

    @property
    def tally(self) -> Tally:
        """Its counters."""

    def session_ended(self, session: Any, reason: DisconnectReason) -> None:
        """A session is over, its callbacks have been made. From its last turn."""

    def adopt_room(self, room: Any) -> bool:
        """A room is to live with this server; False if the server has ended."""

    def room_disposed(self, room: Any) -> None:
        """A room is over."""

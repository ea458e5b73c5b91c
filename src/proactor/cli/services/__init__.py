"""The services that ``proactor serve`` has built in, on the public names of the package alone."""

from __future__ import annotations

from typing import Final

from proactor.cli.services.chat import Guest
from proactor.cli.services.echo import Echo
from proactor.cli.services.fanout import Member
from proactor.server import Session

SERVICES: Final[dict[str, type[Session]]] = {"echo": Echo, "chat": Guest, "fanout": Member}
"""The session class of each service, by the name of the service."""

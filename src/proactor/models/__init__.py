"""The six models of Windows socket I/O, each as a whole server of the same echo service."""

from __future__ import annotations

from proactor.models.completion_port import CompletionPortServer
from proactor.models.completion_routines import OverlappedRoutineServer
from proactor.models.echo import Address, EchoServer, Reason, Traffic, address_text
from proactor.models.event_objects import EventSelectServer
from proactor.models.overlapped_events import OverlappedEventServer
from proactor.models.select_sets import SelectServer
from proactor.models.window_messages import AsyncSelectServer

MODELS: dict[str, type[EchoServer]] = {
    server.model: server
    for server in (
        SelectServer,
        AsyncSelectServer,
        EventSelectServer,
        OverlappedEventServer,
        OverlappedRoutineServer,
        CompletionPortServer,
    )
}
"""Every model by its name, each one fixing a limit of the one before."""

DEFAULT_MODEL = CompletionPortServer.model

__all__ = [
    "DEFAULT_MODEL",
    "MODELS",
    "Address",
    "EchoServer",
    "Reason",
    "Traffic",
    "address_text",
]

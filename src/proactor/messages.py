"""Readiness by message: ``WSAAsyncSelect`` and a thread's message queue.

On Windows the queue is a message-only window of the thread that made it and its real message
queue. Elsewhere it is a plain queue: no window is needed. Messages that are queued stay after the
selection is cancelled or the socket is closed: a receiver must tolerate a socket that it no longer
knows.
"""

from __future__ import annotations

from proactor.engines import choose
from proactor.engines.contract import NetworkMessage
from proactor.sockets import OverlappedSocket, engine_socket_of

WM_USER = 0x0400
"""The first message number that is free for an application."""

__all__ = ["WM_USER", "MessageQueue", "NetworkMessage", "async_select"]


class MessageQueue:
    """The message queue of the thread that makes it; only that thread may take messages.

    A `with` block closes it at its end.
    """

    def __init__(self) -> None:
        """Make the queue of the calling thread."""
        self.engine_queue = choose.current().open_message_queue()

    def get(self, timeout: float | None = None) -> NetworkMessage | None:
        """Take the oldest message; wait up to `timeout` seconds (None: for ever), else None.

        Raises:
            InvalidParameter: Called in another thread than the one that made the queue.
        """
        return self.engine_queue.get(timeout)

    def close(self) -> None:
        """Drop the queue with what it holds. Closing twice does nothing."""
        self.engine_queue.close()

    def __enter__(self) -> MessageQueue:
        """Return the queue."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the queue."""
        self.close()


def async_select(sock: OverlappedSocket, queue: MessageQueue, message: int, mask: int) -> None:
    """Post `message` to `queue` for each event of `mask` that happens on `sock`.

    One message an event: ``NetworkMessage(message, socket, event, error)``. The same non-blocking
    and re-enabling rules as `event_select`, which a new selection replaces; a mask of 0 cancels.
    A socket accepted from it inherits the selection.

    Raises:
        InvalidParameter: A bit of `mask` is unknown (10022).
        SocketClosed: `sock` is closed.
    """
    engine_socket_of(sock, "async_select").async_select(queue.engine_queue, message, mask)

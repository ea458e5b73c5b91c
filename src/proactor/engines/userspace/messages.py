"""A thread's message queue in user space: no window needed."""

from __future__ import annotations

import threading
from collections import deque

from proactor import errors, statuses
from proactor.clock import deadline_after, seconds_left
from proactor.engines.contract import NetworkMessage
from proactor.engines.userspace.dispatcher import Dispatcher
from proactor.engines.userspace.events import UserspaceEvent, wait_for_objects


class UserspaceMessageQueue:
    """Messages for the thread that made it, oldest first; guarded by the dispatcher's lock."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        """Make the queue of the calling thread."""
        dispatcher.this_thread()
        self._dispatcher = dispatcher
        self._owner = threading.get_ident()
        self._messages: deque[NetworkMessage] = deque()
        self._arrived = UserspaceEvent(dispatcher, manual_reset=True, signaled=False)
        self._closed = False

    def post(self, message: NetworkMessage) -> None:
        """Queue a message; a closed queue drops it."""
        with self._dispatcher.lock:
            if not self._closed:
                self._messages.append(message)
                self._arrived.set()

    def get(self, timeout: float | None) -> NetworkMessage | None:
        """See `EngineMessageQueue.get`."""
        self._dispatcher.this_thread()
        if threading.get_ident() != self._owner:
            raise errors.refused(
                statuses.ERROR_INVALID_PARAMETER,
                "a message queue serves the thread that made it: make one in this thread",
            )
        deadline = deadline_after(timeout)
        while True:
            with self._dispatcher.lock:
                if self._messages:
                    return self._messages.popleft()
                self._arrived.reset()
            result = wait_for_objects(
                self._dispatcher,
                [self._arrived],
                wait_all=False,
                timeout=seconds_left(deadline),
                alertable=False,
            )
            if not result.is_signaled:
                return None

    def close(self) -> None:
        """See `EngineMessageQueue.close`."""
        self._closed = True
        self._messages.clear()

"""Buffers of an operation: who owns them while it is in flight.

From the start of an operation until its indication is taken, the memory belongs to the engine.
The views made here hold an export of each buffer, which Python enforces: a `bytearray` that is
resized meanwhile raises `BufferError`, and one whose last name is dropped stays alive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

from proactor import errors, statuses

if TYPE_CHECKING:
    from typing_extensions import Buffer  # In the standard library from 3.12 on.

Buffers: TypeAlias = "Buffer | Sequence[Buffer]"
"""One buffer, or a list or tuple of them (scattered into, gathered from, in order)."""


def readable_views(buffers: Buffers) -> list[memoryview]:
    """Return byte views of what is to be sent, one for each buffer.

    Raises:
        InvalidParameter: There is no buffer (10022).
        TypeError: An item is no contiguous buffer.
    """
    if not isinstance(buffers, (list, tuple)):
        return [_bytes_of(cast("Buffer", buffers))]
    if not buffers:
        raise errors.refused(statuses.WSAEINVAL, "no buffer given: give one, which may be empty")
    return [_bytes_of(item) for item in buffers]


def writable_views(buffers: Buffers) -> list[memoryview]:
    """Return byte views to receive into, one for each buffer.

    Raises:
        InvalidParameter: There is no buffer (10022).
        ProactorError: A buffer is read-only (10014): nothing was started.
        TypeError: An item is no contiguous buffer.
    """
    views = readable_views(buffers)
    for view in views:
        if view.readonly:
            raise errors.refused(
                statuses.WSAEFAULT,
                f"cannot receive into a read-only {type(view.obj).__name__}: give a bytearray",
            )
    return views


def _bytes_of(item: Buffer) -> memoryview:
    view = memoryview(item)
    return view if view.format == "B" and view.ndim == 1 and view.contiguous else view.cast("B")

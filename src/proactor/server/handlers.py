"""Handlers by packet id: the decorator `@handles(7)`, and the table that a class has of them.

The table is built once for each class, so that a packet costs one look-up. A subclass inherits
the handlers of its bases and may replace one by claiming the same id again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

_MARK = "__proactor_packet_ids__"

F = TypeVar("F", bound=Callable[..., object])


def handles(*packet_ids: Hashable) -> Callable[[F], F]:
    """Mark a method of a `Session` or a `Room` as the handler of packets with these ids.

    The method is called as ``method(packet)`` in a session and ``method(session, packet)`` in a
    room. A packet whose id no method claims goes to `on_unknown`.

    Raises:
        TypeError: No id is given, or an id cannot be a key of a table.
    """
    if not packet_ids:
        raise TypeError("@handles takes the packet ids: @handles(7) or @handles(7, 8)")
    for packet_id in packet_ids:
        if callable(packet_id):
            raise TypeError("@handles takes the packet ids in parentheses: @handles(7)")
        hash(packet_id)

    def mark(method: F) -> F:
        setattr(method, _MARK, (*getattr(method, _MARK, ()), *packet_ids))
        return method

    return mark


def handler_table(owner: type) -> dict[Any, str]:
    """Return the name of the handling method of `owner` for each packet id.

    Names, not functions: what a subclass overrides without the decorator stays a handler.

    Raises:
        TypeError: Two methods of one class claim the same id.
    """
    table: dict[Any, str] = {}
    for base in reversed(owner.__mro__):
        own: dict[Any, str] = {}
        for name, member in vars(base).items():
            for packet_id in getattr(member, _MARK, ()):
                if own.setdefault(packet_id, name) != name:
                    raise TypeError(
                        f"{base.__name__}.{own[packet_id]} and {base.__name__}.{name} both handle "
                        f"packets with the id {packet_id!r}: one of them must not"
                    )
        table |= own
    return table

"""What is done with a session that is too slow, too fast, or not understood: the choices.

Only the names are here; `session` and `limiting` carry them out.
"""

from __future__ import annotations

import enum


class SlowConsumer(enum.Enum):
    """What happens to a packet for a session whose send queue is full.

    A packet is never half sent: each choice is about whole packets that have not begun to leave.
    """

    CLOSE = "close"
    """Reset the session, reason `DisconnectReason.SLOW_CONSUMER`: it will not catch up."""

    DROP_OLDEST = "drop oldest"
    """Drop what has waited longest until the new packet fits. For feeds where old news is none."""

    DROP_NEWEST = "drop newest"
    """Drop the new packet and count it. For chatter that nobody misses."""

    LATEST = "latest"
    """Each key is a state, and only its latest packet stays queued, also while there is room.

    The key is the one given to `send`, else `Session.key_of`: the packet's id. When the queue is
    full of different keys, the oldest go.
    """

    REFUSE = "refuse"
    """`send` returns False and counts it; the caller decides. `Group.broadcast` returns such."""


class RateAction(enum.Enum):
    """What happens to a session that sends more than the server's rate limits allow."""

    CLOSE = "close"
    """Close it, reason `DisconnectReason.RATE`."""

    DROP = "drop"
    """Do not deliver the packet, and count it."""

    DELAY = "delay"
    """Deliver it, and receive nothing more until its tokens are back: TCP slows the peer."""


class UnknownPacket(enum.Enum):
    """What happens when no handler is registered for a packet's id; it is counted either way."""

    IGNORE = "ignore"
    CLOSE = "close"
    """Close the session, reason `DisconnectReason.UNKNOWN_PACKET`."""

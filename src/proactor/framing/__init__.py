"""Framing: where one message ends and the next begins in a stream of bytes.

The package owns what a frame *is*; it moves no bytes and knows no socket. Its rule: the same stream
of bytes gives the same items and the same error, however it was cut on its way.

A `Framing` is an immutable description, which may serve any number of connections and threads.
`Framing.decoder` makes the one state of one connection. A stream that breaks the rules of its
framing is a `FramingError` with a reason that names the number and the limit; what was complete
before comes along in its ``items``.

The native engine cuts the same frames by ``engines/native/core/framing.c``. Both share the numbers
of `FrameFault` and the texts of `Framing.error_of`.
"""

from __future__ import annotations

from proactor.errors import FramingError
from proactor.framing.base import Decoder, FrameFault, Framing, broken_off
from proactor.framing.delimited import DelimiterFraming
from proactor.framing.packets import Packet, PacketFraming
from proactor.framing.sized import FixedFraming, LengthFraming, RawFraming
from proactor.framing.varint import VarintFraming

__all__ = [
    "Decoder",
    "DelimiterFraming",
    "FixedFraming",
    "FrameFault",
    "Framing",
    "FramingError",
    "LengthFraming",
    "Packet",
    "PacketFraming",
    "RawFraming",
    "VarintFraming",
    "broken_off",
]

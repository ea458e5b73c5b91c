"""The PROXY header on a stream: a framing that gives it as the first item.

The stream cannot change its framing, so the header is the first item of a framing around the
session's own; behind it the bytes go to the session's decoder as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proactor.errors import FramingError
from proactor.framing import Decoder, Framing
from proactor.server.proxy_protocol import MAX_V2, ProxyParser, ProxyProtocolError

if TYPE_CHECKING:
    from typing_extensions import Buffer


class ProxiedFraming(Framing):
    """A PROXY header, then the frames of `inner`."""

    def __init__(self, inner: Framing) -> None:
        """Stand before `inner`."""
        self.inner = inner
        self.max_frame = max(MAX_V2, inner.max_frame)

    def decoder(self) -> ProxiedDecoder:
        """Return a decoder whose first item is a `ProxyHeader`."""
        return ProxiedDecoder(self.inner.decoder())

    def encode(self, item: Any, /) -> bytes:
        """Return `item` as a frame of the inner framing."""
        return self.inner.encode(item)


class ProxiedDecoder:
    """Parses the header, and then hands everything to the inner decoder."""

    def __init__(self, inner: Decoder) -> None:
        """Begin with the header."""
        self._parser = ProxyParser()
        self._inner = inner
        self._is_done = False

    @property
    def pending(self) -> int:
        """Bytes kept of an unfinished header or frame."""
        return self._inner.pending if self._is_done else self._parser.pending

    def feed(self, data: Buffer, /) -> list[Any]:
        """Take the next bytes; see `Decoder.feed`."""
        if self._is_done:
            return self._inner.feed(data)
        try:
            rest = self._parser.feed(bytes(data))
        except ProxyProtocolError as error:
            raise FramingError(str(error), []) from error
        if self._parser.header is None:
            return []
        self._is_done = True
        items: list[Any] = [self._parser.header]
        try:
            return items + self._inner.feed(rest) if rest else items
        except FramingError as error:
            raise FramingError(error.reason, [*items, *error.items]) from error

"""What can be set: every option of the server, of its streams, and of the protocol.

The table is made from the classes that own the options (`ServerOptions`, `StreamLimits`, the
attributes of `Session`): a new option there is a flag and a key here at once. This module adds only
what people read: groups, second names, and a text where the original is meant for programmers.
"""

from __future__ import annotations

import enum
import inspect
import re
import types
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from proactor.cli.serving.framings import FramingKind
from proactor.cli.serving.values import (
    MOST_BYTES,
    MOST_COUNT,
    MOST_SECONDS,
    Choice,
    Kind,
    Number,
    OrOff,
    Switch,
    Text,
    Whole,
    written,
)
from proactor.engines.stream_contract import StreamLimits
from proactor.server import ServerOptions, Session, SlowConsumer, UnknownPacket

Part = Literal["server", "stream", "session"]

_GROUPS: Final = {
    "Listening and workers": "host port backlog accepts workers concurrency stall_timeout",
    "Who is let in": "max_sessions max_per_address accept_rate accept_burst proxy_protocol "
    "proxy_timeout",
    "Silent clients": "first_packet_timeout idle_timeout heartbeat heartbeat_packet "
    "heartbeat_misses tcp_user_timeout",
    "Fast clients": "packets_per_second packet_burst bytes_per_second byte_burst rate_action "
    "inbox_high inbox_low frames_a_turn",
    "Slow clients": "slow_consumer send_bytes send_packets send_high send_low max_queued_bytes",
    "Protocol": "framing unknown_packet",
    "Stopping": "drain_timeout close_timeout",
}
"""The groups of the help, in order. What is in none of them is in `OTHERS`."""

OTHERS: Final = "Others"

_SECOND_NAMES: Final = {
    "port": ("-p",),
    "workers": ("-w",),
    "drain_timeout": ("--drain",),
    "send_bytes": ("--send-limit",),
}
"""Shorter names; a long one of these also is a key of the file."""

_SHOWN_DEFAULTS: Final = {"backlog": "the system's most"}
"""Where the number differs from system to system."""

_TEXTS: Final = {
    "host": "Address to listen on; 0.0.0.0 opens it to other machines.",
    "port": "0 takes a free one.",
    "workers": "Threads that serve.",
    "concurrency": "How many workers may run at once; 0: one, or one a CPU without the GIL.",
    "stall_timeout": "Seconds after which a worker that has not come back counts as blocked.",
    "heartbeat": "Nothing has come for so many seconds: the heartbeat packet is sent.",
    "proxy_protocol": "Each connection begins with a PROXY header, version 1 or 2.",
    "proxy_timeout": "Seconds within which that header must have come.",
    "drain_timeout": "Seconds that sessions have to take what is queued when the server stops.",
    "inbox_high": "Bytes received and not handled above which receiving pauses.",
    "inbox_low": "Bytes to which they must fall before it goes on.",
    "send_high": "Bytes queued above which the session is told to send less.",
    "send_low": "Bytes to which they must fall before it is told that all is well.",
    "send_bytes": "Bytes that may be queued for one session; then --slow-consumer says what.",
    "send_packets": "Likewise, in packets.",
    "accept_burst": "How many may come at once all the same; as --accept-rate if off.",
    "packet_burst": "How many at once; one second's worth if off.",
    "byte_burst": "How many at once; one second's worth if off.",
    "max_queued_bytes": "Bytes queued for all sessions together; above it, those with the longest "
    "queues are reset.",
    "frames_a_turn": "After so many packets another session has its turn.",
}


@dataclass(frozen=True)
class Setting:
    """One thing that can be set.

    Attributes:
        name: As the class that owns it calls it; with ``_``, it is the key in a file.
        part: Whose it is: the server's, the stream's, or the session class's.
        kind: What its values are.
        default: Its value when nobody sets it, unless the session class says otherwise.
        text: One or more sentences for the help.
        check: Raises ValueError for a value of its kind that makes no sense.
    """

    name: str
    part: Part
    kind: Kind
    default: Any
    text: str
    check: Callable[[Any], object]

    @property
    def flag(self) -> str:
        """Its flag, as errors name it."""
        return self.flags[0]

    @property
    def flags(self) -> tuple[str, ...]:
        """All its flags, the one that people use first."""
        own = "--" + self.name.replace("_", "-")
        others = _SECOND_NAMES.get(self.name, ())
        long = tuple(name for name in others if name.startswith("--"))
        return (*long, own, *(name for name in others if name not in long))

    @property
    def group(self) -> str:
        """Its group in the help."""
        names = (group for group, members in _GROUPS.items() if self.name in members.split())
        return next(names, OTHERS)

    @property
    def shown_default(self) -> str:
        """Its default as a user would write it."""
        if self.part == "session":
            return "the class's"
        return _SHOWN_DEFAULTS.get(self.name) or written(self.default)

    def read(self, given: Any, label: str, *, as_text: bool) -> Any:
        """Return the value that was given: as a word of the command line, or in a file.

        Raises:
            ValueError: It makes no sense; the text is a sentence that begins with `label`.
        """
        try:
            value = self.kind.from_text(given) if as_text else self.kind.from_toml(given)
        except ValueError as error:
            raise ValueError(f"{label} is {self.kind.accepts}, not {error}") from error
        self.refuse_nonsense(value, label)
        return value

    def refuse_nonsense(self, value: Any, label: str) -> None:
        """Raise ValueError if a value of the right kind makes no sense."""
        try:
            self.check(value)
        except ValueError as error:
            text = str(error).removeprefix(self.name).replace("None for ", "off for ")
            text = text.replace("off for off", "off")
            raise ValueError(f"{label}{text}") from error


@cache
def settings() -> tuple[Setting, ...]:
    """Return all settings, in the order in which the help shows them."""
    order = list(_GROUPS)
    made = [*_of_server(), *_of_streams(), *_of_sessions()]
    places = {name: number for number, name in enumerate(" ".join(_GROUPS.values()).split())}

    def place(setting: Setting) -> tuple[int, int]:
        group = order.index(setting.group) if setting.group in order else len(order)
        return group, places.get(setting.name, 0)

    return tuple(sorted(made, key=place))


@cache
def by_key() -> dict[str, Setting]:
    """Return the settings by every name that a file may call them, with ``_``."""
    return {
        flag.removeprefix("--").replace("-", "_"): setting
        for setting in settings()
        for flag in setting.flags
        if flag.startswith("--")
    }


def _of_server() -> Iterator[Setting]:
    def check(name: str) -> Callable[[Any], object]:
        def refuse(value: Any) -> None:
            ServerOptions(**{name: value})

        return refuse

    yield from _of_fields(ServerOptions, "server", check)


def _of_streams() -> Iterator[Setting]:
    # One limit alone may contradict the default of another: the class checks them together.
    def check(name: str) -> Callable[[Any], object]:
        def refuse(value: int) -> None:
            least = 0 if name.startswith("inbox") or name in ("send_high", "send_low") else 1
            if value < least:
                raise ValueError(f"{name} is {least} or more, not {value}")

        return refuse

    yield from _of_fields(StreamLimits, "stream", check)


def _of_fields(
    owner: type[Any], part: Part, check: Callable[[str], Callable[[Any], object]]
) -> Iterator[Setting]:
    hints, texts = get_type_hints(owner), _documented(owner)
    for field in fields(owner):
        default = None if field.default is MISSING else field.default
        text = _TEXTS.get(field.name) or texts.get(field.name, "")
        kind = _kind_of(field.name, hints[field.name])
        yield Setting(field.name, part, kind, default, text, check(field.name))


def _of_sessions() -> Iterator[Setting]:
    rows: list[tuple[str, Kind, str]] = [
        (
            "framing",
            FramingKind(),
            "How bytes become packets: raw, lines, packet, length, delimiter, fixed, varint; with "
            "options: packet:byteorder=big,max_frame=4096.",
        ),
        (
            "slow_consumer",
            Choice(SlowConsumer),
            "What happens to a packet for a session whose send queue is full.",
        ),
        (
            "unknown_packet",
            Choice(UnknownPacket),
            "What happens to a packet whose id nobody handles.",
        ),
        ("heartbeat_packet", Text(), "What --heartbeat sends; with --framing packet ID[:TEXT]."),
    ]
    for name, kind, text in rows:
        assert hasattr(Session, name), name
        yield Setting(name, "session", kind, None, text, lambda value: None)


def _kind_of(name: str, hint: Any) -> Kind:
    """Return the kind of value for a field by its type, and how large it may be by its name."""
    if get_origin(hint) is types.UnionType:
        kinds = [part for part in get_args(hint) if part is not type(None)]
        return OrOff(_kind_of(name, kinds[0]))
    if issubclass(hint, enum.Enum):
        return Choice(hint)
    is_wide = re.search("byte|inbox|send_(high|low)|rate|per_second", name)
    kinds_of_types: dict[Any, Kind] = {
        bool: Switch(),
        int: Whole(MOST_BYTES if is_wide else MOST_COUNT),
        float: Number(MOST_BYTES if is_wide else MOST_SECONDS),
        str: Text(),
    }
    return kinds_of_types[hint]


def _documented(owner: type[Any]) -> dict[str, str]:
    """Return what the docstring of `owner` says of each attribute, without marks of code."""
    lines = inspect.cleandoc(owner.__doc__ or "").partition("Attributes:\n")[2].splitlines()
    texts: dict[str, str] = {}
    name = ""
    for line in lines:
        if not line.startswith("    "):
            break
        if found := re.match(r"    (\w+): (.*)", line):
            name, texts[found[1]] = found[1], found[2]
        elif name:
            texts[name] += " " + line.strip()
    return {name: text.replace("`", "") for name, text in texts.items()}

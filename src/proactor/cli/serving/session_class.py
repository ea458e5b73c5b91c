"""Which class serves: one that is built in, or the user's own, ``package.module:SessionClass``."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from dataclasses import replace
from types import ModuleType
from typing import Any

from proactor.cli.exits import Failed, Misused
from proactor.cli.services import SERVICES
from proactor.cli.serving.framings import unescaped
from proactor.engines.stream_contract import StreamLimits
from proactor.errors import ProactorError
from proactor.framing import Framing, Packet, PacketFraming
from proactor.server import Session


def session_class_of(name: str) -> type[Session]:
    """Return the class that `name` stands for; a module is looked for in the current folder too.

    Raises:
        Misused: There is no such service, module or class; the text says which, and what there is.
        Failed: The module raised while it was imported; the text says what, and where.
    """
    if name in SERVICES:
        return SERVICES[name]
    module_name, colon, path = name.partition(":")
    if not colon or not module_name or not path:
        raise Misused(
            f"unknown service {name!r}: choose one of {', '.join(SERVICES)}, or name a class of "
            "your own as package.module:SessionClass"
        )
    if module_name.endswith(".py") or os.sep in module_name:
        meant = module_name.removesuffix(".py").strip(os.sep).replace(os.sep, ".")
        raise Misused(f"{module_name!r} is a file: name the module, {meant}:{path}")
    return _class_in(_imported(module_name), path)


def _imported(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (name == missing or name.startswith(f"{missing}.")):
            raise Misused(
                f"there is no module {missing!r}, neither in {here} nor where Python looks; go to "
                "its folder, or install it"
            ) from error
        text = f"{type(error).__name__}: {error}"
        raise Failed(f"module {name} cannot be imported: {text}{_place(error)}") from error


def _place(error: BaseException) -> str:
    """Return where in the user's code an import failed, if the error does not say it itself."""
    every = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in every if "importlib" not in frame.filename]
    if isinstance(error, SyntaxError) or len(frames) < 2:
        return ""
    return f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})"


def _class_in(module: ModuleType, path: str) -> type[Session]:
    found: Any = module
    for word in path.split("."):
        if not hasattr(found, word):
            raise Misused(f"module {module.__name__} has no {path!r}: {_offer(module, path)}")
        found = getattr(found, word)
    if not (isinstance(found, type) and issubclass(found, Session)):
        what = "the class" if isinstance(found, type) else "of type"
        kind = found.__name__ if isinstance(found, type) else type(found).__name__
        raise Misused(
            f"{module.__name__}:{path} is {what} {kind}, not a subclass of proactor.Session: "
            f"{_offer(module, path)}"
        )
    return found


def _offer(module: ModuleType, path: str) -> str:
    names = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Session) and value is not Session
    ]
    if not names:
        return "it has no sessions; write class Name(proactor.Session)"
    near = difflib.get_close_matches(path, names, 1) or names
    return f"its sessions are {', '.join(names)}; try {module.__name__}:{near[0]}"


def configured(
    session_class: type[Session], session: dict[str, Any], stream: dict[str, int]
) -> type[Session]:
    """Return a subclass with these attributes and limits, under the same name.

    A subclass always: what a service keeps for all its sessions is then this server's alone.

    Raises:
        ValueError: The attributes or limits contradict each other; the text begins with the name.
    """
    attributes: dict[str, Any] = dict(session)
    if stream:
        attributes["limits"] = _with_marks(session_class.limits, stream)
    framing = attributes.get("framing", session_class.framing)
    if (text := attributes.get("heartbeat_packet")) is not None:
        attributes["heartbeat_packet"] = _heartbeat(text, framing)
    names = {"__module__": session_class.__module__, "__qualname__": session_class.__qualname__}
    names["__doc__"] = session_class.__doc__ or ""
    metaclass: Any = type(session_class)
    made: type[Session] = metaclass(
        session_class.__name__, (session_class,), {**names, **attributes}
    )
    return made


def _with_marks(limits: StreamLimits, given: dict[str, int]) -> StreamLimits:
    """Return the limits with those that were given; a mark follows the one above it, if not given.

    Raises:
        ValueError: Two that were given contradict each other.
    """
    marks = dict(given)
    if (cap := given.get("send_bytes")) is not None:
        high = marks.setdefault("send_high", min(limits.send_high, cap // 2))
        if high > cap:
            raise ValueError(f"send_high is at most send_bytes ({cap}), not {high}")
    for low, high_name in (("inbox_low", "inbox_high"), ("send_low", "send_high")):
        if high_name in marks:
            marks.setdefault(low, min(getattr(limits, low), marks[high_name] // 4))
    return replace(limits, **marks)


def _heartbeat(text: str, framing: Framing) -> Any:
    """Return the packet that `text` describes, in terms of the framing."""
    try:
        packet: Any = unescaped(text)
        if isinstance(framing, PacketFraming):
            number, _, body = text.partition(":")
            packet = Packet(int(number), unescaped(body))
        framing.encode(packet)
    except ProactorError as error:
        raise ValueError(f"heartbeat_packet is no packet: {error.strerror or error}") from error
    except ValueError as error:
        wanted = "ID or ID:TEXT" if isinstance(framing, PacketFraming) else "text"
        raise ValueError(f"heartbeat_packet is {wanted} with this framing, not {text!r}") from error
    return packet

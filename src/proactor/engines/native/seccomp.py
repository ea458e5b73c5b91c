"""What a container must allow so that io_uring can be used in it, as its tools want to read it."""

from __future__ import annotations

from typing import Final, TypedDict

SYSTEM_CALLS: Final = ("io_uring_setup", "io_uring_enter", "io_uring_register")

HOW_TO_USE: Final = (
    "Add it to the profile that your containers run with (Docker publishes its default.json): "
    "jq -s '.[0].syscalls += .[1].syscalls | .[0]' default.json fragment.json > io_uring.json; "
    "then docker run --security-opt seccomp=io_uring.json"
)
"""One line for a person, who has just got the fragment."""


class Rule(TypedDict):
    """One entry of the list `syscalls` of a profile."""

    names: list[str]
    action: str
    args: list[object]
    comment: str


def fragment() -> dict[str, list[Rule]]:
    """Return the part of a seccomp profile, in the form of Docker and OCI, that allows io_uring.

    A part and not a whole: a profile that consists of it alone would forbid everything else, and
    one that allows everything else would take away what protects the host.
    """
    rule: Rule = {
        "names": list(SYSTEM_CALLS),
        "action": "SCMP_ACT_ALLOW",
        "args": [],
        "comment": "io_uring, for proactor's native part",
    }
    return {"syscalls": [rule]}

"""The ids of all conformance vectors, and why some have no test.

A vector is one row of the table of Winsock behaviours that the package promises: a setup, an
action and what Windows answers. A test bears the ids of the vectors that it proves at the start
of its name (``test_P05_P06_...``). A vector whose setup cannot be expressed with this package is
explained here instead, or, for the groups of cancellation, APCs, waits, readiness, shutdown and
datagrams, in `vectors_rest`. `test_vectors` holds the two against each other.
"""

from __future__ import annotations

from typing import Final

# Numbers that are left out here never were given out.
_GROUPS: Final = {
    "P": "01 02 03 04 05 06 07 08 09 11 12 13 14 15 17 18 19 20 21 22 23 24 25 26 27 28 29 31 32",
    "Q": "01 02 03 04 05 07 08 10",
    "R": "01 02 03 04 05 06 08 09 11 12 13 14 16 17 18 19",
    "S": "01 02 04 05 06 07",
    "A": "01 02 03 04 06 07 08 09 10 11 12 13 14 15 17",
    "C": "01 02 03 05 06",
    "D": "01 02 03 04 05 06 08",
    "X": "01 02 03 04 05 06 08",
    "T": "01 02 03 05",
    "U": "01 02 03 04 06 07 08 09 10 11 12 13 15",
    "W": "01 02 04",
    "E": "01 02 04 05 07 08 09 10 11 13 14 15 16 17",
    "L": "01 02 03 05 06 07 08",
    "H": "01 02 04 05 06 07",
    "G": "01 02 04 05",
}

VECTORS: Final = frozenset(
    group + number for group, numbers in _GROUPS.items() for number in numbers.split()
)

NOT_APPLICABLE: Final[dict[str, str]] = {
    "P13": "CreateIoCompletionPort(INVALID_HANDLE_VALUE, port) mixes making a port with attaching "
    "to one; here these are CompletionPort() and attach(), which takes a socket or raises "
    "TypeError (tested).",
    "Q02": "A thread cannot wait on the port object itself: a CompletionPort is no Event, and only "
    "get() and get_many() wait for packets.",
    "Q03": "As Q02: there are no direct waiters on a port.",
    "R19": "A socket is no waitable object: an operation without event, routine and port is seen "
    "through Overlapped.is_complete and get_result (tested).",
    "S05": "There is no pointer for the byte count: send() returns it.",
    "S06": "A call is a method of an OverlappedSocket, so that no other handle can reach it; "
    "wrong objects are refused where they are passed (attach: TypeError, tested).",
    "A13": "There are no address buffers to be too small: the engine gives AcceptEx its own.",
    "A14": "The engine sets SO_UPDATE_ACCEPT_CONTEXT itself: an accepted socket knows its names "
    "and can be shut down at once (tested).",
    "A17": "SO_CONNECT_TIME is an option of Windows alone; getsockopt() hands it through there.",
}

"""Why some vectors of cancellation, APCs, waits, readiness, shutdown and datagrams have no test.

The other half of the table in `vectors`, which says how a test bears the id of its vector.
"""

from __future__ import annotations

from typing import Final

NOT_APPLICABLE: Final[dict[str, str]] = {
    "U08": "A Python thread gets its APC queue when it starts, so that there is none to fill "
    "before: queue_user_apc to a thread that has not started is refused with 31 (tested).",
    "L08": "The limit is one of the C macro FD_SET, not of select: there are no sets to add to "
    "here, FD_SETSIZE says 64 and select() takes more (both tested).",
    "H07": "The contracts mark it as documentation only: close() of a non-blocking socket with "
    "SO_LINGER on and unsent bytes never fails here, it closes and lets the system linger.",
}

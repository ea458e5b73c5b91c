"""The addresses of Python's buffers, and the WSABUF arrays made of them.

The views of an `Operation` hold an export of each buffer, so that what lies at the address neither
moves nor goes away while the operation lives. No byte is copied.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("the iocp engine runs on Windows only")

import ctypes
from typing import Any, Final

from proactor import errors, statuses
from proactor.engines.python.iocp import winapi

_LONGEST: Final = 0xFFFFFFFF
_char: Final = ctypes.c_char
_addressof: Final = ctypes.addressof


def address_of(view: memoryview) -> int:
    """Return where the bytes of `view` lie."""
    if view.readonly or not view:
        # ctypes refuses a read-only or an empty buffer, CPython itself does not.
        buffer = winapi.Py_buffer()
        winapi.PyObject_GetBuffer(view, buffer, 0)
        address: int = buffer.buf
        winapi.PyBuffer_Release(buffer)
        return address
    return _addressof(_char.from_buffer(view))


def length_of(view: memoryview) -> int:
    """Return the length of `view`.

    Raises:
        InvalidParameter: It is longer than a WSABUF can say (10022).
    """
    length = len(view)
    if length > _LONGEST:
        raise errors.refused(
            statuses.WSAEINVAL, f"a buffer of {length} bytes: Windows takes less than 4 GiB at once"
        )
    return length


def wsabufs(views: list[memoryview]) -> Any:
    """Return an array of WSABUF that describes `views`; it may be dropped after the call."""
    array = (winapi.WSABUF * len(views))()
    for buffer, view in zip(array, views, strict=True):
        buffer.len = length_of(view)
        buffer.buf = address_of(view)
    return array


def joined(views: list[memoryview]) -> tuple[int, int, Any]:
    """Return address and length of `views` as one buffer, and what must be kept for them."""
    if not views:
        return 0, 0, None
    if len(views) == 1:
        return address_of(views[0]), length_of(views[0]), None
    whole = memoryview(b"".join(views))
    return address_of(whole), length_of(whole), whole

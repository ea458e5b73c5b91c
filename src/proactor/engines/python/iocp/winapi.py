"""The Windows calls that this engine makes: names, structures, prototypes, in its spelling.

Every function that may fail is declared with ``use_last_error``: ctypes then saves the thread's
error number right after the call, before the interpreter can overwrite it, and `last_error` returns
it. ``WSAGetLastError`` reads the same number.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("the iocp engine runs on Windows only")

import ctypes
from collections.abc import Callable
from ctypes import POINTER, Structure, c_int, c_long, c_size_t, c_ssize_t, c_uint, c_void_p
from ctypes.wintypes import BOOL, DWORD, HANDLE, LPCWSTR, MSG, WORD
from typing import Any, ClassVar, Final

last_error: Final = ctypes.get_last_error
"""The error number of the last call of this thread: `GetLastError`, or `WSAGetLastError`."""

# -- numbers --

INFINITE: Final = 0xFFFFFFFF
WAIT_OBJECT_0: Final = 0
WAIT_IO_COMPLETION: Final = 0xC0
WAIT_TIMEOUT: Final = 0x102
WAIT_FAILED: Final = 0xFFFFFFFF
MAXIMUM_WAIT_OBJECTS: Final = 64

INVALID_HANDLE_VALUE: Final = c_void_p(-1).value
INVALID_SOCKET: Final = INVALID_HANDLE_VALUE
THREAD_SET_CONTEXT: Final = 0x0010
FILE_SKIP_COMPLETION_PORT_ON_SUCCESS: Final = 1

WSA_FLAG_NO_HANDLE_INHERIT: Final = 0x80
SO_UPDATE_ACCEPT_CONTEXT: Final = 0x700B
SO_UPDATE_CONNECT_CONTEXT: Final = 0x7010
FIONBIO: Final = 0x8004667E
SIO_GET_EXTENSION_FUNCTION_POINTER: Final = 0xC8000006
FD_MAX_EVENTS: Final = 10

HWND_MESSAGE: Final = c_void_p(-3)
PM_REMOVE: Final = 1
WM_USER: Final = 0x0400
QS_ALLINPUT: Final = 0x04FF
MWMO_INPUTAVAILABLE: Final = 4

# -- structures --

ULONG_PTR = c_size_t
SOCKET = c_size_t


class OVERLAPPED(Structure):
    """What the kernel knows an operation by: its address; ``Internal`` is the NTSTATUS."""

    _fields_: ClassVar[Any] = (
        ("Internal", ULONG_PTR),
        ("InternalHigh", ULONG_PTR),
        ("Offset", DWORD),
        ("OffsetHigh", DWORD),
        ("hEvent", c_size_t),
    )


class OVERLAPPED_ENTRY(Structure):
    """One packet of `GetQueuedCompletionStatusEx`: four words, the last one half used."""

    _fields_ = (
        ("lpCompletionKey", ULONG_PTR),
        ("lpOverlapped", c_void_p),
        ("Internal", ULONG_PTR),
        ("dwNumberOfBytesTransferred", DWORD),
    )


class WSABUF(Structure):
    """One buffer: its length and its address."""

    _fields_ = (("len", c_uint), ("buf", c_size_t))


class WSANETWORKEVENTS(Structure):
    """What `WSAEnumNetworkEvents` fills in; the index of an error is the number of its bit."""

    _fields_ = (("lNetworkEvents", c_long), ("iErrorCode", c_int * FD_MAX_EVENTS))


class TRANSMIT_FILE_BUFFERS(Structure):
    """What goes before and after the file."""

    _fields_ = (
        ("Head", c_size_t),
        ("HeadLength", DWORD),
        ("Tail", c_size_t),
        ("TailLength", DWORD),
    )


class TIMEVAL(Structure):
    """A time-out of `select`."""

    _fields_ = (("tv_sec", c_long), ("tv_usec", c_long))


def fd_set(handles: list[int]) -> Any:
    """Return a set of sockets: a count and an array, as long as wanted (64 is a macro's limit)."""
    return (SOCKET * (len(handles) + 1))(len(handles), *handles)


def members_of(sockets: Any) -> list[int]:
    """Return the sockets that `select` left in a set."""
    # The count is a u_int, padded to the size of a SOCKET.
    handles: list[int] = sockets[1 : 1 + (sockets[0] & 0xFFFFFFFF)]
    return handles


class EVENT_BASIC_INFORMATION(Structure):
    """What `NtQueryEvent` tells, without consuming the signal as a wait would."""

    _fields_ = (("EventType", c_int), ("EventState", c_long))


class Py_buffer(Structure):
    """CPython's own structure: the only way to the address of a read-only buffer."""

    _fields_ = (
        ("buf", c_size_t),
        ("obj", c_void_p),
        ("len", c_ssize_t),
        ("itemsize", c_ssize_t),
        ("readonly", c_int),
        ("ndim", c_int),
        ("format", c_void_p),
        ("shape", c_void_p),
        ("strides", c_void_p),
        ("suboffsets", c_void_p),
        ("internal", c_void_p),
    )


# -- functions --

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_ws2_32 = ctypes.WinDLL("ws2_32", use_last_error=True)
_user32 = ctypes.WinDLL("user32", use_last_error=True)
_ntdll = ctypes.WinDLL("ntdll")


def _declare(library: Any, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    declared: Callable[..., Any] = function
    return declared


CloseHandle = _declare(_kernel32, "CloseHandle", BOOL, HANDLE)
CreateIoCompletionPort = _declare(
    _kernel32, "CreateIoCompletionPort", HANDLE, HANDLE, HANDLE, ULONG_PTR, DWORD
)
GetQueuedCompletionStatusEx = _declare(
    _kernel32,
    "GetQueuedCompletionStatusEx",
    BOOL,
    HANDLE,
    POINTER(OVERLAPPED_ENTRY),
    DWORD,
    POINTER(DWORD),
    DWORD,
    BOOL,
)
PostQueuedCompletionStatus = _declare(
    _kernel32, "PostQueuedCompletionStatus", BOOL, HANDLE, DWORD, ULONG_PTR, c_size_t
)
SetFileCompletionNotificationModes = _declare(
    _kernel32, "SetFileCompletionNotificationModes", BOOL, HANDLE, ctypes.c_ubyte
)
CancelIo = _declare(_kernel32, "CancelIo", BOOL, HANDLE)
CancelIoEx = _declare(_kernel32, "CancelIoEx", BOOL, HANDLE, c_size_t)

CreateEventW = _declare(_kernel32, "CreateEventW", HANDLE, c_void_p, BOOL, BOOL, LPCWSTR)
SetEvent = _declare(_kernel32, "SetEvent", BOOL, HANDLE)
ResetEvent = _declare(_kernel32, "ResetEvent", BOOL, HANDLE)
NtQueryEvent = _declare(
    _ntdll, "NtQueryEvent", DWORD, HANDLE, c_int, POINTER(EVENT_BASIC_INFORMATION), DWORD, c_void_p
)
RtlNtStatusToDosError = _declare(_ntdll, "RtlNtStatusToDosError", DWORD, DWORD)
SleepEx = _declare(_kernel32, "SleepEx", DWORD, DWORD, BOOL)
WaitForMultipleObjectsEx = _declare(
    _kernel32, "WaitForMultipleObjectsEx", DWORD, DWORD, POINTER(HANDLE), BOOL, DWORD, BOOL
)
OpenThread = _declare(_kernel32, "OpenThread", HANDLE, DWORD, BOOL, DWORD)
PAPCFUNC = ctypes.WINFUNCTYPE(None, ULONG_PTR)
QueueUserAPC = _declare(_kernel32, "QueueUserAPC", DWORD, PAPCFUNC, HANDLE, ULONG_PTR)

# ``routine`` (dwError, cbTransferred, lpOverlapped, dwFlags).
COMPLETION_ROUTINE = ctypes.WINFUNCTYPE(None, DWORD, DWORD, c_size_t, DWORD)
_ROUTINE = c_void_p

WSARecv = _declare(
    _ws2_32, "WSARecv", c_int, SOCKET, c_size_t, DWORD, c_void_p, c_void_p, c_void_p, _ROUTINE
)
WSARecvFrom = _declare(
    _ws2_32,
    "WSARecvFrom",
    c_int,
    SOCKET,
    c_size_t,
    DWORD,
    c_void_p,
    c_void_p,
    c_void_p,
    c_void_p,
    c_void_p,
    _ROUTINE,
)
WSASend = _declare(
    _ws2_32, "WSASend", c_int, SOCKET, c_size_t, DWORD, c_void_p, DWORD, c_void_p, _ROUTINE
)
WSASendTo = _declare(
    _ws2_32,
    "WSASendTo",
    c_int,
    SOCKET,
    c_size_t,
    DWORD,
    c_void_p,
    DWORD,
    c_void_p,
    c_int,
    c_void_p,
    _ROUTINE,
)
WSASocketW = _declare(_ws2_32, "WSASocketW", SOCKET, c_int, c_int, c_int, c_void_p, DWORD, DWORD)
WSAIoctl = _declare(
    _ws2_32,
    "WSAIoctl",
    c_int,
    SOCKET,
    DWORD,
    c_void_p,
    DWORD,
    c_void_p,
    DWORD,
    POINTER(DWORD),
    c_void_p,
    _ROUTINE,
)
WSAEventSelect = _declare(_ws2_32, "WSAEventSelect", c_int, SOCKET, HANDLE, c_long)
WSAAsyncSelect = _declare(_ws2_32, "WSAAsyncSelect", c_int, SOCKET, HANDLE, c_uint, c_long)
WSAEnumNetworkEvents = _declare(
    _ws2_32, "WSAEnumNetworkEvents", c_int, SOCKET, HANDLE, POINTER(WSANETWORKEVENTS)
)
accept = _declare(_ws2_32, "accept", SOCKET, SOCKET, c_void_p, c_void_p)
connect = _declare(_ws2_32, "connect", c_int, SOCKET, c_void_p, c_int)
closesocket = _declare(_ws2_32, "closesocket", c_int, SOCKET)
getsockopt = _declare(_ws2_32, "getsockopt", c_int, SOCKET, c_int, c_int, c_void_p, POINTER(c_int))
ioctlsocket = _declare(_ws2_32, "ioctlsocket", c_int, SOCKET, c_long, POINTER(DWORD))
select = _declare(_ws2_32, "select", c_int, c_int, c_void_p, c_void_p, c_void_p, POINTER(TIMEVAL))
setsockopt = _declare(_ws2_32, "setsockopt", c_int, SOCKET, c_int, c_int, c_void_p, c_int)
shutdown = _declare(_ws2_32, "shutdown", c_int, SOCKET, c_int)

CreateWindowExW = _declare(
    _user32,
    "CreateWindowExW",
    HANDLE,
    DWORD,
    LPCWSTR,
    LPCWSTR,
    DWORD,
    c_int,
    c_int,
    c_int,
    c_int,
    HANDLE,
    HANDLE,
    HANDLE,
    c_void_p,
)
DestroyWindow = _declare(_user32, "DestroyWindow", BOOL, HANDLE)
PeekMessageW = _declare(_user32, "PeekMessageW", BOOL, POINTER(MSG), HANDLE, c_uint, c_uint, c_uint)
TranslateMessage = _declare(_user32, "TranslateMessage", BOOL, POINTER(MSG))
DispatchMessageW = _declare(_user32, "DispatchMessageW", c_ssize_t, POINTER(MSG))
MsgWaitForMultipleObjectsEx = _declare(
    _user32, "MsgWaitForMultipleObjectsEx", DWORD, DWORD, c_void_p, DWORD, DWORD, DWORD
)

PyObject_GetBuffer = ctypes.pythonapi.PyObject_GetBuffer
PyObject_GetBuffer.argtypes = (ctypes.py_object, POINTER(Py_buffer), c_int)
PyBuffer_Release = ctypes.pythonapi.PyBuffer_Release
PyBuffer_Release.argtypes = (POINTER(Py_buffer),)
PyBuffer_Release.restype = None
Py_IncRef = ctypes.pythonapi.Py_IncRef
Py_IncRef.argtypes = (ctypes.py_object,)
Py_IncRef.restype = None

# -- extension functions --


class GUID(Structure):
    """The name of an extension function."""

    _fields_ = (("a", DWORD), ("b", WORD), ("c", WORD), ("d", ctypes.c_ubyte * 8))


_TAIL_1: Final = (0x95, 0xCA, 0x00, 0x80, 0x5F, 0x48, 0xA1, 0x92)
_WSAID_ACCEPTEX: Final = (0xB5367DF1, 0xCBAC, 0x11CF, _TAIL_1)
_WSAID_TRANSMITFILE: Final = (0xB5367DF0, 0xCBAC, 0x11CF, _TAIL_1)
_WSAID_CONNECTEX: Final = (
    0x25A207B9,
    0xDDF3,
    0x4660,
    (0x8E, 0xE9, 0x76, 0xE5, 0x8C, 0x74, 0x06, 0x3E),
)
_WSAID_DISCONNECTEX: Final = (
    0x7FDA2E11,
    0x8630,
    0x436F,
    (0xA0, 0x31, 0xF5, 0x36, 0xA6, 0xEE, 0xC1, 0x57),
)


class ExtensionFunctions:
    """AcceptEx, ConnectEx, DisconnectEx and TransmitFile, which no library exports.

    Args:
        handle: An open TCP socket: its provider is asked for them.

    Raises:
        OSError: The provider does not know one of them.
    """

    def __init__(self, handle: int) -> None:
        """Ask the provider of `handle` for the four addresses."""
        self.AcceptEx = _extension(
            handle,
            _WSAID_ACCEPTEX,
            SOCKET,
            SOCKET,
            c_void_p,
            DWORD,
            DWORD,
            DWORD,
            c_void_p,
            c_void_p,
        )
        self.ConnectEx = _extension(
            handle, _WSAID_CONNECTEX, SOCKET, c_void_p, c_int, c_size_t, DWORD, c_void_p, c_void_p
        )
        self.DisconnectEx = _extension(handle, _WSAID_DISCONNECTEX, SOCKET, c_void_p, DWORD, DWORD)
        self.TransmitFile = _extension(
            handle, _WSAID_TRANSMITFILE, SOCKET, HANDLE, DWORD, DWORD, c_void_p, c_void_p, DWORD
        )


def _extension(
    handle: int, name: tuple[int, int, int, tuple[int, ...]], *arguments: Any
) -> Callable[..., Any]:
    guid = GUID(*name[:3], (ctypes.c_ubyte * 8)(*name[3]))
    address, size = c_size_t(), DWORD()
    failed = WSAIoctl(
        handle,
        SIO_GET_EXTENSION_FUNCTION_POINTER,
        ctypes.byref(guid),
        ctypes.sizeof(guid),
        ctypes.byref(address),
        ctypes.sizeof(address),
        ctypes.byref(size),
        None,
        None,
    )
    if failed:
        raise ctypes.WinError(last_error())
    prototype: Any = ctypes.WINFUNCTYPE(BOOL, *arguments, use_last_error=True)
    function: Callable[..., Any] = prototype(address.value)
    return function

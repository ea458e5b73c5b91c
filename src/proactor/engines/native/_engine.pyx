# cython: language_level=3, freethreading_compatible=True
"""The Python face of the native engine's core: operations, sockets, ports, threads. Thin, and fast.

What a method means is said in `_engine.pyi` and in `contract`. The rules of memory:

- A `Flight` holds the core's record of one operation. From the submit until the taking it is held
  by a reference of the core's (`op.owner`), and holds the `Operation` and so the buffers.
- The interpreter lock is held while something is tried, which never blocks, and given up to wait.
- Python code runs only where no lock of the core's is held.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_SIMPLE, PyBuffer_IsContiguous, PyBuffer_Release, PyObject_GetBuffer
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals, PyErr_Clear
from cpython.list cimport PyList_Append
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EBADF
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import logging
import os
import socket
import weakref
from types import MethodType

from proactor import errors, statuses
from proactor.clock import LOOKS_AT_SIGNALS, deadline_after, in_main_thread
from proactor.engines.contract import PortStatistics
from proactor.engines.indications import RoutineCall
from proactor.framing import Packet, broken_off
from proactor.overlapped import Operation, OperationKind, Overlapped
from proactor.packets import CompletionPacket, PacketBatch

include "face/declared.pxi"

logger = logging.getLogger("proactor")

cdef object KIND_RECV = OperationKind.RECV
cdef object KIND_SEND = OperationKind.SEND
cdef dict _KINDS = {
    OperationKind.RECV: PA_RECV,
    OperationKind.SEND: PA_SEND,
    OperationKind.RECV_FROM: PA_RECV_FROM,
    OperationKind.SEND_TO: PA_SEND_TO,
    OperationKind.ACCEPT: PA_ACCEPT,
    OperationKind.CONNECT: PA_CONNECT,
    OperationKind.DISCONNECT: PA_DISCONNECT,
    OperationKind.TRANSMIT_FILE: PA_TRANSMIT_FILE,
}

cdef enum:
    MOST_TAKEN = 64  # Packets that one call of the core hands over.
    MISSES_BEFORE_WAITING = 4  # Receives that find nothing, after which they only wait.
    MOST_IN_PLACE = 262144  # Bytes that a turn receives at once.
    LEAST_IN_PLACE = 4096
    LARGE = 16384  # Bytes whose copying is worth giving up the interpreter lock for.
    SHORT_NAME = 8  # Bytes of a sockaddr_in that mean something.
    LONG_NAME = 28  # Bytes of a sockaddr_in6.
    SLICE = 256  # Streams that are flushed before others are served again.

cdef Py_ssize_t PACKET_KEY = slot_offset(CompletionPacket.key)
cdef Py_ssize_t PACKET_OVERLAPPED = slot_offset(CompletionPacket.overlapped)
cdef Py_ssize_t PACKET_TRANSFERRED = slot_offset(CompletionPacket.transferred)
cdef Py_ssize_t PACKET_ERROR = slot_offset(CompletionPacket.error)
cdef Py_ssize_t PACKET_OPERATION = slot_offset(CompletionPacket.operation)
cdef Py_ssize_t BATCH_WOKEN = slot_offset(PacketBatch.woken_by_apc)
cdef Py_ssize_t PACKET_ID = slot_offset(Packet.id)
cdef Py_ssize_t PACKET_FRAME = slot_offset(Packet.frame)
cdef Py_ssize_t PACKET_FRAMING = slot_offset(Packet.framing)
cdef Py_ssize_t AT_ACCEPTED = slot_offset(Overlapped.accepted)
cdef Py_ssize_t AT_ADDRESS = slot_offset(Overlapped.address)
cdef Py_ssize_t AT_EVENT = slot_offset(Overlapped.event)
cdef Py_ssize_t AT_FLAGS = slot_offset(Overlapped.flags)
cdef Py_ssize_t AT_KIND = slot_offset(Overlapped.kind)
cdef Py_ssize_t AT_OPERATION = slot_offset(Overlapped._operation)
cdef Py_ssize_t AT_ROUTINE = slot_offset(Overlapped.routine)
cdef Py_ssize_t AT_SOCKET = slot_offset(Overlapped.socket)
cdef Py_ssize_t AT_STATUS = slot_offset(Overlapped._status)
cdef Py_ssize_t AT_SUPPRESS_PACKET = slot_offset(Overlapped.suppress_packet)
cdef Py_ssize_t AT_TRANSFERRED = slot_offset(Overlapped.transferred)
FIELDS = (
    "accepted", "address", "event", "flags", "kind", "_operation", "routine", "socket", "_status",
    "suppress_packet", "transferred",
)
cdef int64_t LONGEST_WAIT = 86400 * <int64_t>1000000000
cdef int64_t MAIN_THREAD_WAIT = <int64_t>(LOOKS_AT_SIGNALS * 1e9)
cdef object UNSUPPRESSED = False
cdef object STATUS_PENDING_OBJECT = statuses.STATUS_PENDING
cdef uint32_t STATUS_PENDING = statuses.STATUS_PENDING

CONNECTED = PA_CONNECTED
CONNECTING = PA_CONNECTING
RESET = PA_RESET
READS_QUEUED = PA_READS_QUEUED
WRITES_QUEUED = PA_WRITES_QUEUED

include "face/flights.pxi"
include "face/threads.pxi"
include "face/reactor.pxi"
include "face/ports.pxi"
include "face/sockets.pxi"
include "face/streams.pxi"

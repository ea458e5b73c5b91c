# Operations, as the core has them and as Python sees them: made, finished, let go.

@cython.final
@cython.freelist(512)
@cython.no_gc
cdef class Flight:
    """The core's record of one operation, or of one posted packet, with what it keeps alive."""

    cdef pa_op op
    cdef object operation
    """The `Operation`; of a posted packet the `CompletionPacket`; None if it is a quick one."""
    cdef object overlapped
    """Of a quick one, which has no `Operation`, the `Overlapped`; see `SocketCore.quick`."""
    cdef Py_buffer view
    """Of a quick one, the buffer."""
    cdef ThreadCore thread
    cdef SocketCore home
    cdef iovec *vector
    cdef bint was_at_once
    """It completed in the call that started it: its result may be read before its packet."""
    cdef bint is_skipped
    """It completed at once, and success at once queues no packet."""
    cdef bint is_settled
    """Its result has been taken and published."""
    cdef bint is_indicated
    """All that is left to do is to queue its packet."""

    def __dealloc__(self):
        PyBuffer_Release(&self.view)
        free(self.vector)

    @property
    def observe(self):
        """See `Operation.observe`, for an `Overlapped` that is tied to this."""
        return observe if self.was_at_once else None

    cdef bint hold_buffer(self, buffer, bint readable) except -1:
        """Hold the memory of one plain buffer; say whether it is one."""
        cdef Py_buffer *part
        cdef iovec *vector = self.op.inline_iov
        if type(buffer) is memoryview:
            # The exporter is held, not the view, which is its user's to release.
            if is_released(buffer):
                return False
            part = PyMemoryView_GET_BUFFER(buffer)
            if PyMemoryView_GET_BASE(buffer) == NULL or not PyBuffer_IsContiguous(part, b"C"):
                return False
            exporter = <object>PyMemoryView_GET_BASE(buffer)
            if type(exporter) is not bytearray and type(exporter) is not bytes:
                return False
            if part.readonly and not readable:
                return False
            vector.iov_base = part.buf
            vector.iov_len = part.len
            PyObject_GetBuffer(exporter, &self.view, PyBUF_SIMPLE)
            return True
        if type(buffer) is not bytearray and not (readable and type(buffer) is bytes):
            return False
        PyObject_GetBuffer(buffer, &self.view, PyBUF_SIMPLE)
        vector.iov_base = self.view.buf
        vector.iov_len = self.view.len
        return True

    cdef int set_buffers(self, list views) except -1:
        cdef Py_ssize_t count = len(views), index
        cdef iovec *vector = self.op.inline_iov
        cdef Py_buffer *view
        if count > PA_INLINE_IOV:
            self.vector = vector = <iovec *>malloc(count * sizeof(iovec))
            if vector == NULL:
                raise MemoryError
        for index in range(count):
            view = PyMemoryView_GET_BUFFER(views[index])
            vector[index].iov_base = view.buf
            vector[index].iov_len = view.len
        self.op.iov = vector
        self.op.iov_count = <int>count
        return 0


cdef inline void let_go(Flight flight):
    """The core has the record no longer, and nobody else asks for it by its operation."""
    flight.operation = None
    flight.overlapped = None
    flight.home = None
    flight.thread = None


cdef inline Flight flight_of(pa_op *op):
    """Return the flight of a record that the core has handed out, and take its reference over."""
    flight = <Flight>op.owner
    Py_DECREF(flight)
    return flight


def observe(operation):
    """See `Operation.observe`: an operation that completed at once tells so before its packet."""
    if isinstance(operation, Flight):
        publish_quick(<Flight>operation)
        return
    flight = operation.engine_state
    if isinstance(flight, Flight) and (<Flight>flight).was_at_once:
        settle(<Flight>flight, operation)


cdef int settle(Flight flight, operation) except -1:
    """Copy the result, once, to the operation and its overlapped."""
    with cython.critical_section(flight):
        if not flight.is_settled:
            take_result(flight, operation)
            operation.publish()
            flight.is_settled = True
    return 0


cdef int take_result(Flight flight, operation) except -1:
    """Copy the result of a finished operation from the core's record."""
    cdef pa_op *op = &flight.op
    operation.transferred = op.transferred
    if op.kind == PA_ACCEPT:
        take_connection(flight, operation)
    elif op.address_length and (op.kind == PA_RECV_FROM or op.kind == PA_RECV):
        operation.peer = address_from(&op.address)
    operation.status = op.status
    return 0


cdef int take_connection(Flight flight, operation) except -1:
    """Give an accepted descriptor its `OverlappedSocket`."""
    cdef pa_op *op = &flight.op
    cdef int descriptor = op.accepted
    op.accepted = -1
    if descriptor < 0:
        return 0
    listener = flight.home.sock
    connection = None
    try:
        connection = socket.socket(
            listener.family, listener.type, listener.proto, fileno=descriptor
        )
        facade = flight.home.facade() if operation.overlapped is None else operation.overlapped.socket
        operation.acceptor = facade.adopt(connection)
    except (MemoryError, OSError):
        if connection is None:
            os.close(descriptor)
        else:
            connection.close()
        op.status = statuses.STATUS_INSUFFICIENT_RESOURCES
    return 0


cdef object address_from(sockaddr_storage *address):
    cdef char text[64]
    cdef sockaddr_in *four = <sockaddr_in *>address
    cdef sockaddr_in6 *six = <sockaddr_in6 *>address
    if address.ss_family == AF_INET:
        inet_ntop(AF_INET, &four.sin_addr, text, sizeof(text))
        return (text.decode(), ntohs(four.sin_port))
    if address.ss_family == AF_INET6:
        inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof(text))
        return (
            text.decode(), ntohs(six.sin6_port), ntohl(six.sin6_flowinfo), six.sin6_scope_id
        )
    return None


# -- quick operations: plain receives and sends on a port, which need no `Operation` ------------

cdef int publish_quick(Flight flight) except -1:
    """Copy the result, once, to the overlapped."""
    cdef uint32_t status = flight.op.status
    overlapped = flight.overlapped
    with cython.critical_section(overlapped):
        if not flight.is_settled:
            flight.is_settled = True
            store(overlapped, AT_TRANSFERRED, "transferred", flight.op.transferred)
            store(overlapped, AT_FLAGS, "flags", 0)
            store(overlapped, AT_ADDRESS, "address", None)
            store(overlapped, AT_STATUS, "_status", status)
    return 0


cdef int end_quick(Flight flight) except -1:
    """The indication is taken: the overlapped may be used again, the buffer is the user's."""
    PyBuffer_Release(&flight.view)
    publish_quick(flight)
    overlapped = flight.overlapped
    with cython.critical_section(overlapped):
        if slot(overlapped, AT_OPERATION) == <PyObject *>flight:
            store(overlapped, AT_OPERATION, "_operation", None)
    let_go(flight)
    return 0


cdef object plain_type = Overlapped
cdef object plain_types = weakref.WeakSet()


cdef bint has_slots(overlapped):
    """Say whether the fields of `overlapped` are those of `Overlapped`, not a subclass' own."""
    global plain_type
    kind = type(overlapped)
    if kind is plain_type:
        return True
    if kind not in plain_types:
        if not issubclass(kind, Overlapped):
            return False
        for name in FIELDS:
            if getattr(kind, name) is not getattr(Overlapped, name):
                return False
        plain_types.add(kind)
    plain_type = kind
    return True

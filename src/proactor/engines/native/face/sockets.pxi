# A socket: the calls that start operations, long and short, and those that end them.

cdef class SocketCore:
    """The hot half of `NativeSocket`."""

    cdef pa_socket *socket
    cdef readonly EngineCore engine
    cdef readonly object sock
    cdef readonly object facade
    cdef public object key
    cdef readonly PortCore port
    cdef readonly bint closed
    cdef bint is_datagram
    cdef bint skips
    cdef unsigned int misses
    """Receives in a row that found nothing, or did not look."""
    cdef public bint is_selected
    """Network events are selected: the face must see every operation first."""

    def __cinit__(self, EngineCore engine, sock, facade, bint connected, bint datagram, **rest):
        cdef uint32_t flags = 0
        if connected:
            flags |= PA_CONNECTED
        if datagram:
            flags |= PA_DATAGRAM
            self.is_datagram = True
        self.engine = engine
        self.sock = sock
        self.facade = facade
        self.socket = pa_socket_new(engine.engine, sock.fileno(), flags, NULL)
        if self.socket == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.socket != NULL and not self.engine.dead:
            pa_socket_release(self.socket)

    # -- starting --

    def start(self, operation):
        """See `EngineSocket.start`."""
        try:
            if self.is_selected:
                with self.lock:
                    return self.submit(operation)
            return self.submit(operation)
        except BaseException:
            # A warning fails the call and indicates all the same.
            if operation.status == statuses.STATUS_PENDING or statuses.is_error(operation.status):
                operation.abandon()
            raise

    def quick(self, facade, bint is_send, buffers, overlapped, int flags):
        """Start a plain receive or send whose only indication is its packet.

        Returns:
            What `start` returns, or NotImplemented: this one goes the long way.
        """
        cdef Flight flight
        cdef pa_op *op
        cdef ThreadCore thread
        cdef pa_answer answer
        cdef uint64_t count
        cdef bint is_free
        if (
            self.port is None
            or self.port.closed
            or self.is_selected
            or self.is_datagram
            or flags
            or not has_slots(overlapped)
            or slot(overlapped, AT_EVENT) != <PyObject *>None
            or slot(overlapped, AT_ROUTINE) != <PyObject *>None
            or slot(overlapped, AT_SUPPRESS_PACKET) != <PyObject *>UNSUPPRESSED
        ):
            return NotImplemented
        flight = Flight.__new__(Flight)
        if not flight.hold_buffer(buffers, is_send):
            return NotImplemented  # The long way takes it, or says what is wrong with it.
        thread = current_thread(self.engine)
        op = &flight.op
        op.kind = PA_SEND if is_send else PA_RECV
        op.owner = <void *>flight
        op.issuer = <void *>thread
        op.status = STATUS_PENDING
        op.file = -1
        op.accepted = -1
        op.iov = op.inline_iov
        op.iov_count = 1
        flight.home = self
        flight.thread = thread
        flight.overlapped = overlapped
        # In one step: two threads that use it at once must not both believe that it is free.
        with cython.critical_section(overlapped):
            is_free = slot(overlapped, AT_OPERATION) == <PyObject *>None
            if is_free:
                store(overlapped, AT_KIND, "kind", KIND_SEND if is_send else KIND_RECV)
                store(overlapped, AT_SOCKET, "socket", facade)
                store(overlapped, AT_TRANSFERRED, "transferred", 0)
                store(overlapped, AT_ACCEPTED, "accepted", None)
                store(overlapped, AT_STATUS, "_status", STATUS_PENDING_OBJECT)
                store(overlapped, AT_OPERATION, "_operation", flight)
        if not is_free:
            return NotImplemented  # The long way says for what it is in flight.
        if not is_send:
            # Where several in a row have found nothing, the next most likely will find nothing
            # either: it only waits, which costs no system call. Now and then one looks again.
            self.misses += 1
            op.poll_first = self.misses > MISSES_BEFORE_WAITING and self.misses & 15
        Py_INCREF(flight)
        answer = pa_submit(self.socket, op)
        if answer == PA_PENDING:
            return None
        if not is_send:
            self.misses = 0
        count = op.transferred
        if answer == PA_REFUSED or op.result_flags & PA_NO_PACKET:
            Py_DECREF(flight)
            return self.answered_quick(flight, answer)
        flight.was_at_once = True
        return count

    cdef object answered_quick(self, Flight flight, pa_answer answer):
        cdef uint32_t status = flight.op.status
        overlapped = flight.overlapped
        if answer == PA_DONE:
            end_quick(flight)
            return flight.op.transferred
        PyBuffer_Release(&flight.view)
        overlapped._operation = None
        overlapped._status = statuses.STATUS_SUCCESS
        let_go(flight)
        if flight.op.result_flags & PA_ATTEMPTED:
            raise errors.from_status(status, overlapped.describe(), at_port=False)
        raise self.refusal(overlapped, status)

    cdef object submit(self, operation):
        cdef ThreadCore thread = current_thread(self.engine)
        cdef Flight flight
        cdef pa_answer answer
        cdef bint is_seen, is_mortal
        event = operation.event
        routine = operation.routine
        if self.closed:
            raise self.refusal(operation, statuses.STATUS_INVALID_HANDLE)
        if routine is not None and self.port is not None:
            raise errors.refused(
                statuses.WSAEINVAL,
                f"{operation.kind.value} refused: the socket is attached to a port; a port and "
                "completion routines exclude each other",
            )
        flight = self.prepare(operation, thread)
        is_mortal = event is not None or routine is not None
        is_seen = is_mortal or operation.suppress_packet or self.is_selected
        flight.op.suppress_packet = is_seen
        was_set = False
        if event is not None:
            was_set = event.is_set()
            event.reset()
        if is_mortal or self.port is None:
            is_mortal = is_seen = True
            thread.record.mortal[operation] = self.cancel_with_thread
        if self.port is not None and self.port.closed:
            self.engine.need_indicator()  # It lets go of what is lost.
        Py_INCREF(flight)
        answer = pa_submit(self.socket, &flight.op)
        if answer == PA_PENDING:
            if is_seen:
                self.engine.need_indicator()
            return None
        if is_mortal:
            thread.record.mortal.pop(operation, None)
        if was_set and answer == PA_REFUSED:
            event.set()  # Nothing was started: the event is as it was.
        return self.answered(flight, operation, answer)

    cdef object answered(self, Flight flight, operation, pa_answer answer):
        cdef uint32_t status = flight.op.status
        cdef uint64_t count = flight.op.transferred
        if answer == PA_REFUSED:
            Py_DECREF(flight)
            operation.engine_state = None
            attempted = flight.op.result_flags & PA_ATTEMPTED
            let_go(flight)
            if attempted:
                operation.status = status
                raise operation.error(at_port=False)
            raise self.refusal(operation, status)
        if flight.op.result_flags & PA_NO_PACKET:
            Py_DECREF(flight)
            flight.is_skipped = self.skips and status == 0
            indicate(flight)
        else:
            flight.was_at_once = flight.op.kind != PA_ACCEPT
            operation.observe = observe
        if status:
            operation.status = status
            raise operation.error(at_port=False)
        return count

    cdef Flight prepare(self, operation, ThreadCore thread):
        cdef Flight flight = Flight.__new__(Flight)
        cdef pa_op *op = &flight.op
        kind = operation.kind
        op.owner = <void *>flight
        op.issuer = <void *>thread
        op.status = STATUS_PENDING
        op.file = -1
        op.accepted = -1
        op.flags = operation.flags
        flight.set_buffers(operation.views)
        if kind is KIND_RECV:
            op.kind = PA_RECV
        elif kind is KIND_SEND:
            op.kind = PA_SEND
        else:
            self.prepare_other(flight, operation)
        flight.operation = operation
        flight.home = self
        operation.engine_state = flight
        operation.thread = thread.record
        if self.is_selected:
            self.re_enable(kind)
        return flight

    cdef int prepare_other(self, Flight flight, operation) except -1:
        cdef pa_op *op = &flight.op
        cdef bytes packed
        op.kind = _KINDS[operation.kind]
        if operation.acceptor is not None:
            op.acceptor = (<SocketCore?>operation.acceptor.engine_socket).socket
        if operation.address is not None:
            packed = self.pack_address(operation.address)
            memcpy(&op.address, <char *>packed, len(packed))
            op.address_length = <socklen_t>len(packed)
        if op.kind == PA_TRANSMIT_FILE:
            op.head_count = operation.head_count
            op.offset = operation.offset
            op.count = operation.count
            if operation.file is not None:
                op.file = operation.file.fileno()
        return 0

    def submit_synchronous(self, operation, bint only_try):
        """Start a synchronous call; return True if it is done, False if it would block.

        With `only_try` nothing is left pending, else `operation.event` is set at the end.
        """
        cdef ThreadCore thread = current_thread(self.engine)
        cdef Flight flight
        cdef pa_answer answer
        if self.closed:
            raise self.refusal(operation, statuses.STATUS_INVALID_HANDLE)
        flight = self.prepare(operation, thread)
        flight.op.synchronous = True
        flight.op.suppress_packet = True
        Py_INCREF(flight)
        answer = pa_try(self.socket, &flight.op) if only_try else pa_submit(
            self.socket, &flight.op
        )
        if answer == PA_PENDING:
            if only_try:
                Py_DECREF(flight)
                operation.engine_state = None
                let_go(flight)
            else:
                self.engine.need_indicator()
            return False
        if answer == PA_REFUSED:
            self.answered(flight, operation, answer)
        Py_DECREF(flight)
        take_result(flight, operation)
        operation.engine_state = None
        let_go(flight)
        return True

    def look_after_sends(self):
        """Look for news once what is queued to be sent has gone: an empty send stands behind it."""
        operation = Operation(KIND_SEND, None, [])
        if not self.submit_synchronous(operation, False):
            return
        self.look()

    # -- ending --

    def cancel_core(self, operation):
        """Request the end of `operation`, None for all; say whether one was outstanding."""
        cdef pa_op *op = NULL
        if operation is not None:
            flight = operation
            if not isinstance(operation, Flight):
                flight = operation.engine_state
            if not isinstance(flight, Flight):
                return False
            op = &(<Flight>flight).op
        return pa_cancel(self.socket, op) > 0

    def cancel_own(self):
        """Request the end of all that the calling thread has issued."""
        cdef ThreadCore thread = current_thread(self.engine)
        return pa_cancel_issued_by(self.socket, <void *>thread) > 0

    def close_core(self, bint reset):
        """Close the descriptor, which is no longer that of `sock`."""
        self.closed = True
        self.sock.detach()
        pa_socket_close(self.socket, reset)

    def detach_core(self):
        """The descriptor has gone elsewhere."""
        self.closed = True
        self.sock.detach()

    def shutdown_core(self, int how):
        """Shut down; return 0 or an errno."""
        return -pa_socket_shutdown(self.socket, how)

    # -- state --

    @property
    def flags(self):
        """The flags of the connection, as they are now."""
        return pa_socket_flags(self.socket)

    def connect_error(self):
        """Return the errno of the last connect, 0 if it did not fail."""
        return pa_socket_connect_error(self.socket)

    def note_reset(self):
        """See `SocketState.note_reset`."""
        pa_socket_note_reset(self.socket)

    def skip_on_success(self):
        """Queue no packet for immediate success."""
        self.skips = True
        pa_socket_set_skip_on_success(self.socket)

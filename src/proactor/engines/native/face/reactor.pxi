# The engine of the core, and the indications that are no packets: events, routines, synchronous calls.

cdef class EngineCore:
    """One reactor of the core's, and the port that the face's own thread waits on."""

    cdef pa_engine *engine
    cdef pa_port *indications
    cdef pa_thread *indicating
    cdef readonly bint dead
    cdef bint has_indicator
    cdef bint has_streams
    """There are, or were."""
    cdef public object dispatcher
    cdef public object start_indicator
    """Called once, when there may be something for `indicate_all`."""

    def __cinit__(self, dict ring):
        cdef pa_uring_profile profile = pa_uring_profile(0, 0, 0, 0, 0, 0)
        cdef int failure
        if ring is not None:
            profile.multishot = 1 if ring.get("multishot") else 0
            profile.incremental = 1 if ring.get("incremental") else 0
            profile.sq_entries = ring.get("sq_entries", 0)
            profile.cq_entries = ring.get("cq_entries", 0)
            profile.buffer_count = ring.get("buffer_count", 0)
            profile.buffer_bytes = ring.get("buffer_bytes", 0)
        failure = pa_engine_new(NULL if ring is None else &profile, &self.engine)
        if failure < 0:
            raise OSError(-failure, os.strerror(-failure))
        pa_engine_allow_backup(self.engine)
        self.indications = pa_port_new(self.engine, 1 << 20, -1)
        self.indicating = pa_thread_new()
        if self.indications == NULL or self.indicating == NULL:
            raise MemoryError
        pa_engine_set_default_port(self.engine, self.indications)

    def die(self):
        """This is a forked child."""
        self.dead = True
        forget_current()
        pa_engine_after_fork(self.engine)

    def poll_now(self):
        """Serve what is ready now, in the calling thread."""
        with nogil:
            pa_engine_poll_now(self.engine)

    cpdef int need_io_thread(self) except -1:
        """The calling thread is not going to wait at a port: bytes must move all the same."""
        cdef int failure = pa_engine_start_thread(self.engine)
        if failure < 0:
            raise OSError(-failure, os.strerror(-failure))
        return 0

    cpdef int need_indicator(self) except -1:
        """Something is going to be indicated by another way than a port's."""
        if not self.has_indicator:
            self.has_indicator = True
            self.start_indicator()
        return 0

    cdef bint has_in_flight(self):
        cdef pa_engine_statistics now
        pa_engine_statistics_get(self.engine, &now)
        return now.in_flight > 0

    def indicate_all(self):
        """Indicate what is no packet, until `end_indicating`; the body of the face's thread."""
        cdef pa_op *taken[MOST_TAKEN]
        cdef int count, index
        cdef pa_bool interrupted = False
        cdef Flight flight
        cdef SocketCore home
        cdef bint is_detour
        while True:
            with nogil:
                count = pa_port_wait(
                    self.indications, self.indicating, taken, MOST_TAKEN, -1, &interrupted
                )
            if count < 0:
                return
            for index in range(count):
                flight = flight_of(taken[index])
                if flight.home is None:
                    call, flight.operation = flight.operation, None
                    if call is None:
                        return
                    call()
                else:
                    home = flight.home
                    is_detour = flight.op.result_flags & PA_DETOUR
                    try:
                        indicate(flight)
                    except Exception:
                        logger.exception("an indication failed: this is a bug in proactor")
                    if is_detour:
                        pa_socket_end_detour(home.socket)
                    home = None

    def call_in_indicator(self, call):
        """Have `call` called behind what is to be indicated now; None ends `indicate_all`."""
        cdef Flight flight = Flight.__new__(Flight)
        flight.operation = call
        flight.op.kind = PA_POSTED
        flight.op.owner = <void *>flight
        Py_INCREF(flight)
        if pa_port_post(self.indications, &flight.op) < 0:
            Py_DECREF(flight)

    def statistics(self):
        """Return the counters of the core."""
        cdef pa_engine_statistics now
        pa_engine_statistics_get(self.engine, &now)
        return dict(now)


cdef int indicate(Flight flight) except -1:
    """Indicate an operation that ended and is no packet, or not only one."""
    cdef SocketCore home = flight.home
    operation = flight.operation
    if flight.is_indicated or (operation is None and flight.op.result_flags & PA_DETOUR):
        return forward(flight)  # It has only followed others of its socket.
    if operation is None:
        end_quick(flight)  # The port was closed meanwhile, or attached never.
        return 0
    settle(flight, operation)
    operation.engine_state = None
    thread = operation.thread
    if thread.mortal:
        thread.mortal.pop(operation, None)
    event = operation.event
    if operation.overlapped is None:
        if event is not None:
            event.set()
    elif operation.routine is not None:
        queue_routine(home, thread, operation)
    elif (
        home.port is None
        or operation.suppress_packet
        or flight.is_skipped
        or flight.op.result_flags & PA_LOST
    ):
        # Nobody takes a packet: the overlapped is free before whoever waits for it wakes.
        operation.release()
        if event is not None:
            event.set()
    else:
        if event is not None:
            event.set()
        flight.is_indicated = True
        if flight.op.result_flags & PA_DETOUR or not follow(flight):
            forward(flight)
        if home.is_selected:
            home.look()
        return 0
    if home.is_selected:
        home.look()
    let_go(flight)
    return 0


cdef int forward(Flight flight) except -1:
    """Queue what the face has seen first at its port after all."""
    Py_INCREF(flight)
    if pa_port_forward(flight.home.port.port, &flight.op) < 0:
        Py_DECREF(flight)
        if flight.operation is None:
            end_quick(flight)
            return 0
        flight.operation.release()
        let_go(flight)
    return 0


cdef bint follow(Flight flight) noexcept:
    """Queue it behind others of its socket that the face's thread has still to forward, if any."""
    Py_INCREF(flight)
    if pa_op_follow(&flight.op):
        return True
    Py_DECREF(flight)
    return False


cdef int queue_routine(SocketCore home, thread, operation) except -1:
    if not home.engine.dispatcher.queue_apc(thread, RoutineCall(operation)):
        operation.release()  # Its thread has ended: the routine is lost, as on Windows.
    return 0

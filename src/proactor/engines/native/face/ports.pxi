# A completion port: the waits, without the interpreter, and the packets that come of them.

cdef class PortCore:
    """The hot half of `NativePort`."""

    cdef pa_port *port
    cdef readonly EngineCore engine
    cdef readonly bint closed
    cdef int concurrency
    cdef object interruption
    """A KeyboardInterrupt that a sink has met; `serve` raises it when its turns are done."""

    def __cinit__(self, EngineCore engine, int concurrency, stall_timeout):
        cdef int64_t stall = -1 if stall_timeout is None else <int64_t>(stall_timeout * 1e9)
        self.engine = engine
        self.concurrency = concurrency
        self.port = pa_port_new(engine.engine, concurrency, stall)
        if self.port == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.port != NULL and not self.engine.dead:
            if not self.closed:
                self.close_core()
            pa_port_release(self.port)

    def post(self, packet):
        """See `EnginePort.post`."""
        if self.engine.dead:
            self.engine.dispatcher.this_thread()
        if self.put(packet) < 0:
            raise self.refusal("post to", False)

    cdef int put(self, packet) except? -1:
        cdef Flight flight = Flight.__new__(Flight)
        cdef int failure
        flight.operation = packet
        flight.op.kind = PA_POSTED
        flight.op.owner = <void *>flight
        Py_INCREF(flight)
        failure = pa_port_post(self.port, &flight.op)
        if failure < 0:
            Py_DECREF(flight)
        return failure

    def get_many(self, limit, timeout, bint alertable):
        """See `EnginePort.get_many`."""
        cdef ThreadCore thread = current_thread(self.engine)
        cdef int64_t wait = -1, end = 0
        if timeout is not None:
            wait = nanoseconds(timeout)
        if not self.engine.has_streams:
            return self.get_once(thread, limit, wait, alertable)
        if wait > 0:
            end = monotonic() + wait
        while True:
            thread.has_served = False
            thread.end_turns(0)
            batch = self.get_once(thread, limit, wait, alertable)
            if batch or not thread.has_served or batch.woken_by_apc:
                return batch
            if wait > 0:
                wait = max(end - monotonic(), 0)

    cdef object get_once(self, ThreadCore thread, limit, int64_t wait, bint alertable):
        cdef pa_op *taken[MOST_TAKEN]
        cdef int count, most = MOST_TAKEN if limit > MOST_TAKEN else limit
        cdef bint associated = thread.association is self
        batch = new_batch()
        if not associated:
            if alertable and thread.record.apcs:
                # A thread that has not used this port yet is not associated by such a call.
                if self.closed:
                    raise self.refusal("get from", False)
                thread.give_up()
                thread.association = None
                batch.woken_by_apc = self.engine.dispatcher.run_apcs(thread.record)
                return batch
            thread.association = self
        count = pa_port_take(self.port, thread.thread, taken, most)
        if count == 0:
            if alertable and thread.record.apcs:
                thread.give_up()
            else:
                count = self.wait(thread, taken, most, wait, alertable)
        if count < 0:
            raise self.refusal("get from", count != -EBADF)
        if count > 0:
            fill(batch, taken, count, thread)
            if count == MOST_TAKEN:
                self.take_more(thread, batch, limit)
        elif alertable:
            batch.woken_by_apc = self.engine.dispatcher.run_apcs(thread.record)
        return batch

    cdef int wait(
        self, ThreadCore thread, pa_op **taken, int most, int64_t wait, bint alertable
    ) except? -1:
        cdef int64_t left = wait, end = 0
        cdef int64_t longest = MAIN_THREAD_WAIT if thread.is_main else LONGEST_WAIT
        cdef int count
        cdef pa_bool interrupted = False
        if wait > 0:
            end = monotonic() + wait
        while True:
            PyErr_CheckSignals()  # One that came before the system call does not end it.
            if alertable and not self.begin_alertable(thread):
                thread.give_up()
                return 0
            with nogil:
                interrupted = False
                count = pa_port_wait(
                    self.port,
                    thread.thread,
                    taken,
                    most,
                    longest if left > longest or (left < 0 and thread.is_main) else left,
                    &interrupted,
                )
            if alertable:
                self.end_alertable(thread)
            if count:
                return count
            if interrupted:
                PyErr_CheckSignals()
            if wait >= 0:
                left = 0 if wait == 0 else end - monotonic()
                if left <= 0 and not interrupted:
                    return 0
                left = max(left, 0)

    cdef bint begin_alertable(self, ThreadCore thread) except *:
        record = thread.record
        with self.engine.dispatcher.lock:
            if record.apcs:
                return False
            record.private_wake = thread.interrupt
            record.alertable = True
        return True

    cdef int end_alertable(self, ThreadCore thread) except -1:
        record = thread.record
        with self.engine.dispatcher.lock:
            record.private_wake = None
            record.alertable = False
        return 0

    cdef int take_more(self, ThreadCore thread, batch, limit) except -1:
        cdef pa_op *taken[MOST_TAKEN]
        cdef int count, most
        while len(batch) < limit:
            most = min(MOST_TAKEN, limit - len(batch))
            count = pa_port_take(self.port, thread.thread, taken, most)
            if count <= 0:
                return 0
            fill(batch, taken, count, thread)
        return 0

    def serve(self, limit, timeout):
        """See `CompletionPort.serve`: the turns of streams run here, other packets are returned."""
        cdef ThreadCore thread = current_thread(self.engine)
        cdef pa_op **hand = pa_thread_hand(thread.thread)
        cdef int64_t wait = -1
        cdef int count, most = MOST_TAKEN if limit > MOST_TAKEN else limit
        if timeout is not None:
            wait = nanoseconds(timeout)
        thread.association = self
        if thread.end_turns(SLICE):
            wait = 0  # More is to be flushed: only look who else wants to be served.
        count = pa_port_take(self.port, thread.thread, hand, most)
        if count == 0:
            count = self.wait(thread, hand, most, wait, False)
        if count < 0:
            raise self.refusal("serve", count != -EBADF)
        batch = new_batch()
        if count:
            self.serve_hand(batch, thread)
        if self.interruption is not None:
            interruption, self.interruption = self.interruption, None
            raise interruption
        return batch

    cdef int serve_hand(self, batch, ThreadCore thread) except -1:
        cdef pa_op *op
        cdef int served = 0
        pa_batch_begin(thread.thread, self.port)
        pa_batch_in_turn(thread.thread, True)
        while True:
            op = pa_hand_next(thread.thread)
            if op == NULL:
                break
            if op.kind != PA_TURN:
                fill(batch, &op, 1, thread)
                continue
            if pa_stream_owner(<pa_stream *>op.owner) == NULL:
                pa_turn_lost(op)  # Nobody kept it: it was never started.
                continue
            (<StreamCore>pa_stream_owner(<pa_stream *>op.owner)).run_turn(op, thread)
            pa_seal_turn(thread.thread)
            served += 1
            if served % 8 == 0 and pa_is_late(thread.thread):
                with nogil:
                    pa_flush_dirty(thread.thread, 0)
        pa_batch_in_turn(thread.thread, False)
        with nogil:
            pa_flush_dirty(thread.thread, SLICE)
        return 0

    def check_open(self):
        """Raise if the port is closed."""
        if self.closed:
            raise self.refusal("open a stream on", False)

    def attach_core(self, SocketCore sock, key):
        """Associate `sock`; return 0 or an errno."""
        if self.closed:
            raise self.refusal("attach a socket to", False)
        before, sock.key = sock.key, key
        cdef int failure = pa_socket_attach(sock.socket, self.port, NULL)
        if failure == 0:
            sock.port = self
        else:
            sock.key = before
        return -failure

    def close_core(self):
        """Close; let go of what was queued."""
        cdef pa_op *lost = NULL
        cdef pa_op *op
        cdef Flight flight
        self.closed = True
        if self.engine.dead:
            return
        pa_port_close(self.port, chain, &lost)
        pay_owed(self.engine)
        if self.engine.has_in_flight():
            self.engine.need_indicator()  # It lets go of what is lost from now on.
        while lost != NULL:
            op = lost
            lost = op.next
            flight = flight_of(op)
            if op.kind == PA_POSTED:
                operation = flight.operation.operation
            elif flight.operation is None:
                end_quick(flight)
                continue
            else:
                operation = flight.operation
                drop_connection(op)
            if operation is not None:
                operation.engine_state = None
                operation.release()
            let_go(flight)

    def statistics(self):
        """See `EnginePort.statistics`."""
        cdef pa_port_statistics now
        if self.engine.dead:
            self.engine.dispatcher.this_thread()
        pa_port_statistics_get(self.port, &now)
        return PortStatistics(
            concurrency=self.concurrency,
            queued=now.queued,
            waiting=now.waiting,
            running=now.running,
            delivered=now.delivered,
            posted=now.posted,
            completed=now.completed,
            stalls=now.stalls,
        )

    def refusal(self, tried, while_waiting):
        """Return the error of a call on a closed port."""
        when = "it was closed during the wait" if while_waiting else "it is closed"
        return errors.port_closed(
            f"cannot {tried} the completion port: {when}", while_waiting=while_waiting
        )


cdef void chain(pa_op *op, void *context) noexcept nogil:
    """Hang what a closed port has lost in a list, the last one first."""
    cdef pa_op **head = <pa_op **>context
    op.next = head[0]
    head[0] = op


cdef int drop_connection(pa_op *op) except -1:
    if op.kind == PA_ACCEPT and op.accepted >= 0:
        os.close(op.accepted)
        op.accepted = -1
    return 0


cdef int64_t nanoseconds(timeout) except -1:
    cdef double seconds = timeout
    if not seconds >= 0.0:
        deadline_after(timeout)  # Raises.
    if seconds > 1e8:
        seconds = 1e8
    return <int64_t>(seconds * 1e9)


cdef int fill(batch, pa_op **taken, int count, ThreadCore thread) except -1:
    """Make packets of what a thread has taken; whatever fails, none is lost."""
    cdef int index
    cdef Flight flight
    for index in range(count):
        if taken[index].kind == PA_TURN:
            if pa_stream_owner(<pa_stream *>taken[index].owner) == NULL:
                pa_turn_lost(taken[index])
                continue
            packet = packet_of_turn(taken[index], thread)
            if packet is not None:
                PyList_Append(batch, packet)
            continue
        flight = flight_of(taken[index])
        if flight.op.kind == PA_POSTED:
            packet = flight.operation
            flight.operation = None
            operation = packet.operation
            if operation is not None:
                packet.operation = None
                operation.release()
            PyList_Append(batch, packet)
        elif flight.operation is None:
            PyList_Append(batch, packet_of_quick(flight))
        else:
            PyList_Append(batch, packet_of(flight))
    return 0


cdef object packet_of_turn(pa_op *op, ThreadCore thread):
    """Begin a turn that lasts until its thread comes back; None: it had no frames, and is over."""
    cdef StreamCore stream = <StreamCore>pa_stream_owner(<pa_stream *>op.owner)
    cdef uint32_t news
    cdef size_t unread = 0
    pa_turn_of(op)
    pa_batch_begin(thread.thread, stream.port.port)
    news = pa_turn_begin_serving(stream.stream)
    if news:
        stream.tell(news)
        if news & PA_UNREAD:
            unread = pa_turn_unread(stream.stream, MOST_IN_PLACE)
            if unread == 0:
                stream.receive_here()  # An end, or nothing: no packet tells of it.
    if stream.is_stopped or pa_stream_is_paused(stream.stream) or not (
        unread or stream.kept is not None or pa_turn_has_frames(stream.stream)
    ):
        stream.end_given_turn()
        thread.has_served = True
        return None
    stream.is_unread = unread > 0
    stream.in_turn = True
    pa_batch_in_turn(thread.thread, True)
    thread.has_turns = True
    thread.turns.append(stream)
    return new_packet(stream._sink, stream, stream.state().inbox_bytes + unread)


cdef object packet_of_quick(Flight flight):
    cdef uint32_t status = flight.op.status
    overlapped = flight.overlapped
    packet = new_packet(flight.home.key, overlapped, flight.op.transferred)
    if status:
        packet.error = errors.from_status(status, overlapped.describe(), at_port=True)
    end_quick(flight)
    return packet


cdef object new_packet(key, overlapped, transferred):
    """Return what ``CompletionPacket(key, overlapped, transferred)`` returns, at less cost."""
    cdef PyTypeObject *kind = <PyTypeObject *>CompletionPacket
    packet = kind.tp_alloc(kind, 0)
    put(packet, PACKET_KEY, key)
    put(packet, PACKET_OVERLAPPED, overlapped)
    put(packet, PACKET_TRANSFERRED, transferred)
    put(packet, PACKET_ERROR, None)
    put(packet, PACKET_OPERATION, None)
    return packet


cdef object new_batch():
    """Return what ``PacketBatch()`` returns, at less cost."""
    cdef PyTypeObject *kind = <PyTypeObject *>PacketBatch
    batch = kind.tp_new(kind, (), NULL)
    put(batch, BATCH_WOKEN, False)
    return batch


cdef object packet_of(Flight flight):
    operation = flight.operation
    home = flight.home
    settle(flight, operation)
    operation.engine_state = None
    failure = operation.error(at_port=True) if flight.op.status else None
    operation.release()
    packet = CompletionPacket(home.key, operation.overlapped, operation.transferred, failure)
    let_go(flight)
    return packet

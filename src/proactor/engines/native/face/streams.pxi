# Streams: turns that call their sink, and what a sink sends. See `StreamSink`, and `core/streams.h`.

@cython.final
cdef class StreamTerms:
    """A framing and limits as the core wants them; shared by the streams that have the same."""

    cdef object __weakref__
    cdef pa_framing cut
    cdef pa_stream_limits limits
    cdef const pa_framing *cut_by
    """NULL: the core gives bytes as they come."""
    cdef readonly object framing
    cdef int frames_a_turn
    cdef bint is_plain
    """Raw bytes in, raw bytes out."""
    cdef bint has_packets
    cdef bint decodes_itself
    """A framing of the user's own, which Python cuts."""

    def __cinit__(self, framing, limits):
        parameters = framing.native_parameters()
        self.framing = framing
        self.limits = pa_stream_limits(
            limits.inbox_high, limits.inbox_low, limits.send_high, limits.send_low,
            limits.send_bytes, limits.send_packets,
        )
        self.frames_a_turn = limits.frames_a_turn
        self.decodes_itself = parameters is None
        if parameters is None:
            return
        self.is_plain = parameters["kind"] == PA_RAW_FRAMING
        self.has_packets = parameters["kind"] == PA_PACKET_FRAMING
        if not self.is_plain:
            self.set_cut(parameters)
            self.cut_by = &self.cut

    cdef int set_cut(self, dict given) except -1:
        cdef pa_framing *cut = &self.cut
        cdef bytes delimiter = given.get("delimiter", b"")
        if len(delimiter) > PA_LONGEST_DELIMITER:
            raise ValueError(f"a delimiter has at most {PA_LONGEST_DELIMITER} bytes")
        cut.kind = given["kind"]
        cut.max_frame = given.get("max_frame", 0)
        cut.length_offset = given.get("length_offset", 0)
        cut.length_bytes = given.get("length_bytes", 0)
        cut.id_bytes = given.get("id_bytes", 0)
        cut.big_endian = 1 if given.get("big_endian") else 0
        cut.includes_header = 1 if given.get("includes_header") else 0
        cut.length_adjustment = given.get("length_adjustment", 0)
        cut.strip = given.get("strip", 0)
        cut.fixed_size = given.get("fixed_size", 0)
        cut.delimiter_length = <uint8_t>len(delimiter)
        memcpy(cut.delimiter, <char *>delimiter, len(delimiter))
        cut.strip_delimiter = 1 if given.get("strip_delimiter") else 0
        return 0


cdef class StreamCore:
    """The hot half of `NativeStream`."""

    cdef pa_stream *stream
    cdef readonly EngineCore engine
    cdef readonly PortCore port
    cdef object _sink
    cdef StreamTerms terms
    cdef object received
    """``sink.received``, looked up once; of a method the function, since a bound one has memory."""
    cdef pa_bool is_method
    cdef object decoder
    cdef list posted
    cdef object reason
    """Why it was aborted, in words."""
    cdef pa_bool is_stopped
    """Nothing more is delivered: it was closed or aborted."""
    cdef pa_bool is_finished
    """The end is told, or will never be."""
    cdef pa_bool is_held
    """The engine holds a reference, from the start to the end."""
    cdef pa_bool in_turn
    """Its turn was handed out as a packet."""
    cdef pa_bool is_unread
    """And has to receive before it takes anything."""
    cdef bytes kept
    """What the turn has received itself and not delivered; or None."""
    cdef char addresses[2 * SHORT_NAME]
    """The peer's and the local one, if they are short."""
    cdef bytes long_addresses
    """The same if they are not; else None."""

    def __cinit__(self, PortCore port, SocketCore sock, sink, StreamTerms terms, *rest):
        cdef pa_socket *own
        cdef int fd
        self.engine = port.engine
        self.port = port
        self._sink = sink
        self.terms = terms
        if terms.decodes_itself:
            self.decoder = terms.framing.decoder()
        self.note_addresses(sock.sock.fileno())
        fd = pa_socket_detach(sock.socket)
        if fd < 0:
            raise OSError(-fd, os.strerror(-fd))
        own = pa_socket_new(self.engine.engine, fd, PA_CONNECTED, NULL)
        if own == NULL:
            os.close(fd)
            raise MemoryError
        self.stream = pa_stream_new(own, port.port, terms.cut_by, &terms.limits, <void *>self)
        if self.stream == NULL:
            pa_socket_release(own)
            raise MemoryError
        pa_stream_receive_in_turns(self.stream)

    def __dealloc__(self):
        if self.stream != NULL and not self.engine.dead:
            pa_stream_disown(self.stream)

    def start(self):
        """See `Stream.start`."""
        cdef int failure
        if self.is_held or self.is_stopped:
            return
        self.look_up(self._sink.received)
        self.hold()
        failure = pa_stream_start(self.stream)
        if failure < 0:
            self.finish()
            raise OSError(-failure, os.strerror(-failure))

    cdef int finish(self) except -1:
        """The end is told, or will never be: the engine lets go."""
        cdef bint was_held
        with cython.critical_section(self):
            self.is_stopped = self.is_finished = True
            was_held, self.is_held = self.is_held, False
            self.posted = None
        self.received = None
        self.kept = None
        if was_held:
            Py_DECREF(self)
        return 0

    @property
    def sink(self):
        """See `EngineStream.sink`."""
        return self._sink

    @sink.setter
    def sink(self, value):
        self._sink = value
        if self.is_held:
            self.look_up(getattr(value, "received", None))

    cdef int look_up(self, received) except -1:
        self.is_method = type(received) is MethodType and received.__self__ is self._sink
        self.received = received.__func__ if self.is_method else received
        return 0

    cdef int give(self, item) except -1:
        if self.is_method:
            self.received(self._sink, item)
        else:
            self.received(item)
        return 0

    # -- sending --

    def send(self, item, key=None):
        """See `Stream.send`."""
        cdef StreamTerms terms = self.terms
        if terms.is_plain:
            return self.put(item, key)
        if (
            terms.has_packets
            and type(item) is Packet
            and slot(item, PACKET_FRAMING) == <PyObject *>terms.framing
        ):
            return self.put(<object>slot(item, PACKET_FRAME), key)
        return self.put(terms.framing.encode(item), key)

    def send_frame(self, frame, key=None):
        """See `Stream.send_frame`."""
        return self.put(frame, key)

    cdef object put(self, frame, key):
        cdef pa_send_answer answer
        cdef pa_shared *shared = NULL
        cdef uint64_t code = PA_NO_KEY if key is None else code_of(key)
        cdef pa_thread *thread
        cdef const char *bytes_
        cdef size_t length
        if self.is_stopped or self.engine.dead:
            return False
        if type(frame) is not bytes:
            frame = bytes(memoryview(frame))
        thread = calling_thread(self.engine)
        bytes_, length = PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame)
        if length >= PA_SHARE_FROM:
            shared = share(frame)
        if length >= LARGE:
            with nogil:  # It leaves now: others need not wait while the kernel copies it.
                answer = pa_stream_send(self.stream, thread, bytes_, length, shared, code)
        else:
            answer = pa_stream_send(self.stream, thread, bytes_, length, shared, code)
        if shared != NULL:
            pa_shared_release(self.engine.engine, shared)
        if length >= LARGE:
            pay_owed(self.engine)  # Memory that is used again at once is warm.
        return answer == PA_QUEUED

    def drop_oldest(self, size_t needed_bytes, uint32_t needed_packets=1):
        """See `Stream.drop_oldest`."""
        return pa_stream_drop_oldest(self.stream, needed_bytes, needed_packets)

    def flush(self):
        """See `Stream.flush`."""
        with nogil:
            pa_stream_flush(self.stream)

    # -- ending, and what else an owner asks for --

    cdef int hold(self) except -1:
        """The engine keeps this until its end is told."""
        with cython.critical_section(self):
            if not self.is_held and not self.is_finished:
                self.is_held = True
                self.engine.has_streams = True
                Py_INCREF(self)
        return 0

    def close(self):
        """See `Stream.close`."""
        if self.engine.dead:
            return
        self.is_stopped = True
        self.hold()
        pa_stream_close(self.stream, calling_thread(self.engine))

    def abort_core(self, int end, reason):
        """End with a reset; `end` is the number of the `StreamEnd`."""
        if self.engine.dead:
            return
        if not self.is_stopped or self.reason is None:
            self.reason = reason
        self.is_stopped = True
        self.hold()
        pa_stream_abort(self.stream, <pa_stream_end>end)

    def pause(self):
        """See `Stream.pause`."""
        pa_stream_pause(self.stream)

    def resume(self):
        """See `Stream.resume`."""
        pa_stream_resume(self.stream)

    def post(self, call):
        """See `Stream.post`."""
        cdef bint is_taken
        if self.engine.dead:
            return False
        # In one step with what `tell` takes: a call that was taken runs, another one does not.
        with cython.critical_section(self):
            if self.posted is None:
                self.posted = []
            self.posted.append(call)
            is_taken = pa_stream_post(self.stream)
            if not is_taken:
                self.posted.pop()
        return is_taken

    # -- turns --

    cdef int run_turn(self, pa_op *op, ThreadCore thread) except -1:
        """Serve the stream; whatever a callback raises, the turn goes on. Ends the turn."""
        cdef uint32_t news
        pa_turn_of(op)
        news = pa_turn_begin_serving(self.stream)
        if news:
            self.tell(news)
            if news & PA_UNREAD:
                self.receive_here()
        self.deliver()
        return self.end_serving()

    cdef int end_serving(self) except -1:
        cdef pa_stream *stream = self.stream
        cdef pa_stream_end end = pa_turn_end_serving(stream)
        if end != PA_NOT_ENDED:
            self.tell_end(end)  # With it the last reference to `self` may have gone.
            pa_turn_end_told(stream)
        return 0

    cdef int tell(self, uint32_t news) except -1:
        cdef list posted
        if news & PA_POSTED_CALLS:
            with cython.critical_section(self):
                posted, self.posted = self.posted, None
            for call in posted or ():
                try:
                    call()
                except BaseException as error:
                    self.failed(error)
        if news & (PA_DRAINED | PA_ABOVE_HIGH) and not self.is_stopped:
            try:
                self._sink.told(self.news_of(news & (PA_DRAINED | PA_ABOVE_HIGH)))
            except BaseException as error:
                self.failed(error)
        return 0

    cdef int receive_here(self) except -1:
        """Receive what was left in the kernel, to where it is delivered from."""
        cdef size_t room = pa_turn_unread(self.stream, MOST_IN_PLACE), count
        cdef PyObject *whole
        cdef char *into
        if room == 0:
            room = LEAST_IN_PLACE
        whole = new_bytes(NULL, room)
        if whole == NULL:
            PyErr_Clear()
            return 0  # No memory now: it stays unread, and the next turn tries again.
        into = PyBytes_AS_STRING(<object>whole)
        with nogil:
            count = pa_turn_receive(self.stream, into, room)
        if count == 0:
            Py_DECREF(<object>whole)
            return 0
        if count < room and shrink_bytes(&whole, count) < 0:
            PyErr_Clear()
            self.abort_core(PA_END_ERROR, "no memory for what was received")
            return 0
        self.kept = <bytes>whole
        Py_DECREF(self.kept)
        pa_turn_keep(self.stream, count)
        return 0

    cdef object next_item(self, spare):
        """Return what is to be delivered next; None if there is nothing now.

        `spare` is a packet that nobody else has any more, and may become the next one; or None.
        """
        cdef const uint8_t *data
        cdef pa_frame frame
        if self.kept is not None:
            item, self.kept = self.kept, None
            pa_turn_keep(self.stream, 0)
            return item
        if pa_turn_next(self.stream, &data, &frame):
            return self.item_of(data, &frame, spare)
        return None

    cdef int deliver(self) except -1:
        cdef int left = self.terms.frames_a_turn
        cdef object item = None, spare = None
        if self.decoder is not None:
            return self.deliver_decoded()
        while left and not self.is_stopped and not pa_stream_is_paused(self.stream):
            item = self.next_item(spare)
            spare = None
            if item is None:
                break
            left -= 1
            try:
                self.give(item)
            except BaseException as error:
                self.failed(error)
            if self.terms.has_packets and is_ours_alone(item):
                spare = item
            item = None
        return 0

    cdef inline object item_of(self, const uint8_t *data, pa_frame *frame, packet):
        if not self.terms.has_packets:
            return PyBytes_FromStringAndSize(<char *>data + frame.body_offset, frame.body_length)
        cdef PyTypeObject *kind = <PyTypeObject *>Packet
        if packet is None:
            packet = kind.tp_alloc(kind, 0)
        put(packet, PACKET_ID, frame.id)
        put(packet, PACKET_FRAME, PyBytes_FromStringAndSize(<char *>data, frame.total))
        put(packet, PACKET_FRAMING, self.terms.framing)
        return packet

    cdef int deliver_decoded(self) except -1:
        cdef list items
        while not self.is_stopped and not pa_stream_is_paused(self.stream):
            received = self.next_item(None)
            if received is None:
                break
            items = []
            failure = self.decode(received, items)
            for item in items:
                if self.is_stopped:
                    break
                try:
                    self.give(item)
                except BaseException as error:
                    self.failed(error)
            if failure is not None and not self.is_stopped:
                self.abort_core(PA_END_PROTOCOL, failure)
        return 0

    cdef object decode(self, received, list items):
        """Cut by a framing of the user's own; return what is wrong, in words, or None.

        Whatever its decoder raises, the peer's bytes have made it.
        """
        try:
            items.extend(self.decoder.feed(received))
        except errors.FramingError as error:
            items.extend(error.items)
            return error.reason
        except Exception as error:
            logger.exception("the decoder of a framing raised")
            return f"the decoder of the framing raised {error!r}"
        return None

    cdef int failed(self, error) except -1:
        if isinstance(error, KeyboardInterrupt):
            self.port.interruption = error
        try:
            self._sink.failed(error)
        except BaseException:
            logger.exception("the sink of a stream raised in failed()")
        return 0

    cdef int tell_end(self, pa_stream_end end) except -1:
        sink = self._sink
        detail = self.detail_of(end)
        try:
            if self.posted:
                self.tell(PA_POSTED_CALLS)
            sink.ended(self.end_of(end), detail)
        except BaseException as error:
            logger.exception("the sink of a stream raised in ended()")
            if isinstance(error, KeyboardInterrupt):
                self.port.interruption = error
        self.finish()
        return 0

    cdef object detail_of(self, pa_stream_end end):
        cdef pa_stream_state now
        if self.reason is not None:
            return self.reason
        pa_stream_state_get(self.stream, &now)
        if end == PA_END_PROTOCOL and now.framing_error:
            return self.terms.framing.error_of(now.framing_error, now.framing_detail).reason
        if now.error:
            return os.strerror(now.error)
        if end == PA_END_PEER_CLOSED:
            return broken_off(self.decoder or Unfinished(now.missing, now.expected))
        return ""

    def take(self):
        """See `Stream.take`."""
        cdef int left = self.terms.frames_a_turn
        cdef list items = []
        cdef PyObject *current = get_current()
        if not self.in_turn or current == NULL or self not in (<ThreadCore>current).turns:
            raise RuntimeError(f"take: the calling thread does not hold the turn of {self!r}")
        if self.is_unread and not self.is_stopped:
            self.is_unread = False
            self.receive_here()
        while left > 0 and not self.is_stopped and not pa_stream_is_paused(self.stream):
            item = self.next_item(None)
            if item is None:
                break
            if self.decoder is None:
                left -= 1
                items.append(item)
                continue
            self.decode(item, items)
            left = self.terms.frames_a_turn - <int>len(items)
        return items

    def end_turn(self):
        """See `Stream.end_turn`."""
        cdef PyObject *current = get_current()
        cdef ThreadCore thread
        if not self.in_turn:
            return
        if current == NULL or self not in (<ThreadCore>current).turns:
            raise RuntimeError(f"end_turn: the calling thread does not hold the turn of {self!r}")
        thread = <ThreadCore>current
        thread.turns.remove(self)
        self.end_given_turn()
        if not thread.turns:
            pa_batch_in_turn(thread.thread, False)
            with nogil:
                pa_batch_end(thread.thread)

    cdef int end_given_turn(self) except -1:
        self.in_turn = self.is_unread = False
        return self.end_serving()

    # -- state --

    cdef int note_addresses(self, int fd) except -1:
        cdef sockaddr_storage names[2]
        cdef socklen_t length = sizeof(sockaddr_storage)
        memset(names, 0, sizeof(names))
        getpeername(fd, <sockaddr *>&names[0], &length)
        length = sizeof(sockaddr_storage)
        getsockname(fd, <sockaddr *>&names[1], &length)
        if names[0].ss_family == AF_INET6 or names[1].ss_family == AF_INET6:
            self.long_addresses = PyBytes_FromStringAndSize(
                <char *>&names[0], LONG_NAME
            ) + PyBytes_FromStringAndSize(<char *>&names[1], LONG_NAME)
            return 0
        memcpy(self.addresses, &names[0], SHORT_NAME)
        memcpy(self.addresses + SHORT_NAME, &names[1], SHORT_NAME)
        return 0

    cdef object address(self, int which):
        cdef sockaddr_storage name
        memset(&name, 0, sizeof(name))
        if self.long_addresses is not None:
            memcpy(&name, PyBytes_AS_STRING(self.long_addresses) + which * LONG_NAME, LONG_NAME)
        else:
            memcpy(&name, self.addresses + which * SHORT_NAME, SHORT_NAME)
        return address_from(&name)

    cdef pa_stream_state state(self):
        cdef pa_stream_state now
        pa_stream_state_get(self.stream, &now)
        return now

    @property
    def id(self):
        """See `Stream.id`."""
        return pa_stream_id(self.stream)

    @property
    def peer(self):
        """See `Stream.peer`."""
        return self.address(0)

    @property
    def local(self):
        """See `Stream.local`."""
        return self.address(1)

    @property
    def framing(self):
        """See `Stream.framing`."""
        return self.terms.framing

    @property
    def queued_bytes(self):
        """See `Stream.queued_bytes`."""
        return self.state().queued_bytes

    @property
    def queued_packets(self):
        """See `Stream.queued_packets`."""
        return self.state().queued_packets

    @property
    def inbox_bytes(self):
        """See `Stream.inbox_bytes`."""
        return self.state().inbox_bytes

    @property
    def is_closing(self):
        """See `Stream.is_closing`."""
        return self.is_stopped or self.state().closing

    @property
    def last_received(self):
        """See `Stream.last_received`."""
        return self.state().last_received / 1e9

    @property
    def last_sent(self):
        """See `Stream.last_sent`."""
        return self.state().last_sent / 1e9

    def fileno(self):
        """Return the descriptor, -1 once it is closed."""
        return pa_stream_fd(self.stream)

    def counters(self):
        """Return the counters of `Stream.statistics` by name."""
        cdef pa_stream_statistics now
        pa_stream_statistics_get(self.stream, &now)
        return dict(now)


@cython.final
cdef class Unfinished:
    """What came of a frame that broke off, and how much it would have been; see `broken_off`."""

    cdef readonly size_t pending
    cdef readonly size_t expected

    def __cinit__(self, size_t pending, size_t expected):
        self.pending = pending
        self.expected = expected


cdef uint64_t code_of(key) except? 0:
    """Return a number for `key`, never 0: the same for equal keys, another one for others."""
    if type(key) is int and -(1 << 60) < key < (1 << 60):
        return ((<uint64_t><int64_t>key << 1) | 1) & <uint64_t>0x7FFFFFFFFFFFFFFF
    return ((<uint64_t><int64_t>hash(key) << 2) | 2) & <uint64_t>0x7FFFFFFFFFFFFFFF


cdef pa_shared *share(bytes frame) except NULL:
    cdef pa_shared *shared = pa_shared_new(<void *>frame)
    if shared == NULL:
        raise MemoryError
    Py_INCREF(frame)
    return shared


cdef int pay_owed(EngineCore engine) except -1:
    """Let go of what the core has finished with."""
    cdef pa_shared *owed = pa_engine_take_owed(engine.engine)
    cdef pa_shared *paid
    while owed != NULL:
        owner = <object>owed.owner
        paid, owed = owed, owed.next
        pa_shared_free(paid)
        if isinstance(owner, StreamCore):
            (<StreamCore>owner).finish()  # Its port was closed: nothing will be told.
        else:
            Py_DECREF(owner)
    return 0


cdef class GroupCore:
    """The hot half of `NativeGroup`."""

    cdef pa_group *group
    cdef EngineCore engine

    def __cinit__(self, PortCore port, *rest):
        self.engine = port.engine
        self.group = pa_group_new()
        if self.group == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.group != NULL and not self.engine.dead:
            pa_group_free(self.group)

    def add(self, StreamCore stream not None):
        """See `StreamGroup.add`."""
        cdef int answer = pa_group_add(self.group, stream.stream)
        if answer < 0:
            raise MemoryError

    def discard(self, StreamCore stream not None):
        """See `StreamGroup.discard`."""
        pa_group_discard(self.group, stream.stream)

    def __contains__(self, stream):
        return isinstance(stream, StreamCore) and pa_group_has(
            self.group, (<StreamCore>stream).stream
        )

    def __len__(self):
        return pa_group_count(self.group)

    def broadcast_frame(self, frame, StreamCore exclude=None, key=None):
        """See `StreamGroup.broadcast_frame`."""
        cdef pa_thread *thread = calling_thread(self.engine)
        cdef pa_shared *shared = NULL
        cdef pa_stream **full
        cdef pa_stream *excluded = NULL if exclude is None else exclude.stream
        cdef uint64_t code = PA_NO_KEY if key is None else code_of(key)
        cdef size_t room = pa_group_count(self.group) + 64, count, index
        cdef const char *data
        cdef size_t length
        cdef list refused = []
        if type(frame) is not bytes:
            frame = bytes(memoryview(frame))
        data = PyBytes_AS_STRING(frame)
        length = PyBytes_GET_SIZE(frame)
        if length >= PA_SHARE_FROM:
            shared = share(frame)
        full = <pa_stream **>malloc(room * sizeof(pa_stream *))
        if full == NULL:
            if shared != NULL:
                pa_shared_release(self.engine.engine, shared)
            raise MemoryError
        with nogil:
            count = pa_group_broadcast(
                self.group, thread, data, length, shared, code, excluded, full, room
            )
        for index in range(count):
            if pa_stream_owner(full[index]) != NULL:  # Else it has gone meanwhile.
                refused.append(<object>pa_stream_owner(full[index]))
            pa_stream_release(full[index])
        free(full)
        if shared != NULL:
            pa_shared_release(self.engine.engine, shared)
        return refused

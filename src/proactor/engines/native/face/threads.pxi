# A thread as the ports see it, and which one is calling.

cdef class ThreadCore:
    """A thread as the ports see it; the `slot` of its `ThreadRecord`."""

    cdef pa_thread *thread
    cdef pa_port *given
    cdef readonly EngineCore engine
    cdef readonly object record
    cdef object association
    cdef list turns
    """Streams whose turns were handed out as packets: they end when the thread comes back."""
    cdef bint has_turns
    cdef bint is_main
    cdef bint has_served
    """It has run a turn that came to no packet."""

    def __cinit__(self, EngineCore engine, record):
        self.engine = engine
        self.record = record
        self.turns = []
        self.thread = pa_thread_new()
        if self.thread == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.thread != NULL and not self.engine.dead:
            self.take_back(None)
            pa_thread_free(self.thread)

    def make_current(self):
        """The calling thread is this one."""
        self.is_main = in_main_thread()
        forget_current()
        Py_INCREF(self)
        set_current(<PyObject *>self)

    def give_back(self, record):
        """Give up the slot, if the thread has one."""
        if self.given == NULL:
            self.given = pa_thread_block(self.thread)

    def take_back(self, record):
        """Take back the slot that `give_back` gave up."""
        cdef pa_port *given = self.given
        self.given = NULL
        self.resume(given)

    cdef void give_up(self):
        """Give up the slot for good: the thread came to a port and left without a packet."""
        cdef pa_port *port = pa_thread_block(self.thread)
        if port != NULL:
            pa_port_release(port)

    cdef void resume(self, pa_port *port):
        if port != NULL:
            pa_thread_resume(self.thread, port)

    def begin_blocking(self, PortCore port):
        """Give up the slot if it is one of `port`; return what `end_blocking` needs."""
        cdef pa_port *given = NULL
        if self.association is port:
            given = pa_thread_block(self.thread)
        return <uintptr_t>given

    def end_blocking(self, uintptr_t given):
        """Take the slot back."""
        self.resume(<pa_port *>given)

    cdef bint end_turns(self, int limit) except *:
        """The thread comes back: end its turns, and flush up to `limit` streams that it queued for.

        Says whether some are left to be flushed.
        """
        cdef bint more
        if self.has_turns:
            self.has_turns = False
            turns, self.turns = self.turns, []
            for stream in turns:
                (<StreamCore>stream).end_given_turn()
            pa_batch_in_turn(self.thread, False)
        pay_owed(self.engine)
        with nogil:
            more = pa_flush_dirty(self.thread, limit)
        return more

    def interrupt(self):
        """Make the wait of this thread at a port look at its APCs."""
        pa_thread_interrupt(self.thread)


    def end(self):
        """The thread has ended, and its slot is given up."""
        if get_current() == <PyObject *>self:
            forget_current()


def forget_current():
    """The calling thread ends, or is that of a forked child: it has no record any more."""
    cdef PyObject *current = get_current()
    if current != NULL:
        set_current(NULL)
        Py_DECREF(<object>current)


cdef inline pa_thread *calling_thread(EngineCore engine):
    """The calling thread as `engine` sees it; NULL: it has not waited there, and serves no turn."""
    cdef PyObject *current = get_current()
    if current == NULL or (<ThreadCore>current).engine is not engine:
        return NULL
    return (<ThreadCore>current).thread


cdef inline ThreadCore current_thread(EngineCore engine):
    cdef PyObject *current = get_current()
    if current != NULL and not engine.dead and (<ThreadCore>current).engine is engine:
        return <ThreadCore>current
    return engine.dispatcher.this_thread().slot

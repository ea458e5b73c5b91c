# What `core/core.h` offers; see there.

cdef extern from *:
    """
    static _Thread_local PyObject *face_thread;
    #define get_current() (face_thread)
    #define set_current(value) (face_thread = (value))
    """
    PyObject *get_current() nogil
    void set_current(PyObject *value) nogil

cdef extern from *:
    """
    #include <time.h>
    static int64_t monotonic(void)
    {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }
    """
    int64_t monotonic() nogil

cdef extern from *:
    """
    #include <structmember.h>

    /* Where a slot of a Python class lies, for `put`, which stores without a look-up. */
    static Py_ssize_t slot_offset(PyObject *descriptor)
    {
        return ((PyMemberDescrObject *)descriptor)->d_member->offset;
    }
    static void put(PyObject *object, Py_ssize_t offset, PyObject *value)
    {
        PyObject **slot = (PyObject **)((char *)object + offset);
        PyObject *before = *slot;
        Py_INCREF(value);
        *slot = value;
        Py_XDECREF(before);
    }
    static PyObject *slot(PyObject *object, Py_ssize_t offset)
    {
        return *(PyObject **)((char *)object + offset);
    }
    /* The same for an object that other threads may look at: without the interpreter lock the
     * look-up is what orders them. */
    #ifdef Py_GIL_DISABLED
    #define store(object, offset, name, value) PyObject_SetAttr(object, name, value)
    #else
    #define store(object, offset, name, value) (put(object, offset, value), 0)
    #endif
    """
    Py_ssize_t slot_offset(object descriptor)
    PyObject *slot(object object, Py_ssize_t offset)
    void put(object object, Py_ssize_t offset, object value)
    int store(object object, Py_ssize_t offset, object name, object value) except -1

cdef extern from *:
    """
    static int is_released(PyObject *view)
    {
        PyMemoryViewObject *self = (PyMemoryViewObject *)view;
        return self->flags & _Py_MEMORYVIEW_RELEASED
               || self->mbuf->flags & _Py_MANAGED_BUFFER_RELEASED;
    }
    """
    bint is_released(object view)

cdef extern from *:
    """
    /* Nobody has it but one variable of the caller's. Without a GIL that cannot be said so easily. */
    #ifdef Py_GIL_DISABLED
    #define is_ours_alone(object) 0
    #else
    #define is_ours_alone(object) (Py_REFCNT(object) == 1)
    #endif
    """
    bint is_ours_alone(object it)

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        object (*tp_alloc)(PyTypeObject *kind, Py_ssize_t count)
        object (*tp_new)(PyTypeObject *kind, object arguments, PyObject *keywords)
    Py_buffer *PyMemoryView_GET_BUFFER(object view)
    PyObject *PyMemoryView_GET_BASE(object view)
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t length)
    int shrink_bytes "_PyBytes_Resize"(PyObject **whole, Py_ssize_t length)

cdef extern from "<arpa/inet.h>" nogil:
    ctypedef unsigned int socklen_t
    enum:
        AF_INET
        AF_INET6
    uint16_t ntohs(uint16_t value)
    uint32_t ntohl(uint32_t value)
    const char *inet_ntop(int family, const void *address, char *text, socklen_t size)
    struct in_addr:
        pass
    struct sockaddr_in:
        uint16_t sin_port
        in_addr sin_addr
    struct in6_addr:
        pass
    struct sockaddr_in6:
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    struct sockaddr_storage:
        uint16_t ss_family

cdef extern from "<sys/socket.h>" nogil:
    struct sockaddr:
        pass
    int getpeername(int fd, sockaddr *name, socklen_t *length)
    int getsockname(int fd, sockaddr *name, socklen_t *length)

cdef extern from "<stdbool.h>":
    ctypedef unsigned char pa_bool "bool"

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "core/core.h" nogil:
    ctypedef struct pa_engine
    ctypedef struct pa_socket
    ctypedef struct pa_port
    ctypedef struct pa_thread

    ctypedef enum pa_kind:
        PA_RECV
        PA_SEND
        PA_RECV_FROM
        PA_SEND_TO
        PA_ACCEPT
        PA_CONNECT
        PA_DISCONNECT
        PA_TRANSMIT_FILE
        PA_POSTED
        PA_TURN

    ctypedef enum pa_answer:
        PA_PENDING
        PA_DONE
        PA_REFUSED

    enum:
        PA_NO_PACKET
        PA_TRUNCATED
        PA_ATTEMPTED
        PA_LOST
        PA_DETOUR
        PA_INLINE_IOV
        PA_CONNECTED
        PA_CONNECTING
        PA_RESET
        PA_RECEIVE_SHUT
        PA_SEND_SHUT
        PA_DATAGRAM
        PA_CLOSED
        PA_READS_QUEUED
        PA_WRITES_QUEUED

    ctypedef struct pa_op:
        pa_kind kind
        int flags
        iovec *iov
        int iov_count
        iovec *inline_iov
        sockaddr_storage address
        socklen_t address_length
        pa_socket *acceptor
        int file
        uint64_t offset
        uint64_t count
        int head_count
        pa_bool suppress_packet
        pa_bool synchronous
        pa_bool poll_first
        void *owner
        void *issuer
        uint32_t status
        uint32_t result_flags
        uint64_t transferred
        int accepted
        pa_op *next

    ctypedef struct pa_uring_profile:
        pa_bool multishot
        pa_bool incremental
        uint32_t sq_entries
        uint32_t cq_entries
        uint32_t buffer_count
        uint32_t buffer_bytes
    int pa_engine_new(const pa_uring_profile *profile, pa_engine **out)
    void pa_engine_allow_backup(pa_engine *engine)
    int pa_engine_start_thread(pa_engine *engine)
    void pa_engine_poll_now(pa_engine *engine)
    void pa_engine_after_fork(pa_engine *engine)
    ctypedef struct pa_engine_statistics:
        uint64_t turns
        uint64_t waits
        uint64_t wakes_sent
        uint64_t wakes_saved
        uint64_t submitted
        uint64_t completed_at_once
        uint64_t completed_later
        uint64_t bytes_received
        uint64_t bytes_sent
        uint64_t rearms
        uint64_t short_sends
        uint64_t in_flight
        uint64_t sockets
        uint64_t backup_turns
        uint64_t enters
        uint64_t ring_requests
        uint64_t completions
        uint64_t no_buffers
        uint64_t overflows
    void pa_engine_statistics_get(pa_engine *engine, pa_engine_statistics *out)
    void pa_engine_set_default_port(pa_engine *engine, pa_port *port)

    pa_socket *pa_socket_new(pa_engine *engine, int fd, uint32_t flags, void *owner)
    void pa_socket_release(pa_socket *sock)
    int pa_socket_detach(pa_socket *sock)
    uint32_t pa_socket_flags(const pa_socket *sock)
    int pa_socket_connect_error(pa_socket *sock)
    void pa_socket_set_skip_on_success(pa_socket *sock)
    int pa_socket_attach(pa_socket *sock, pa_port *port, void *key)
    void pa_socket_note_reset(pa_socket *sock)
    void pa_socket_end_detour(pa_socket *sock)
    pa_bool pa_op_follow(pa_op *op)
    pa_answer pa_submit(pa_socket *sock, pa_op *op)
    pa_answer pa_try(pa_socket *sock, pa_op *op)
    int pa_cancel(pa_socket *sock, pa_op *op)
    int pa_cancel_issued_by(pa_socket *sock, void *issuer)
    void pa_socket_close(pa_socket *sock, pa_bool reset)
    int pa_socket_shutdown(pa_socket *sock, int how)

    pa_port *pa_port_new(pa_engine *engine, int concurrency, int64_t stall_ns)
    void pa_port_hold(pa_port *port)
    void pa_port_release(pa_port *port)
    pa_thread *pa_thread_new()
    void pa_thread_free(pa_thread *thread)
    int pa_port_post(pa_port *port, pa_op *op)
    int pa_port_forward(pa_port *port, pa_op *op)
    int pa_port_take(pa_port *port, pa_thread *self, pa_op **out, int limit)
    int pa_port_wait(
        pa_port *port, pa_thread *self, pa_op **out, int limit, int64_t timeout_ns,
        pa_bool *interrupted
    )
    pa_op **pa_thread_hand(pa_thread *thread)
    pa_op *pa_hand_next(pa_thread *thread)
    void pa_thread_interrupt(pa_thread *thread)
    pa_port *pa_thread_block(pa_thread *thread)
    void pa_thread_resume(pa_thread *thread, pa_port *port)
    void pa_port_close(pa_port *port, void (*lost)(pa_op *, void *) noexcept nogil, void *context)
    ctypedef struct pa_port_statistics:
        uint64_t queued
        uint64_t waiting
        uint64_t running
        uint64_t delivered
        uint64_t posted
        uint64_t completed
        uint64_t stalls
    void pa_port_statistics_get(pa_port *port, pa_port_statistics *out)

cdef extern from "core/framing.h" nogil:
    enum:
        PA_LONGEST_DELIMITER
        PA_RAW_FRAMING
        PA_PACKET_FRAMING
    ctypedef int pa_framing_kind
    ctypedef struct pa_framing:
        pa_framing_kind kind
        uint32_t max_frame
        uint32_t length_offset
        uint8_t length_bytes
        uint8_t id_bytes
        pa_bool big_endian
        pa_bool includes_header
        int64_t length_adjustment
        uint32_t strip
        uint32_t fixed_size
        uint8_t *delimiter
        uint8_t delimiter_length
        pa_bool strip_delimiter
    ctypedef struct pa_frame:
        size_t total
        size_t body_offset
        size_t body_length
        uint64_t id

cdef extern from "core/streams.h" nogil:
    ctypedef struct pa_stream
    ctypedef struct pa_group
    ctypedef struct pa_shared:
        void *owner
        pa_shared *next

    ctypedef struct pa_stream_limits:
        size_t inbox_high
        size_t inbox_low
        size_t send_high
        size_t send_low
        size_t send_bytes
        uint32_t send_packets

    ctypedef enum pa_stream_end:
        PA_NOT_ENDED
        PA_END_PEER_CLOSED
        PA_END_RESET
        PA_END_CLOSED
        PA_END_ABORTED
        PA_END_PROTOCOL
        PA_END_ERROR

    enum:
        PA_DRAINED
        PA_ABOVE_HIGH
        PA_POSTED_CALLS
        PA_UNREAD
        PA_SHARE_FROM
        PA_NO_KEY

    ctypedef enum pa_send_answer:
        PA_QUEUED
        PA_FULL
        PA_OVER

    ctypedef struct pa_stream_statistics:
        uint64_t bytes_received
        uint64_t frames_received
        uint64_t bytes_sent
        uint64_t packets_sent
        uint32_t sends
        uint32_t dropped
        uint32_t replaced
        uint32_t refused

    ctypedef struct pa_stream_state:
        size_t inbox_bytes
        size_t queued_bytes
        uint32_t queued_packets
        pa_bool closing
        pa_bool over
        int error
        int framing_error
        uint64_t framing_detail
        size_t missing
        size_t expected
        int64_t last_received
        int64_t last_sent

    pa_stream *pa_stream_new(
        pa_socket *sock, pa_port *port, const pa_framing *framing, const pa_stream_limits *limits,
        void *owner
    )
    void pa_stream_receive_in_turns(pa_stream *stream)
    void pa_stream_hold(pa_stream *stream)
    void pa_stream_release(pa_stream *stream)
    void pa_stream_disown(pa_stream *stream)
    int pa_stream_start(pa_stream *stream)
    uint64_t pa_stream_id(const pa_stream *stream)
    void *pa_stream_owner(const pa_stream *stream)
    int pa_stream_fd(const pa_stream *stream)
    pa_send_answer pa_stream_send(
        pa_stream *stream, pa_thread *self, const void *data, size_t length, pa_shared *shared,
        uint64_t key
    )
    uint32_t pa_stream_drop_oldest(pa_stream *stream, size_t size, uint32_t packets)
    void pa_stream_flush(pa_stream *stream)
    void pa_batch_begin(pa_thread *self, pa_port *port)
    void pa_batch_end(pa_thread *self)
    void pa_batch_in_turn(pa_thread *self, pa_bool in_turn)
    void pa_seal_turn(pa_thread *self)
    pa_bool pa_is_late(const pa_thread *self)
    pa_bool pa_flush_dirty(pa_thread *self, int limit)
    void pa_stream_close(pa_stream *stream, pa_thread *self)
    void pa_stream_abort(pa_stream *stream, pa_stream_end end)
    void pa_stream_pause(pa_stream *stream)
    void pa_stream_resume(pa_stream *stream)
    pa_bool pa_stream_is_paused(const pa_stream *stream)
    pa_bool pa_stream_post(pa_stream *stream)
    pa_stream *pa_turn_of(pa_op *op)
    void pa_turn_lost(pa_op *op)
    uint32_t pa_turn_begin_serving(pa_stream *stream)
    pa_bool pa_turn_has_frames(pa_stream *stream)
    int pa_turn_next(pa_stream *stream, const uint8_t **data, pa_frame *frame)
    size_t pa_turn_unread(pa_stream *stream, size_t most)
    size_t pa_turn_receive(pa_stream *stream, void *into, size_t room)
    void pa_turn_keep(pa_stream *stream, size_t bytes)
    pa_stream_end pa_turn_end_serving(pa_stream *stream)
    void pa_turn_end_told(pa_stream *stream)
    void pa_stream_state_get(pa_stream *stream, pa_stream_state *out)
    void pa_stream_statistics_get(pa_stream *stream, pa_stream_statistics *out)
    pa_shared *pa_shared_new(void *owner)
    void pa_shared_release(pa_engine *engine, pa_shared *shared)
    pa_shared *pa_engine_take_owed(pa_engine *engine)
    void pa_shared_free(pa_shared *shared)
    pa_group *pa_group_new()
    void pa_group_free(pa_group *group)
    int pa_group_add(pa_group *group, pa_stream *stream)
    pa_bool pa_group_discard(pa_group *group, pa_stream *stream)
    pa_bool pa_group_has(pa_group *group, pa_stream *stream)
    size_t pa_group_count(pa_group *group)
    size_t pa_group_broadcast(
        pa_group *group, pa_thread *self, const void *data, size_t length, pa_shared *shared,
        uint64_t key, pa_stream *exclude, pa_stream **refused, size_t room_for_refused
    )

# cython: language_level=3, freethreading_compatible=True
"""The Python face of the load generator in C: thin. What it does is said in `core/load.h`.

One thread at a time may drive a generator; the interpreter is released while it runs.
"""

from libc.errno cimport errno
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import os
import socket

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr_storage:
        unsigned short ss_family

cdef extern from "<netinet/in.h>" nogil:
    struct in6_addr:
        pass
    struct in_addr:
        pass
    struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        unsigned short sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    uint16_t htons(uint16_t value)

cdef extern from "core/load.h" nogil:
    enum:
        LOAD_BUCKETS
        LOAD_FAILURES
        LOAD_FIRST_FAILURES

    struct load_plan:
        int kind
        uint32_t connections, depth, size
        uint16_t id
        bint big_endian, others_only, holds
        double rate
        uint64_t messages, duration, warmup, ramp, timeout
        sockaddr_storage address
        socklen_t address_length

    struct load_failure:
        int kind
        uint32_t connection, sender
        uint64_t position, expected, got, number

    struct load_counts_t "load_counts":
        uint64_t messages, replies, sent, unsent, missing, outstanding, began, ended
        uint32_t opened, alive, greeted
        uint64_t failed[7]
        load_failure first[16]

    struct load_histogram:
        uint64_t buckets[1]
        uint64_t recorded, largest

    struct load:
        pass

    load *load_open(const load_plan *plan)
    int load_run(load *self, uint64_t nanoseconds)
    void load_stop(load *self, uint64_t patience)
    int load_phase(const load *self)
    const load_counts_t *load_counts(const load *self)
    const load_histogram *load_latencies(const load *self)
    void load_close(load *self)


cdef void put_address(load_plan *plan, int family, tuple address):
    cdef bytes packed = socket.inet_pton(family, address[0].partition("%")[0])
    cdef const char *octets = packed
    cdef sockaddr_in *four = <sockaddr_in *>&plan.address
    cdef sockaddr_in6 *six = <sockaddr_in6 *>&plan.address
    plan.address.ss_family = family
    if len(packed) == 4:
        four.sin_port = htons(address[1])
        memcpy(&four.sin_addr, octets, 4)
        plan.address_length = sizeof(sockaddr_in)
    else:
        six.sin6_port = htons(address[1])
        six.sin6_scope_id = address[3]
        memcpy(&six.sin6_addr, octets, 16)
        plan.address_length = sizeof(sockaddr_in6)


cdef class NativeLoad:
    cdef load *c
    cdef bint runs  # Another thread is inside `run`, which holds no interpreter lock.

    def __cinit__(self, family, tuple address, dict options):
        cdef load_plan plan
        memset(&plan, 0, sizeof(plan))
        put_address(&plan, family, address)
        plan.kind = options["kind"]
        plan.connections = options["connections"]
        plan.depth = options["depth"]
        plan.size = options["size"]
        plan.id = options["id"]
        plan.big_endian = options["big_endian"]
        plan.others_only = options["others_only"]
        plan.holds = options["holds"]
        plan.rate = options["rate"]
        plan.messages = options["messages"]
        plan.duration = options["duration"]
        plan.warmup = options["warmup"]
        plan.ramp = options["ramp"]
        plan.timeout = options["timeout"]
        self.c = load_open(&plan)
        if self.c is NULL:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        if self.c is not NULL:
            load_close(self.c)

    cdef load *open(self) except NULL:
        if self.c is NULL:
            raise ValueError("the load is closed: make another one")
        if self.runs:
            raise RuntimeError("the load is running in another thread: ask between two runs")
        return self.c

    def run(self, uint64_t nanoseconds):
        cdef load *c = self.open()
        cdef int phase
        self.runs = True
        with nogil:
            phase = load_run(c, nanoseconds)
        self.runs = False
        return phase

    def stop(self, uint64_t patience):
        load_stop(self.open(), patience)

    def counts(self):
        cdef load *c = self.open()
        cdef const load_counts_t *counts = load_counts(c)
        cdef int known
        cdef int index
        failed = [counts.failed[index] for index in range(LOAD_FAILURES)]
        known = min(sum(failed), LOAD_FIRST_FAILURES)
        first = []
        for index in range(known):
            f = counts.first[index]
            first.append(
                (f.kind, f.connection, f.position, f.sender, f.expected, f.got, f.number)
            )
        return {
            "phase": load_phase(c),
            "messages": counts.messages,
            "replies": counts.replies,
            "sent": counts.sent,
            "unsent": counts.unsent,
            "missing": counts.missing,
            "outstanding": counts.outstanding,
            "began": counts.began,
            "ended": counts.ended,
            "opened": counts.opened,
            "alive": counts.alive,
            "greeted": counts.greeted,
            "failed": failed,
            "first": first,
        }

    def latencies(self):
        cdef const load_histogram *latencies = load_latencies(self.open())
        cdef int index
        return [latencies.buckets[index] for index in range(LOAD_BUCKETS)], latencies.largest

    def close(self):
        if self.c is not NULL:
            load_close(self.open())
            self.c = NULL

/* A thread as the ports see it: its gate, and how it is woken. */
#include "internal.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(atomic_int) == sizeof(int), "a gate is a futex word");

pa_thread *pa_thread_new(void)
{
    return calloc(1, sizeof(pa_thread));
}

/* The gate may be gone when the call comes: its thread has looked by itself meanwhile and ended. A
 * futex call on an address that means something else now wakes somebody who looks again. */
static void wake_futex(atomic_int *gate)
{
    syscall(SYS_futex, gate, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void pa_wake_all(pa_wakes *wakes)
{
    for (int i = 0; i < wakes->count; i++)
        wake_futex(wakes->gates[i]);
    wakes->count = 0;
    if (wakes->engine)
        pa_engine_wake(wakes->engine);
    wakes->engine = NULL;
}

void pa_open_gate(pa_thread *thread, pa_wakes *wakes)
{
    int before = atomic_exchange(&thread->gate, PA_OPEN);
    if (before == PA_POLLING) {
        pa_engine *engine = atomic_load(&thread->polls);
        if (wakes->engine && wakes->engine != engine)
            pa_engine_wake(engine);
        else
            wakes->engine = engine;
    } else if (before == PA_PARKED) {
        if (wakes->count < (int)(sizeof wakes->gates / sizeof wakes->gates[0]))
            wakes->gates[wakes->count++] = &thread->gate;
        else
            wake_futex(&thread->gate);
    }
}

bool pa_sleep(pa_thread *thread, int64_t timeout_ns)
{
    int awake = PA_AWAKE;
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    bool signaled = false;
    if (atomic_compare_exchange_strong(&thread->gate, &awake, PA_PARKED))
        signaled = syscall(SYS_futex, &thread->gate, FUTEX_WAIT_PRIVATE, PA_PARKED,
                           timeout_ns < 0 ? NULL : &timeout, NULL, 0) < 0
                   && errno == EINTR;
    atomic_exchange(&thread->gate, PA_AWAKE);
    return !signaled;
}

void pa_thread_interrupt(pa_thread *thread)
{
    pa_wakes wakes = {0};
    atomic_store(&thread->interrupted, true);
    pa_open_gate(thread, &wakes);
    pa_wake_all(&wakes);
}

/* Several threads at once: echoes, cancel against completion, close and descriptor re-use. */
#include "harness.h"

/* -- echo: `workers` threads serve, this thread is the clients -- */

enum { PAIRS = 8, ECHOES = 400, PIECE = 512 };

typedef struct {
    pa_socket *socket;
    pa_op op;
    char buffer[PIECE];
    bool sending;
} echo;

typedef struct {
    world *w;
    atomic_int ended;
} echo_server;

static void go_on(echo_server *server, echo *e)
{
    if (!e->sending && (e->op.status || !e->op.transferred)) {
        pa_socket_close(e->socket, false);
        pa_socket_release(e->socket);
        if (atomic_fetch_add(&server->ended, 1) + 1 == PAIRS)
            pa_port_close(server->w->port, NULL, NULL);
        return;
    }
    size_t length = e->sending ? PIECE : e->op.transferred;
    e->sending = !e->sending;
    e->op = make_op(e->sending ? PA_SEND : PA_RECV, e->buffer, length);
    e->op.owner = e;
    /* At once or later: the packet comes. From here on it is another worker's, perhaps. */
    pa_answer answer = submit(e->socket, &e->op);
    CHECK(answer != PA_REFUSED);
}

static void *serve_echoes(void *argument)
{
    echo_server *server = argument;
    pa_thread *self = pa_thread_new();
    pa_op *got[16];
    bool interrupted;
    int count;
    while ((count = pa_port_wait(server->w->port, self, got, 16, -1, &interrupted)) >= 0)
        for (int i = 0; i < count; i++)
            go_on(server, got[i]->owner);
    pa_thread_free(self);
    return NULL;
}

static void talk(int *clients)
{
    char sent[PIECE], got[PIECE];
    for (int round = 0; round < ECHOES; round++) {
        memset(sent, 'a' + round % 26, sizeof sent);
        for (int i = 0; i < PAIRS; i++)
            MUST(send(clients[i], sent, sizeof sent, 0) == sizeof sent);
        for (int i = 0; i < PAIRS; i++) {
            read_exactly(clients[i], got, sizeof got);
            CHECK(memcmp(sent, got, sizeof got) == 0);
        }
    }
    for (int i = 0; i < PAIRS; i++)
        close(clients[i]);
}

static void run_echo(int workers, int concurrency, bool threaded, bool tcp)
{
    world w = open_world(concurrency, -1, threaded);
    echo_server server = {.w = &w};
    echo *echoes = calloc(PAIRS, sizeof *echoes);
    int clients[PAIRS];
    pthread_t threads[8];
    for (int i = 0; i < PAIRS; i++) {
        int pair[2];
        if (tcp)
            tcp_pair(&pair[0], &pair[1]);
        else
            MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        clients[i] = pair[0];
        echoes[i].socket = pa_socket_new(w.engine, pair[1], PA_CONNECTED, NULL);
        CHECK(pa_socket_attach(echoes[i].socket, w.port, NULL) == 0);
        echoes[i].sending = true;   /* As if it had just sent: it receives now. */
        go_on(&server, &echoes[i]);
    }
    for (int i = 0; i < workers; i++)
        threads[i] = start_thread(serve_echoes, &server);
    talk(clients);
    for (int i = 0; i < workers; i++)
        pthread_join(threads[i], NULL);
    close_world(&w);
    free(echoes);
}

static void echoes_with_one_worker(void)
{
    run_echo(1, 1, false, false);
    run_echo(1, 1, false, true);
    run_echo(1, 1, true, true);
}

static void echoes_with_four_workers(void)
{
    run_echo(4, 1, false, true);
    run_echo(4, 4, false, false);
    run_echo(4, 2, true, true);
    run_echo(4, 4, true, false);
}

/* -- cancel against completion -- */

enum { ROUNDS = 20000 };

typedef struct {
    pa_socket *socket;
    pa_op *op;
    pthread_barrier_t gate;
    bool late;   /* The I/O thread must wake first. */
    int cancelled;
} duel;

static void *cancel_each(void *argument)
{
    duel *d = argument;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&d->gate);
        for (volatile int spin = 0; spin < (i * 37) % (d->late ? 40000 : 6000); spin++)
            continue;
        d->cancelled = pa_cancel(d->socket, d->op);
        pthread_barrier_wait(&d->gate);
    }
    return NULL;
}

static void cancel_races(bool threaded)
{
    world w = open_world(1, -1, threaded);
    int pair[2], won = 0;
    char byte;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    pa_socket *s = pa_socket_new(w.engine, pair[0], PA_CONNECTED, NULL);
    CHECK(pa_socket_attach(s, w.port, NULL) == 0);
    pa_op op;
    duel d = {.socket = s, .op = &op, .late = threaded};
    pthread_barrier_init(&d.gate, NULL, 2);
    pthread_t canceller = start_thread(cancel_each, &d);
    for (int i = 0; i < ROUNDS; i++) {
        op = make_op(PA_RECV, &byte, 1);
        CHECK(submit(s, &op) == PA_PENDING);
        pthread_barrier_wait(&d.gate);
        CHECK(send(pair[1], "x", 1, 0) == 1);
        pa_op *got = take(&w), *more;
        pthread_barrier_wait(&d.gate);
        CHECK(got == &op && (op.status == 0 || op.status == STATUS_CANCELLED));
        CHECK((op.status == STATUS_CANCELLED) == (d.cancelled == 1));
        CHECK(pa_port_take(w.port, w.self, &more, 1) == 0);
        if (op.status == STATUS_CANCELLED) {
            won++;
            CHECK(recv(pair[0], &byte, 1, 0) == 1);   /* What is not received stays there. */
        }
    }
    pthread_join(canceller, NULL);
    pthread_barrier_destroy(&d.gate);
    printf("  cancelled %d of %d\n", won, ROUNDS);
    close(pair[1]);
    pa_socket_close(s, false);
    pa_socket_release(s);
    close_world(&w);
}

static void cancel_and_completion_hand_out_each_operation_once(void)
{
    cancel_races(true);
    cancel_races(false);
}

/* -- close, and the same descriptor numbers again -- */

typedef struct {
    world *w;
    atomic_bool stop;
    atomic_int handed_out;
} churn;

static void *take_all(void *argument)
{
    churn *c = argument;
    pa_thread *self = pa_thread_new();
    pa_op *got[16];
    bool interrupted;
    int count;
    while ((count = pa_port_wait(c->w->port, self, got, 16, -1, &interrupted)) >= 0) {
        for (int i = 0; i < count; i++) {
            CHECK(got[i]->status == 0 || got[i]->status == STATUS_CANCELLED
                  || got[i]->status == STATUS_CONNECTION_RESET);
            CHECK(got[i]->status || got[i]->transferred == 0
                  || ((char *)got[i]->iov->iov_base)[0] == (char)(intptr_t)got[i]->owner);
            free(got[i]);
        }
        atomic_fetch_add(&c->handed_out, count);
    }
    pa_thread_free(self);
    return NULL;
}

static pa_op *new_recv(char mark)
{
    pa_op *op = calloc(1, sizeof *op + 8);
    *op = make_op(PA_RECV, op + 1, 8);
    op->owner = (void *)(intptr_t)mark;
    return op;
}

static int open_and_close(churn *c, int round)
{
    int pair[2], submitted = 0;
    char mark = (char)('a' + round % 26);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    pa_socket *s = pa_socket_new(c->w->engine, pair[0], PA_CONNECTED, NULL);
    CHECK(pa_socket_attach(s, c->w->port, NULL) == 0);
    for (int i = 0; i < 3; i++) {
        pa_op *op = new_recv(mark);
        pa_answer answer = submit(s, op);
        if (answer == PA_REFUSED)
            free(op);
        else
            submitted++;
        if (i == round % 3)
            send(pair[1], &mark, 1, MSG_NOSIGNAL);
    }
    if (round % 2)
        close(pair[1]);
    pa_socket_close(s, round % 5 == 0);
    pa_socket_release(s);
    if (round % 2 == 0)
        close(pair[1]);
    return submitted;
}

static void *close_many(void *argument)
{
    churn *c = argument;
    intptr_t submitted = 0;
    for (int i = 0; i < 5000; i++)
        submitted += open_and_close(c, i);
    return (void *)submitted;
}

static void descriptors_are_used_again_while_the_reactor_works(void)
{
    for (int threaded = 0; threaded < 2; threaded++) {
        world w = open_world(2, -1, threaded);
        churn c = {.w = &w};
        pthread_t takers[2], closers[2];
        void *count;
        intptr_t submitted = 0;
        for (int i = 0; i < 2; i++)
            takers[i] = start_thread(take_all, &c);
        for (int i = 0; i < 2; i++)
            closers[i] = start_thread(close_many, &c);
        for (int i = 0; i < 2; i++) {
            pthread_join(closers[i], &count);
            submitted += (intptr_t)count;
        }
        for (int i = 0; i < 5000 && atomic_load(&c.handed_out) < submitted; i++)
            usleep(1000);
        CHECK(atomic_load(&c.handed_out) == submitted);
        pa_port_close(w.port, NULL, NULL);
        for (int i = 0; i < 2; i++)
            pthread_join(takers[i], NULL);
        close_world(&w);
    }
}

/* -- accepts with first data, cancelled and closed while clients come -- */

static void *come_and_go(void *argument)
{
    struct sockaddr_in *name = argument;
    for (int i = 0; i < 1000; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)name, sizeof *name) == 0 && i % 3)
            send(fd, "hi", 2, MSG_NOSIGNAL);
        i % 2 ? reset_and_close(fd) : close(fd);
    }
    return NULL;
}

static void accepts_are_cancelled_while_clients_come(void)
{
    for (int threaded = 0; threaded < 2; threaded++) {
        world w = open_world(1, -1, threaded);
        int fd = bound_socket(SOCK_STREAM), handed_out = 0;
        struct sockaddr_in name = address_of(fd);
        MUST(listen(fd, 64) == 0);
        pa_socket *listener = pa_socket_new(w.engine, fd, 0, NULL);
        CHECK(pa_socket_attach(listener, w.port, NULL) == 0);
        pthread_t client = start_thread(come_and_go, &name);
        for (int i = 0; i < 1500; i++) {
            char into[8];
            pa_socket *acceptor = NULL;
            pa_op op = make_op(PA_ACCEPT, into, i % 2 ? 8 : 0);
            op.iov_count = i % 2;
            if (i % 3 == 0) {
                acceptor = pa_socket_new(w.engine, socket(AF_INET, SOCK_STREAM, 0), 0, NULL);
                op.acceptor = acceptor;
            }
            pa_answer answer = submit(listener, &op);
            if (answer == PA_PENDING && i % 4 == 0)
                pa_cancel(listener, &op);
            if (answer == PA_PENDING && i % 5 == 0 && acceptor)
                pa_socket_close(acceptor, false);
            if (answer != PA_REFUSED) {
                pa_op *got = take_within(w.port, w.self, 3 * MS);
                if (!got) {
                    pa_cancel(listener, NULL);
                    got = take(&w);
                }
                handed_out += got == &op;
                CHECK(got == &op);
                if (op.accepted >= 0)
                    close(op.accepted);
            }
            if (acceptor) {
                pa_socket_close(acceptor, false);
                pa_socket_release(acceptor);
            }
        }
        pa_socket_close(listener, false);   /* Whoever still comes is refused. */
        pa_socket_release(listener);
        pthread_join(client, NULL);
        CHECK(handed_out > 0);
        close_world(&w);
    }
}

/* -- a child of fork -- */

static void a_forked_child_closes_its_copies_and_leaves_the_parent_alone(void)
{
    world w = open_world(1, -1, true);
    int pair[2], status = -1;
    char byte;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    pa_socket *s = pa_socket_new(w.engine, pair[0], PA_CONNECTED, NULL);
    CHECK(pa_socket_attach(s, w.port, NULL) == 0);
    pa_op op = make_op(PA_RECV, &byte, 1);
    CHECK(submit(s, &op) == PA_PENDING);
    pid_t child = fork();
    if (child == 0) {
        pa_engine_after_fork(w.engine);
        pa_socket_close(s, false);
        pa_socket_release(s);
        pa_port_close(w.port, NULL, NULL);
        pa_thread_free(w.self);
        _exit(pa_socket_fd(s) == -1 ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(send(pair[1], "x", 1, 0) == 1);
    CHECK(take(&w) == &op && op.status == 0);
    close(pair[1]);
    pa_socket_close(s, false);
    pa_socket_release(s);
    close_world(&w);
}

static const test_case tests[] = {
    {"echoes with one worker", echoes_with_one_worker},
    {"echoes with four workers", echoes_with_four_workers},
    {"cancel and completion hand out each operation once",
     cancel_and_completion_hand_out_each_operation_once},
    {"descriptors are used again while the reactor works",
     descriptors_are_used_again_while_the_reactor_works},
    {"accepts are cancelled while clients come", accepts_are_cancelled_while_clients_come},
    {"a forked child closes its copies and leaves the parent alone",
     a_forked_child_closes_its_copies_and_leaves_the_parent_alone},
};

MAIN(tests)

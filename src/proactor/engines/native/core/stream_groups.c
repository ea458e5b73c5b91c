/* Groups: one packet to many streams, without an object for each. */
#include "stream_state.h"

#include <stdlib.h>

struct pa_group {
    pthread_mutex_t lock;          /* before the lock of any socket */
    pa_stream **members;           /* owned, a reference each; a hash table, open addressing */
    size_t count, capacity;        /* a power of two */
};

enum { FIRST_CAPACITY = 16 };

pa_group *pa_group_new(void)
{
    pa_group *group = calloc(1, sizeof *group);
    if (group)
        pthread_mutex_init(&group->lock, NULL);
    return group;
}

void pa_group_free(pa_group *group)
{
    for (size_t i = 0; i < group->capacity; i++)
        if (group->members[i])
            pa_stream_release(group->members[i]);
    free(group->members);
    pthread_mutex_destroy(&group->lock);
    free(group);
}

/* The slot number of a stream spreads well by itself: the low bits of its id. */
static size_t place_of(const pa_group *group, const pa_stream *stream)
{
    size_t place = (size_t)stream->id & (group->capacity - 1);
    while (group->members[place] && group->members[place] != stream)
        place = (place + 1) & (group->capacity - 1);
    return place;
}

static bool grow(pa_group *group)
{
    pa_group before = *group;
    size_t capacity = before.capacity ? before.capacity * 2 : FIRST_CAPACITY;
    pa_stream **members = calloc(capacity, sizeof *members);
    if (!members)
        return false;
    group->members = members;
    group->capacity = capacity;
    for (size_t i = 0; i < before.capacity; i++)
        if (before.members[i])
            members[place_of(group, before.members[i])] = before.members[i];
    free(before.members);
    return true;
}

int pa_group_add(pa_group *group, pa_stream *stream)
{
    int answer = 1;
    if (atomic_load(&stream->over))
        return 0;
    pthread_mutex_lock(&group->lock);
    if ((group->count + 1) * 2 > group->capacity && !grow(group)) {
        answer = -ENOMEM;
    } else {
        size_t place = place_of(group, stream);
        if (group->members[place]) {
            answer = 0;
        } else {
            pa_stream_hold(stream);
            group->members[place] = stream;
            group->count++;
        }
    }
    pthread_mutex_unlock(&group->lock);
    return answer;
}

/* Empty the place, and move up those that stand behind it only because it was taken. */
static void vacate(pa_group *group, size_t place)
{
    size_t mask = group->capacity - 1, next = place;
    group->members[place] = NULL;
    group->count--;
    while (group->members[next = (next + 1) & mask]) {
        pa_stream *moved = group->members[next];
        group->members[next] = NULL;
        group->members[place_of(group, moved)] = moved;
    }
}

bool pa_group_discard(pa_group *group, pa_stream *stream)
{
    bool was_member = false;
    pthread_mutex_lock(&group->lock);
    if (group->count) {
        size_t place = place_of(group, stream);
        was_member = group->members[place] != NULL;
        if (was_member)
            vacate(group, place);
    }
    pthread_mutex_unlock(&group->lock);
    if (was_member)
        pa_stream_release(stream);
    return was_member;
}

bool pa_group_has(pa_group *group, pa_stream *stream)
{
    pthread_mutex_lock(&group->lock);
    bool has = group->count && group->members[place_of(group, stream)]
               && !atomic_load(&stream->over);
    pthread_mutex_unlock(&group->lock);
    return has;
}

size_t pa_group_count(pa_group *group)
{
    size_t count = 0;
    pthread_mutex_lock(&group->lock);
    for (size_t i = 0; i < group->capacity; i++)
        count += group->members[i] && !atomic_load(&group->members[i]->over);
    pthread_mutex_unlock(&group->lock);
    return count;
}

size_t pa_group_broadcast(pa_group *group, pa_thread *self, const void *bytes, size_t length,
                          pa_shared *shared, uint64_t key, pa_stream *exclude, pa_stream **refused,
                          size_t room_for_refused)
{
    size_t count = 0, gone_count = 0, room = 0;
    pa_stream **gone = NULL;
    pthread_mutex_lock(&group->lock);
    for (size_t i = 0; i < group->capacity; i++) {
        pa_stream *member = group->members[i];
        if (!member || member == exclude || count == room_for_refused)
            continue;
        pa_send_answer answer = pa_stream_send(member, self, bytes, length, shared, key);
        if (answer == PA_FULL) {
            pa_stream_hold(member);
            refused[count++] = member;
        } else if (answer == PA_OVER && atomic_load(&member->over)) {
            if (gone_count == room) {
                pa_stream **more = realloc(gone, (room + 16) * 2 * sizeof *gone);
                if (!more)
                    continue;   /* The next broadcast finds them again. */
                room = (room + 16) * 2;
                gone = more;
            }
            gone[gone_count++] = member;
        }
    }
    for (size_t i = 0; i < gone_count; i++)
        vacate(group, place_of(group, gone[i]));
    pthread_mutex_unlock(&group->lock);
    for (size_t i = 0; i < gone_count; i++)
        pa_stream_release(gone[i]);
    free(gone);
    return count;
}

/* What every micro-benchmark has in common: its words, its cases, its one number.
 *
 * A program proves one choice. Each of its cases gives one figure and may have a bound; the number
 * of the program is the figure that comes nearest to its bound, or passes it furthest. Run as it is
 * a program measures every case once, prints that number with its bound, and ends with 0 (ok), 1
 * (over) or 3 (this system cannot, and why). `python -m benchmarks.micro` runs it case by case,
 * among others and in random order, and takes the best or the median of the repeats.
 */
#ifndef PROACTOR_MICRO_H
#define PROACTOR_MICRO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MICRO_PARTS = 8 };

/* One measurement: the figure, and what it was made of. The names are not copied. */
struct micro_result {
    double figure;
    unsigned parts;
    const char *names[MICRO_PARTS];
    double values[MICRO_PARTS];
};

struct micro_case {
    const char *name;
    double bound; /* 0: the figure stands for itself */
    const void *what;
};

struct micro {
    const char *number, *name; /* as in the table: "2b", "posted-and-streamed" */
    const char *title;         /* a sentence: what the figure is */
    const char *unit;          /* of the figure */
    const char *parts_unit;    /* of the parts */
    const char *choice;        /* among repeats: "median" or "best" */
    const char *reason;        /* for that choice */
    bool is_least;             /* the bound is the least that is allowed, not the most */
    unsigned repeats;          /* at most so many; 0: as many as are asked for */
    const struct micro_case *cases;
    unsigned count;
    /* Measure one case. `scale` is 1 for the usual length, less for shorter. */
    void (*run)(const void *what, double scale, struct micro_result *out);
};

int micro_main(const struct micro *micro, int count, char **words);

/* Add a part to a result. */
void micro_part(struct micro_result *out, const char *name, double value);

/* End the program: with 3 since this system cannot do it, or with 2 since a call failed, which
 * `what` names (its errno is told). */
_Noreturn void micro_cannot(const char *why);
_Noreturn void micro_failed(const char *what);
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) micro_failed(#condition);                                                \
    } while (0)

/* Nanoseconds of this thread on a CPU; of the monotonic clock. */
int64_t micro_cpu(void);
int64_t micro_now(void);

/* Return the median of `count` values, which it sorts. */
double micro_median(double *values, unsigned count);

/* Return a number below `limit`, from a sequence that begins anew in each process. */
unsigned micro_random(unsigned limit);

/* Return `usual * scale`, at least `least`. */
unsigned micro_scaled(unsigned usual, double scale, unsigned least);

/* Bind the calling thread to the first or the second CPU that it may use, if there are two. */
void micro_pin(unsigned which);

/* Let this process have as many descriptors as it may, and return how many; the program cannot run
 * where those are fewer than `least`. */
unsigned micro_raise_descriptors(unsigned least);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

/*
 * The product's half of `make bench`: what is measured, one sample at a time,
 * so that run.py can let it and the floor take turns. A failure ends the
 * process with its reason.
 */

/* A benchmark: prepared once, then sampled. file is "" where none is given. */
struct bench {
    const char *prefix; /* of the names that it takes */
    void *(*open)(const char *name, const char *file);
    double (*sample)(void *self);
};

extern const struct bench decode_bench;     /* events/s, us an event */
extern const struct bench train_bench;      /* us an example */
extern const struct bench infer_bench;      /* us an event */
extern const struct bench checkpoint_bench; /* ms, the longest gap */
extern const struct bench grow_bench;       /* ms, the longest batch */

double bench_now_us(void);

/* bench_random gives the next of a seeded sequence (splitmix64). */
uint64_t bench_random(uint64_t *state);

/* bench_fail prints why to stderr and ends the process. */
__attribute__((noreturn)) void bench_fail(const char *why);

void *bench_alloc(size_t count, size_t bytes);

#endif

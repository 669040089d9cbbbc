/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench NAME [FILE] prints "ready", then takes one sample for each line on
 * stdin and prints one number, as floor does.
 */
#include "tests/bench/bench.h"

#include "daemon/base/macros.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct bench *const benches[] = {
    &decode_bench, &train_bench, &infer_bench, &checkpoint_bench, &grow_bench,
};

double
bench_now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

uint64_t
bench_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void
bench_fail(const char *why)
{
    (void)fprintf(stderr, "bench: %s\n", why);
    exit(1);
}

void *
bench_alloc(size_t count, size_t bytes)
{
    void *p = calloc(count, bytes);

    if (p == NULL)
        bench_fail("out of memory");
    return p;
}

int
main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    const struct bench *b = NULL;
    char line[64];
    void *self;

    for (size_t i = 0; i < COUNT(benches); i++)
        if (strncmp(name, benches[i]->prefix, strlen(benches[i]->prefix)) == 0)
            b = benches[i];
    if (b == NULL)
        bench_fail("usage: bench NAME [FILE]");
    self = b->open(name, argc > 2 ? argv[2] : "");
    (void)printf("ready\n");
    (void)fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        (void)printf("%.6g\n", b->sample(self));
        (void)fflush(stdout);
    }
    return 0;
}

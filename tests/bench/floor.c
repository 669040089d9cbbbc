/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: the least that a step of the benchmarked model can take. Matrix
 * products of the same shapes through OpenBLAS, plus Adagrad updates of as
 * many random rows; no activation, loss, hash or gather. It shares no line
 * with the product and is frozen: a change here moves every ratio, and wants
 * a reason of its own.
 *
 *   floor NAME [FILE]
 *
 * prints "ready", then for each line on stdin takes one sample and prints one
 * number: microseconds an example (train.*, infer.*), events a second
 * (decode FILE), or milliseconds (checkpoint.pause_ms). `--parts` after a
 * train name prints "gemm rows" apart.
 */
#include <assert.h>
#include <cblas.h>
#undef I /* complex.h comes with it */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
    BATCH = 1024,
    FIELDS = 8,
    WIDTH = 16,
    ROW = 2 * WIDTH, /* parameters, then their accumulators */
    LAYERS = 3,
    BATCHES = 64, /* a sample */
    RING = 512,   /* of batches, walked round by the samples */
    AHEAD = 12,   /* rows to prefetch */
};

static const size_t dims[LAYERS + 1] = {128, 128, 64, 1};

struct work {
    size_t B;
    size_t threads;
    size_t rows; /* of each of the FIELDS tables */
    float *table[FIELDS];
    uint32_t *ids; /* (RING, FIELDS, B) */
    size_t next;   /* batch in the ring */
    float *act[LAYERS + 1];
    float *dact[LAYERS + 1];
    float *weight[LAYERS];
    float *dweight[2][LAYERS]; /* a thread */
    atomic_uint arrived;
    atomic_uint round;
    double us[2]; /* gemm, rows */
};

static double
now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static uint64_t
next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static float *
floats_new(size_t n, float value)
{
    size_t bytes = n * sizeof(float);
    float *p;

    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
             -1, 0);
    assert(p != MAP_FAILED);
    (void)madvise(p, bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < n; i++)
        p[i] = value;
    return p;
}

/* Zipf with exponent 1.05 over the rows, ranks spread over the table. */
static void
draw_zipf(uint32_t *ids, size_t n, size_t rows, uint64_t *state)
{
    double *sum = malloc(rows * sizeof(*sum));
    uint32_t *place = malloc(rows * sizeof(*place));
    double total = 0;

    assert(sum != NULL && place != NULL);
    for (size_t i = 0; i < rows; i++) {
        size_t j = next_random(state) % (i + 1);

        total += pow((double)(i + 1), -1.05);
        sum[i] = total;
        place[i] = place[j];
        place[j] = (uint32_t)i;
    }
    for (size_t i = 0; i < n; i++) {
        double want = (double)(next_random(state) >> 11) * 0x1p-53 * total;
        size_t low = 0;
        size_t high = rows - 1;

        while (low < high) {
            size_t mid = (low + high) / 2;

            if (sum[mid] < want)
                low = mid + 1;
            else
                high = mid;
        }
        ids[i] = place[low];
    }
    free(place);
    free(sum);
}

static void
work_init(struct work *w, size_t B, size_t rows_total, size_t threads,
          bool zipf)
{
    size_t id_count = (size_t)RING * FIELDS * B;
    uint64_t state = 7;

    memset(w, 0, sizeof(*w));
    w->B = B;
    w->threads = threads;
    w->rows = rows_total / FIELDS;
    for (size_t f = 0; f < FIELDS; f++)
        w->table[f] = floats_new(w->rows * ROW, 0.1f);
    w->ids = malloc(id_count * sizeof(*w->ids));
    assert(w->ids != NULL);
    for (size_t i = 0; i < id_count && !zipf; i++)
        w->ids[i] = (uint32_t)(next_random(&state) % w->rows);
    if (zipf)
        draw_zipf(w->ids, id_count, w->rows, &state);
    for (size_t l = 0; l <= LAYERS; l++) {
        w->act[l] = floats_new(B * dims[l], 0.5f);
        w->dact[l] = floats_new(B * dims[l], 1e-3f);
    }
    for (size_t l = 0; l < LAYERS; l++) {
        w->weight[l] = floats_new(dims[l + 1] * dims[l], 0.01f);
        w->dweight[0][l] = floats_new(dims[l + 1] * dims[l], 0.0f);
        w->dweight[1][l] = floats_new(dims[l + 1] * dims[l], 0.0f);
    }
}

/* y (B, O) = x (B, I) w^T (O, I) */
static void
forward(float *y, const float *x, const float *w, size_t B, size_t O, size_t I)
{
    if (B == 1)
        cblas_sgemv(CblasRowMajor, CblasNoTrans, (int)O, (int)I, 1.0f, w,
                    (int)I, x, 1, 0.0f, y, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)B, (int)O,
                    (int)I, 1.0f, x, (int)I, w, (int)I, 0.0f, y, (int)O);
}

/* All products of a step, for the thread's share of the batch. */
static void
multiply(struct work *w, size_t thread)
{
    size_t B = w->B / w->threads;
    size_t first = thread * B;

    for (size_t l = 0; l < LAYERS; l++)
        forward(w->act[l + 1] + first * dims[l + 1],
                w->act[l] + first * dims[l], w->weight[l], B, dims[l + 1],
                dims[l]);
    for (size_t l = LAYERS; l-- > 0;) {
        int O = (int)dims[l + 1];
        int I = (int)dims[l];
        const float *dy = w->dact[l + 1] + first * dims[l + 1];
        const float *x = w->act[l] + first * dims[l];
        float *dx = w->dact[l] + first * dims[l];

        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, O, I, (int)B, 1.0f,
                    dy, O, x, I, 0.0f, w->dweight[thread][l], I);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)B, I, O,
                    1.0f, dy, O, w->weight[l], I, 0.0f, dx, I);
    }
}

/* Adagrad on the rows of the thread's tables; gradients lie in dact[0]. */
static void
update(struct work *w, size_t thread, size_t batch)
{
    for (size_t f = thread; f < FIELDS; f += w->threads) {
        const uint32_t *ids = w->ids + (batch * FIELDS + f) * w->B;
        float *table = w->table[f];

        for (size_t b = 0; b < w->B; b++) {
            size_t later = ids[b + AHEAD < w->B ? b + AHEAD : b];
            float *row = table + (size_t)ids[b] * ROW;
            const float *g = w->dact[0] + b * dims[0] + f * WIDTH;

            __builtin_prefetch(table + later * ROW, 1);
            __builtin_prefetch(table + later * ROW + WIDTH, 1);
            for (size_t i = 0; i < WIDTH; i++) {
                float a = row[WIDTH + i] + g[i] * g[i];

                row[WIDTH + i] = a;
                row[i] -= 0.01f * g[i] / (sqrtf(a) + 1e-8f);
            }
        }
    }
}

/* Waits for the other thread; spins a little, then gives way. */
static void
meet(struct work *w)
{
    unsigned round = atomic_load(&w->round);

    if (w->threads == 1)
        return;
    if (atomic_fetch_add(&w->arrived, 1) + 1 == w->threads) {
        atomic_store(&w->arrived, 0);
        atomic_store(&w->round, round + 1);
        return;
    }
    for (unsigned i = 0; atomic_load(&w->round) == round; i++)
        if (i > 20000)
            (void)sched_yield();
}

static void
run_share(struct work *w, size_t thread)
{
    for (size_t batch = 0; batch < BATCHES; batch++) {
        double start = now_us();
        double middle;

        multiply(w, thread);
        meet(w);
        middle = now_us();
        update(w, thread, (w->next + batch) % RING);
        meet(w);
        if (thread == 0) {
            w->us[0] += middle - start;
            w->us[1] += now_us() - middle;
        }
    }
}

static void *
help(void *arg)
{
    run_share(arg, 1);
    return NULL;
}

static double
sample_train(struct work *w)
{
    double start = now_us();
    pthread_t helper;

    w->us[0] = 0;
    w->us[1] = 0;
    if (w->threads > 1 && pthread_create(&helper, NULL, help, w) != 0)
        abort();
    run_share(w, 0);
    if (w->threads > 1)
        (void)pthread_join(helper, NULL);
    w->next += BATCHES;
    return (now_us() - start) / (double)(BATCHES * w->B);
}

/* Rows gathered and multiplied forward: what an answer cannot do without. */
static double
sample_infer(struct work *w)
{
    size_t rounds = 65536 / w->B;
    double start = now_us();

    for (size_t r = 0; r < rounds; r++) {
        const uint32_t *ids = w->ids + (r % RING) * FIELDS * w->B;

        for (size_t b = 0; b < w->B; b++)
            for (size_t f = 0; f < FIELDS; f++)
                memcpy(w->act[0] + b * dims[0] + f * WIDTH,
                       w->table[f] + (size_t)ids[f * w->B + b] * ROW,
                       WIDTH * sizeof(float));
        for (size_t l = 0; l < LAYERS; l++)
            forward(w->act[l + 1], w->act[l], w->weight[l], w->B, dims[l + 1],
                    dims[l]);
    }
    return (now_us() - start) / (double)(rounds * w->B);
}

/* How long training stands still at most while 1 GiB is copied, a MiB between
 * two steps. */
static double
sample_pause(struct work *w)
{
    const size_t slice = 1u << 20;
    static char copy[1u << 20];
    size_t total = FIELDS * w->rows * ROW * sizeof(float);
    double longest = 0;

    for (size_t done = 0; done + slice <= total; done += slice) {
        size_t per_table = w->rows * ROW * sizeof(float);
        const char *from = (const char *)w->table[done / per_table];
        size_t at = done % per_table;
        double stopped;
        double took;

        multiply(w, 0);
        update(w, 0, (done / slice) % RING);
        stopped = now_us();
        if (at + slice <= per_table)
            memcpy(copy, from + at, slice);
        took = now_us() - stopped;
        if (took > longest)
            longest = took;
    }
    return longest / 1000.0;
}

/* A hop from quote to quote: every scanner of JSON must find them. */
static double
sample_decode(const char *text, size_t bytes)
{
    const char *end = text + bytes;
    size_t quotes = 0;
    size_t lines = 0;
    double start = now_us();

    for (const char *p = text; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));

        if (stop == NULL)
            break;
        while ((p = memchr(p, '"', (size_t)(stop - p))) != NULL) {
            quotes++;
            p++;
        }
        p = stop + 1;
        lines++;
    }
    assert(quotes > lines);
    return (double)lines / (now_us() - start) * 1e6;
}

static char *
read_all(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    char *text;
    long n;

    if (f == NULL) {
        perror(path);
        exit(66);
    }
    (void)fseek(f, 0, SEEK_END);
    n = ftell(f);
    assert(n > 0);
    rewind(f);
    text = malloc((size_t)n);
    assert(text != NULL);
    *bytes = fread(text, 1, (size_t)n, f);
    (void)fclose(f);
    return text;
}

/* Reads the name: train.{uniform,zipf}.{1e6,1e8}[.t2], infer.N, ... */
static void
prepare(struct work *w, const char *name)
{
    bool is_train = strncmp(name, "train.", 6) == 0;
    size_t threads = strstr(name, ".t2") != NULL ? 2 : 1;
    size_t rows = strstr(name, "1e8") != NULL ? 100000000u : 1000000u;
    size_t B = BATCH;

    if (strncmp(name, "infer.", 6) == 0)
        B = (size_t)strtoul(name + 6, NULL, 10);
    else if (strcmp(name, "checkpoint.pause_ms") == 0)
        rows = (1u << 30) / (ROW * sizeof(float));
    else
        assert(is_train);
    assert(B > 0 && B <= BATCH);
    work_init(w, B, rows, threads, strstr(name, ".zipf") != NULL);
}

int
main(int argc, char **argv)
{
    static struct work w;
    const char *name = argc > 1 ? argv[1] : "";
    bool parts = argc > 2 && strcmp(argv[2], "--parts") == 0;
    char *text = NULL;
    size_t bytes = 0;
    char line[64];

    openblas_set_num_threads(1);
    if (strcmp(name, "decode") == 0 && argc == 3) {
        text = read_all(argv[2], &bytes);
    } else if (argc >= 2 && strcmp(name, "decode") != 0) {
        prepare(&w, name);
    } else {
        (void)fprintf(stderr, "usage: floor NAME [FILE|--parts]\n");
        return 64;
    }
    (void)printf("ready\n");
    (void)fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        double value;

        if (text != NULL)
            value = sample_decode(text, bytes);
        else if (strncmp(name, "infer.", 6) == 0)
            value = sample_infer(&w);
        else if (strcmp(name, "checkpoint.pause_ms") == 0)
            value = sample_pause(&w);
        else
            value = sample_train(&w);
        if (parts)
            (void)printf("%.4f %.4f\n", w.us[0] / (double)(BATCHES * w.B),
                         w.us[1] / (double)(BATCHES * w.B));
        else
            (void)printf("%.6g\n", value);
        (void)fflush(stdout);
    }
    free(text);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Curves as bytes: little-endian, numbers by their bits, histograms without
 * their empty bins, so that a curve takes some 100 KiB at most.
 */
#include "stages/model/curve_priv.h"

#include "daemon/base/object.h"

#include <math.h>
#include <string.h>

#define FORMAT_VERSION 1u
#define WIDTH_MAX      (1u << 20)

/* ---- Writing; the first failure sticks ---- */

struct writer {
    struct bytes *out;
    enum status st;
    struct error *err;
};

static void
put_bytes(struct writer *w, const void *data, size_t n)
{
    if (w->st == STATUS_OK)
        w->st = bytes_append(w->out, data, n, w->err);
}

static void
put_fixed(struct writer *w, uint64_t value, size_t n)
{
    unsigned char buf[8];

    for (size_t i = 0; i < n; i++)
        buf[i] = (unsigned char)(value >> (8 * i));
    put_bytes(w, buf, n);
}

static void
put_count(struct writer *w, uint64_t value)
{
    unsigned char buf[10];
    size_t n = 0;

    while (value >= 0x80) {
        buf[n++] = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    buf[n++] = (unsigned char)value;
    put_bytes(w, buf, n);
}

static void
put_double(struct writer *w, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    put_fixed(w, bits, 8);
}

static void
put_floats(struct writer *w, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, &values[i], sizeof(bits));
        put_fixed(w, bits, 4);
    }
}

/* A whole number w as count 2w, any other as 1 and its bits. */
static void
put_weight(struct writer *w, double value)
{
    if (value >= 0.0 && value < 0x1p52 && !(floor(value) < value)) {
        put_count(w, (uint64_t)value << 1);
        return;
    }
    put_count(w, 1);
    put_double(w, value);
}

static void
put_bins(struct writer *w, const double *bins, size_t n)
{
    size_t used = 0;
    size_t last = 0;

    for (size_t i = 0; i < n; i++)
        used += bins[i] < 0.0 || bins[i] > 0.0;
    put_count(w, used);
    for (size_t i = 0; i < n; i++) {
        if (!(bins[i] < 0.0 || bins[i] > 0.0))
            continue;
        put_count(w, i - last);
        put_weight(w, bins[i]);
        last = i;
    }
}

static void
put_cell(struct writer *w, const struct curve_cell *cell)
{
    const struct quality *q = &cell->all;

    put_count(w, q->rows);
    put_double(w, q->weight);
    put_double(w, q->outcome);
    put_double(w, q->prediction);
    put_double(w, q->loss);
    put_double(w, cell->distance);
    put_bins(w, q->positive, QUALITY_BINS);
    put_bins(w, q->negative, QUALITY_BINS);
    for (size_t s = 0; s < CURVE_SLICES; s++) {
        const struct curve_slice *slice = &cell->slices[s];

        put_double(w, slice->weight);
        put_double(w, slice->outcome);
        put_double(w, slice->loss);
        put_bins(w, slice->positive, SLICE_BINS);
        put_bins(w, slice->negative, SLICE_BINS);
    }
}

static void
put_series(struct writer *w, const struct curve *c, size_t task)
{
    const struct curve_series *s = &c->series[task];

    for (size_t m = 0; m < CURVE_MODELS; m++)
        put_cell(w, &s->cells[m]);
    for (size_t i = 0; i < CURVE_MARKS; i++) {
        put_double(w, s->marks[i].score);
        put_double(w, s->marks[i].loss);
        put_count(w, s->marks[i].as_good_score);
        put_count(w, s->marks[i].as_good_loss);
        put_double(w, s->marks[i].score_gap);
        put_double(w, s->marks[i].loss_gap);
        put_count(w, s->marks[i].as_close_score);
        put_count(w, s->marks[i].as_close_loss);
    }
    for (size_t i = 0; i < c->point_count; i++) {
        const struct curve_point *p = &s->points[i];

        put_count(w, p->examples);
        put_floats(w, p->score, CURVE_MODELS);
        put_floats(w, p->loss, CURVE_MODELS);
        put_floats(w, p->window_score, CURVE_MODELS);
        put_floats(w, p->window_loss, CURVE_MODELS);
    }
}

enum status
curve_encode(const struct curve *c, struct bytes *out, struct error *err)
{
    struct writer w = {.out = out, .st = STATUS_OK, .err = err};
    const struct curve_spec *spec;

    OBJ_CHECK(c, CURVE_MAGIC);
    assert(out != NULL && err != NULL);
    spec = &c->spec;
    put_count(&w, FORMAT_VERSION);
    put_count(&w, spec->task_count);
    for (size_t t = 0; t < spec->task_count; t++) {
        const struct curve_task *task = &spec->tasks[t];

        put_count(&w, strlen(task->name));
        put_bytes(&w, task->name, strlen(task->name));
        put_count(&w, (uint64_t)task->kind);
        put_count(&w, task->width);
        put_count(&w, task->column);
        put_count(&w, task->has_teacher);
    }
    put_count(&w, spec->has_baseline);
    put_count(&w, spec->window);
    put_count(&w, spec->point_every);
    put_fixed(&w, (uint64_t)spec->judge_from_ms, 8);
    put_count(&w, c->examples);
    put_count(&w, c->judged);
    put_count(&w, c->spacing);
    put_count(&w, c->slice_filled);
    put_count(&w, c->slice_now);
    put_count(&w, c->point_count);
    for (size_t t = 0; t < spec->task_count; t++)
        put_series(&w, c, t);
    return w.st;
}

/* ---- Reading; what does not fit sets is_bad, which sticks ---- */

struct reader {
    const unsigned char *data;
    size_t left;
    bool is_bad;
};

static uint64_t
get_fixed(struct reader *r, size_t n)
{
    uint64_t value = 0;

    if (r->is_bad || r->left < n) {
        r->is_bad = true;
        return 0;
    }
    for (size_t i = 0; i < n; i++)
        value |= (uint64_t)r->data[i] << (8 * i);
    r->data += n;
    r->left -= n;
    return value;
}

static uint64_t
get_count(struct reader *r, uint64_t max)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint64_t part = get_fixed(r, 1);

        value |= (part & 0x7f) << shift;
        if ((part & 0x80) == 0)
            break;
        r->is_bad |= shift == 63;
    }
    if (r->is_bad || value > max) {
        r->is_bad = true;
        return 0;
    }
    return value;
}

static double
get_double(struct reader *r)
{
    uint64_t bits = get_fixed(r, 8);
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* A sum: finite. */
static double
get_sum(struct reader *r)
{
    double value = get_double(r);

    if (!isfinite(value))
        r->is_bad = true;
    return value;
}

static void
get_floats(struct reader *r, float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)get_fixed(r, 4);

        memcpy(&values[i], &bits, sizeof(bits));
    }
}

static void
get_bins(struct reader *r, double *bins, size_t n)
{
    uint64_t used = get_count(r, n);
    uint64_t at = 0;

    for (uint64_t i = 0; i < used && !r->is_bad; i++) {
        uint64_t weight;

        at += get_count(r, n - 1 - at);
        weight = get_count(r, UINT64_MAX);
        bins[at] = weight == 1 ? get_sum(r) : (double)(weight >> 1);
    }
}

static void
get_cell(struct reader *r, struct curve_cell *cell)
{
    struct quality *q = &cell->all;

    q->rows = get_count(r, UINT64_MAX);
    q->weight = get_sum(r);
    q->outcome = get_sum(r);
    q->prediction = get_sum(r);
    q->loss = get_sum(r);
    cell->distance = get_sum(r);
    get_bins(r, q->positive, QUALITY_BINS);
    get_bins(r, q->negative, QUALITY_BINS);
    for (size_t s = 0; s < CURVE_SLICES; s++) {
        struct curve_slice *slice = &cell->slices[s];

        slice->weight = get_sum(r);
        slice->outcome = get_sum(r);
        slice->loss = get_sum(r);
        get_bins(r, slice->positive, SLICE_BINS);
        get_bins(r, slice->negative, SLICE_BINS);
    }
}

static void
get_series(struct reader *r, struct curve_series *s, size_t point_count)
{
    for (size_t m = 0; m < CURVE_MODELS; m++)
        get_cell(r, &s->cells[m]);
    for (size_t i = 0; i < CURVE_MARKS; i++) {
        s->marks[i].score = get_double(r);
        s->marks[i].loss = get_double(r);
        s->marks[i].as_good_score = get_count(r, UINT64_MAX);
        s->marks[i].as_good_loss = get_count(r, UINT64_MAX);
        s->marks[i].score_gap = get_double(r);
        s->marks[i].loss_gap = get_double(r);
        s->marks[i].as_close_score = get_count(r, UINT64_MAX);
        s->marks[i].as_close_loss = get_count(r, UINT64_MAX);
    }
    for (size_t i = 0; i < point_count && !r->is_bad; i++) {
        struct curve_point *p = &s->points[i];

        p->examples = get_count(r, UINT64_MAX);
        get_floats(r, p->score, CURVE_MODELS);
        get_floats(r, p->loss, CURVE_MODELS);
        get_floats(r, p->window_score, CURVE_MODELS);
        get_floats(r, p->window_loss, CURVE_MODELS);
    }
}

static void
get_spec(struct reader *r, struct curve_spec *spec)
{
    spec->task_count = get_count(r, CURVE_TASKS_MAX);
    for (size_t t = 0; t < spec->task_count && !r->is_bad; t++) {
        struct curve_task *task = &spec->tasks[t];
        size_t len = get_count(r, sizeof(task->name) - 1);

        for (size_t i = 0; i < len; i++)
            task->name[i] = (char)get_fixed(r, 1);
        r->is_bad |= strlen(task->name) != len;
        task->kind = (enum task_kind)get_count(r, TASK_REGRESSION);
        task->width = get_count(r, WIDTH_MAX);
        task->column = get_count(r, WIDTH_MAX);
        task->has_teacher = get_count(r, 1) != 0;
    }
    spec->has_baseline = get_count(r, 1) != 0;
    spec->window = get_count(r, UINT64_MAX);
    spec->point_every = get_count(r, UINT64_MAX);
    spec->judge_from_ms = (int64_t)get_fixed(r, 8);
    r->is_bad |= !curve_spec_check(spec);
}

static void
get_state(struct reader *r, struct curve *c)
{
    c->examples = get_count(r, UINT64_MAX);
    c->judged = get_count(r, c->examples);
    c->spacing = get_count(r, UINT64_MAX);
    c->slice_filled = get_count(r, c->spec.window / CURVE_SLICES);
    c->slice_now = get_count(r, CURVE_SLICES - 1);
    c->point_count = get_count(r, CURVE_POINTS_MAX);
    r->is_bad |= c->spacing == 0;
    for (size_t t = 0; t < c->spec.task_count && !r->is_bad; t++)
        get_series(r, &c->series[t], c->point_count);
    r->is_bad |= r->left > 0;
}

enum status
curve_decode(struct curve **out, const void *data, size_t len,
             struct error *err)
{
    struct reader r = {.data = data, .left = len};
    struct curve_spec spec = {0};
    struct curve *c = NULL;
    enum status st = STATUS_OK;

    assert(out != NULL && data != NULL && err != NULL);
    *out = NULL;
    if (get_count(&r, UINT64_MAX) != FORMAT_VERSION || r.is_bad)
        return error_set(err, STATUS_BADDATA,
                         "quality curves: not of format version %u",
                         FORMAT_VERSION);
    get_spec(&r, &spec);
    if (!r.is_bad) {
        st = curve_new(&c, &spec, err);
        if (st != STATUS_OK)
            goto out;
        get_state(&r, c);
    }
    if (r.is_bad) {
        st =
            error_set(err, STATUS_BADDATA,
                      "quality curves: %zu bytes that are cut or damaged", len);
        goto out;
    }
    *out = c;
    c = NULL;

out:
    curve_free(&c);
    return st;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Choosing: probabilities by the way of choosing, then draws. A student thinks
 * on a thread of its own; the other ways are done at once.
 */
#include "stages/annotate/sample.h"

#include "stages/annotate/draw.h"
#include "stages/annotate/sightings.h"
#include "stages/annotate/student.h"
#include "stages/event/batch_columns.h"
#include "stages/event/decoder.h"
#include "stages/settings.h"
#include "stages/shape.h"

#include "daemon/base/clock.h"
#include "daemon/base/object.h"
#include "daemon/io/log_file.h"
#include "daemon/io/worker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLER_MAGIC 0x53414d50u
#define RATE_MIN      1e-6
#define BURST_SECONDS 1.0

/* Of `turn` in draw_bits: the turns of imagined events are small. */
#define DRAW_ASK (UINT64_C(1) << 31)

struct segment {
    uint64_t id;
    double rate;
};

struct sampler {
    unsigned magic;
    struct pipeline *pipeline;
    const struct settings *settings;
    struct sampler_spec spec;
    struct segment segments[SAMPLE_SEGMENTS_MAX];
    size_t segment_count;
    size_t columns[FEATURES_MAX]; /* that segments or novelty look at */
    size_t column_count;
    struct sightings *sightings; /* novelty */
    struct student *student;     /* uncertainty */
    struct worker *worker;       /* its thread */
    double tokens;               /* events that may be asked about now */
    uint64_t refilled_ns;
    bool is_stopping;
};

/* ---- probabilities ---- */

static double
rate_of_segment(const struct sampler *s, uint64_t id)
{
    for (size_t i = 0; i < s->segment_count; i++) {
        if (s->segments[i].id == id)
            return s->segments[i].rate;
    }
    return s->settings->teacher_sample_rate;
}

static uint32_t
count_ids(struct sampler *s, const uint64_t *ids, size_t n, uint32_t least)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t before;

        if (ids[i] == ID_MISSING)
            continue;
        before = sightings_add(s->sightings, ids[i]);
        least = before < least ? before : least;
    }
    return least;
}

/* Counts a row's ids and gives the sightings of the least seen one before. */
static uint32_t
see_row(struct sampler *s, const struct columns *c, size_t row)
{
    uint32_t least = UINT32_MAX;

    for (size_t i = 0; i < s->column_count; i++) {
        const struct column *f = &c->features[s->columns[i]];

        if (f->kind == FEATURE_BAG)
            least = count_ids(s, f->ids + f->offsets[row],
                              f->offsets[row + 1] - f->offsets[row], least);
        else
            least = count_ids(s, f->ids + row, 1, least);
    }
    return least;
}

/* How much a row deserves a question between the two rates. doubts (B) are the
 * student's. */
static double
row_rate(struct sampler *s, const struct batch *b, size_t row)
{
    const struct settings *set = s->settings;
    double span = set->teacher_sample_rate_high - set->teacher_sample_rate;

    switch (set->teacher_sample_by) {
    case SAMPLE_BY_SEGMENT:
        return rate_of_segment(s, b->columns->features[s->columns[0]].ids[row]);
    case SAMPLE_BY_NOVELTY:
        return set->teacher_sample_rate +
               span / (1.0 + (double)see_row(s, b->columns, row));
    case SAMPLE_BY_UNCERTAINTY:
        return set->teacher_sample_rate + span * (double)b->ask_rate[row];
    case SAMPLE_BY_NONE:
    case SAMPLE_BY_RATE:
        break;
    }
    return set->teacher_sample_rate;
}

/* What all probabilities are multiplied with so that the cap holds: the bucket
 * has so many tokens, and so many questions are wanted. */
static double
cap_factor(struct sampler *s, double wanted)
{
    double cap = s->settings->teacher_sample_per_second;
    uint64_t now_ns = clock_now_ns();

    if (cap == 0.0)
        return 1.0;
    s->tokens += cap * (double)(now_ns - s->refilled_ns) / 1e9;
    s->refilled_ns = now_ns;
    s->tokens = fmin(s->tokens, cap * BURST_SECONDS);
    if (wanted <= s->tokens)
        return 1.0;
    return s->tokens > 0.0 ? s->tokens / wanted : 0.0;
}

static void
choose(struct sampler *s, struct batch *b)
{
    size_t n = b->columns->row_count;
    double wanted = 0.0;
    double factor;

    for (size_t row = 0; row < n; row++) {
        b->ask_rate[row] = (float)row_rate(s, b, row);
        wanted += (double)b->ask_rate[row];
    }
    factor = cap_factor(s, wanted);
    for (size_t row = 0; row < n; row++) {
        double rate = fmax((double)b->ask_rate[row] * factor, RATE_MIN);
        double drawn = draw_unit(s->settings->teacher_seed,
                                 &b->rows[row].source, DRAW_ASK);

        b->ask_rate[row] = (float)rate;
        b->is_chosen[row] = drawn < (double)b->ask_rate[row];
        s->tokens -= b->is_chosen[row];
    }
    b->chosen_by = settings_sample_way(s->settings->teacher_sample_by);
}

/* ---- the student's thread ---- */

static void
on_work(void *ctx, void *item)
{
    struct sampler *s = ctx;
    struct batch *b = item;

    student_doubt(s->student, b->columns, b->ask_rate);
}

static void
on_done(void *ctx, void *item)
{
    struct sampler *s = ctx;

    choose(s, item);
    s->spec.on_chosen(s->spec.ctx, item);
}

static void
on_worker_stopped(void *ctx)
{
    struct sampler *s = ctx;

    s->spec.on_stopped(s->spec.ctx);
}

/* ---- opening ---- */

static size_t
find_feature(const struct settings *s, const char *name)
{
    size_t i = 0;

    while (i < s->feature_count && strcmp(s->features[i].name, name) != 0)
        i++;
    return i;
}

static bool
has_ids(const struct event_feature *f)
{
    enum feature_kind kind = event_column_kind(f);

    return kind == FEATURE_CATEGORICAL || kind == FEATURE_BAG;
}

static void
find_segments(struct sampler *s)
{
    const struct setting_properties *rates = &s->settings->teacher_sample_rates;
    const char *name = s->settings->teacher_sample_feature;

    s->columns[s->column_count++] = find_feature(s->settings, name);
    for (size_t i = 0; i < rates->count; i++) {
        const struct setting_property *p = &rates->items[i];

        s->segments[s->segment_count++] = (struct segment){
            .id = feature_id(name, p->name, strlen(p->name)),
            .rate = strtod(p->value, NULL), /* as settings_check has seen */
        };
    }
}

static void
find_columns(struct sampler *s)
{
    const struct event_spec *events = event_shape_spec(s->pipeline->events);
    const struct setting_strings *names = &s->settings->teacher_sample_ids;

    for (size_t i = 0; i < names->count; i++)
        s->columns[s->column_count++] =
            find_feature(s->settings, names->items[i]);
    for (size_t i = 0; names->count == 0 && i < events->feature_count; i++) {
        if (has_ids(&events->features[i]))
            s->columns[s->column_count++] = i;
    }
}

static bool
is_before(const struct log_position *at, const struct positions *start)
{
    const struct log_position *end = &start->at[0];

    return start->count > 0 &&
           (at->partition < end->partition ||
            (at->partition == end->partition && at->offset < end->offset));
}

/* Counts the lines of a chunk that are before the start; false: not all. */
static bool
count_lines(struct sampler *s, struct decoder *d, struct columns *c,
            struct log_chunk *chunk)
{
    struct log_position at = chunk->first;
    struct log_line line;
    struct error ignored;

    while (log_chunk_next(chunk, &line)) {
        at.offset = line.offset;
        if (!is_before(&at, &s->pipeline->start))
            return false;
        columns_clear(c);
        if (!chunk->is_cut && decoder_decode(d, line.data, line.bytes, c, 0,
                                             NULL, &ignored) == STATUS_OK)
            (void)see_row(s, c, 0);
    }
    return true;
}

/* Of a file log, counts what lies before the start, as if it had been chosen
 * from in this run. */
static enum status
count_past(struct sampler *s, struct error *err)
{
    const struct event_spec *events = event_shape_spec(s->pipeline->events);
    size_t bytes_max = s->settings->events_record_bytes_max;
    struct log_position origin = {0, 0};
    struct log_reader *reader = NULL;
    struct log_chunk *chunk = NULL;
    struct decoder *d = NULL;
    struct columns *c = NULL;
    enum status st;

    if (!is_before(&origin, &s->pipeline->start))
        return STATUS_OK;
    st = decoder_new(&d, events, err);
    if (st == STATUS_OK)
        st = columns_new(&c, events, 1, err);
    if (st == STATUS_OK)
        st = log_chunk_new(&chunk, bytes_max, err);
    if (st == STATUS_OK)
        st = log_reader_open(&reader, s->settings->events_path, LOG_TAIL_WAIT,
                             bytes_max, origin, err);
    while (st == STATUS_OK) {
        st = log_reader_read(reader, chunk, err);
        if (st == STATUS_OK && !count_lines(s, d, c, chunk))
            break;
    }
    log_reader_close(&reader);
    log_chunk_free(&chunk);
    columns_free(&c);
    decoder_free(&d);
    return st == STATUS_END ? STATUS_OK : st;
}

static enum status
open_novelty(struct sampler *s, struct error *err)
{
    enum status st = sightings_new(&s->sightings, err);

    find_columns(s);
    if (st == STATUS_OK && s->settings->events_log == LOG_KIND_FILE)
        st = count_past(s, err);
    return st;
}

static enum status
open_student(struct sampler *s, struct error *err)
{
    const struct settings *set = s->settings;
    struct worker_spec worker = {
        .name = "student",
        .slots = set->pipeline_batches,
        .ctx = s,
        .work = on_work,
        .done = on_done,
        .stopped = on_worker_stopped,
    };
    enum status st =
        student_open(&s->student, set->teacher_sample_student,
                     event_shape_spec(s->pipeline->events), set->teacher_batch,
                     set->events_log == LOG_KIND_KAFKA, err);

    if (st == STATUS_OK)
        st = worker_new(&s->worker, s->pipeline->loop, &worker, err);
    return st;
}

enum status
sampler_open(struct sampler **out, struct pipeline *p,
             const struct sampler_spec *spec, struct error *err)
{
    struct sampler *s = calloc(1, sizeof(*s));
    enum status st = STATUS_OK;

    *out = NULL;
    if (s == NULL)
        return error_set(err, STATUS_NOMEM, "no memory to sample events");
    s->magic = SAMPLER_MAGIC;
    s->pipeline = p;
    s->settings = p->settings;
    s->spec = *spec;
    s->refilled_ns = clock_now_ns();
    s->tokens = p->settings->teacher_sample_per_second * BURST_SECONDS;
    if (p->settings->teacher_sample_by == SAMPLE_BY_SEGMENT)
        find_segments(s);
    else if (p->settings->teacher_sample_by == SAMPLE_BY_NOVELTY)
        st = open_novelty(s, err);
    else if (p->settings->teacher_sample_by == SAMPLE_BY_UNCERTAINTY)
        st = open_student(s, err);
    if (st != STATUS_OK) {
        sampler_free(&s);
        return st;
    }
    *out = s;
    return STATUS_OK;
}

void
sampler_free(struct sampler **self)
{
    struct sampler *s;

    if (*self == NULL)
        return;
    OBJ_TAKE(s, self, SAMPLER_MAGIC);
    worker_free(&s->worker);
    student_free(&s->student);
    sightings_free(&s->sightings);
    s->magic = 0;
    free(s);
}

void
sampler_take(struct sampler *s, struct batch *b)
{
    void *item = b;
    enum status st;

    OBJ_CHECK(s, SAMPLER_MAGIC);
    assert(!s->is_stopping);
    if (s->worker == NULL) {
        choose(s, b);
        s->spec.on_chosen(s->spec.ctx, b);
        return;
    }
    st = worker_offer(s->worker, &item);
    assert(st == STATUS_OK); /* as many slots as batches */
}

void
sampler_stop(struct sampler *s)
{
    OBJ_CHECK(s, SAMPLER_MAGIC);
    if (s->is_stopping)
        return;
    s->is_stopping = true;
    if (s->worker != NULL)
        worker_stop(s->worker);
    else
        s->spec.on_stopped(s->spec.ctx);
}

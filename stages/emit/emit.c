/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop encodes, a file thread writes. Dead letters are written before the
 * labels of the same batch, so a label never passes a dead letter before it.
 */
#include "stages/emit/emit.h"

#include "stages/dead_letters.h"
#include "stages/emit/labels_batch.h"
#include "stages/event/label.h"
#include "stages/pipeline.h"
#include "stages/settings.h"
#include "stages/shape.h"
#include "stages/tap.h"

#include "daemon/base/crash.h"
#include "daemon/base/object.h"
#include "daemon/io/log_file.h"
#include "daemon/io/worker.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define EMIT_MAGIC     0x454d4954u
#define TAIL_BYTES_MAX ((size_t)256 << 20)

struct emit {
    struct stage stage;
    unsigned magic;
    struct log_writer *labels;
    struct dead_letters *dead_letters;
    struct worker *worker;
    struct log_position after_labels; /* events before it are labeled */
    const struct event_spec *spec;
    const char *teacher_name;
    const char *topic; /* name of the events log */
    uint32_t generation;
    float *logits; /* of one row */
    bool is_stopping;
    bool has_failed;       /* the loop's: nothing is taken any more */
    bool has_write_failed; /* the file thread's: likewise */
};

/* ---- the file thread ---- */

static void
on_batch(void *ctx, void *item)
{
    struct emit *e = ctx;
    struct batch *b = item;
    enum status st;

    /* What follows a failure must not be written either: a later start goes
     * on behind the last label, and would never come back to the gap. */
    if (e->has_write_failed) {
        (void)error_set(&b->error, STATUS_IO, "a write before it failed");
        return;
    }
    st = dead_letters_write(e->dead_letters, &b->dead_letters, &b->error);
    crash_point("emit_between_dead_letters_and_labels");
    if (st == STATUS_OK && b->labels.used > 0)
        st = log_writer_append(e->labels, b->labels.data, b->labels.used,
                               &b->error);
    crash_point("emit_after_labels");
    if (st == STATUS_OK)
        error_clear(&b->error);
    else
        e->has_write_failed = true;
}

/* ---- the loop ---- */

/* The first failure ends the role; batches behind it are let go. */
static void
fail(struct emit *e, const struct error *err)
{
    if (e->has_failed)
        return;
    e->has_failed = true;
    atomic_store(&e->stage.pipeline->writes_failed, true);
    stage_failed(&e->stage, err);
}

static void
on_written(void *ctx, void *item)
{
    struct emit *e = ctx;
    struct batch *b = item;
    struct pipeline *p = e->stage.pipeline;
    struct error err = b->error;

    if (err.status == STATUS_OK)
        atomic_fetch_add(&p->written, 1);
    batch_release(&b);
    if (err.status != STATUS_OK) {
        fail(e, &err);
        return;
    }
    if (p->on_output != NULL)
        p->on_output(p->ctx);
    if (!e->is_stopping)
        stage_has_room(&e->stage);
}

static void
on_worker_stopped(void *ctx)
{
    struct emit *e = ctx;

    stage_stopped(&e->stage);
}

/* Gathers a row's logits, tasks side by side; false when it has none. */
static bool
gather_logits(struct emit *e, const struct columns *c, size_t row)
{
    size_t at = 0;
    bool has_any = false;

    for (size_t i = 0; i < c->task_count; i++) {
        const struct outcome_column *t = &c->tasks[i];

        for (size_t k = 0; k < t->width; k++)
            e->logits[at++] = t->has_teacher[row]
                                  ? t->teacher[row * t->width + k]
                                  : (float)NAN;
        has_any = has_any || t->has_teacher[row];
    }
    return has_any;
}

static enum status
encode_row(struct emit *e, struct batch *b, size_t row, struct error *err)
{
    const struct row *r = &b->rows[row];
    bool has_label = gather_logits(e, b->columns, row);
    struct label label = {
        .source = {.topic = e->topic,
                   .partition = r->source.partition,
                   .offset = r->source.offset,
                   .generation = e->generation},
        .teacher_name = has_label ? e->teacher_name : NULL,
        .teacher_version = has_label ? b->teacher_version : NULL,
        .tasks = e->spec->tasks,
        .task_count = e->spec->task_count,
        .logits = has_label ? e->logits : NULL,
        .event = b->raw.data + r->start,
        .event_bytes = r->bytes,
    };
    size_t len = 0;
    enum status st = bytes_reserve(
        &b->labels,
        label_bytes_max(e->spec->tasks, e->spec->task_count, r->bytes), err);

    if (st == STATUS_OK)
        st = label_write(&label, b->labels.data + b->labels.used,
                         b->labels.capacity - b->labels.used, &len, err);
    b->labels.used += len;
    return st;
}

static bool
is_written(const struct emit *e, const struct row_source *s)
{
    uint32_t partition = (uint32_t)s->partition;

    return partition < e->after_labels.partition ||
           (partition == e->after_labels.partition &&
            (uint64_t)s->offset < e->after_labels.offset);
}

static enum status
encode_labels(struct emit *e, struct batch *b, struct error *err)
{
    enum status st = STATUS_OK;

    for (size_t i = 0; i < b->columns->row_count && st == STATUS_OK; i++) {
        if (is_written(e, &b->rows[i].source))
            continue;
        st = encode_row(e, b, i, err);
        e->stage.pipeline->counts.labels++;
    }
    return st;
}

static enum status
offer_emit(struct stage *s, void **parcel)
{
    struct emit *e = (struct emit *)s;
    struct batch *b = *parcel;
    struct error err;

    OBJ_CHECK(e, EMIT_MAGIC);
    OBJ_CHECK(b, BATCH_MAGIC);
    if (!worker_has_room(e->worker))
        return STATUS_AGAIN;
    if (e->has_failed || encode_labels(e, b, &err) != STATUS_OK) {
        *parcel = NULL;
        batch_release(&b);
        fail(e, &err);
        return STATUS_OK;
    }
    tap_show_batch(s->pipeline->tap, b);
    return worker_offer(e->worker, parcel);
}

static void
stop_emit(struct stage *s)
{
    struct emit *e = (struct emit *)s;

    OBJ_CHECK(e, EMIT_MAGIC);
    if (e->is_stopping)
        return;
    e->is_stopping = true;
    worker_stop(e->worker);
}

static void
free_emit(struct stage **self)
{
    struct emit *e = (struct emit *)*self;

    OBJ_CHECK(e, EMIT_MAGIC);
    *self = NULL;
    worker_free(&e->worker);
    log_writer_close(&e->labels);
    dead_letters_close(&e->dead_letters);
    free(e->logits);
    e->magic = 0;
    free(e);
}

/* Reads where the labels log leaves off; the source goes on there, unless the
 * teacher's state is older still. */
static enum status
find_start(struct emit *e, struct pipeline *p, struct error *err)
{
    struct bytes last;
    int32_t partition;
    int64_t offset;
    uint32_t generation;
    enum status st;

    bytes_init(&last, TAIL_BYTES_MAX);
    st = log_writer_open(&e->labels, p->settings->labels_path, &last, err);
    if (st == STATUS_OK && last.used > 0) {
        st = record_source(last.data, last.used, NULL, &partition, &offset,
                           &generation, err);
        if (st != STATUS_OK)
            st = error_set(err, STATUS_BADDATA,
                           "labels log %s: its last line is no label record; "
                           "move the file away, or name another labels.path",
                           p->settings->labels_path);
        else if (generation == e->generation) {
            /* That event is read again and passed over: its offset begins a
             * line, the one behind it is not known. */
            p->start.partition = (uint32_t)partition;
            p->start.offset = (uint64_t)offset;
            e->after_labels = p->start;
            e->after_labels.offset++;
            p->emitted = e->after_labels;
            if (p->settings->teacher_kind == TEACHER_KIND_CHECKPOINT &&
                !p->settings->teacher_learn)
                st = labels_batch_start(p->settings->labels_path,
                                        p->settings->events_record_bytes_max +
                                            EVENT_LABEL_BYTES_MAX,
                                        p->settings->teacher_batch,
                                        e->generation, &p->start, err);
        }
    }
    bytes_fini(&last);
    return st;
}

static enum status
open_parts(struct emit *e, struct pipeline *p, struct error *err)
{
    struct worker_spec worker = {
        .name = "write-labels",
        .slots = p->settings->pipeline_batches,
        .ctx = e,
        .work = on_batch,
        .done = on_written,
        .stopped = on_worker_stopped,
    };
    size_t logits = 0;
    enum status st;

    for (size_t i = 0; i < e->spec->task_count; i++)
        logits += event_logit_width(&e->spec->tasks[i]);
    assert(logits > 0);
    e->logits = calloc(logits, sizeof(float));
    if (e->logits == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for %zu logits", logits);
    st = find_start(e, p, err);
    if (st == STATUS_OK)
        st = dead_letters_open(&e->dead_letters, p->settings->dead_letters_path,
                               "events.ndjson", err);
    if (st == STATUS_OK)
        st = worker_new(&e->worker, p->loop, &worker, err);
    return st;
}

static enum status
open_emit(struct stage **out, struct pipeline *p, struct error *err)
{
    struct emit *e = calloc(1, sizeof(*e));
    struct stage *s;
    enum status st;

    if (e == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a stage");
    s = &e->stage;
    e->magic = EMIT_MAGIC;
    e->stage.pipeline = p;
    e->spec = event_shape_spec(p->events);
    e->teacher_name = p->settings->teacher_name;
    e->topic = log_name(p->settings->events_path);
    e->generation = (uint32_t)p->settings->labels_generation;
    st = open_parts(e, p, err);
    if (st != STATUS_OK) {
        free_emit(&s);
        return st;
    }
    *out = s;
    return STATUS_OK;
}

const struct stage_ops emit_stage = {
    .name = "emit",
    .takes = PARCEL_BATCH,
    .gives = PARCEL_NONE,
    .open = open_emit,
    .offer = offer_emit,
    .stop = stop_emit,
    .free = free_emit,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file thread writes. Dead letters are written before the labels of the same
 * batch, so a label never passes a dead letter before it.
 */
#include "stages/dead_letters.h"
#include "stages/emit/labels_batch.h"
#include "stages/emit/sink.h"
#include "stages/event/label.h"
#include "stages/settings.h"

#include "daemon/base/crash.h"
#include "daemon/base/object.h"
#include "daemon/io/log_file.h"
#include "daemon/io/worker.h"

#include <stdlib.h>

#define SINK_MAGIC     0x53464c45u
#define TAIL_BYTES_MAX ((size_t)256 << 20)

struct sink {
    unsigned magic;
    struct emit *emit;
    struct log_writer *labels;
    struct dead_letters *dead_letters;
    struct worker *worker;
    bool has_write_failed; /* the file thread's: nothing is written any more */
};

/* ---- the file thread ---- */

static void
on_batch(void *ctx, void *item)
{
    struct sink *s = ctx;
    struct batch *b = item;
    enum status st;

    /* What follows a failure must not be written either: a later start goes
     * on behind the last label, and would never come back to the gap. */
    if (s->has_write_failed) {
        (void)error_set(&b->error, STATUS_IO, "a write before it failed");
        return;
    }
    st = dead_letters_write(s->dead_letters, &b->dead_letters, b->has_rejected,
                            &b->error);
    crash_point("emit_between_dead_letters_and_labels");
    if (st == STATUS_OK && b->labels.used > 0)
        st = log_writer_append(s->labels, b->labels.data, b->labels.used,
                               &b->error);
    crash_point("emit_after_labels");
    if (st == STATUS_OK)
        error_clear(&b->error);
    else
        s->has_write_failed = true;
}

/* ---- the loop ---- */

static void
on_written(void *ctx, void *item)
{
    struct sink *s = ctx;
    struct batch *b = item;
    struct error err = b->error;

    if (err.status == STATUS_OK) {
        emit_settle(s->emit, &b);
        return;
    }
    emit_let_go(s->emit, &b);
    emit_fail(s->emit, &err);
}

static void
on_worker_stopped(void *ctx)
{
    struct sink *s = ctx;

    emit_sink_stopped(s->emit);
}

static bool
has_room(const struct sink *s)
{
    OBJ_CHECK(s, SINK_MAGIC);
    return worker_has_room(s->worker);
}

static void
put(struct sink *s, struct batch **b)
{
    struct batch *mine;
    void *item;
    enum status st;

    OBJ_CHECK(s, SINK_MAGIC);
    OBJ_TAKE(mine, b, BATCH_MAGIC);
    item = mine;
    st = worker_offer(s->worker, &item);
    assert(st == STATUS_OK); /* it had room */
}

static void
stop(struct sink *s)
{
    OBJ_CHECK(s, SINK_MAGIC);
    worker_stop(s->worker);
}

static void
free_sink(struct sink **self)
{
    struct sink *s;

    if (*self == NULL)
        return;
    OBJ_TAKE(s, self, SINK_MAGIC);
    worker_free(&s->worker);
    log_writer_close(&s->labels);
    dead_letters_close(&s->dead_letters);
    s->magic = 0;
    free(s);
}

/* Goes on behind the last label. That event is read again and passed over: its
 * offset begins a line, the one behind it is not known. */
static enum status
start_behind(struct pipeline *p, const struct bytes *last, struct error *err)
{
    const struct settings *s = p->settings;
    struct log_position *start = &p->start.at[0];
    uint32_t generation;
    int32_t partition;
    int64_t offset;

    if (record_source(last->data, last->used, NULL, &partition, &offset,
                      &generation, err) != STATUS_OK)
        return error_set(err, STATUS_BADDATA,
                         "labels log %s: its last line is no label record; "
                         "move the file away, or name another labels.path",
                         s->labels_path);
    if (generation != s->labels_generation)
        return STATUS_OK;
    p->start.count = 1;
    start->partition = (uint32_t)partition;
    start->offset = (uint64_t)offset;
    p->emitted = *start;
    p->emitted.offset++;
    if (!settings_has_teacher(s, TEACHER_KIND_CHECKPOINT) || s->teacher_learn)
        return STATUS_OK;
    return labels_batch_start(
        s->labels_path, s->events_record_bytes_max + EVENT_LABEL_BYTES_MAX,
        s->teacher_batch, generation, start, err);
}

static enum status
open_sink(struct sink **out, struct emit *e, struct pipeline *p,
          struct error *err)
{
    struct sink *s = calloc(1, sizeof(*s));
    struct worker_spec worker = {
        .name = "write-labels",
        .slots = p->settings->pipeline_batches,
        .ctx = s,
        .work = on_batch,
        .done = on_written,
        .stopped = on_worker_stopped,
    };
    struct bytes last;
    enum status st;

    if (s == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a sink");
    s->magic = SINK_MAGIC;
    s->emit = e;
    bytes_init(&last, TAIL_BYTES_MAX);
    st = log_writer_open(&s->labels, p->settings->labels_path, &last, err);
    if (st == STATUS_OK && last.used > 0)
        st = start_behind(p, &last, err);
    bytes_fini(&last);
    if (st == STATUS_OK)
        st = dead_letters_open(&s->dead_letters, p->settings->dead_letters_path,
                               "events.ndjson", err);
    if (st == STATUS_OK)
        st = worker_new(&s->worker, p->loop, &worker, err);
    if (st != STATUS_OK) {
        free_sink(&s);
        return st;
    }
    *out = s;
    return STATUS_OK;
}

const struct sink_ops sink_file = {
    .name = "file",
    .open = open_sink,
    .has_room = has_room,
    .put = put,
    .stop = stop,
    .free = free_sink,
};

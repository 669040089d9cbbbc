/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks of lines come from a reader thread, two at a time; the loop hands
 * their lines on:
 *
 *   reader thread -> [chunk][chunk] -> lines -> consume_take
 */
#include "stages/consume/source.h"
#include "stages/settings.h"

#include "daemon/base/logging.h"
#include "daemon/base/object.h"
#include "daemon/io/log_file.h"
#include "daemon/io/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE_MAGIC 0x46494c45u
#define CHUNKS       2u
#define POLL_MS      5u

/* What travels to the reader thread and back. */
struct fill {
    struct log_chunk *chunk;
    enum status status; /* OK, END, or why reading failed */
    struct error error;
    uint64_t log_bytes; /* how long the log is about; 0: unknown */
    bool is_last_look;  /* asked for when nobody wrote the input any more */
};

struct source {
    unsigned magic;
    struct consume *consume;
    struct pipeline *pipeline;
    struct log_reader *reader; /* the reader thread's */
    struct worker *worker;
    struct timer *poll; /* while the input may grow */
    struct fill fills[CHUNKS];
    struct fill *ready[CHUNKS]; /* read, in order */
    size_t ready_count;
    struct fill *parked[CHUNKS]; /* read nothing, kept back until the input
                                    may have grown */
    size_t parked_count;
    uint64_t log_bytes;       /* how long the log is about; 0: unknown */
    struct log_position done; /* behind the last record handed on */
    uint32_t pass;
    uint32_t pass_count;
    size_t record_bytes_max;
    const char *path;
    bool is_stopping;
    bool has_input; /* any record at all */
};

/* ---- the reader thread ---- */

static void
on_fill(void *ctx, void *item)
{
    struct source *s = ctx;
    struct fill *f = item;

    f->status = log_reader_read(s->reader, f->chunk, &f->error);
    f->log_bytes = log_size_hint(s->path);
}

/* ---- the loop ---- */

/* Hands one line on. */
static bool
take_line(struct source *s, const struct log_chunk *chunk,
          const struct log_line *line)
{
    struct error reason;
    struct incoming in = {
        .record = {.value = line->data,
                   .value_bytes = line->bytes,
                   .partition = (int32_t)chunk->first.partition,
                   .offset = (int64_t)line->offset},
        .event = line->data,
        .event_bytes = line->bytes,
    };

    if (chunk->is_cut) {
        (void)error_set(&reason, STATUS_TOOBIG,
                        "record of %llu bytes, at most %zu are allowed",
                        (unsigned long long)chunk->whole_bytes,
                        s->record_bytes_max);
        in.event = NULL;
        in.reason = &reason;
        in.whole_bytes = (size_t)chunk->whole_bytes;
        in.sha256 = chunk->sha256;
    }
    s->has_input = true;
    s->done.partition = chunk->first.partition;
    s->done.offset = line->next_offset;
    return consume_take(s->consume, &in);
}

/* Lines of one chunk into batches. True: the chunk is used up. */
static bool
take_chunk(struct source *s, struct fill *f)
{
    struct log_line line;

    while (consume_has_room(s->consume)) {
        if (!log_chunk_next(f->chunk, &line))
            return true;
        if (take_line(s, f->chunk, &line))
            consume_cut(s->consume);
    }
    return false;
}

static void
refill(struct source *s, struct fill *f)
{
    void *item = f;
    enum status st;

    if (s->is_stopping)
        return;
    f->is_last_look = !s->pipeline->is_growing;
    st = worker_offer(s->worker, &item);
    assert(st == STATUS_OK); /* as many slots as fills */
}

/* Reads again where nothing was before. */
static void
refill_parked(struct source *s)
{
    while (s->parked_count > 0)
        refill(s, s->parked[--s->parked_count]);
}

/* Another pass over the same file, from its beginning. No fill is under way,
 * so the reader is the loop's to replace. */
static enum status
rewind_input(struct source *s, struct error *err)
{
    s->pass++;
    consume_forget(s->consume, s->pass);
    s->done = (struct log_position){0};
    log_reader_close(&s->reader);
    return log_reader_open(&s->reader, s->path, LOG_TAIL_TAKE,
                           s->record_bytes_max, s->done, err);
}

/* End of input closes the open batch. False: it is not gone yet. */
static bool
close_open_batch(struct source *s)
{
    if (!consume_is_empty(s->consume))
        consume_cut(s->consume);
    return consume_is_empty(s->consume);
}

/* Every fill found nothing: the input may still grow, or another pass begins,
 * or this is the end. */
static void
reach_end(struct source *s)
{
    struct pipeline *p = s->pipeline;
    struct error err;

    for (size_t i = 0; i < s->parked_count; i++) {
        if (!s->parked[i]->is_last_look) {
            if (!p->is_growing)
                refill_parked(s);
            return;
        }
    }
    if (!close_open_batch(s))
        return;
    if (!s->has_input && s->done.offset == 0 && s->done.partition == 0) {
        (void)error_set(&err, STATUS_BADDATA,
                        "log %s: empty, expected one JSON object a line",
                        s->path);
        consume_fail(s->consume, &err);
    } else if (s->pass + 1 >= s->pass_count) {
        consume_end(s->consume);
    } else if (rewind_input(s, &err) != STATUS_OK) {
        consume_fail(s->consume, &err);
    } else {
        refill_parked(s);
    }
}

/* Goes on with whatever can go on. */
static void
go_on(struct source *s)
{
    while (s->ready_count > 0 && !s->is_stopping && !s->pipeline->is_paused) {
        struct fill *f = s->ready[0];

        if (f->status != STATUS_OK && f->status != STATUS_END) {
            consume_fail(s->consume, &f->error);
            return;
        }
        if (f->status == STATUS_OK && !take_chunk(s, f))
            return;
        s->ready_count--;
        memmove(s->ready, s->ready + 1, s->ready_count * sizeof(s->ready[0]));
        if (f->status == STATUS_END) {
            s->parked[s->parked_count++] = f;
        } else {
            s->pipeline->counts.bytes_read += f->chunk->bytes.used;
            refill(s, f);
            refill_parked(s);
        }
    }
    if (s->parked_count == CHUNKS && !s->is_stopping && !s->pipeline->is_paused)
        reach_end(s);
}

static void
on_filled(void *ctx, void *item)
{
    struct source *s = ctx;
    struct fill *f = item;

    s->log_bytes = f->log_bytes;
    s->ready[s->ready_count++] = f;
    pipeline_wake(s->pipeline);
}

/* The input may have grown. */
static void
on_poll(void *ctx)
{
    struct source *s = ctx;

    if (s->parked_count == CHUNKS && s->pipeline->is_growing && !s->is_stopping)
        refill_parked(s);
}

static void
on_worker_stopped(void *ctx)
{
    struct source *s = ctx;

    timer_stop(s->poll);
    consume_source_stopped(s->consume);
}

static void
stop_source(struct source *s)
{
    OBJ_CHECK(s, SOURCE_MAGIC);
    if (s->is_stopping)
        return;
    s->is_stopping = true;
    worker_stop(s->worker);
}

static void
resume_source(struct source *s)
{
    OBJ_CHECK(s, SOURCE_MAGIC);
    on_poll(s);
    go_on(s);
}

static void
start_source(struct source *s)
{
    OBJ_CHECK(s, SOURCE_MAGIC);
    if (s->pipeline->is_growing)
        timer_start(s->poll, POLL_MS, POLL_MS);
    for (size_t i = 0; i < CHUNKS; i++)
        refill(s, &s->fills[i]);
}

static void
write_position(const struct source *s, struct positions *out,
               struct log_identity *log)
{
    OBJ_CHECK(s, SOURCE_MAGIC);
    out->count = 1;
    out->at[0] = s->done;
    *log = (struct log_identity){0};
    (void)snprintf(log->topic, sizeof(log->topic), "%s", log_name(s->path));
}

static void
report_source(const struct source *s, struct role_report *r)
{
    struct partition_report *p;

    OBJ_CHECK(s, SOURCE_MAGIC);
    r->unit = OFFSET_BYTES;
    p = role_report_add_partition(r);
    if (p == NULL)
        return;
    p->log = log_name(s->path);
    p->partition = (int32_t)s->done.partition;
    p->position = (int64_t)s->done.offset;
    if (s->log_bytes >= s->done.offset && s->log_bytes > 0)
        p->end = (int64_t)s->log_bytes;
    p->is_paused = s->pipeline->is_paused;
}

static void
free_source(struct source **self)
{
    struct source *s;

    if (*self == NULL)
        return;
    OBJ_TAKE(s, self, SOURCE_MAGIC);
    worker_free(&s->worker);
    timer_free(&s->poll);
    log_reader_close(&s->reader);
    for (size_t i = 0; i < CHUNKS; i++)
        log_chunk_free(&s->fills[i].chunk);
    s->magic = 0;
    free(s);
}

/* Where to read: from the settings of the role. */
static void
configure(struct source *s, const struct settings *settings, enum role role)
{
    bool is_train = role == ROLE_TRAIN;
    bool reads_events =
        !is_train || settings->train_input == TRAIN_INPUT_EVENTS;

    s->path = reads_events ? settings->events_path : settings->labels_path;
    s->record_bytes_max = settings->events_record_bytes_max +
                          (reads_events ? 0 : EVENT_LABEL_BYTES_MAX);
    s->pass_count = is_train ? (uint32_t)settings->train_passes : 1;
}

/* Opens the log where the role left off, or at its beginning where that is
 * not in it any more and the user wants so. */
static enum status
open_reader(struct source *s, struct error *err)
{
    struct pipeline *p = s->pipeline;
    enum log_tail tail =
        p->role == ROLE_TRAIN && s->path == p->settings->labels_path
            ? LOG_TAIL_WAIT
            : LOG_TAIL_TAKE;
    enum status st = log_reader_open(&s->reader, s->path, tail,
                                     s->record_bytes_max, s->done, err);

    if (st != STATUS_BADDATA || !p->accepts_reset)
        return st;
    log_warn("position_reset", "text=\"%s\"", err->text);
    if (p->role == ROLE_ANNOTATE)
        log_warn("labels_kept",
                 "text=\"events at offsets that have labels are passed over; "
                 "raise labels.generation to label them anew\"");
    s->done = (struct log_position){0};
    return log_reader_open(&s->reader, s->path, tail, s->record_bytes_max,
                           s->done, err);
}

static enum status
open_source(struct source **out, struct consume *c, struct pipeline *p,
            struct error *err)
{
    struct source *s = calloc(1, sizeof(*s));
    struct worker_spec worker = {
        .name = p->role == ROLE_TRAIN ? "read-labels" : "read-events",
        .slots = CHUNKS,
        .ctx = s,
        .work = on_fill,
        .done = on_filled,
        .stopped = on_worker_stopped,
    };
    enum status st = STATUS_OK;

    if (s == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a source");
    s->magic = SOURCE_MAGIC;
    s->consume = c;
    s->pipeline = p;
    s->pass = p->pass;
    if (p->start.count > 0)
        s->done = p->start.at[0];
    configure(s, p->settings, p->role);
    for (size_t i = 0; i < CHUNKS && st == STATUS_OK; i++)
        st = log_chunk_new(&s->fills[i].chunk, s->record_bytes_max, err);
    if (st == STATUS_OK)
        st = open_reader(s, err);
    if (st == STATUS_OK)
        st = timer_new(&s->poll, p->loop, on_poll, s, err);
    if (st == STATUS_OK)
        st = worker_new(&s->worker, p->loop, &worker, err);
    if (st != STATUS_OK) {
        free_source(&s);
        return st;
    }
    *out = s;
    return STATUS_OK;
}

const struct source_ops source_file = {
    .name = "file",
    .open = open_source,
    .start = start_source,
    .resume = resume_source,
    .position = write_position,
    .stop = stop_source,
    .report = report_source,
    .free = free_source,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks of lines come from a reader thread, two at a time; the loop decodes
 * them into the open batch:
 *
 *   reader thread -> [chunk][chunk] -> lines -> open batch -> next stage
 *
 * The stage waits in one of three places, and stage_pump goes on from each:
 * no chunk yet, no batch in the pool, no room in the next stage.
 */
#include "stages/consume/consume.h"

#include "stages/event/decoder.h"
#include "stages/event/label.h"
#include "stages/pipeline.h"
#include "stages/settings.h"
#include "stages/shape.h"

#include "daemon/base/logging.h"
#include "daemon/base/object.h"
#include "daemon/io/log_file.h"
#include "daemon/io/worker.h"

#include <stdlib.h>
#include <string.h>

#define CONSUME_MAGIC      0x434f4e53u
#define CHUNKS             2u
#define POLL_MS            5u
#define DEAD_LETTERS_BYTES (1u << 20) /* more go ahead of their batch */
#define PAYLOAD_MAX        4096u

/* What travels to the reader thread and back. */
struct fill {
    struct log_chunk *chunk;
    enum status status; /* OK, END, or why reading failed */
    struct error error;
    uint64_t log_bytes; /* how long the log is about; 0: unknown */
    bool is_last_look;  /* asked for when nobody wrote the input any more */
};

struct consume {
    struct stage stage;
    unsigned magic;
    const struct event_shape *shape;
    struct decoder *decoder;
    struct log_reader *reader; /* the reader thread's */
    struct worker *worker;
    struct timer *poll; /* while the input may grow */
    struct fill fills[CHUNKS];
    struct fill *ready[CHUNKS]; /* read, in order */
    size_t ready_count;
    struct fill *parked[CHUNKS]; /* read nothing, kept back until the input
                                    may have grown */
    size_t parked_count;
    struct batch *open;
    struct batch *full;       /* cut, not taken by the next stage yet */
    uint64_t log_bytes;       /* how long the log is about; 0: unknown */
    struct log_position done; /* behind the last record of any batch */
    struct watermarks seen;
    uint32_t pass;
    uint32_t pass_count;
    size_t batch_rows;
    int64_t start_ms; /* events before it are skipped */
    size_t record_bytes_max;
    const char *path;
    const char *topic; /* the log's name */
    bool is_stopping;
    bool has_input; /* any record at all */
    bool is_pumping;
    bool must_pump; /* room came while pumping */
};

/* ---- the reader thread ---- */

static void
on_fill(void *ctx, void *item)
{
    struct consume *c = ctx;
    struct fill *f = item;

    f->status = log_reader_read(c->reader, f->chunk, &f->error);
    f->log_bytes = log_size_hint(c->path);
}

/* ---- the loop ---- */

/* Offers the cut batch, when there is one. False: the next stage is full. */
static bool
push_full(struct consume *c)
{
    void *parcel = c->full;

    if (parcel == NULL)
        return true;
    if (stage_push(&c->stage, &parcel) != STATUS_OK)
        return false;
    c->full = NULL;
    return true;
}

static void
cut_batch(struct consume *c)
{
    assert(c->full == NULL);
    c->open->after = c->done;
    c->open->pass = c->pass;
    c->open->has_position = true;
    c->open->seen = c->seen;
    c->full = c->open;
    c->open = NULL;
}

/* Sends dead letters ahead when they are many: they must not wait for rows
 * that may never come. The open batch keeps its rows. */
static void
split_dead_letters(struct consume *c)
{
    struct batch *ahead;
    struct bytes swapped;

    if (c->open->dead_letters.used < DEAD_LETTERS_BYTES)
        return;
    ahead = batch_pool_take(c->stage.pipeline->pool);
    if (ahead == NULL)
        return;
    swapped = ahead->dead_letters;
    ahead->dead_letters = c->open->dead_letters;
    c->open->dead_letters = swapped;
    c->full = ahead;
}

static enum status
add_dead_letter(struct consume *c, const struct log_chunk *chunk,
                const struct log_line *line, const char *reason,
                struct error *err)
{
    struct bytes *b = &c->open->dead_letters;
    struct dead_letter letter = {
        .source = {.topic = c->topic,
                   .partition = (int32_t)chunk->first.partition,
                   .offset = (int64_t)line->offset},
        .reason = reason,
        .payload = line->data,
        .payload_bytes =
            chunk->is_cut ? (size_t)chunk->whole_bytes : line->bytes,
        .payload_max = line->bytes < PAYLOAD_MAX ? line->bytes : PAYLOAD_MAX,
        .sha256 = chunk->is_cut ? chunk->sha256 : NULL,
    };
    size_t len = 0;
    enum status st;

    c->stage.pipeline->counts.dead_letters++;
    if (c->pass > 0)
        return STATUS_OK; /* written in the first pass */
    if (!chunk->is_cut)
        letter.payload_max = line->bytes;
    st = bytes_reserve(b, dead_letter_bytes_max(letter.payload_max), err);
    if (st == STATUS_OK)
        st = dead_letter_write(&letter, b->data + b->used,
                               b->capacity - b->used, &len, err);
    b->used += len;
    return st;
}

/* Whether a decoded row is to be trained on: new, and not before the start. */
static enum status
wants_row(struct consume *c, const struct event_meta *meta,
          const struct row_source *source, bool *wanted, struct error *err)
{
    enum status st = STATUS_OK;

    *wanted = true;
    if (meta->is_label || c->stage.pipeline->role == ROLE_ANNOTATE)
        st = watermarks_pass(&c->seen, source, wanted, err);
    c->stage.pipeline->stats.duplicates += !*wanted;
    if (meta->time_ms < c->start_ms)
        *wanted = false;
    return st;
}

/* Decodes one line into the open batch, as a row or as a dead letter. */
static enum status
take_line(struct consume *c, const struct log_chunk *chunk,
          const struct log_line *line, struct error *err)
{
    struct pipeline *p = c->stage.pipeline;
    struct batch *b = c->open;
    struct event_meta meta;
    struct row *row = &b->rows[b->columns->row_count];
    struct error reason;
    enum status st = STATUS_TOOBIG;
    bool wanted;

    p->counts.records++;
    if (chunk->is_cut)
        (void)error_set(&reason, STATUS_TOOBIG,
                        "record of %llu bytes, at most %zu are allowed",
                        (unsigned long long)chunk->whole_bytes,
                        c->record_bytes_max);
    else
        st = decoder_decode(c->decoder, line->data, line->bytes, b->columns,
                            b->columns->row_count, &meta, &reason);
    c->done.partition = chunk->first.partition;
    c->done.offset = line->next_offset;
    if (st != STATUS_OK)
        role_stats_count_dead(&p->stats, st);
    if (st != STATUS_OK)
        return add_dead_letter(c, chunk, line, reason.text, err);
    row->source.partition = (int32_t)chunk->first.partition;
    row->source.offset = (int64_t)line->offset;
    row->source.generation = 0;
    if (meta.is_label) {
        row->source.partition = meta.partition;
        row->source.offset = meta.offset;
        row->source.generation = meta.generation;
    }
    st = wants_row(c, &meta, &row->source, &wanted, err);
    if (st != STATUS_OK || !wanted) {
        b->columns->row_count--;
        p->counts.skipped++;
        return st;
    }
    p->counts.rows++;
    if (p->role == ROLE_TRAIN) {
        (void)snprintf(b->teacher_version, sizeof(b->teacher_version), "%s",
                       meta.is_label ? meta.teacher_version : "");
        return STATUS_OK;
    }
    row->start = b->raw.used;
    row->bytes = line->bytes;
    return bytes_append(&b->raw, line->data, line->bytes, err);
}

/* Lines of one chunk into batches. True: the chunk is used up. */
static bool
take_chunk(struct consume *c, struct fill *f)
{
    struct log_line line;
    struct error err;

    for (;;) {
        if (!push_full(c))
            return false;
        if (c->open == NULL)
            c->open = batch_pool_take(c->stage.pipeline->pool);
        if (c->open == NULL)
            return false;
        if (!log_chunk_next(f->chunk, &line))
            return true;
        c->has_input = true;
        if (take_line(c, f->chunk, &line, &err) != STATUS_OK) {
            stage_failed(&c->stage, &err);
            return false;
        }
        if (c->open->columns->row_count == c->batch_rows)
            cut_batch(c);
        else
            split_dead_letters(c);
    }
}

static void
refill(struct consume *c, struct fill *f)
{
    void *item = f;
    enum status st;

    if (c->is_stopping)
        return;
    f->is_last_look = !c->stage.pipeline->is_growing;
    st = worker_offer(c->worker, &item);
    assert(st == STATUS_OK); /* as many slots as fills */
}

/* Reads again where nothing was before. */
static void
refill_parked(struct consume *c)
{
    while (c->parked_count > 0)
        refill(c, c->parked[--c->parked_count]);
}

/* Another pass over the same file, from its beginning. No fill is under way,
 * so the reader is the loop's to replace. */
static enum status
rewind_input(struct consume *c, struct error *err)
{
    c->pass++;
    c->seen.count = 0;
    c->done = (struct log_position){0};
    log_reader_close(&c->reader);
    return log_reader_open(&c->reader, c->path, LOG_TAIL_TAKE,
                           c->record_bytes_max, c->done, err);
}

/* End of input closes the open batch. False: it is not gone yet. */
static bool
close_open_batch(struct consume *c)
{
    if (!push_full(c))
        return false;
    if (c->open != NULL &&
        (c->open->columns->row_count > 0 || c->open->dead_letters.used > 0))
        cut_batch(c);
    return push_full(c);
}

/* Every fill found nothing: the input may still grow, or another pass begins,
 * or this is the end. */
static void
reach_end(struct consume *c)
{
    struct pipeline *p = c->stage.pipeline;
    struct error err;

    for (size_t i = 0; i < c->parked_count; i++) {
        if (!c->parked[i]->is_last_look) {
            if (!p->is_growing)
                refill_parked(c);
            return;
        }
    }
    if (!close_open_batch(c))
        return;
    if (!c->has_input && c->done.offset == 0 && c->done.partition == 0) {
        (void)error_set(&err, STATUS_BADDATA,
                        "log %s: empty, expected one JSON object a line",
                        c->path);
        stage_failed(&c->stage, &err);
    } else if (c->pass + 1 >= c->pass_count) {
        pipeline_stop(p);
    } else if (rewind_input(c, &err) != STATUS_OK) {
        stage_failed(&c->stage, &err);
    } else {
        refill_parked(c);
    }
}

/* Goes on with whatever can go on. */
static void
pump_once(struct consume *c)
{
    while (c->ready_count > 0 && !c->is_stopping &&
           !c->stage.pipeline->is_paused) {
        struct fill *f = c->ready[0];

        if (f->status != STATUS_OK && f->status != STATUS_END) {
            stage_failed(&c->stage, &f->error);
            return;
        }
        if (f->status == STATUS_OK && !take_chunk(c, f))
            return;
        c->ready_count--;
        memmove(c->ready, c->ready + 1, c->ready_count * sizeof(c->ready[0]));
        if (f->status == STATUS_END) {
            c->parked[c->parked_count++] = f;
        } else {
            c->stage.pipeline->counts.bytes_read += f->chunk->bytes.used;
            refill(c, f);
            refill_parked(c);
        }
    }
    if (c->parked_count == CHUNKS && !c->is_stopping &&
        !c->stage.pipeline->is_paused)
        reach_end(c);
}

/* A next stage that answers at once says that it has room from inside the
 * push: that must not push the same batch again. */
static void
pump(struct consume *c)
{
    c->must_pump = true;
    if (c->is_pumping)
        return;
    c->is_pumping = true;
    while (c->must_pump) {
        c->must_pump = false;
        pump_once(c);
    }
    c->is_pumping = false;
}

static void
on_filled(void *ctx, void *item)
{
    struct consume *c = ctx;
    struct fill *f = item;

    c->log_bytes = f->log_bytes;
    c->ready[c->ready_count++] = f;
    pump(c);
}

/* The input may have grown. */
static void
on_poll(void *ctx)
{
    struct consume *c = ctx;

    if (c->parked_count == CHUNKS && c->stage.pipeline->is_growing &&
        !c->is_stopping)
        refill_parked(c);
}

static void
on_worker_stopped(void *ctx)
{
    struct consume *c = ctx;

    timer_stop(c->poll);
    batch_release(&c->open);
    batch_release(&c->full);
    stage_stopped(&c->stage);
}

static void
stop_consume(struct stage *s)
{
    struct consume *c = (struct consume *)s;

    OBJ_CHECK(c, CONSUME_MAGIC);
    if (c->is_stopping)
        return;
    c->is_stopping = true;
    worker_stop(c->worker);
}

static void
resume_consume(struct stage *s)
{
    struct consume *c = (struct consume *)s;

    OBJ_CHECK(c, CONSUME_MAGIC);
    on_poll(c);
    pump(c);
}

static void
start_consume(struct stage *s)
{
    struct consume *c = (struct consume *)s;

    OBJ_CHECK(c, CONSUME_MAGIC);
    if (c->stage.pipeline->is_growing)
        timer_start(c->poll, POLL_MS, POLL_MS);
    for (size_t i = 0; i < CHUNKS; i++)
        refill(c, &c->fills[i]);
}

static void
report_consume(const struct stage *s, struct role_report *r)
{
    const struct consume *c = (const struct consume *)s;
    struct partition_report *p;

    OBJ_CHECK(c, CONSUME_MAGIC);
    r->unit = OFFSET_BYTES;
    p = role_report_add_partition(r);
    if (p == NULL)
        return;
    p->log = c->topic;
    p->partition = (int32_t)c->done.partition;
    p->position = (int64_t)c->done.offset;
    if (c->log_bytes >= c->done.offset && c->log_bytes > 0)
        p->end = (int64_t)c->log_bytes;
    p->is_paused = s->pipeline->is_paused;
}

static void
free_consume(struct stage **self)
{
    struct consume *c = (struct consume *)*self;

    OBJ_CHECK(c, CONSUME_MAGIC);
    *self = NULL;
    worker_free(&c->worker);
    timer_free(&c->poll);
    log_reader_close(&c->reader);
    decoder_free(&c->decoder);
    for (size_t i = 0; i < CHUNKS; i++)
        log_chunk_free(&c->fills[i].chunk);
    c->magic = 0;
    free(c);
}

/* Where to read, and in what batches: from the settings of the role. */
static void
configure(struct consume *c, const struct settings *s, enum role role)
{
    bool is_train = role == ROLE_TRAIN;
    bool reads_events = !is_train || s->train_input == TRAIN_INPUT_EVENTS;

    c->path = reads_events ? s->events_path : s->labels_path;
    c->topic = log_name(c->path);
    c->record_bytes_max =
        s->events_record_bytes_max + (reads_events ? 0 : EVENT_LABEL_BYTES_MAX);
    c->batch_rows = is_train ? s->train_batch : s->teacher_batch;
    c->pass_count = is_train ? (uint32_t)s->train_passes : 1;
    c->start_ms = is_train ? s->train_start : SETTING_EARLIEST;
}

static enum status
open_parts(struct consume *c, struct pipeline *p, struct error *err)
{
    struct worker_spec worker = {
        .name = p->role == ROLE_TRAIN ? "read-labels" : "read-events",
        .slots = CHUNKS,
        .ctx = c,
        .work = on_fill,
        .done = on_filled,
        .stopped = on_worker_stopped,
    };
    enum log_tail tail =
        p->role == ROLE_TRAIN && c->path == p->settings->labels_path
            ? LOG_TAIL_WAIT
            : LOG_TAIL_TAKE;
    enum status st = decoder_new(&c->decoder, event_shape_spec(c->shape), err);

    for (size_t i = 0; i < CHUNKS && st == STATUS_OK; i++)
        st = log_chunk_new(&c->fills[i].chunk, c->record_bytes_max, err);
    if (st == STATUS_OK)
        st = log_reader_open(&c->reader, c->path, tail, c->record_bytes_max,
                             c->done, err);
    if (st == STATUS_BADDATA && p->accepts_reset) {
        log_warn("position_reset", "text=\"%s\"", err->text);
        if (p->role == ROLE_ANNOTATE)
            log_warn("labels_kept",
                     "text=\"events at offsets that have labels are passed "
                     "over; raise labels.generation to label them anew\"");
        c->done = (struct log_position){0};
        st = log_reader_open(&c->reader, c->path, tail, c->record_bytes_max,
                             c->done, err);
    }
    if (st == STATUS_OK)
        st = timer_new(&c->poll, p->loop, on_poll, c, err);
    if (st == STATUS_OK)
        st = batch_pool_new(&p->pool, p->settings->pipeline_batches,
                            event_shape_spec(c->shape), c->batch_rows, err);
    if (st == STATUS_OK)
        st = worker_new(&c->worker, p->loop, &worker, err);
    return st;
}

static enum status
open_consume(struct stage **out, struct pipeline *p, struct error *err)
{
    struct consume *c = calloc(1, sizeof(*c));
    struct stage *s;
    enum status st;

    if (c == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a stage");
    c->magic = CONSUME_MAGIC;
    c->stage.pipeline = p;
    c->shape = p->events;
    c->done = p->start;
    c->seen = p->seen;
    c->pass = p->pass;
    configure(c, p->settings, p->role);
    s = &c->stage;
    st = open_parts(c, p, err);
    if (st != STATUS_OK) {
        free_consume(&s);
        return st;
    }
    *out = s;
    return STATUS_OK;
}

const struct stage_ops consume_stage = {
    .name = "consume",
    .takes = PARCEL_NONE,
    .gives = PARCEL_BATCH,
    .open = open_consume,
    .start = start_consume,
    .resume = resume_consume,
    .stop = stop_consume,
    .report = report_consume,
    .free = free_consume,
};

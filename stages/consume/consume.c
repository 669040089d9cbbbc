/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records from a source become rows of the open batch; a full batch goes to the
 * next stage:
 *
 *   source -> consume_take -> open batch -> consume_cut -> next stage
 */
#include "stages/consume/consume.h"

#include "stages/consume/source.h"
#include "stages/dead_letters.h"
#include "stages/event/decoder.h"
#include "stages/event/envelope.h"
#include "stages/event/headers.h"
#include "stages/event/label.h"
#include "stages/settings.h"
#include "stages/shape.h"

#include "daemon/base/logging.h"
#include "daemon/base/object.h"
#include "daemon/io/log_file.h"

#include <stdlib.h>
#include <string.h>

#define CONSUME_MAGIC      0x434f4e53u
#define DEAD_LETTERS_BYTES (1u << 20) /* more go ahead of their batch */

struct consume {
    struct stage stage;
    unsigned magic;
    const struct event_shape *shape;
    const struct source_ops *ops;
    struct source *source;
    struct decoder *decoder;
    struct decoder *imaginer; /* of imagined events; NULL: they are left out */
    struct batch *open;
    struct batch *full; /* cut, not taken by the next stage yet */
    struct watermarks seen;
    struct log_identity labels_of; /* the log of seen: train role */
    uint32_t pass;
    size_t batch_rows;
    size_t rows_max;   /* with imagined ones */
    size_t recombine;  /* imagined rows a row, at most */
    int64_t start_ms;  /* events before it are skipped */
    const char *topic; /* the log's name */
    bool is_stopping;
    bool is_pumping;
    bool must_pump; /* room came while pumping */
};

static const struct source_ops *const kinds[] = {
    [LOG_KIND_FILE] = &source_file,
    [LOG_KIND_KAFKA] = &source_kafka,
};

/* ---- batches ---- */

/* Offers the cut batch, when there is one. False: the next stage is full. */
static bool
push_full(struct consume *c)
{
    void *parcel = c->full;

    if (parcel == NULL)
        return true;
    c->full = NULL; /* the push may bring more room, and so come back here */
    if (stage_push(&c->stage, &parcel) == STATUS_OK)
        return true;
    c->full = parcel;
    return false;
}

/* Sends dead letters ahead when they are many: they must not wait for rows
 * that may never come. The open batch keeps its rows. False: there is no batch
 * for them, or no room in the next stage. */
static bool
split_dead_letters(struct consume *c)
{
    struct batch *ahead;
    struct bytes swapped;

    if (c->open->dead_letters.used < DEAD_LETTERS_BYTES)
        return true;
    ahead = batch_pool_take(c->stage.pipeline->pool);
    if (ahead == NULL)
        return false;
    swapped = ahead->dead_letters;
    ahead->dead_letters = c->open->dead_letters;
    c->open->dead_letters = swapped;
    ahead->epoch = c->stage.pipeline->epoch;
    c->full = ahead;
    return push_full(c);
}

bool
consume_has_room(struct consume *c)
{
    OBJ_CHECK(c, CONSUME_MAGIC);
    if (c->is_stopping || c->stage.pipeline->is_paused || !push_full(c))
        return false;
    if (c->open == NULL)
        c->open = batch_pool_take(c->stage.pipeline->pool);
    return c->open != NULL && split_dead_letters(c);
}

bool
consume_is_empty(const struct consume *c)
{
    OBJ_CHECK(c, CONSUME_MAGIC);
    return c->full == NULL &&
           (c->open == NULL || (c->open->columns->row_count == 0 &&
                                c->open->dead_letters.used == 0));
}

/* Reads the imagined events of a batch of labels behind its rows: the batch is
 * as long as it will be. */
static void
imagine_rows(struct consume *c, struct batch *b)
{
    struct columns *columns = b->columns;
    size_t real = columns->row_count;

    for (size_t i = 0; b->imagined.used > 0 && i < real; i++) {
        const struct row *row = &b->rows[i];

        if (row->imagined_count > 0)
            columns->imagined_count += decoder_imagine(
                c->imaginer, b->imagined.data + row->imagined_at,
                row->imagined_count, columns, c->recombine, columns, i);
    }
}

void
consume_cut(struct consume *c)
{
    OBJ_CHECK(c, CONSUME_MAGIC);
    if (!push_full(c) || c->open == NULL)
        return;
    imagine_rows(c, c->open);
    c->ops->position(c->source, &c->open->after, &c->open->input);
    c->open->source = c->labels_of;
    c->open->pass = c->pass;
    c->open->epoch = c->stage.pipeline->epoch;
    c->open->has_position = true;
    watermarks_copy(&c->open->seen, &c->seen);
    c->full = c->open;
    c->open = NULL;
    (void)push_full(c);
}

void
consume_drop(struct consume *c)
{
    OBJ_CHECK(c, CONSUME_MAGIC);
    batch_release(&c->open);
    batch_release(&c->full);
}

void
consume_forget(struct consume *c, uint32_t pass)
{
    OBJ_CHECK(c, CONSUME_MAGIC);
    c->pass = pass;
    c->seen.count = 0;
}

/* ---- records ---- */

static enum status
add_dead_letter(struct consume *c, const struct incoming *in,
                const struct error *why, struct error *err)
{
    const struct record *r = &in->record;
    bool is_cut = in->whole_bytes > 0;
    struct dead_letter letter = {
        .source = {.topic = c->topic,
                   .partition = r->partition,
                   .offset = r->offset},
        .reason = why->text,
        .stage = "consume",
        .key = r->key,
        .key_bytes = r->key_bytes,
        .headers = r->headers,
        .header_count = r->header_count,
        .payload = r->value,
        .payload_bytes = is_cut ? in->whole_bytes : r->value_bytes,
        .payload_max = r->value_bytes,
        .sha256 = in->sha256,
    };

    if (pipeline_is_labeled(c->stage.pipeline, r->partition, r->offset))
        return STATUS_OK; /* it is there: a teacher learns again */
    c->stage.pipeline->counts.dead_letters++;
    role_stats_count_dead(&c->stage.pipeline->stats, why->status);
    if (c->pass > 0)
        return STATUS_OK; /* written in the first pass */
    return dead_letters_put(&c->open->dead_letters, &letter,
                            c->stage.pipeline->topics, err);
}

/* Labels of another log than so far have offsets that mean something else. */
static enum status
check_source(struct consume *c, const struct event_meta *meta,
             struct error *err)
{
    struct log_identity *known = &c->labels_of;
    struct log_identity now;

    if (strcmp(known->topic, meta->topic) == 0 &&
        strcmp(known->cluster, meta->cluster) == 0 &&
        strcmp(known->topic_id, meta->topic_id) == 0)
        return STATUS_OK;
    memcpy(now.topic, meta->topic, sizeof(now.topic));
    memcpy(now.cluster, meta->cluster, sizeof(now.cluster));
    memcpy(now.topic_id, meta->topic_id, sizeof(now.topic_id));
    if (now.cluster[0] != '\0' && log_identity_differs(known, &now)) {
        if (!c->stage.pipeline->accepts_reset)
            return error_set(
                err, STATUS_BADDATA,
                "labels are of topic %s (id %s, cluster %s), so far they were "
                "of topic %s (id %s, cluster %s): the events topic was made "
                "anew, or another one is labeled. run --accept-reset trains on "
                "both",
                now.topic, now.topic_id, now.cluster, known->topic,
                known->topic_id, known->cluster);
        log_warn("source_reset", "topic=%s id=%s", now.topic, now.topic_id);
        c->seen.count = 0;
    }
    *known = now;
    return STATUS_OK;
}

/* Whether a row that was passed before is skipped. An annotator on Kafka goes
 * back to what is settled, after a failure and when partitions come back: what
 * it sees again has no label yet. */
static bool
skips_seen(const struct consume *c, const struct event_meta *meta)
{
    const struct pipeline *p = c->stage.pipeline;

    return p->role == ROLE_ANNOTATE ? p->settings->events_log != LOG_KIND_KAFKA
                                    : meta->is_label;
}

/* Whether a decoded row is wanted: new, and not before the start. */
static enum status
wants_row(struct consume *c, const struct event_meta *meta,
          const struct row_source *source, bool *wanted, struct error *err)
{
    enum status st = STATUS_OK;

    *wanted = true;
    if (meta->is_label)
        st = check_source(c, meta, err);
    if (st != STATUS_OK)
        return st;
    if (skips_seen(c, meta))
        st = watermarks_pass(&c->seen, source, wanted, err);
    c->stage.pipeline->stats.duplicates += !*wanted;
    if (meta->time_ms < c->start_ms)
        *wanted = false;
    return st;
}

/* Keeps what the label record will need of its event. */
static enum status
keep_bytes(struct consume *c, struct row *row, const struct incoming *in,
           struct error *err)
{
    struct bytes *raw = &c->open->raw;
    const struct record *r = &in->record;
    size_t before;
    enum status st;

    row->start = raw->used;
    row->bytes = in->event_bytes;
    row->key_bytes = KEY_NONE;
    row->header_bytes = 0;
    st = bytes_append(raw, in->event, in->event_bytes, err);
    if (st == STATUS_OK && r->key != NULL) {
        row->key_bytes = (uint32_t)r->key_bytes;
        st = bytes_append(raw, r->key, r->key_bytes, err);
    }
    if (st == STATUS_OK && r->header_count > 0) {
        before = raw->used;
        st = headers_pack(raw, r->headers, r->header_count, err);
        row->header_bytes = (uint32_t)(raw->used - before);
    }
    return st;
}

/* Decodes one event into the open batch, as a row or as a dead letter. */
static enum status
take_record(struct consume *c, const struct incoming *in, struct error *err)
{
    struct pipeline *p = c->stage.pipeline;
    struct batch *b = c->open;
    struct row *row = &b->rows[b->columns->row_count];
    struct event_meta meta;
    struct error reason;
    enum status st;
    bool wanted;

    if (in->event == NULL)
        return add_dead_letter(c, in, in->reason, err);
    st = decoder_decode(c->decoder, in->event, in->event_bytes, b->columns,
                        b->columns->row_count, &meta, &reason);
    if (st != STATUS_OK)
        return add_dead_letter(c, in, &reason, err);
    if (in->envelope != NULL)
        envelope_fall_back(in->envelope, event_shape_spec(c->shape), b->columns,
                           b->columns->row_count - 1, &meta);
    row->source = (struct row_source){.partition = in->record.partition,
                                      .offset = in->record.offset};
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
    if (p->role == ROLE_ANNOTATE)
        return keep_bytes(c, row, in, err);
    row->imagined_count = 0;
    if (c->imaginer != NULL && meta.imagined != NULL) {
        row->imagined_at = b->imagined.used;
        row->imagined_count = meta.imagined_bytes;
        st =
            bytes_append(&b->imagined, meta.imagined, meta.imagined_bytes, err);
        if (st != STATUS_OK)
            return st;
    }
    if (meta.is_label && strcmp(b->teacher_version, meta.teacher_version) != 0)
        memcpy(b->teacher_version, meta.teacher_version,
               sizeof(b->teacher_version));
    return STATUS_OK;
}

bool
consume_take(struct consume *c, const struct incoming *in)
{
    struct error err;

    OBJ_CHECK(c, CONSUME_MAGIC);
    assert(c->open != NULL && c->full == NULL);
    c->stage.pipeline->counts.records++;
    if (take_record(c, in, &err) != STATUS_OK) {
        consume_fail(c, &err);
        return false;
    }
    return c->open->columns->row_count == c->batch_rows;
}

/* ---- the stage ---- */

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
        c->ops->resume(c->source);
    }
    c->is_pumping = false;
}

void
consume_end(struct consume *c)
{
    OBJ_CHECK(c, CONSUME_MAGIC);
    pipeline_stop(c->stage.pipeline);
}

void
consume_fail(struct consume *c, const struct error *err)
{
    OBJ_CHECK(c, CONSUME_MAGIC);
    stage_failed(&c->stage, err);
}

void
consume_source_stopped(struct consume *c)
{
    OBJ_CHECK(c, CONSUME_MAGIC);
    consume_drop(c);
    stage_stopped(&c->stage);
}

static void
stop_consume(struct stage *s)
{
    struct consume *c = (struct consume *)s;

    OBJ_CHECK(c, CONSUME_MAGIC);
    c->is_stopping = true;
    c->ops->stop(c->source);
}

static void
resume_consume(struct stage *s)
{
    struct consume *c = (struct consume *)s;

    OBJ_CHECK(c, CONSUME_MAGIC);
    pump(c);
}

static void
start_consume(struct stage *s)
{
    struct consume *c = (struct consume *)s;

    OBJ_CHECK(c, CONSUME_MAGIC);
    c->ops->start(c->source);
}

static void
settled_consume(struct stage *s, const struct batch *b)
{
    struct consume *c = (struct consume *)s;

    OBJ_CHECK(c, CONSUME_MAGIC);
    if (c->ops->settled != NULL)
        c->ops->settled(c->source, b);
}

static void
restart_consume(struct stage *s)
{
    struct consume *c = (struct consume *)s;

    OBJ_CHECK(c, CONSUME_MAGIC);
    assert(c->ops->restart != NULL);
    c->ops->restart(c->source);
}

static void
report_consume(const struct stage *s, struct role_report *r)
{
    const struct consume *c = (const struct consume *)s;

    OBJ_CHECK(c, CONSUME_MAGIC);
    c->ops->report(c->source, r);
}

static void
free_consume(struct stage **self)
{
    struct consume *c = (struct consume *)*self;

    OBJ_CHECK(c, CONSUME_MAGIC);
    *self = NULL;
    consume_drop(c);
    c->ops->free(&c->source);
    decoder_free(&c->decoder);
    decoder_free(&c->imaginer);
    c->magic = 0;
    free(c);
}

/* Where to read, and in what batches: from the settings of the role. */
static void
configure(struct consume *c, const struct settings *s, enum role role)
{
    bool is_train = role == ROLE_TRAIN;
    bool reads_events = !is_train || s->train_input == TRAIN_INPUT_EVENTS;
    enum log_kind kind = reads_events ? s->events_log : s->labels_log;

    c->ops = kinds[kind];
    if (kind == LOG_KIND_KAFKA)
        c->topic = reads_events ? s->events_topic : s->labels_topic;
    else
        c->topic = log_name(reads_events ? s->events_path : s->labels_path);
    c->batch_rows = is_train ? s->train_batch : s->teacher_batch;
    c->rows_max = is_train ? settings_train_rows(s) : settings_teacher_rows(s);
    c->recombine = is_train ? s->teacher_recombine : 0;
    c->start_ms = is_train ? s->train_start : SETTING_EARLIEST;
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
    c->pass = p->pass;
    watermarks_copy(&c->seen, &p->seen);
    c->labels_of = p->source;
    configure(c, p->settings, p->role);
    s = &c->stage;
    st = decoder_new(&c->decoder, event_shape_spec(c->shape), err);
    if (st == STATUS_OK && c->recombine > 0)
        st = decoder_new(&c->imaginer, event_shape_spec(c->shape), err);
    if (st == STATUS_OK)
        st = batch_pool_new(&p->pool, p->settings->pipeline_batches,
                            event_shape_spec(c->shape), c->rows_max, err);
    if (st == STATUS_OK)
        st = c->ops->open(&c->source, c, p, err);
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
    .settled = settled_consume,
    .restart = restart_consume,
    .stop = stop_consume,
    .report = report_consume,
    .free = free_consume,
};

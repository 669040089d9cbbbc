/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encodes the labels of a batch and gives it to the sink.
 */
#include "stages/emit/emit.h"

#include "stages/emit/sink.h"
#include "stages/event/label.h"
#include "stages/event/label_frame.h"
#include "stages/settings.h"
#include "stages/shape.h"
#include "stages/tap.h"
#include "stages/topics.h"

#include "daemon/base/macros.h"
#include "daemon/base/object.h"
#include "daemon/io/log_file.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define EMIT_MAGIC 0x454d4954u

/* Of a record beside its value, key and headers, generously. */
#define RECORD_MARGIN 4096

struct emit {
    struct stage stage;
    unsigned magic;
    const struct sink_ops *ops;
    struct sink *sink;
    const struct event_spec *spec;
    const char *topic; /* name of the events log */
    uint32_t generation;
    struct label_frame frames[1 + ANSWERERS_MAX]; /* as in answered_by */
    size_t width;                                 /* logits a row */
    float *logits; /* (1 + LABEL_IMAGINED_MAX, width) of a row and of what was
                      imagined of it */
    struct label_imagined imagined[LABEL_IMAGINED_MAX];
    bool is_stopping;
    bool has_failed; /* nothing is taken any more */
};

static const struct sink_ops *const kinds[] = {
    [LOG_KIND_FILE] = &sink_file,
    [LOG_KIND_KAFKA] = &sink_kafka,
};

/* ---- what the sink says ---- */

void
emit_let_go(struct emit *e, struct batch **b)
{
    OBJ_CHECK(e, EMIT_MAGIC);
    batch_release(b);
    if (!e->is_stopping)
        stage_has_room(&e->stage);
}

void
emit_settle(struct emit *e, struct batch **b)
{
    struct pipeline *p;

    OBJ_CHECK(e, EMIT_MAGIC);
    p = e->stage.pipeline;
    atomic_fetch_add(&p->written, 1);
    pipeline_settled(p, *b);
    batch_release(b);
    if (p->on_output != NULL)
        p->on_output(p->ctx);
    if (!e->is_stopping)
        stage_has_room(&e->stage);
}

/* The first failure ends the role; batches behind it are let go. */
void
emit_fail(struct emit *e, const struct error *err)
{
    OBJ_CHECK(e, EMIT_MAGIC);
    if (e->has_failed)
        return;
    e->has_failed = true;
    atomic_store(&e->stage.pipeline->writes_failed, true);
    stage_failed(&e->stage, err);
}

void
emit_sink_stopped(struct emit *e)
{
    OBJ_CHECK(e, EMIT_MAGIC);
    stage_stopped(&e->stage);
}

/* ---- encoding ---- */

/* Gathers a row's logits, tasks side by side. */
static void
gather_logits(const struct columns *c, size_t row, float *logits)
{
    size_t at = 0;

    for (size_t i = 0; i < c->task_count; i++) {
        const struct outcome_column *t = &c->tasks[i];

        for (size_t k = 0; k < t->width; k++)
            logits[at++] = t->has_teacher[row] ? t->teacher[row * t->width + k]
                                               : (float)NAN;
    }
}

static const char *
known_text(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

/* What labels of this batch have in common, without an answer and with one
 * from each that answered. */
static enum status
set_frames(struct emit *e, const struct batch *b, struct error *err)
{
    struct label like = {
        .source = {.topic = e->topic,
                   .generation = e->generation,
                   .cluster = known_text(b->input.cluster),
                   .topic_id = known_text(b->input.topic_id)},
        .tasks = e->spec->tasks,
        .task_count = e->spec->task_count,
    };
    enum status st = label_frame_set(&e->frames[0], &like, err);

    for (size_t i = 0; i < b->answerer_count && st == STATUS_OK; i++) {
        like.teacher_name = b->answerers[i].name;
        like.teacher_version = b->answerers[i].version;
        st = label_frame_set(&e->frames[1 + i], &like, err);
    }
    return st;
}

/* Gathers the imagined events of a row that have an answer of who answered the
 * row itself, as many as a label and its topic have room for. */
static void
gather_imagined(struct emit *e, const struct batch *b, size_t row,
                const struct label_frame *frame, struct label *label)
{
    const struct row *r = &b->rows[row];
    const struct topics *topics = e->stage.pipeline->topics;
    size_t record_max = 0; /* that the topic takes; 0: any */
    size_t room = LABEL_IMAGINED_BYTES_MAX;
    size_t used = label_frame_bytes_max(frame, label) + r->header_bytes +
                  (r->key_bytes == KEY_NONE ? 0 : r->key_bytes) + RECORD_MARGIN;

    if (topics != NULL)
        record_max = topics_labels(topics)->record_bytes_max;
    record_max -= record_max / 16;
    if (record_max > 0 && record_max < used + room)
        room = record_max > used ? record_max - used : 0;
    label->imagined = e->imagined;
    for (size_t i = 0;
         i < r->imagined_count && label->imagined_count < LABEL_IMAGINED_MAX;
         i++) {
        size_t at = r->imagined_at + i;
        const struct row *event = &b->rows[at];
        size_t bytes = label_frame_imagined_max(frame, event->bytes);
        float *logits = e->logits + (1 + label->imagined_count) * e->width;

        if (b->answered_by[at] != b->answered_by[row] || bytes > room)
            continue;
        room -= bytes;
        gather_logits(b->columns, at, logits);
        e->imagined[label->imagined_count++] = (struct label_imagined){
            .logits = logits,
            .event = b->raw.data + event->start,
            .event_bytes = event->bytes,
        };
    }
}

static enum status
encode_row(struct emit *e, struct batch *b, size_t row, struct error *err)
{
    struct row *r = &b->rows[row];
    bool has_label = b->answered_by[row] != ANSWERED_BY_NONE;
    const struct label_frame *frame = &e->frames[b->answered_by[row]];
    const struct label_choice choice = {.by = b->chosen_by,
                                        .rate = (double)b->ask_rate[row],
                                        .is_chosen = b->is_chosen[row]};
    struct label label = {
        .source = {.partition = r->source.partition,
                   .offset = r->source.offset},
        .logits = has_label ? e->logits : NULL,
        .choice = b->chosen_by != NULL ? &choice : NULL,
        .event = b->raw.data + r->start,
        .event_bytes = r->bytes,
    };
    enum status st;

    if (has_label) {
        gather_logits(b->columns, row, e->logits);
        gather_imagined(e, b, row, frame, &label);
    }
    st = bytes_reserve(&b->labels, label_frame_bytes_max(frame, &label), err);
    if (st != STATUS_OK)
        return st;
    r->label_start = b->labels.used;
    r->label_bytes =
        label_frame_write(frame, &label, b->labels.data + b->labels.used);
    b->labels.used += r->label_bytes;
    return STATUS_OK;
}

/* Whether the log has the label already. */
static bool
is_written(const struct emit *e, const struct row_source *s)
{
    const struct log_position *emitted = &e->stage.pipeline->emitted;
    uint32_t partition = (uint32_t)s->partition;

    return pipeline_is_labeled(e->stage.pipeline, s->partition, s->offset) ||
           partition < emitted->partition ||
           (partition == emitted->partition &&
            (uint64_t)s->offset < emitted->offset);
}

static enum status
encode_labels(struct emit *e, struct batch *b, struct error *err)
{
    enum status st = set_frames(e, b, err);

    for (size_t i = 0; i < columns_real(b->columns) && st == STATUS_OK; i++) {
        b->rows[i].label_bytes = 0;
        if (b->is_rejected[i] || is_written(e, &b->rows[i].source))
            continue;
        st = encode_row(e, b, i, err);
        e->stage.pipeline->counts.labels++;
    }
    return st;
}

/* ---- the stage ---- */

static enum status
offer_emit(struct stage *s, void **parcel)
{
    struct emit *e = (struct emit *)s;
    struct batch *b;
    struct error err;

    OBJ_CHECK(e, EMIT_MAGIC);
    if (!e->has_failed && !e->ops->has_room(e->sink))
        return STATUS_AGAIN;
    OBJ_TAKE(b, (struct batch **)parcel, BATCH_MAGIC);
    if (e->has_failed || b->epoch != e->stage.pipeline->epoch) {
        emit_let_go(e, &b);
    } else if (encode_labels(e, b, &err) != STATUS_OK) {
        emit_let_go(e, &b);
        emit_fail(e, &err);
    } else {
        tap_show_batch(s->pipeline->tap, b);
        e->ops->put(e->sink, &b);
    }
    return STATUS_OK;
}

static void
fence_emit(struct stage *s)
{
    struct emit *e = (struct emit *)s;

    OBJ_CHECK(e, EMIT_MAGIC);
    e->ops->fence(e->sink);
}

static void
stop_emit(struct stage *s)
{
    struct emit *e = (struct emit *)s;

    OBJ_CHECK(e, EMIT_MAGIC);
    if (e->is_stopping)
        return;
    e->is_stopping = true;
    e->ops->stop(e->sink);
}

static void
report_emit(const struct stage *s, struct role_report *r)
{
    const struct emit *e = (const struct emit *)s;

    OBJ_CHECK(e, EMIT_MAGIC);
    if (e->ops->report != NULL)
        e->ops->report(e->sink, r);
}

static void
free_emit(struct stage **self)
{
    struct emit *e = (struct emit *)*self;

    OBJ_CHECK(e, EMIT_MAGIC);
    *self = NULL;
    if (e->ops != NULL)
        e->ops->free(&e->sink);
    for (size_t i = 0; i < COUNT(e->frames); i++)
        label_frame_fini(&e->frames[i]);
    free(e->logits);
    e->magic = 0;
    free(e);
}

static enum status
open_emit(struct stage **out, struct pipeline *p, struct error *err)
{
    struct emit *e = calloc(1, sizeof(*e));
    const struct settings *settings = p->settings;
    struct stage *s;
    enum status st;

    if (e == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a stage");
    s = &e->stage;
    e->magic = EMIT_MAGIC;
    e->stage.pipeline = p;
    e->spec = event_shape_spec(p->events);
    for (size_t i = 0; i < COUNT(e->frames); i++)
        label_frame_init(&e->frames[i]);
    e->topic = settings->events_log == LOG_KIND_KAFKA
                   ? settings->events_topic
                   : log_name(settings->events_path);
    e->generation = (uint32_t)settings->labels_generation;
    e->ops = kinds[settings->labels_log];
    for (size_t i = 0; i < e->spec->task_count; i++)
        e->width += event_logit_width(&e->spec->tasks[i]);
    assert(e->width > 0);
    e->logits = calloc((1 + LABEL_IMAGINED_MAX) * e->width, sizeof(float));
    if (e->logits == NULL)
        st = error_set(err, STATUS_NOMEM, "no memory for %zu logits", e->width);
    else
        st = e->ops->open(&e->sink, e, p, err);
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
    .fence = fence_emit,
    .stop = stop_emit,
    .report = report_emit,
    .free = free_emit,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches in a queue, oldest first:
 *
 *   [ sent, waiting for acknowledgements | being sent | not sent ]
 *     settled from the left                letters first, then labels
 *
 * A batch of an epoch that is over is sent no further. When the producer fails,
 * the source goes back to what is settled, and a new producer goes on.
 */
#include "stages/dead_letters.h"
#include "stages/emit/sink.h"
#include "stages/emit/transactions.h"
#include "stages/event/headers.h"
#include "stages/event/label.h"
#include "stages/settings.h"
#include "stages/topics.h"

#include "daemon/base/crash.h"
#include "daemon/base/digest.h"
#include "daemon/base/digits.h"
#include "daemon/base/logging.h"
#include "daemon/base/object.h"
#include "daemon/io/calls.h"
#include "daemon/io/kafka_producer.h"

#include <stdlib.h>
#include <string.h>

#define SINK_MAGIC     0x534b4146u
#define REOPEN_MS      500
#define PAYLOAD_MAX    4096u
#define LATE_BYTES_MAX ((size_t)1 << 20)
#define TOPIC_BYTES    1048588u /* that every topic takes, unless told */
#define RECORD_EXTRA   64u      /* most that is around a record in a batch */
#define HEADER_EXTRA   10u      /* and around a header */

struct sink {
    unsigned magic;
    struct emit *emit;
    struct pipeline *pipeline;
    struct kafka_producer *producer; /* NULL: none at present */
    struct kafka_target *labels;
    struct kafka_target *dead_letters;
    struct batch **queue; /* a ring of (slots) */
    size_t slots;
    size_t head;
    size_t count;
    size_t sent_count; /* from head on, that are sent as far as they will be */
    size_t letters_at; /* of the one being sent: bytes of its letters */
    size_t row_at;     /* and rows */
    size_t letters_unsettled;
    struct bytes late;  /* the letter of a label that is too large */
    struct call retire; /* frees the producer that failed */
    struct kafka_producer *retired;
    struct timer *reopen;
    struct transactions *transactions; /* NULL: there are none */
    size_t committed_count; /* of those sent, whose transaction is done */
    bool must_abort;        /* the one that is open */
    bool is_recovering;     /* nothing comes home before the next producer has
                               found out what became of the last one */
    bool has_failed;        /* the producer has; its records come back first */
    bool is_dead;           /* nothing is sent any more */
    bool is_stopping;
    bool is_going_on;
    bool must_go_on;
};

static void go_on(struct sink *s);

static struct batch *
queue_at(const struct sink *s, size_t i)
{
    return s->queue[(s->head + i) % s->slots];
}

static bool
is_over(const struct sink *s, const struct batch *b)
{
    return s->is_dead || b->epoch != s->pipeline->epoch;
}

/* ---- the producer ---- */

/* Whether the calls thread has the producer. */
static bool
is_busy(const struct sink *s)
{
    return s->transactions != NULL &&
           transactions_state(s->transactions) == TRANSACTIONS_BUSY;
}

static void
die(struct sink *s, const struct error *err)
{
    s->is_dead = true;
    emit_fail(s->emit, err);
}

/* The source goes back to what is settled. A teacher that learns cannot unlearn
 * what would be handed on again: there the role ends. */
static void
go_back(struct sink *s, const struct error *why)
{
    struct error err;

    if (pipeline_learns_by_hand(s->pipeline) && s->pipeline->is_fenced) {
        (void)error_set(&err, STATUS_REFUSED,
                        "labels could not be written, and the teacher has "
                        "learned from their events: a new start goes on from "
                        "its checkpoint (%s)",
                        why->text);
        die(s, &err);
    }
    pipeline_restart(s->pipeline);
}

/* No batch is settled behind this, and the source goes back. */
static void
fail_producer(struct sink *s, const struct error *err)
{
    if (s->has_failed)
        return;
    s->has_failed = true;
    if (s->transactions != NULL) {
        s->is_recovering = true;
        transactions_close(s->transactions);
    }
    log_error("producer_failed",
              "text=\"%s\" then=\"labels go on behind the last acknowledged "
              "one\"",
              err->text);
    if (status_class(err->status) == CLASS_FATAL)
        die(s, err);
    kafka_producer_give_up(s->producer);
    go_back(s, err);
}

static void
on_delivered(void *ctx, void *opaque, size_t count, const struct error *err)
{
    struct sink *s = ctx;
    struct batch *b = opaque;

    crash_point("sink_after_ack");
    if (opaque == s) {
        s->letters_unsettled -= count;
    } else {
        OBJ_CHECK(b, BATCH_MAGIC);
        b->unsettled -= count;
    }
    if (err != NULL && s->transactions == NULL)
        fail_producer(s, err);
    else if (err != NULL &&
             transactions_state(s->transactions) == TRANSACTIONS_OPEN)
        s->must_abort = opaque == s || !is_over(s, b) || s->must_abort;
    go_on(s);
}

static void
on_failed(void *ctx, const struct error *err)
{
    struct sink *s = ctx;

    if (is_busy(s))
        return; /* the step under way will tell */
    fail_producer(s, err);
    go_on(s);
}

static void
on_retire(void *ctx)
{
    struct sink *s = ctx;

    kafka_producer_free(&s->retired);
}

static void
on_retired(void *ctx)
{
    struct sink *s = ctx;

    s->has_failed = false;
    if (!s->is_dead)
        timer_start(s->reopen, REOPEN_MS, 0);
    go_on(s);
}

/* A producer that failed is freed beside the loop, once nothing of its is
 * ours any more. */
static bool
can_retire(const struct sink *s)
{
    return s->has_failed && !s->is_dead && s->producer != NULL && !is_busy(s) &&
           kafka_producer_pending(s->producer) == 0;
}

static void
retire_producer(struct sink *s)
{
    kafka_producer_mute(s->producer);
    s->retired = s->producer;
    s->producer = NULL;
    calls_begin(s->pipeline->calls, &s->retire);
}

/* What a topic surely takes at once: leaves room for what a batch adds. 0: as
 * much as is everybody's default, or unknown. */
static size_t
bytes_max(const struct kafka_topic *topic)
{
    size_t max = topic->record_bytes_max;

    return max > 0 && max < TOPIC_BYTES ? max - max / 16 : 0;
}

static size_t
smaller(size_t a, size_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static enum status
open_producer(struct sink *s, struct error *err)
{
    const struct settings *settings = s->pipeline->settings;
    struct topics *topics = s->pipeline->topics;
    struct kafka_producer_spec spec = {
        .properties = *topics_producer_properties(topics),
        .batch_bytes_max = smaller(bytes_max(topics_labels(topics)),
                                   bytes_max(topics_dead_letters(topics))),
        .on_delivered = on_delivered,
        .on_failed = on_failed,
        .ctx = s,
    };
    enum status st;

    if (s->transactions != NULL)
        spec.transactional_id = transactions_id(s->transactions);
    st = kafka_producer_open(&s->producer, s->pipeline->loop, &spec, err);

    if (st == STATUS_OK)
        st = kafka_producer_target(s->producer, settings->labels_topic,
                                   &s->labels, err);
    if (st == STATUS_OK)
        st = kafka_producer_target(s->producer, settings->dead_letters_topic,
                                   &s->dead_letters, err);
    if (st == STATUS_OK && s->transactions != NULL)
        transactions_do(s->transactions, TRANSACTIONS_INIT, s->producer, NULL);
    return st;
}

/* ---- sending ---- */

/* Sends the letters of a batch on from letters_at. False: the queue is full. */
static bool
send_letters(struct sink *s, struct batch *b)
{
    struct error err;
    enum status st =
        dead_letters_send(s->producer, s->dead_letters, &b->dead_letters,
                          &s->letters_at, &s->letters_unsettled, s, &err);

    if (st != STATUS_OK && st != STATUS_AGAIN)
        fail_producer(s, &err);
    return st == STATUS_OK;
}

/* A label that the topic does not take becomes a dead letter. */
static enum status
send_late_letter(struct sink *s, const struct batch *b, const struct row *r,
                 const struct error *why, struct error *err)
{
    const char *event = b->raw.data + r->start;
    char sha256[DIGEST_HEX_SIZE];
    struct dead_letter letter = {
        .source = {.topic = s->pipeline->settings->events_topic,
                   .partition = r->source.partition,
                   .offset = r->source.offset},
        .reason = why->text,
        .stage = "emit",
        .key = r->key_bytes == KEY_NONE ? NULL : event + r->bytes,
        .key_bytes = r->key_bytes == KEY_NONE ? 0 : r->key_bytes,
        .payload = event,
        .payload_bytes = r->bytes,
        .payload_max = r->bytes < PAYLOAD_MAX ? r->bytes : PAYLOAD_MAX,
        .sha256 = sha256,
    };
    size_t at = 0;
    enum status st;

    digest_once(event, r->bytes, sha256);
    bytes_clear(&s->late);
    st = bytes_reserve(&s->late,
                       dead_letter_bytes_max(letter.payload_max) +
                           dead_letter_extra_bytes(&letter),
                       err);
    if (st == STATUS_OK)
        st = dead_letter_write(&letter, s->late.data, s->late.capacity,
                               &s->late.used, err);
    if (st == STATUS_OK)
        st = dead_letters_send(s->producer, s->dead_letters, &s->late, &at,
                               &s->letters_unsettled, s, err);
    if (st == STATUS_OK) {
        s->pipeline->counts.dead_letters++;
        s->pipeline->counts.labels--;
    }
    return st;
}

/* The event's key and headers go with its label, and its time, since the
 * topic's records bear the time of their arrival. */
static void
fill_record(const struct batch *b, size_t row,
            struct record_header headers[RECORD_HEADERS_MAX + 1],
            char time[DIGITS_MAX], struct record *out)
{
    const struct row *r = &b->rows[row];
    const char *key = b->raw.data + r->start + r->bytes;
    size_t key_bytes = r->key_bytes == KEY_NONE ? 0 : r->key_bytes;
    int64_t time_ms = b->columns->time_ms[row];

    *out = (struct record){
        .value = b->labels.data + r->label_start,
        .value_bytes = r->label_bytes - 1, /* without the line feed */
        .key = r->key_bytes == KEY_NONE ? NULL : key,
        .key_bytes = key_bytes,
        .headers = headers,
        .partition = r->source.partition,
    };
    if (r->header_bytes > 0)
        out->header_count =
            headers_unpack(key + key_bytes, r->header_bytes, headers);
    if (time_ms == 0)
        return;
    headers[out->header_count++] = (struct record_header){
        .name = HEADER_EVENT_TIME,
        .value = time,
        .value_bytes = digits_int(time, time_ms),
    };
}

/* TOOBIG for a label that the topic would refuse, and the others with it. */
static enum status
check_size(const struct sink *s, const struct record *r, struct error *err)
{
    size_t max = bytes_max(topics_labels(s->pipeline->topics));
    size_t bytes = r->value_bytes + r->key_bytes + RECORD_EXTRA;

    for (size_t i = 0; i < r->header_count; i++) {
        const struct record_header *h = &r->headers[i];

        bytes += strlen(h->name) + HEADER_EXTRA;
        bytes += h->value_bytes == RECORD_HEADER_NULL ? 0 : h->value_bytes;
    }
    if (max == 0 || bytes <= max)
        return STATUS_OK;
    return error_set(err, STATUS_TOOBIG,
                     "the label has %zu bytes, topic %s takes %zu", bytes,
                     s->pipeline->settings->labels_topic, max);
}

/* Sends the labels of a batch on from row_at. False: not all of them yet. */
static bool
send_rows(struct sink *s, struct batch *b)
{
    struct record_header headers[RECORD_HEADERS_MAX + 1];
    struct record record;
    struct error why;
    struct error err;
    char time[DIGITS_MAX];
    enum status st;

    for (; s->row_at < columns_real(b->columns); s->row_at++) {
        if (b->rows[s->row_at].label_bytes == 0)
            continue; /* the topic has it, or it is a dead letter */
        if (s->letters_unsettled > 0)
            return false;
        fill_record(b, s->row_at, headers, time, &record);
        st = check_size(s, &record, &why);
        if (st == STATUS_OK)
            st = kafka_producer_send(s->producer, s->labels, &record, b, &why);
        if (st == STATUS_TOOBIG) {
            st = send_late_letter(s, b, &b->rows[s->row_at], &why, &err);
        } else {
            b->unsettled += st == STATUS_OK;
            err = why;
        }
        if (st != STATUS_OK && st != STATUS_AGAIN)
            fail_producer(s, &err);
        if (st != STATUS_OK)
            return false;
        crash_point("sink_between_labels");
    }
    return s->letters_unsettled == 0;
}

/* Whether records may be sent now; opens a transaction where it takes one. */
static bool
may_send(struct sink *s)
{
    if (s->producer == NULL || s->has_failed || s->must_abort)
        return false;
    if (s->transactions == NULL)
        return true;
    if (transactions_state(s->transactions) == TRANSACTIONS_READY)
        transactions_do(s->transactions, TRANSACTIONS_BEGIN, s->producer, NULL);
    return transactions_state(s->transactions) == TRANSACTIONS_OPEN;
}

/* Where the batches that were sent lead to; NULL: they are dead letters alone,
 * ahead of their batch. */
static const struct positions *
last_position(const struct sink *s)
{
    for (size_t i = s->sent_count; i-- > 0;) {
        if (queue_at(s, i)->has_position)
            return &queue_at(s, i)->after;
    }
    return NULL;
}

/* Ends the transaction that is open, when all there is was sent in it, or when
 * it must not count any more. */
static void
end_transaction(struct sink *s)
{
    if (s->transactions == NULL || s->has_failed ||
        transactions_state(s->transactions) != TRANSACTIONS_OPEN)
        return;
    for (size_t i = 0; i < s->sent_count; i++)
        s->must_abort = s->must_abort || is_over(s, queue_at(s, i));
    if (s->must_abort) {
        transactions_do(s->transactions, TRANSACTIONS_ABORT, s->producer, NULL);
    } else if (s->sent_count > 0 && s->sent_count == s->count &&
               s->letters_unsettled == 0) {
        crash_point("sink_before_transaction_commit");
        transactions_do(s->transactions, TRANSACTIONS_COMMIT, s->producer,
                        last_position(s));
    }
}

/* The brokers have decided, or cannot. */
static void
on_step(void *ctx, enum transactions_step step,
        enum transaction_outcome outcome, const struct error *err)
{
    struct sink *s = ctx;
    bool is_ours = s->pipeline->settings->labels_transactional_id[0] == '\0';

    if (outcome == TRANSACTION_DONE) {
        if (step == TRANSACTIONS_INIT) {
            s->is_recovering = false;
            s->pipeline->is_fenced = true;
        }
        if (step == TRANSACTIONS_COMMIT) {
            crash_point("sink_after_transaction_commit");
            s->committed_count = s->sent_count;
        }
    } else if (outcome == TRANSACTION_ABORTED) {
        log_warn("transaction_aborted", "text=\"%s\"",
                 step == TRANSACTIONS_ABORT ? "partitions or brokers changed"
                                            : err->text);
        s->must_abort = false;
        go_back(s, err);
    } else {
        s->must_abort = false;
        if (outcome == TRANSACTION_DENIED ||
            (outcome == TRANSACTION_FENCED && !is_ours))
            die(s, err);
        fail_producer(s, err);
    }
    go_on(s);
    if (step == TRANSACTIONS_INIT && s->pipeline->is_fenced)
        pipeline_wake(s->pipeline);
}

/* Whether the oldest batch may leave: all of it is acknowledged, and where
 * there are transactions, its own has ended. */
static bool
is_settled(const struct sink *s, const struct batch *b)
{
    if (b->unsettled > 0)
        return false;
    if (s->transactions == NULL || s->is_dead)
        return true;
    if (!is_over(s, b))
        return s->committed_count > 0;
    return !s->is_recovering &&
           transactions_state(s->transactions) == TRANSACTIONS_READY;
}

/* Sends what can be sent. */
static void
send_queue(struct sink *s)
{
    while (s->sent_count < s->count) {
        struct batch *b = queue_at(s, s->sent_count);

        if (is_over(s, b)) {
            if (s->letters_unsettled > 0)
                return; /* the producer still has its bytes */
        } else {
            if (!may_send(s))
                return;
            if (!send_letters(s, b) || s->letters_unsettled > 0)
                return;
            crash_point("sink_between_letters_and_labels");
            if (!send_rows(s, b))
                return;
            crash_point("sink_after_send");
        }
        s->letters_at = 0;
        s->row_at = 0;
        s->sent_count++;
    }
}

/* Gives back what is acknowledged, and what will not be sent. */
static void
settle_queue(struct sink *s)
{
    while (s->sent_count > 0) {
        struct batch *b = queue_at(s, 0);

        if (!is_settled(s, b))
            return;
        s->head = (s->head + 1) % s->slots;
        s->count--;
        s->sent_count--;
        s->committed_count -= s->committed_count > 0;
        if (is_over(s, b))
            emit_let_go(s->emit, &b);
        else
            emit_settle(s->emit, &b);
    }
}

/* Giving a batch back brings the next one from inside the call. */
static void
go_on(struct sink *s)
{
    s->must_go_on = true;
    if (s->is_going_on)
        return;
    s->is_going_on = true;
    while (s->must_go_on) {
        s->must_go_on = false;
        send_queue(s);
        end_transaction(s);
        settle_queue(s);
        if (can_retire(s)) /* later: this may be a call from inside of it */
            timer_start(s->reopen, 0, 0);
    }
    s->is_going_on = false;
    if (s->is_stopping && s->count == 0 && !s->retire.is_under_way &&
        !is_busy(s)) {
        s->is_stopping = false; /* said once */
        emit_sink_stopped(s->emit);
    }
}

static void
on_reopen(void *ctx)
{
    struct sink *s = ctx;
    struct error err;

    if (can_retire(s)) {
        retire_producer(s);
        return;
    }
    if (s->producer == NULL && open_producer(s, &err) != STATUS_OK)
        die(s, &err);
    go_on(s);
}

/* ---- the sink ---- */

static bool
has_room(const struct sink *s)
{
    OBJ_CHECK(s, SINK_MAGIC);
    return s->count < s->slots;
}

static void
put(struct sink *s, struct batch **b)
{
    struct batch *mine;

    OBJ_CHECK(s, SINK_MAGIC);
    OBJ_TAKE(mine, b, BATCH_MAGIC);
    s->queue[(s->head + s->count) % s->slots] = mine;
    s->count++;
    if (s->producer == NULL && !s->has_failed)
        on_reopen(s);
    else
        go_on(s);
}

static void
fence(struct sink *s)
{
    OBJ_CHECK(s, SINK_MAGIC);
    if (s->producer == NULL && !s->has_failed)
        on_reopen(s);
}

static void
stop(struct sink *s)
{
    OBJ_CHECK(s, SINK_MAGIC);
    timer_stop(s->reopen);
    s->is_stopping = true;
    s->is_dead = true;
    if (s->producer != NULL && s->count > 0)
        kafka_producer_give_up(s->producer);
    go_on(s);
}

static void
report(const struct sink *s, struct role_report *r)
{
    OBJ_CHECK(s, SINK_MAGIC);
    if (s->transactions != NULL && s->producer != NULL)
        transactions_report(s->transactions, r);
    if (s->has_failed)
        role_report_add_obstacle(r, "the producer of labels is being replaced");
}

static void
free_sink(struct sink **self)
{
    struct sink *s;

    if (*self == NULL)
        return;
    OBJ_TAKE(s, self, SINK_MAGIC);
    kafka_producer_free(&s->producer);
    transactions_free(&s->transactions);
    timer_free(&s->reopen);
    bytes_fini(&s->late);
    free(s->queue);
    s->magic = 0;
    free(s);
}

static enum status
open_sink(struct sink **out, struct emit *e, struct pipeline *p,
          struct error *err)
{
    struct sink *s = calloc(1, sizeof(*s));
    enum status st;

    if (s == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a sink");
    s->magic = SINK_MAGIC;
    s->emit = e;
    s->pipeline = p;
    s->retire = (struct call){on_retire, on_retired, s, false};
    bytes_init(&s->late, LATE_BYTES_MAX);
    s->slots = p->settings->pipeline_batches; /* more can never be here */
    s->queue = calloc(s->slots, sizeof(struct batch *));
    if (s->queue == NULL)
        st = error_set(err, STATUS_NOMEM, "no memory for a sink");
    else
        st = timer_new(&s->reopen, p->loop, on_reopen, s, err);
    if (st == STATUS_OK && p->settings->labels_transactional)
        st = transactions_new(&s->transactions, p, on_step, s, err);
    if (st != STATUS_OK) {
        free_sink(&s);
        return st;
    }
    *out = s;
    return STATUS_OK;
}

const struct sink_ops sink_kafka = {
    .name = "kafka",
    .open = open_sink,
    .has_room = has_room,
    .put = put,
    .fence = fence,
    .stop = stop,
    .report = report,
    .free = free_sink,
};

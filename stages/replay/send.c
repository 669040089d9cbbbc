/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines into records. One line is looked at in advance: the next to be sent.
 */
#include "stages/replay/replay_priv.h"
#include "stages/settings.h"

#include "daemon/base/clock.h"
#include "daemon/base/logging.h"

#include <string.h>

#define TURN_LINES 512 /* and then the loop has its turn */
#define NS_PER_MS  UINT64_C(1000000)

enum status
send_begin(struct replay *r, struct error *err)
{
    const struct replay_input_spec spec = {
        .path = r->options->input,
        .loops = r->options->loops,
        .on_lines = send_lines,
        .ctx = r,
    };

    return replay_input_open(&r->input, r->loop, &spec, err);
}

/* Counts a line that is not sent. */
static void
leave_out(struct replay *r, uint64_t *count)
{
    (*count)++;
    replay_input_settle(r->input, r->line.hold, 1);
}

/* Says where r->line goes to; false: it is not to be sent. */
static bool
route_line(struct replay *r)
{
    const struct replay_line *line = &r->line;
    struct routed *to = &r->routed;

    if (line->number < r->options->from_line) {
        leave_out(r, &r->counts.left_out);
        return false;
    }
    if (line->is_cut) {
        log_warn("replay_too_big", "line=%llu bytes=%zu",
                 (unsigned long long)line->number, line->bytes);
        leave_out(r, &r->counts.too_big);
        return false;
    }
    route_read(&r->route, line->data, line->bytes, to);
    r->partition =
        to->has_key
            ? route_partition(to->key, to->key_bytes, r->partition_count)
            : (int32_t)(line->number % (uint64_t)r->partition_count);
    if (line->number <= r->has[r->partition]) {
        leave_out(r, &r->counts.left_out);
        return false;
    }
    if (r->options->key != NULL && !to->has_key)
        r->counts.without_key++;
    return true;
}

/* Makes the next line that is to be sent r->line. AGAIN, END, or an error. */
static enum status
take_line(struct replay *r, int *budget, struct error *err)
{
    while (!r->has_line) {
        enum status st;

        if (--*budget < 0)
            return STATUS_AGAIN;
        st = replay_input_next(r->input, &r->line, err);
        if (st != STATUS_OK)
            return st;
        r->counts.read++;
        r->read_bytes = r->line.read;
        r->has_line = route_line(r);
    }
    return STATUS_OK;
}

/* Sends r->line. AGAIN: the producer's queue is full. */
static enum status
send_line(struct replay *r, struct error *err)
{
    char mark[REPLAY_MARK_SIZE + 24];
    const struct record_header header = {
        .name = REPLAY_HEADER,
        .value = mark,
        .value_bytes = find_mark(r, r->line.number, mark, sizeof(mark)),
    };
    const struct record record = {
        .value = r->line.data,
        .value_bytes = r->line.bytes,
        .key = r->routed.has_key ? r->routed.key : NULL,
        .key_bytes = r->routed.key_bytes,
        .headers = &header,
        .header_count = 1,
        .partition = r->partition,
    };
    enum status st =
        kafka_producer_send(r->producer, r->target, &record, r->line.hold, err);

    if (st == STATUS_AGAIN)
        return st;
    r->has_line = false;
    if (st == STATUS_TOOBIG) {
        log_warn("replay_too_big", "line=%llu bytes=%zu text=\"%s\"",
                 (unsigned long long)r->line.number, r->line.bytes, err->text);
        leave_out(r, &r->counts.too_big);
        return STATUS_OK;
    }
    if (st == STATUS_OK) {
        r->counts.sent++;
        r->counts.last_line = r->line.number;
    }
    return st;
}

/* The next line is there: when is it due? Asked once a line. */
static void
plan_line(struct replay *r)
{
    if (r->started_ns == 0) {
        r->started_ns = clock_now_ns();
        pace_start(&r->pace, r->started_ns);
        r->pass = r->line.pass;
    }
    if (r->line.pass != r->pass) {
        r->pass = r->line.pass;
        pace_again(&r->pace);
    }
    r->due_ns = pace_due(&r->pace, r->routed.has_time, r->routed.time_ms);
}

/* Waits for r->due_ns; true when it has come. */
static bool
is_due(struct replay *r)
{
    uint64_t now = clock_now_ns();

    if (now >= r->due_ns)
        return true;
    timer_start(r->timer, (r->due_ns - now + NS_PER_MS - 1) / NS_PER_MS, 0);
    return false;
}

void
send_lines(void *ctx)
{
    struct replay *r = ctx;
    struct error err;
    int budget = TURN_LINES;
    enum status st = STATUS_OK;

    replay_finish(r); /* where it ends, and waited for this */
    while (r->phase == REPLAY_SENDING && st == STATUS_OK) {
        bool is_planned = r->has_line;

        st = take_line(r, &budget, &err);
        if (st == STATUS_OK && !is_planned)
            plan_line(r);
        if (st == STATUS_OK) {
            if (!is_due(r))
                return;
            st = send_line(r, &err);
        }
    }
    if (r->phase != REPLAY_SENDING)
        return;
    if (st == STATUS_END)
        replay_enter(r, REPLAY_ENDING);
    else if (st != STATUS_AGAIN)
        replay_fail(r, &err);
    else if (budget < 0)
        timer_start(r->timer, 0, 0);
    if (st == STATUS_END)
        replay_finish(r);
}

void
send_on_delivered(void *ctx, void *opaque, size_t count,
                  const struct error *err)
{
    struct replay *r = ctx;

    replay_input_settle(r->input, opaque, count);
    if (err == NULL) {
        r->counts.acknowledged += count;
    } else {
        r->counts.failed += count;
        replay_fail(r, err);
    }
    if (r->phase == REPLAY_SENDING)
        send_lines(r); /* there is room again */
    else
        replay_finish(r);
}

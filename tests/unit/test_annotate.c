/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The annotate stage between a stage that has batches and one that takes them,
 * with teachers that answer late and in any order.
 */
#include "stages/annotate/annotate.h"
#include "stages/annotate/teacher.h"
#include "stages/event/headers.h"
#include "stages/settings.h"
#include "stages/shape.h"

#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#define BATCHES  6
#define ROWS     4
#define WIDTH    4 /* one of task a, three of task b */
#define HELD_MAX (BATCHES * TEACHERS_MAX)

/* ---- teachers ---- */

/* What a teacher of ours says of a row: something that is its alone. */
static float
logit_of(const char *name, int64_t offset, size_t k)
{
    return (float)(offset % 1000) + (float)name[0] * 0.5f + (float)k * 0.125f;
}

struct teacher {
    const char *name;
    size_t asks;
    size_t canceled;
};

/* Asks that wait for the test to end them, by teacher's name. */
static struct held {
    struct teacher *teacher;
    struct ask *ask;
} held[HELD_MAX];
static size_t held_count;

static enum status
open_fake(struct teacher **out, struct pipeline *p,
          const struct teacher_settings *s, struct error *err)
{
    (void)p;
    *out = calloc(1, sizeof(**out));
    if (*out == NULL)
        return error_set(err, STATUS_NOMEM, "no memory");
    (*out)->name = s->name;
    return STATUS_OK;
}

static void
free_fake(struct teacher **self)
{
    free(*self);
    *self = NULL;
}

/* Answers wanted rows whose offset is not of `rejects`; a version for each
 * two rows. */
static void
answer_rows(struct teacher *t, struct ask *ask)
{
    for (size_t row = 0; row < ask->batch->columns->row_count; row++) {
        int64_t offset = ask->batch->rows[row].source.offset;
        char version[64];
        size_t index = 0;
        struct error err;
        float *logits;

        if (!ask->wanted[row])
            continue;
        if (offset % 10 == 7) {
            ask_reject(ask, row, "no such user");
            continue;
        }
        (void)snprintf(version, sizeof(version), "%s%zu", t->name, row / 2);
        CHECK_INT(ask_version(ask, version, &index, &err), STATUS_OK);
        logits = ask_give(ask, row, index);
        for (size_t k = 0; k < WIDTH; k++)
            logits[k] = logit_of(t->name, offset, k);
        if (offset % 10 == 3)
            logits[2] = (float)NAN; /* nothing about task b */
    }
}

static void
hold_ask(struct teacher *t, struct ask *ask)
{
    CHECK(held_count < HELD_MAX);
    t->asks++;
    held[held_count++] = (struct held){t, ask};
}

static struct held
take_held(size_t i)
{
    struct held h = held[i];

    held[i] = held[--held_count];
    return h;
}

static void
end_held(size_t i, bool answers, enum status status)
{
    struct held h = take_held(i);

    if (answers)
        answer_rows(h.teacher, h.ask);
    if (status != STATUS_OK)
        (void)error_set(&h.ask->error, status, "on purpose");
    h.ask->done(h.ask->ctx, h.ask);
}

static size_t
find_held(const char *name)
{
    size_t i = 0;

    while (i < held_count && strcmp(held[i].teacher->name, name) != 0)
        i++;
    return i;
}

static void
cancel_ask(struct teacher *t, struct ask *ask)
{
    t->canceled++;
    for (size_t i = 0; i < held_count; i++) {
        if (held[i].ask == ask) {
            end_held(i, false, STATUS_OK);
            return;
        }
    }
    CHECK(false);
}

static const struct teacher_ops late = {
    .name = "late",
    .way = TEACHER_ASYNC,
    .open = open_fake,
    .ask = hold_ask,
    .cancel = cancel_ask,
    .free = free_fake,
};

static const struct teacher_ops prompt = {
    .name = "prompt",
    .way = TEACHER_AT_ONCE,
    .open = open_fake,
    .answer = answer_rows,
    .free = free_fake,
};

static const struct teacher_ops threaded = {
    .name = "threaded",
    .way = TEACHER_ON_THREAD,
    .open = open_fake,
    .answer = answer_rows,
    .free = free_fake,
};

static const struct teacher_ops *const all_late[] = {
    [TEACHER_KIND_NONE] = &prompt,
    [TEACHER_KIND_CHECKPOINT] = &late,
    [TEACHER_KIND_FIELD] = &prompt,
};

static const struct teacher_ops *const all_threaded[] = {
    [TEACHER_KIND_NONE] = &prompt,
    [TEACHER_KIND_CHECKPOINT] = &threaded,
    [TEACHER_KIND_FIELD] = &prompt,
};

/* ---- the stages around it ---- */

#define SEEN_MAX 4096

static struct pipeline p;
static struct settings *settings;
static struct event_shape *shape;
static struct stage *stage;
static struct stage before;
static struct stage behind;
static struct batch *seen[SEEN_MAX]; /* handed on, not released yet */
static size_t seen_count;
static int64_t next_offset;
static int64_t wanted_offset;
static size_t left; /* batches that are still to be offered */
static size_t handed_on;
static bool is_full; /* the stage behind takes nothing */
static bool has_ended;
static bool is_feeding;
static bool is_turning;

static void
fill_row(struct batch *b, size_t row)
{
    char text[32];
    struct record_header header = {"trace", "t-1", 3};
    struct error err;

    (void)snprintf(text, sizeof(text), "{\"n\":%lld}", (long long)next_offset);
    b->rows[row] = (struct row){
        .start = b->raw.used,
        .bytes = strlen(text),
        .key_bytes = 2,
        .source = {.partition = 3, .offset = next_offset++},
    };
    CHECK_INT(bytes_append(&b->raw, text, strlen(text), &err), STATUS_OK);
    CHECK_INT(bytes_append(&b->raw, "k1", 2, &err), STATUS_OK);
    b->rows[row].header_bytes = (uint32_t)b->raw.used;
    CHECK_INT(headers_pack(&b->raw, &header, 1, &err), STATUS_OK);
    b->rows[row].header_bytes =
        (uint32_t)b->raw.used - b->rows[row].header_bytes;
}

/* Offers batches while there is room. */
static void
feed(struct stage *s)
{
    (void)s;
    if (is_feeding)
        return;
    is_feeding = true;
    while (left > 0) {
        struct batch *b = batch_pool_take(p.pool);
        void *parcel = b;

        if (b == NULL)
            break;
        left--;
        b->epoch = p.epoch;
        for (size_t row = 0; row < ROWS; row++)
            fill_row(b, row);
        for (size_t row = 0; row < ROWS; row++)
            b->columns->features[0].ids[row] =
                feature_id("lane", row % 2 ? "odd" : "even", row % 2 ? 3 : 4);
        b->columns->row_count = ROWS;
        CHECK_INT(annotate_stage.offer(stage, &parcel), STATUS_OK);
        CHECK(parcel == NULL);
    }
    is_feeding = false;
}

/* Whether row has the answers of one of two teachers, or of neither. */
static void
check_row(const struct batch *b, size_t row, const char *name)
{
    const struct columns *c = b->columns;
    int64_t offset = b->rows[row].source.offset;
    uint8_t by = b->answered_by[row];

    CHECK_INT(b->is_rejected[row], offset % 10 == 7);
    CHECK_INT(by != ANSWERED_BY_NONE, name != NULL && offset % 10 != 7);
    if (by == ANSWERED_BY_NONE) {
        CHECK(!c->tasks[0].has_teacher[row]);
        CHECK(!c->tasks[1].has_teacher[row]);
        return;
    }
    CHECK_STR(b->answerers[by - 1].name, name);
    CHECK(c->tasks[0].has_teacher[row]);
    CHECK(c->tasks[0].teacher[row] == logit_of(name, offset, 0));
    CHECK_INT(c->tasks[1].has_teacher[row], offset % 10 != 3);
    for (size_t k = 0; k < 3 && c->tasks[1].has_teacher[row]; k++)
        CHECK(c->tasks[1].teacher[row * 3 + k] ==
              logit_of(name, offset, k + 1));
}

/* The order is that of the offsets, whatever the order of the answers was. */
static void
check_order(const struct batch *b)
{
    for (size_t row = 0; row < b->columns->row_count; row++)
        CHECK_INT(b->rows[row].source.offset, wanted_offset++);
}

static enum status
take(struct stage *s, void **parcel)
{
    struct batch *b = *parcel;

    (void)s;
    if (is_full)
        return STATUS_AGAIN;
    *parcel = NULL;
    handed_on++;
    check_order(b);
    CHECK(seen_count < SEEN_MAX);
    seen[seen_count++] = b;
    return STATUS_OK;
}

static void
release_seen(void)
{
    for (size_t i = 0; i < seen_count; i++)
        batch_release(&seen[i]);
    seen_count = 0;
    stage_has_room(&behind);
}

static void
stop_behind(struct stage *s)
{
    (void)s;
    has_ended = true;
    if (is_turning)
        loop_stop(p.loop);
}

static void
stop_before(struct stage *s)
{
    (void)s;
}

static const struct stage_ops before_ops = {
    .name = "before", .resume = feed, .stop = stop_before};
static const struct stage_ops behind_ops = {
    .name = "behind", .offer = take, .stop = stop_behind};

#define HEAD                                                                   \
    "events: {path: e, time: t}\nlabels: {path: l}\n"                          \
    "features: {lane: {kind: categorical}}\n"                                  \
    "tasks: {a: {kind: binary}, b: {kind: class, classes: 3}}\n"               \
    "pipeline: {batches: 6}\nroles: [annotate]\n"

#define ONE   "teacher: {kind: checkpoint, path: x, batch: 4, name: one}\n"
#define BATCH "teacher: {batch: 4}\n"

static void
set_up(const char *text, const struct teacher_ops *const *kinds)
{
    struct settings_problems problems = {0};
    struct error err = {0};
    enum status st;

    st = settings_parse(&settings, "test", text, strlen(text), &problems, &err);
    if (st != STATUS_OK)
        settings_problems_print(&problems, "test", stdout);
    settings_problems_fini(&problems);
    CHECK_INT(st, STATUS_OK);
    memset(&p, 0, sizeof(p));
    p.settings = settings;
    p.role = ROLE_ANNOTATE;
    p.teacher_kinds = kinds;
    role_stats_init(&p.stats);
    CHECK_INT(event_shape_new(&shape, settings, &err), STATUS_OK);
    p.events = shape;
    CHECK_INT(loop_new(&p.loop, &err), STATUS_OK);
    CHECK_INT(
        batch_pool_new(&p.pool, BATCHES, event_shape_spec(shape), ROWS, &err),
        STATUS_OK);
    st = annotate_stage.open(&stage, &p, &err);
    if (st != STATUS_OK)
        (void)printf("%s\n", err.text);
    CHECK_INT(st, STATUS_OK);
    stage->ops = &annotate_stage;
    before = (struct stage){.ops = &before_ops, .pipeline = &p, .next = stage};
    behind =
        (struct stage){.ops = &behind_ops, .pipeline = &p, .previous = stage};
    stage->previous = &before;
    stage->next = &behind;
    p.stages[0] = &before;
    p.stages[1] = stage;
    p.stages[2] = &behind;
    p.stage_count = 3;
    held_count = 0;
    seen_count = 0;
    next_offset = 0;
    wanted_offset = 0;
    handed_on = 0;
    is_full = false;
    has_ended = false;
}

static void
tear_down(void)
{
    annotate_stage.stop(stage);
    annotate_stage.stop(stage); /* does nothing */
    is_turning = true;
    if (!has_ended)
        loop_run(p.loop);
    is_turning = false;
    CHECK(has_ended);
    for (size_t i = 0; i < seen_count; i++)
        batch_release(&seen[i]);
    annotate_stage.free(&stage);
    batch_pool_free(&p.pool);
    loop_free(&p.loop);
    event_shape_free(&shape);
    settings_free(&settings);
}

/* Lets the loop turn until a condition holds; the timers of the stage are what
 * moves it. */
struct until {
    bool (*is_true)(void);
    struct timer *timer;
};

static void
on_until(void *ctx)
{
    struct until *u = ctx;

    if (u->is_true())
        loop_stop(p.loop);
}

static void
turn_until(bool (*is_true)(void))
{
    struct until u = {.is_true = is_true};
    struct error err;

    CHECK_INT(timer_new(&u.timer, p.loop, on_until, &u, &err), STATUS_OK);
    timer_start(u.timer, 1, 1);
    loop_run(p.loop);
    timer_free(&u.timer);
}

static bool
nothing_is_held(void)
{
    return held_count == 0;
}

static bool
all_are_handed_on(void)
{
    return handed_on == BATCHES;
}

/* ---- tests ---- */

static void
test_answers_in_any_order_keep_the_order_of_batches(void)
{
    size_t most = 0;

    set_up(HEAD ONE, all_late);
    srand(11);
    left = 1000;
    feed(NULL);
    while (handed_on < 1000) {
        most = held_count > most ? held_count : most;
        is_full = rand() % 3 == 0;
        if (held_count > 0 && rand() % 4 != 0)
            end_held((size_t)rand() % held_count, true, STATUS_OK);
        if (rand() % 3 != 0)
            continue;
        is_full = false;
        for (size_t i = 0; i < seen_count; i++) {
            for (size_t row = 0; row < ROWS; row++)
                check_row(seen[i], row, "one");
        }
        annotate_stage.resume(stage);
        release_seen();
    }
    CHECK_INT(most, BATCHES); /* all that there are were under way at once */
    CHECK_INT(p.stats.teachers[0].answers, 3600);
    CHECK_INT(p.stats.teachers[0].rejected, 400);
    CHECK_STR(p.stats.teachers[0].version, "one1");
    tear_down();
}

static void
test_thread_answers_as_well(void)
{
    set_up(HEAD ONE, all_threaded);
    left = BATCHES;
    feed(NULL);
    turn_until(all_are_handed_on);
    for (size_t row = 0; row < ROWS; row++)
        check_row(seen[2], row, "one");
    tear_down();
}

static void
test_versions_of_one_batch_are_told_apart(void)
{
    const struct batch *b;

    set_up(HEAD ONE, all_late);
    left = 1;
    feed(NULL);
    end_held(0, true, STATUS_OK);
    b = seen[0];
    CHECK_INT(b->answerer_count, 2);
    CHECK_STR(b->answerers[b->answered_by[1] - 1].version, "one0");
    CHECK_STR(b->answerers[b->answered_by[2] - 1].version, "one1");
    tear_down();
}

static void
test_rejected_row_is_a_dead_letter_with_all_it_came_with(void)
{
    struct bytes *letters;
    struct error err;

    set_up(HEAD ONE, all_late);
    left = 2;
    feed(NULL);
    end_held(1, true, STATUS_OK);
    CHECK_INT(handed_on, 0);
    end_held(0, true, STATUS_OK);
    CHECK_INT(handed_on, 2);
    CHECK(!seen[0]->has_rejected);
    CHECK_INT(seen[0]->dead_letters.used, 0);
    CHECK(seen[1]->has_rejected); /* offset 7 */
    CHECK(seen[1]->is_rejected[3]);
    letters = &seen[1]->dead_letters;
    CHECK_INT(bytes_append(letters, "", 1, &err), STATUS_OK);
    CHECK_HAS(letters->data, "\"partition\":3,\"offset\":7,");
    CHECK_HAS(letters->data, "\"reason\":\"no such user\"");
    CHECK_HAS(letters->data, "\"stage\":\"annotate\"");
    CHECK_HAS(letters->data, "\"key\":\"k1\"");
    CHECK_HAS(letters->data, "{\"name\":\"trace\",\"value\":\"t-1\"}");
    CHECK_HAS(letters->data, "\"payload\":\"{\\\"n\\\":7}\"");
    CHECK_INT(p.counts.dead_letters, 1);
    CHECK_INT(p.stats.dead_letters[DEAD_REJECTED], 1);
    tear_down();
}

static void
test_epoch_that_is_over_is_canceled(void)
{
    set_up(HEAD ONE, all_late);
    left = BATCHES;
    feed(NULL);
    CHECK_INT(held_count, BATCHES);
    p.epoch++;
    turn_until(nothing_is_held);
    CHECK_INT(handed_on, BATCHES); /* the stage behind lets them go */
    CHECK_INT(p.error.status, STATUS_OK);
    tear_down();
}

static void
test_nothing_is_handed_on_behind_a_failure(void)
{
    set_up(HEAD ONE, all_late);
    left = 4;
    feed(NULL);
    end_held(find_held("one") + 1, true, STATUS_IO);
    CHECK_INT(p.error.status, STATUS_IO);
    CHECK(p.is_interrupted);
    while (held_count > 0)
        end_held(0, true, STATUS_OK);
    CHECK_INT(handed_on, 0);
    CHECK(atomic_load(&p.writes_failed));
    tear_down();
}

static void
test_rows_without_an_answer_go_on_after_the_deadline(void)
{
    set_up(HEAD "teacher: {kind: checkpoint, path: x, batch: 4, name: one, "
                "on_failure: emit_unlabelled, deadline: 20ms}\n",
           all_late);
    left = 2;
    feed(NULL);
    end_held(1, true, STATUS_OK);
    turn_until(nothing_is_held);
    CHECK_INT(handed_on, 2);
    for (size_t row = 0; row < ROWS; row++) {
        check_row(seen[0], row, NULL);
        check_row(seen[1], row, "one");
    }
    CHECK_INT(p.stats.teachers[0].failures, ROWS);
    CHECK_INT(p.stats.teachers[0].failed_asks, 1);
    CHECK_INT(p.error.status, STATUS_OK);
    tear_down();
}

#define TWO(more_a, more_b)                                                    \
    "teachers: {a: {kind: checkpoint, path: x" more_a                          \
    "}, b: {kind: checkpoint, path: y" more_b "}}\n"

static void
test_other_teacher_answers_what_the_first_does_not(void)
{
    set_up(HEAD BATCH TWO(", on_failure: fallback, fallback: b", ""), all_late);
    left = 2;
    feed(NULL);
    CHECK_INT(find_held("b"), held_count);
    end_held(1, true, STATUS_OK);
    end_held(0, false, STATUS_REFUSED);
    CHECK_INT(held_count, 1);
    CHECK_INT(handed_on, 0);
    CHECK_INT(held[0].ask->wanted_count, ROWS);
    end_held(find_held("b"), true, STATUS_OK);
    CHECK_INT(handed_on, 2);
    for (size_t row = 0; row < ROWS; row++) {
        check_row(seen[0], row, "b");
        check_row(seen[1], row, "a");
    }
    tear_down();
}

static void
test_fallback_that_fails_ends_the_role(void)
{
    set_up(HEAD BATCH TWO(", on_failure: fallback, fallback: b", ""), all_late);
    left = 1;
    feed(NULL);
    end_held(0, false, STATUS_REFUSED);
    end_held(0, false, STATUS_REFUSED);
    CHECK_INT(p.error.status, STATUS_REFUSED);
    CHECK_INT(handed_on, 0);
    tear_down();
}

static void
test_gate_says_who_is_asked(void)
{
    set_up(HEAD "teacher: {batch: 4, combine: gate, gate: lane}\n" TWO(
               ", when: [odd]", ""),
           all_late);
    left = 2;
    feed(NULL);
    CHECK_INT(held_count, 4);
    CHECK_INT(held[find_held("a")].ask->wanted_count, 2);
    while (held_count > 0)
        end_held(held_count - 1, true, STATUS_OK);
    CHECK_INT(handed_on, 2);
    for (size_t row = 0; row < ROWS; row++) {
        check_row(seen[0], row, row % 2 ? "a" : "b");
        check_row(seen[1], row, row % 2 ? "a" : "b");
    }
    tear_down();
}

static void
test_mean_is_weighted_by_teacher_and_task(void)
{
    const struct batch *b;
    const struct columns *c;

    set_up(HEAD "teacher: {batch: 4, combine: mean}\n" TWO(", weights: [3, 1]",
                                                           ", weight: 1"),
           all_late);
    left = 1;
    feed(NULL);
    CHECK_INT(held_count, 2);
    end_held(find_held("b"), true, STATUS_OK);
    CHECK_INT(handed_on, 0);
    end_held(0, true, STATUS_OK);
    CHECK_INT(handed_on, 1);
    b = seen[0];
    c = b->columns;
    CHECK_STR(b->answerers[b->answered_by[0] - 1].name, "a+b");
    CHECK_STR(b->answerers[b->answered_by[0] - 1].version, "a0+b0");
    CHECK_STR(b->answerers[b->answered_by[2] - 1].version, "a1+b1");
    CHECK_NEAR(c->tasks[0].teacher[1],
               (3 * logit_of("a", 1, 0) + logit_of("b", 1, 0)) / 4, 1e-5);
    CHECK_NEAR(c->tasks[1].teacher[1 * 3 + 2],
               (logit_of("a", 1, 3) + logit_of("b", 1, 3)) / 2, 1e-5);
    CHECK(c->tasks[0].has_teacher[3]);
    CHECK(!c->tasks[1].has_teacher[3]);
    tear_down();
}

static void
test_mean_is_of_those_that_answer(void)
{
    set_up(HEAD "teacher: {batch: 4, combine: mean}\n" TWO(
               ", weight: 3", ", on_failure: emit_unlabelled"),
           all_late);
    left = 1;
    feed(NULL);
    end_held(find_held("b"), false, STATUS_TIMEOUT);
    end_held(find_held("a"), true, STATUS_OK);
    for (size_t row = 0; row < ROWS; row++)
        check_row(seen[0], row, "a");
    tear_down();
}

static void
test_stop_waits_for_what_is_under_way(void)
{
    set_up(HEAD ONE, all_late);
    left = BATCHES;
    feed(NULL);
    is_full = true;
    annotate_stage.stop(stage);
    while (held_count > 0)
        end_held(held_count - 1, true, STATUS_OK);
    CHECK(!has_ended);
    is_full = false;
    annotate_stage.resume(stage);
    CHECK(has_ended);
    CHECK_INT(handed_on, BATCHES);
    tear_down();
}

int
main(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    RUN(test_answers_in_any_order_keep_the_order_of_batches);
    RUN(test_thread_answers_as_well);
    RUN(test_versions_of_one_batch_are_told_apart);
    RUN(test_rejected_row_is_a_dead_letter_with_all_it_came_with);
    RUN(test_epoch_that_is_over_is_canceled);
    RUN(test_nothing_is_handed_on_behind_a_failure);
    RUN(test_rows_without_an_answer_go_on_after_the_deadline);
    RUN(test_other_teacher_answers_what_the_first_does_not);
    RUN(test_fallback_that_fails_ends_the_role);
    RUN(test_gate_says_who_is_asked);
    RUN(test_mean_is_weighted_by_teacher_and_task);
    RUN(test_mean_is_of_those_that_answer);
    RUN(test_stop_waits_for_what_is_under_way);
    return check_report();
}

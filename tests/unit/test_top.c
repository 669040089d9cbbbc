/* SPDX-License-Identifier: Apache-2.0 */
#include "stages/top_view.h"

#include "daemon/base/text.h"

#include "tests/support/check.h"

#include <stdlib.h>

/* A page with large numbers and long names, where `more` is put. */
static char *
make_page(const char *more)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    (void)fprintf(
        f,
        "{\"name\":\"a-name-that-is-longer-than-the-screen-has-room-for-it\","
        "\"version\":\"0.1.0+gffffffffffffffffffffffffffffffff-dirty\","
        "\"state\":\"running\",\"uptime_seconds\":123456789,"
        "\"is_ready\":false,\"obstacles\":[\"annotate: topic of a long name: "
        "brokers are away since a very long time, and nobody knows why\"],"
        "\"roles\":{\"annotate\":{\"counts\":{\"labels\":99999999999,"
        "\"dead_letters\":99999999},\"rates\":{\"records\":1234567.5,"
        "\"labels\":1234567},\"in_flight\":{\"records\":1048576,"
        "\"oldest_seconds\":1234.5},\"lag\":{\"unit\":\"records\","
        "\"total\":9999999999},\"teacher\":{\"batches\":123456789,"
        "\"failed\":12345678,\"p50_seconds\":12.5,\"p99_seconds\":123.4}},"
        "\"train\":{\"counts\":{\"examples\":99999999999,\"dead_letters\":0},"
        "\"rates\":{\"records\":0.25},\"in_flight\":{\"records\":0,"
        "\"oldest_seconds\":0},\"lag\":{\"unit\":\"bytes\","
        "\"total\":123456789012},\"steps\":{\"p50_seconds\":0.0001,"
        "\"p99_seconds\":0.5},\"model\":{\"loss\":123456.789},"
        "\"soft_weight\":{\"in_force\":\"0.2 hard + 0.8 soft\",\"ahead\":"
        "\"1 hard + 4 soft\",\"switches\":123456},"
        "\"checkpoint\":{\"version\":123456789,\"age_seconds\":98765432,"
        "\"examples\":123456789012,\"failures\":1234,"
        "\"publish_failures\":5678},\"quality\":{\"a-task-with-a-name-that-is-"
        "much-too-long-for-its-place\":{\"score\":\"auc\",\"loss\":"
        "\"mean_squared_error\",\"judged\":1,\"eta_score\":-123.4567,"
        "\"teacher\":{\"score\":0.81,\"loss\":12345.678,\"window_score\":0.8,"
        "\"window_loss\":0.5},\"student\":{\"score\":0.8,\"loss\":0.51,"
        "\"window_score\":0.79,\"window_loss\":0.5},\"baseline\":{\"score\":"
        "null}}}}},\"process\":{\"resident_bytes\":123456789012,"
        "\"cpu_seconds\":1e9},\"loop\":{\"lag_p99_seconds\":10}%s}",
        more);
    (void)fclose(f);
    return text;
}

/* Draws into a text; free it. */
static char *
draw(const struct top_screen *screen)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    top_view_draw(screen, f);
    (void)fclose(f);
    return text;
}

/* Columns of the widest line; escape sequences take none. */
static size_t
widest(const char *text)
{
    size_t widest = 0;
    size_t columns = 0;

    while (*text != '\0') {
        size_t n = text_utf8_step(text, strlen(text));

        if (n == 0) {
            CHECK(n > 0); /* cut in the middle of a character */
            return 0;
        }
        if (*text == '\033') {
            text += strcspn(text, "mKHJ") + 1;
            continue;
        }
        columns = *text == '\n' ? 0 : columns + 1;
        widest = columns > widest ? columns : widest;
        text += n;
    }
    return widest;
}

static void
read_page(struct top_sample *s, const char *text)
{
    struct error err;

    CHECK_INT(top_sample_read(s, text, strlen(text), &err), STATUS_OK);
}

static void
test_80_columns_are_enough(void)
{
    struct top_sample s;
    struct top_history h;
    struct top_screen screen = {
        .url = "http://a-host-with-a-name-that-is-rather-long.example:8642",
        .sample = &s,
        .history = &h,
        .rows = 100,
    };
    char *page = make_page("");

    read_page(&s, page);
    top_history_init(&h);
    for (int i = 0; i < 2 * TOP_HISTORY; i++) {
        s.uptime_seconds += 1;
        s.cpu_seconds += 63;
        s.roles[TOP_ANNOTATE].records_rate = i;
        top_history_add(&h, &s);
    }
    CHECK_NEAR(h.cpu_share, 63, 1e-6);
    for (int i = 0; i < 4; i++) {
        char *text;

        screen.has_color = i % 2 == 1;
        screen.trouble = i < 2 ? NULL
                               : "Failed to connect to a host with a name that "
                                 "is rather long, port 8642";
        text = draw(&screen);
        CHECK(widest(text) > 70);
        CHECK(widest(text) <= 80);
        CHECK((strchr(text, '\033') != NULL) == screen.has_color);
        CHECK_HAS(text, "\u2588"); /* the highest rate */
        CHECK_HAS(text, "transfer");
        CHECK_HAS(text, "0.2 hard + 0.8 soft in force");
        free(text);
    }
    free(page);
}

static void
test_several_teachers_are_shown(void)
{
    const char *page =
        "{\"name\":\"x\",\"version\":\"1\",\"state\":\"running\",\"roles\":{"
        "\"annotate\":{\"teachers\":[{\"name\":\"large-and-slow\",\"version\":"
        "\"31\",\"answers\":12345,\"failures\":7,\"p99_seconds\":0.25},"
        "{\"name\":\"small\",\"version\":\"\",\"answers\":0,\"failures\":0}]}}"
        "}";
    struct top_sample s;
    struct top_history h;
    struct top_screen screen = {
        .url = "x", .sample = &s, .history = &h, .rows = 24};
    char *text;

    read_page(&s, page);
    top_history_init(&h);
    text = draw(&screen);
    CHECK_HAS(text, "  large-and-slow     12,345 answers, 7 failed, p99 250 "
                    "ms, version 31\n");
    CHECK_HAS(text, "  small              0 answers, 0 failed, p99 -, version "
                    "-\n");
    free(text);
    s.teacher_count = 1; /* its line says it all */
    text = draw(&screen);
    CHECK(strstr(text, "answers") == NULL);
    free(text);
}

static void
test_what_a_stranger_sends_is_no_escape_sequence(void)
{
    static const char *const strangers[] = {"",
                                            "{}",
                                            "[]",
                                            "null",
                                            "{\"state\":1,\"roles\":{}}",
                                            "<html>",
                                            "{\"state\":\"x\",\"roles\":[]}"};
    const char *evil =
        "{\"name\":\"a\\u001b[2Jb\\u0007\",\"version\":7,\"state\":"
        "\"\\u001b]0;x\\u0007\",\"roles\":{\"train\":{\"quality\":{"
        "\"\\u001b[31m\":{\"score\":[],\"student\":7}}}},"
        "\"obstacles\":[1,{},\"\\u001b[5m\"]}";
    struct top_sample s;
    struct top_history h;
    struct top_screen screen = {
        .url = "x", .sample = &s, .history = &h, .rows = 100};
    struct error err;
    char *text;

    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
        CHECK_INT(top_sample_read(&s, strangers[i], strlen(strangers[i]), &err),
                  STATUS_BADDATA);
    read_page(&s, evil);
    top_history_init(&h);
    top_history_add(&h, &s);
    text = draw(&screen);
    CHECK(strchr(text, '\033') == NULL);
    CHECK(strchr(text, '\007') == NULL);
    CHECK_HAS(text, "a?[2Jb?");
    free(text);
}

static void
test_many_tasks_are_left_out_where_there_is_no_room(void)
{
    struct top_sample s;
    struct top_history h;
    struct top_screen screen = {
        .url = "x", .sample = &s, .history = &h, .rows = 24};
    char *page = make_page("");
    char *text;
    size_t rows = 0;

    read_page(&s, page);
    for (size_t i = 1; i < TOP_TASKS_MAX; i++)
        s.tasks[i] = s.tasks[0];
    s.task_count = TOP_TASKS_MAX;
    top_history_init(&h);
    top_history_add(&h, &s);
    text = draw(&screen);
    for (const char *p = text; *p != '\0'; p++)
        rows += *p == '\n';
    CHECK(rows < 24);
    CHECK_HAS(text, "more tasks");
    free(text);
    free(page);
}

static void
test_a_process_that_began_anew_has_no_past(void)
{
    struct top_sample s;
    struct top_history h;
    char *page = make_page("");

    read_page(&s, page);
    top_history_init(&h);
    top_history_add(&h, &s);
    s.uptime_seconds += 2;
    s.cpu_seconds += 1;
    top_history_add(&h, &s);
    CHECK_NEAR(h.cpu_share, 0.5, 1e-9);
    CHECK_INT(h.rate.count, 2);
    s.uptime_seconds = 1;
    s.cpu_seconds = 0.5;
    top_history_add(&h, &s);
    CHECK_INT(h.rate.count, 1);
    CHECK(isnan(h.cpu_share));
    free(page);
}

int
main(void)
{
    RUN(test_80_columns_are_enough);
    RUN(test_several_teachers_are_shown);
    RUN(test_what_a_stranger_sends_is_no_escape_sequence);
    RUN(test_many_tasks_are_left_out_where_there_is_no_room);
    RUN(test_a_process_that_began_anew_has_no_past);
    return check_report();
}

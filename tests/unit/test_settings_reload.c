/* SPDX-License-Identifier: Apache-2.0 */
#include "stages/settings.h"

#include "tests/support/check.h"

#define BASE                                                                   \
    "events.path: e\nlabels.path: l\ncheckpoint.path: c\n"                     \
    "features: {u: {kind: categorical}, v: {kind: number}}\n"                  \
    "tasks: {t: {kind: binary}}\n"

static struct settings *live;
static struct settings *fresh;
static struct settings_changes changes;

static struct settings *
read_text(const char *text)
{
    struct settings_problems problems = {0};
    struct settings *s = NULL;
    struct error err;

    CHECK_INT(settings_parse(&s, "x.yaml", text, strlen(text), &problems, &err),
              STATUS_OK);
    settings_problems_fini(&problems);
    return s;
}

/* Reloads BASE and `before` with BASE and `after`. */
static void
reload(const char *before, const char *after)
{
    char text[2048];
    struct error err;

    settings_free(&live);
    settings_free(&fresh);
    (void)snprintf(text, sizeof(text), "%s%s", BASE, before);
    live = read_text(text);
    (void)snprintf(text, sizeof(text), "%s%s", BASE, after);
    fresh = read_text(text);
    CHECK_INT(settings_reload(live, fresh, &changes, &err), STATUS_OK);
}

static void
test_nothing_differs(void)
{
    reload("", "train.batch: 256\nlog: {level: info}\n");
    CHECK_INT(changes.applied_count, 0);
    CHECK_INT(changes.waiting_count, 0);
}

static void
test_what_may_change_does(void)
{
    reload("", "shutdown_timeout: 7s\nlog.level: error\n");
    CHECK_INT(changes.waiting_count, 0);
    CHECK_INT(changes.applied_count, 2);
    CHECK_STR(changes.applied[0], "shutdown_timeout");
    CHECK_STR(changes.applied[1], "log.level");
    CHECK_INT(live->shutdown_timeout, 7000);
    CHECK_INT(live->log_level, LOG_LEVEL_ERROR);
    /* What is live does not point into what was read. */
    settings_free(&fresh);
    CHECK_STR(live->events_path, "e");
}

static void
test_the_rest_waits(void)
{
    reload("", "train.batch: 7\nadmin.token: secret\nstudent.hidden: [1]\n"
               "name: other\n");
    CHECK_INT(changes.applied_count, 0);
    CHECK_INT(changes.waiting_count, 4);
    CHECK_STR(changes.waiting[0], "name");
    CHECK_INT(live->train_batch, 256);
    CHECK_STR(live->admin_token, "");
    CHECK_STR(live->name, "distilld");
}

static void
test_secrets_differ_though_they_print_the_same(void)
{
    reload("admin.token: one\n", "admin.token: two\n");
    CHECK_INT(changes.waiting_count, 1);
    CHECK_STR(changes.waiting[0], "admin.token");
    reload("kafka: {sasl.password: one}\n", "kafka: {sasl.password: two}\n");
    CHECK_INT(changes.waiting_count, 1);
    CHECK_STR(changes.waiting[0], "kafka");
    reload("kafka: {sasl.password: one}\n", "kafka: {sasl.password: one}\n");
    CHECK_INT(changes.waiting_count, 0);
    reload("", "kafka: {linger.ms: 5}\n");
    CHECK_INT(changes.waiting_count, 1);
}

static void
test_sections(void)
{
    struct settings_problems problems = {0};
    struct error err;
    const char *text =
        "events.path: e\nlabels.path: l\ncheckpoint.path: c\n"
        "features: {u: {kind: categorical}, v: {kind: number, range: [0, 1]}}\n"
        "tasks: {another: {kind: binary}}\n";

    reload("", "");
    settings_free(&fresh);
    CHECK_INT(
        settings_parse(&fresh, "x.yaml", text, strlen(text), &problems, &err),
        STATUS_OK);
    settings_problems_fini(&problems);
    CHECK_INT(settings_reload(live, fresh, &changes, &err), STATUS_OK);
    CHECK_INT(changes.waiting_count, 2);
    CHECK_STR(changes.waiting[0], "features.v.range");
    CHECK_STR(changes.waiting[1], "tasks");
}

int
main(void)
{
    RUN(test_nothing_differs);
    RUN(test_what_may_change_does);
    RUN(test_the_rest_waits);
    RUN(test_secrets_differ_though_they_print_the_same);
    RUN(test_sections);
    settings_free(&live);
    settings_free(&fresh);
    return check_report();
}

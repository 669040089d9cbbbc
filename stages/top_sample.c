/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON into numbers.
 */
#include "stages/top_sample.h"

#include "daemon/base/json.h"
#include "daemon/base/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const role_names[TOP_ROLES] = {"annotate", "train"};
static const char *const model_names[TOP_MODELS] = {"teacher", "student",
                                                    "baseline"};

static double
read_number(const struct cJSON *at, const char *path)
{
    double number = (double)NAN;

    (void)json_number(json_find(at, path), &number);
    return number;
}

/* Control characters would be the terminal's to obey. */
static void
copy_text(char out[TOP_TEXT], const char *text)
{
    size_t len;

    (void)snprintf(out, TOP_TEXT, "%s", text != NULL ? text : "");
    len = text_utf8_prefix(out, strlen(out));
    out[len] = '\0';
    for (char *p = out; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    }
}

static void
read_role(struct top_role_sample *r, const struct cJSON *at, enum top_role role)
{
    bool is_train = role == TOP_TRAIN;
    const struct cJSON *work = json_member(at, is_train ? "steps" : "teacher");
    const char *unit = json_string(json_find(at, "lag.unit"));

    r->is_here = json_is_object(at);
    r->records_rate = read_number(at, "rates.records");
    r->done_rate =
        read_number(at, is_train ? "rates.examples" : "rates.labels");
    r->done = read_number(at, is_train ? "counts.examples" : "counts.labels");
    r->dead_letters = read_number(at, "counts.dead_letters");
    r->lag = read_number(at, "lag.total");
    r->lag_is_bytes = unit != NULL && strcmp(unit, "bytes") == 0;
    r->in_flight = read_number(at, "in_flight.records");
    r->oldest_seconds = read_number(at, "in_flight.oldest_seconds");
    r->work_batches = read_number(work, "batches");
    r->work_failed = read_number(work, "failed");
    r->work_p50 = read_number(work, "p50_seconds");
    r->work_p99 = read_number(work, "p99_seconds");
}

static void
read_teacher(struct top_teacher_sample *t, const struct cJSON *at)
{
    copy_text(t->name, json_string(json_member(at, "name")));
    copy_text(t->version, json_string(json_member(at, "version")));
    t->answers = read_number(at, "answers");
    t->failures = read_number(at, "failures");
    t->p99 = read_number(at, "p99_seconds");
}

static void
read_task(struct top_task_sample *t, const struct cJSON *at)
{
    copy_text(t->name, json_key(at));
    copy_text(t->score_name, json_string(json_member(at, "score")));
    copy_text(t->loss_name, json_string(json_member(at, "loss")));
    t->judged = read_number(at, "judged");
    t->eta_score = read_number(at, "eta_score");
    t->eta_loss = read_number(at, "eta_loss");
    for (size_t m = 0; m < TOP_MODELS; m++) {
        const struct cJSON *model = json_member(at, model_names[m]);

        t->models[m] = (struct top_model_sample){
            .score = read_number(model, "score"),
            .loss = read_number(model, "loss"),
            .window_score = read_number(model, "window_score"),
            .window_loss = read_number(model, "window_loss"),
        };
    }
}

static void
read_all(struct top_sample *out, const struct cJSON *root)
{
    const struct cJSON *train = json_find(root, "roles.train");
    const struct cJSON *at;

    copy_text(out->name, json_string(json_member(root, "name")));
    copy_text(out->version, json_string(json_member(root, "version")));
    copy_text(out->state, json_string(json_member(root, "state")));
    (void)json_boolean(json_member(root, "is_ready"), &out->is_ready);
    for (at = json_first(json_member(root, "obstacles"));
         at != NULL && out->reason_count < TOP_REASONS_MAX; at = json_next(at))
        copy_text(out->reasons[out->reason_count++], json_string(at));
    out->uptime_seconds = read_number(root, "uptime_seconds");
    for (size_t i = 0; i < TOP_ROLES; i++)
        read_role(&out->roles[i],
                  json_member(json_member(root, "roles"), role_names[i]),
                  (enum top_role)i);
    for (at = json_first(json_find(root, "roles.annotate.teachers"));
         at != NULL && out->teacher_count < TOP_TEACHERS_MAX;
         at = json_next(at))
        read_teacher(&out->teachers[out->teacher_count++], at);
    out->loss = read_number(train, "model.loss");
    copy_text(out->arm_in_force,
              json_string(json_find(train, "soft_weight.in_force")));
    copy_text(out->arm_ahead,
              json_string(json_find(train, "soft_weight.ahead")));
    out->arm_switches = read_number(train, "soft_weight.switches");
    out->checkpoint_version = read_number(train, "checkpoint.version");
    out->checkpoint_age = read_number(train, "checkpoint.age_seconds");
    out->checkpoint_examples = read_number(train, "checkpoint.examples");
    out->checkpoint_failures = read_number(train, "checkpoint.failures");
    out->publish_failures = read_number(train, "checkpoint.publish_failures");
    for (at = json_first(json_member(train, "quality"));
         at != NULL && out->task_count < TOP_TASKS_MAX; at = json_next(at))
        read_task(&out->tasks[out->task_count++], at);
    out->resident_bytes = read_number(root, "process.resident_bytes");
    out->cpu_seconds = read_number(root, "process.cpu_seconds");
    out->loop_lag_p99 = read_number(root, "loop.lag_p99_seconds");
}

enum status
top_sample_read(struct top_sample *out, const char *text, size_t len,
                struct error *err)
{
    const struct json_limits limits = {.bytes_max = TOP_STATUS_BYTES,
                                       .depth_max = 16};
    struct cJSON *root = NULL;
    struct error why;
    enum status st = json_parse(&root, text, len, &limits, NULL, &why);

    memset(out, 0, sizeof(*out));
    if (st != STATUS_OK)
        return error_set(err, STATUS_BADDATA,
                         "the answer is no status of distilld: %.500s",
                         why.text);
    if (json_string(json_member(root, "state")) == NULL ||
        !json_is_object(json_member(root, "roles")))
        st = error_set(err, STATUS_BADDATA,
                       "the answer is no status of distilld");
    else
        read_all(out, root);
    json_free(&root);
    return st;
}

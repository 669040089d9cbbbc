/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following a student's checkpoints.
 */
#include "stages/annotate/student.h"

#include "stages/checkpoint/checkpoint.h"
#include "stages/load.h"

#include "daemon/base/clock.h"
#include "daemon/base/logging.h"
#include "daemon/base/object.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STUDENT_MAGIC 0x53545544u
#define LOOK_SECONDS  5.0

struct student {
    unsigned magic;
    const char *path;
    const struct event_spec *events;
    size_t batch_max;
    bool follows;
    struct loaded_model loaded; /* of the version at `at` */
    char at[PATH_TEXT_MAX];     /* "": none yet */
    float *logits;              /* (batch_max, logits) */
    uint64_t looked_ns;
};

/* Loads the version in a directory in place of the one that is there. */
static enum status
load(struct student *s, const char *version, struct error *err)
{
    struct checkpoint *ck = NULL;
    struct loaded_model loaded = {0};
    float *logits = NULL;
    enum status st = checkpoint_open(&ck, version, CHECKPOINT_VERIFY, err);

    if (st == STATUS_OK)
        st = load_model(&loaded, ck, "", s->events, s->batch_max, 1, "student",
                        err);
    checkpoint_free(&ck);
    if (st == STATUS_OK) {
        logits = calloc(s->batch_max * model_logit_count(loaded.model),
                        sizeof(float));
        if (logits == NULL)
            st = error_set(err, STATUS_NOMEM, "no memory for logits");
    }
    if (st != STATUS_OK) {
        loaded_model_fini(&loaded);
        return st;
    }
    loaded_model_fini(&s->loaded);
    free(s->logits);
    s->loaded = loaded;
    s->logits = logits;
    (void)snprintf(s->at, sizeof(s->at), "%s", version);
    return STATUS_OK;
}

/* A newer version takes the place of what is there; one that cannot be loaded
 * does not, and is tried again. */
static void
look(struct student *s)
{
    char version[PATH_TEXT_MAX];
    struct error err;

    if (s->looked_ns != 0 && clock_seconds_since(s->looked_ns) < LOOK_SECONDS)
        return;
    s->looked_ns = clock_now_ns();
    if (checkpoint_find(version, s->path, &err) != STATUS_OK ||
        strcmp(version, s->at) == 0)
        return;
    if (load(s, version, &err) == STATUS_OK)
        log_info("sample_student", "path=%s", s->at);
    else
        log_warn("sample_student_failed", "path=%s text=\"%s\"", version,
                 err.text);
}

enum status
student_open(struct student **out, const char *path,
             const struct event_spec *events, size_t batch_max, bool follows,
             struct error *err)
{
    struct student *s = calloc(1, sizeof(*s));
    char version[PATH_TEXT_MAX];
    enum status st = STATUS_OK;

    *out = NULL;
    if (s == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a student");
    s->magic = STUDENT_MAGIC;
    s->path = path;
    s->events = events;
    s->batch_max = batch_max;
    s->follows = follows;
    if (!follows) {
        st = checkpoint_find(version, path, err);
        if (st == STATUS_OK && strcmp(version, path) != 0)
            st = error_set(err, STATUS_CONFIG,
                           "teacher.sample.student: %s holds versions, "
                           "expected one of them: with file logs a replay has "
                           "to choose as the first run did",
                           path);
        if (st == STATUS_OK)
            st = load(s, version, err);
    }
    if (st != STATUS_OK) {
        student_free(&s);
        return st;
    }
    *out = s;
    return STATUS_OK;
}

void
student_free(struct student **self)
{
    struct student *s;

    if (*self == NULL)
        return;
    OBJ_TAKE(s, self, STUDENT_MAGIC);
    loaded_model_fini(&s->loaded);
    free(s->logits);
    s->magic = 0;
    free(s);
}

static double
doubt_binary(float z)
{
    double e = exp(-fabs((double)z));

    return 4.0 * e / ((1.0 + e) * (1.0 + e));
}

static double
doubt_class(const float *z, size_t K)
{
    double best = -(double)INFINITY;
    double next = -(double)INFINITY;
    double sum = 0.0;

    for (size_t k = 0; k < K; k++) {
        double v = (double)z[k];

        next = v > best ? best : fmax(next, v);
        best = fmax(best, v);
    }
    for (size_t k = 0; k < K; k++)
        sum += exp((double)z[k] - best);
    return 1.0 - (1.0 - exp(next - best)) / sum;
}

static double
doubt_row(const struct model_spec *spec, const float *z)
{
    double most = 0.0;

    for (size_t t = 0; t < spec->task_count; t++) {
        const struct model_task *task = &spec->tasks[t];
        size_t K = task->kind == TASK_CLASS ? task->classes : 1;
        double doubt = 1.0;

        if (task->kind == TASK_BINARY)
            doubt = doubt_binary(z[0]);
        else if (task->kind == TASK_CLASS)
            doubt = doubt_class(z, K);
        /* What is not finite is no knowledge. */
        most = isfinite(doubt) ? fmax(most, doubt) : 1.0;
        z += K;
    }
    return fmin(most, 1.0);
}

void
student_doubt(struct student *s, const struct columns *c, float *doubts)
{
    size_t width;

    OBJ_CHECK(s, STUDENT_MAGIC);
    assert(c->row_count <= s->batch_max);
    if (s->follows)
        look(s);
    for (size_t r = 0; r < c->row_count; r++)
        doubts[r] = 1.0f;
    if (s->loaded.model == NULL || c->row_count == 0)
        return;
    width = model_logit_count(s->loaded.model);
    model_predict(s->loaded.model, c, s->logits);
    for (size_t r = 0; r < c->row_count; r++)
        doubts[r] =
            (float)doubt_row(&s->loaded.shape.spec, s->logits + r * width);
}

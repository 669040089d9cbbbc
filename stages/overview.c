/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gathering, rates, readiness.
 */
#include "stages/overview_priv.h"

#include "daemon/base/clock.h"
#include "daemon/base/object.h"
#include "daemon/base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE_MS 1000

static void
on_sample(void *ctx)
{
    struct overview *o = ctx;
    struct overview_sample *s;

    o->newest = (o->newest + 1) % OVERVIEW_SAMPLES;
    s = &o->samples[o->newest];
    s->at_ns = clock_now_ns();
    for (size_t i = 0; i < OVERVIEW_ROLES; i++) {
        const struct pipeline *p = o->spec.roles[i];

        if (p == NULL)
            continue;
        s->counts[i] = p->counts;
        s->work[i] = p->stats.work;
    }
}

enum status
overview_new(struct overview **out, const struct overview_spec *spec,
             struct error *err)
{
    struct overview *o = calloc(1, sizeof(*o));
    enum status st;

    if (o == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for an overview");
    o->magic = OVERVIEW_MAGIC;
    o->spec = *spec;
    o->started_ns = clock_now_ns();
    st = timer_new(&o->timer, spec->loop, on_sample, o, err);
    if (st != STATUS_OK) {
        overview_free(&o);
        return st;
    }
    on_sample(o);
    timer_start(o->timer, SAMPLE_MS, SAMPLE_MS);
    *out = o;
    return STATUS_OK;
}

void
overview_free(struct overview **self)
{
    struct overview *o;

    if (*self == NULL)
        return;
    OBJ_TAKE(o, self, OVERVIEW_MAGIC);
    timer_free(&o->timer);
    o->magic = 0;
    free(o);
}

static double
per_second(uint64_t now, uint64_t then, double seconds)
{
    return (double)(now - then) / seconds;
}

void
overview_rates(const struct overview *o, enum role role,
               struct overview_rates *out)
{
    const struct overview_sample *newest = &o->samples[o->newest];
    const struct overview_sample *oldest = newest;
    const struct role_counts *now = &newest->counts[role];
    const struct role_counts *then;
    double seconds;

    for (size_t i = 1; i < OVERVIEW_SAMPLES; i++) {
        const struct overview_sample *s =
            &o->samples[(o->newest + i) % OVERVIEW_SAMPLES];

        if (s->at_ns != 0) {
            oldest = s;
            break;
        }
    }
    *out = (struct overview_rates){(double)NAN, (double)NAN, (double)NAN,
                                   (double)NAN, newest->work[role]};
    if (oldest == newest)
        return;
    seconds = (double)(newest->at_ns - oldest->at_ns) / 1e9;
    then = &oldest->counts[role];
    out->records = per_second(now->records, then->records, seconds);
    out->labels = per_second(now->labels, then->labels, seconds);
    out->examples = per_second(now->examples, then->examples, seconds);
    out->dead_letters =
        per_second(now->dead_letters, then->dead_letters, seconds);
    for (size_t i = 0; i <= out->work.bound_count; i++)
        out->work.counts[i] -= oldest->work[role].counts[i];
    out->work.sum -= oldest->work[role].sum;
}

void
overview_gather(struct overview *o)
{
    for (size_t i = 0; i < OVERVIEW_ROLES; i++) {
        if (o->spec.roles[i] != NULL)
            pipeline_report(o->spec.roles[i], &o->reports[i]);
    }
}

int64_t
overview_lag(const struct role_report *r, const struct partition_report *p)
{
    /* Of a topic what is not settled is left; of a file, what is not read. */
    int64_t done = r->unit == OFFSET_RECORDS && p->committed >= 0 ? p->committed
                                                                  : p->position;

    if (p->end < 0 || done < 0)
        return -1;
    return p->end > done ? p->end - done : 0;
}

double
overview_checkpoint_age(const struct train_report *r)
{
    int64_t age_ms;

    if (r->version == 0 || r->version_ms == 0)
        return (double)NAN;
    age_ms = clock_wall_ms() - r->version_ms;
    return age_ms > 0 ? (double)age_ms / 1000 : 0;
}

const char *
overview_model_name(size_t model)
{
    static const char *const names[CURVE_MODELS] = {"teacher", "student",
                                                    "baseline"};

    assert(model < CURVE_MODELS);
    return names[model];
}

static void
add_obstacle(struct obstacles *out, const char *role, const char *text)
{
    char *to;

    if (out->count == OBSTACLES_MAX)
        return;
    to = out->texts[out->count++];
    (void)snprintf(to, REPORT_LINE_MAX, "%s%s%.140s", role,
                   *role != '\0' ? ": " : "", text);
    to[text_utf8_prefix(to, strlen(to))] = '\0'; /* not within a character */
}

void
overview_find_obstacles(struct overview *o, struct obstacles *out)
{
    static const char *const names[OVERVIEW_ROLES] = {"annotate", "train"};
    enum life life = o->spec.life->life;

    out->count = 0;
    if (life != LIFE_RUNNING)
        add_obstacle(out, "", life_name(life));
    for (size_t i = 0; i < OVERVIEW_ROLES; i++) {
        const struct pipeline *p = o->spec.roles[i];
        const struct role_report *r = &o->reports[i];

        if (p == NULL)
            continue;
        if (p->error.status != STATUS_OK)
            add_obstacle(out, names[i], p->error.text);
        for (size_t j = 0; j < r->obstacle_count; j++)
            add_obstacle(out, names[i], r->obstacles[j]);
    }
}

void
overview_obstacles(struct overview *o, struct obstacles *out)
{
    OBJ_CHECK(o, OVERVIEW_MAGIC);
    overview_gather(o);
    overview_find_obstacles(o, out);
}

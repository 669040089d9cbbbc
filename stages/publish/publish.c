/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies a version on a file thread.
 */
#include "stages/publish/publish.h"

#include "stages/checkpoint/store.h"
#include "stages/pipeline.h"
#include "stages/settings.h"

#include "daemon/base/logging.h"
#include "daemon/base/object.h"
#include "daemon/io/worker.h"

#include <stdlib.h>

#define PUBLISH_MAGIC 0x5055424cu
#define SLOTS         4

struct publish {
    struct stage stage;
    unsigned magic;
    struct worker *worker;
    bool is_stopping;
};

/* Thread: file. */
static void
on_version(void *ctx, void *item)
{
    struct publish *s = ctx;
    struct version *v = item;
    const struct settings *settings = s->stage.pipeline->settings;
    enum status st = store_publish(s->stage.pipeline->store, v->number,
                                   settings->publish_path,
                                   settings->publish_keep, &v->error);

    v->is_gone = st == STATUS_NOTFOUND;
    if (st == STATUS_OK || v->is_gone)
        error_clear(&v->error);
}

static void
on_published(void *ctx, void *item)
{
    struct publish *s = ctx;
    struct version *v = item;
    struct error err = v->error;

    if (v->is_gone)
        log_warn("publish_passed_over",
                 "version=%llu text=\"a newer one replaced it before it was "
                 "published; checkpoint.keep is small\"",
                 (unsigned long long)v->number);
    else if (err.status == STATUS_OK)
        log_info("published", "version=%llu path=%s",
                 (unsigned long long)v->number,
                 s->stage.pipeline->settings->publish_path);
    free(v);
    s->stage.pipeline->stats.publish_failures += err.status != STATUS_OK;
    if (err.status != STATUS_OK)
        stage_failed(&s->stage, &err);
    else if (!s->is_stopping)
        stage_has_room(&s->stage);
}

static void
on_worker_stopped(void *ctx)
{
    struct publish *s = ctx;

    stage_stopped(&s->stage);
}

static enum status
offer_publish(struct stage *base, void **parcel)
{
    struct publish *s = (struct publish *)base;

    OBJ_CHECK(s, PUBLISH_MAGIC);
    return worker_offer(s->worker, parcel);
}

static void
stop_publish(struct stage *base)
{
    struct publish *s = (struct publish *)base;

    OBJ_CHECK(s, PUBLISH_MAGIC);
    s->is_stopping = true;
    worker_stop(s->worker);
}

static void
free_publish(struct stage **self)
{
    struct publish *s = (struct publish *)*self;

    OBJ_CHECK(s, PUBLISH_MAGIC);
    *self = NULL;
    worker_free(&s->worker);
    s->magic = 0;
    free(s);
}

static enum status
open_publish(struct stage **out, struct pipeline *p, struct error *err)
{
    struct publish *s = calloc(1, sizeof(*s));
    struct worker_spec worker = {
        .name = "publish",
        .slots = SLOTS,
        .ctx = s,
        .work = on_version,
        .done = on_published,
        .stopped = on_worker_stopped,
    };
    enum status st;

    if (s == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a stage");
    s->magic = PUBLISH_MAGIC;
    s->stage.pipeline = p;
    st = worker_new(&s->worker, p->loop, &worker, err);
    if (st != STATUS_OK) {
        free(s);
        return st;
    }
    *out = &s->stage;
    return STATUS_OK;
}

const struct stage_ops publish_stage = {
    .name = "publish",
    .takes = PARCEL_VERSION,
    .gives = PARCEL_NONE,
    .open = open_publish,
    .offer = offer_publish,
    .stop = stop_publish,
    .free = free_publish,
};

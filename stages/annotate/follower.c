/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Newer versions of a model, loaded beside the one that answers.
 */
#include "stages/annotate/follower.h"

#include "stages/checkpoint/versions.h"

#include "daemon/base/logging.h"
#include "daemon/base/object.h"
#include "daemon/io/worker.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define FOLLOWER_MAGIC 0x464f4c4cu
#define RETIRE_MS      1000u /* after a version is ready: the old one is gone */

struct follower {
    unsigned magic;
    struct follower_spec spec;
    struct worker *worker;
    struct timer *timer;
    bool is_busy;     /* the thread has what follows, up to the rings */
    uint64_t number;  /* the newest that was usable */
    uint64_t refused; /* a newer one that was not; 0: none */
    uint64_t found;   /* by the look that has just ended; 0: nothing new */
    struct error error;
    struct error said; /* the last failure in the log */
    _Atomic(struct answering *) next;
    _Atomic(struct answering *) retired;
};

/* ---- one version ---- */

void
answering_free(struct answering **self)
{
    struct answering *a = *self;

    if (a == NULL)
        return;
    *self = NULL;
    loaded_model_fini(&a->loaded);
    free(a->logits);
    free(a);
}

static enum status
open_path(struct answering **out, const struct follower_spec *spec,
          const char *path, struct error *err)
{
    struct answering *a = calloc(1, sizeof(*a));
    struct checkpoint *ck = NULL;
    enum status st;

    if (a == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a teacher");
    st = checkpoint_open(&ck, path, CHECKPOINT_VERIFY, err);
    if (st == STATUS_OK)
        st = load_model(&a->loaded, ck, "", spec->events, spec->batch_max,
                        spec->threads, "teacher", err);
    if (st == STATUS_OK) {
        a->number = checkpoint_manifest(ck)->version;
        a->logits = calloc(spec->batch_max * model_logit_count(a->loaded.model),
                           sizeof(float));
        if (a->logits == NULL)
            st = error_set(err, STATUS_NOMEM, "no memory for logits");
    }
    checkpoint_free(&ck);
    if (st != STATUS_OK) {
        answering_free(&a);
        return st;
    }
    *out = a;
    return STATUS_OK;
}

/* The number that `latest` names; 0: the path is no directory of versions, and
 * will have no newer one. */
static enum status
look(const char *dir, uint64_t *number, struct error *err)
{
    struct versions v = {.count = 0};
    enum status st = versions_list(&v, dir, err);

    *number = st == STATUS_OK ? v.latest : 0;
    versions_fini(&v);
    return st;
}

/* Opens a version by its own name: `latest` may move while it is read. */
static enum status
open_version(struct answering **out, const struct follower_spec *spec,
             uint64_t number, struct error *err)
{
    char path[PATH_TEXT_MAX];
    enum status st;

    if (number == 0)
        return open_path(out, spec, spec->path, err);
    st = versions_path(path, spec->path, number, err);
    return st == STATUS_OK ? open_path(out, spec, path, err) : st;
}

enum status
answering_open(struct answering **out, const struct follower_spec *spec,
               struct error *err)
{
    uint64_t number;
    enum status st = look(spec->path, &number, err);

    return st == STATUS_OK ? open_version(out, spec, number, err) : st;
}

/* ---- the loader's thread ---- */

static void
on_look(void *ctx, void *item)
{
    struct follower *f = ctx;
    struct answering *old = atomic_exchange(&f->retired, NULL);
    struct answering *fresh = NULL;
    uint64_t number;
    enum status st;

    (void)item;
    answering_free(&old);
    f->found = 0;
    st = look(f->spec.path, &number, &f->error);
    if (st == STATUS_OK && (number <= f->number || number == f->refused))
        return;
    f->found = number;
    if (st == STATUS_OK)
        st = open_version(&fresh, &f->spec, number, &f->error);
    if (st != STATUS_OK)
        return;
    error_clear(&f->error);
    old = atomic_exchange(&f->next, fresh);
    answering_free(&old); /* nobody had changed to it */
}

/* ---- the loop ---- */

/* Whether another look at the same version would end otherwise. */
static bool
is_final(enum status st)
{
    return st == STATUS_BADDATA || st == STATUS_CONFIG ||
           status_class(st) == CLASS_POISON;
}

static void
on_looked(void *ctx, void *item)
{
    struct follower *f = ctx;

    (void)item;
    f->is_busy = false;
    if (f->error.status != STATUS_OK) {
        if (f->found > 0 && is_final(f->error.status))
            f->refused = f->found;
        if (strcmp(f->error.text, f->said.text) == 0)
            return;
        f->said = f->error;
        f->spec.stats->refused++;
        log_error("teacher_version_refused",
                  "teacher=%s version=%" PRIu64 " text=\"%s\" then=\"version "
                  "%" PRIu64 " goes on\"",
                  f->spec.name, f->found, f->error.text, f->number);
        return;
    }
    if (f->found == 0)
        return;
    f->number = f->found;
    f->refused = 0;
    error_clear(&f->said);
    log_info("teacher_version", "teacher=%s version=%" PRIu64, f->spec.name,
             f->number);
    timer_start(f->timer, RETIRE_MS, f->spec.poll_ms);
}

static void
begin_look(struct follower *f)
{
    void *item = f;
    enum status st;

    if (f->is_busy)
        return;
    f->is_busy = true;
    error_clear(&f->error);
    st = worker_offer(f->worker, &item);
    assert(st == STATUS_OK); /* one slot, one item */
}

static void
on_timer(void *ctx)
{
    begin_look(ctx);
}

void
follower_refresh(struct follower *f)
{
    OBJ_CHECK(f, FOLLOWER_MAGIC);
    if (f->is_busy)
        return;
    f->refused = 0;
    error_clear(&f->said);
    begin_look(f);
}

enum status
follower_new(struct follower **out, struct loop *l,
             const struct follower_spec *spec, uint64_t number,
             struct error *err)
{
    struct follower *f = calloc(1, sizeof(*f));
    struct worker_spec worker = {
        .name = "load-teacher",
        .slots = 1,
        .ctx = f,
        .work = on_look,
        .done = on_looked,
    };
    enum status st;

    if (f == NULL)
        return error_set(err, STATUS_NOMEM, "no memory to follow a teacher");
    f->magic = FOLLOWER_MAGIC;
    f->spec = *spec;
    f->number = number;
    st = timer_new(&f->timer, l, on_timer, f, err);
    if (st == STATUS_OK)
        st = worker_new(&f->worker, l, &worker, err);
    if (st != STATUS_OK) {
        follower_free(&f);
        return st;
    }
    if (spec->poll_ms > 0)
        timer_start(f->timer, spec->poll_ms, spec->poll_ms);
    *out = f;
    return STATUS_OK;
}

void
follower_free(struct follower **self)
{
    struct answering *left;
    struct follower *f;

    if (*self == NULL)
        return;
    OBJ_TAKE(f, self, FOLLOWER_MAGIC);
    timer_free(&f->timer);
    worker_give_up(&f->worker);
    left = atomic_exchange(&f->next, NULL);
    answering_free(&left);
    left = atomic_exchange(&f->retired, NULL);
    answering_free(&left);
    f->magic = 0;
    free(f);
}

/* ---- the thread that answers ---- */

bool
follower_swap(struct follower *f, struct answering **now)
{
    struct answering *fresh;
    struct answering *old;

    OBJ_CHECK(f, FOLLOWER_MAGIC);
    if (atomic_load(&f->next) == NULL)
        return false;
    fresh = atomic_exchange(&f->next, NULL);
    if (fresh == NULL)
        return false;
    old = atomic_exchange(&f->retired, *now);
    answering_free(&old); /* another swap was not long ago */
    *now = fresh;
    return true;
}

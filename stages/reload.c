/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker with one item.
 */
#include "stages/reload.h"

#include "daemon/base/logging.h"
#include "daemon/base/object.h"
#include "daemon/io/service_manager.h"
#include "daemon/io/worker.h"

#include <stdlib.h>
#include <string.h>

#define RELOAD_MAGIC   0x52454c4fu
#define RELOAD_TEXT    900
#define PROBLEMS_SHOWN 3

struct reload {
    unsigned magic;
    struct loop *loop;
    struct worker *worker;
    struct settings *live;
    const char *path;
    bool is_busy;
    void (*done)(void *ctx, enum status st, const char *text);
    void *ctx;
    /* The thread's while busy. */
    struct settings *fresh;
    struct settings_problems problems;
    struct error error;
    struct settings_changes changes;
};

/* Thread: the worker's. */
static void
on_read(void *ctx, void *item)
{
    struct reload *r = ctx;

    (void)item;
    if (settings_load(&r->fresh, r->path, &r->problems, &r->error) == STATUS_OK)
        error_clear(&r->error);
}

/* "a, b, c", cut where it does not fit. */
static void
join_keys(char *out, size_t room, const char (*keys)[128], size_t count)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < count && used + 1 < room; i++) {
        int n = snprintf(out + used, room - used, "%s%s", i > 0 ? ", " : "",
                         keys[i]);

        used += n > 0 ? (size_t)n : 0;
    }
}

static void
describe_problems(const struct reload *r, char text[RELOAD_TEXT])
{
    size_t used = 0;

    (void)snprintf(text, RELOAD_TEXT, "nothing changed: %.800s", r->error.text);
    for (size_t i = 0; i < r->problems.count && i < PROBLEMS_SHOWN; i++) {
        const struct settings_problem *p = &r->problems.items[i];

        used = strlen(text);
        (void)snprintf(text + used, RELOAD_TEXT - used, "; line %zu: %s",
                       p->mark.line, p->text);
    }
}

/* Takes over what may change, and says what did. */
static enum status
take_over(struct reload *r, char text[RELOAD_TEXT])
{
    char applied[RELOAD_TEXT / 3];
    char waiting[RELOAD_TEXT / 3];
    const struct settings_changes *c = &r->changes;

    enum status st = r->error.status;

    if (st == STATUS_OK)
        st = settings_reload(r->live, r->fresh, &r->changes, &r->error);
    if (st != STATUS_OK) {
        describe_problems(r, text);
        return st;
    }
    log_set_level(r->live->log_level);
    join_keys(applied, sizeof(applied), c->applied, c->applied_count);
    join_keys(waiting, sizeof(waiting), c->waiting, c->waiting_count);
    (void)snprintf(text, RELOAD_TEXT, "changed: %s; needs a restart: %s",
                   c->applied_count > 0 ? applied : "nothing",
                   c->waiting_count > 0 ? waiting : "nothing");
    return STATUS_OK;
}

static void
on_have_read(void *ctx, void *item)
{
    struct reload *r = ctx;
    char text[RELOAD_TEXT];
    enum status st = take_over(r, text);

    (void)item;
    for (char *p = text; *p != '\0'; p++) {
        if (*p == '"')
            *p = '\'';
    }
    if (st == STATUS_OK)
        log_info("reloaded", "text=\"%s\"", text);
    else
        log_error("reload_failed", "text=\"%s\"", text);
    settings_free(&r->fresh);
    settings_problems_fini(&r->problems);
    service_manager_tell("READY=1");
    r->is_busy = false;
    r->done(r->ctx, st, text);
}

enum status
reload_new(struct reload **out, struct loop *l, struct settings *live,
           const char *path, struct error *err)
{
    struct reload *r = calloc(1, sizeof(*r));
    struct worker_spec worker = {
        .name = "reload",
        .slots = 1,
        .ctx = r,
        .work = on_read,
        .done = on_have_read,
    };
    enum status st;

    if (r == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for reloading");
    r->magic = RELOAD_MAGIC;
    r->loop = l;
    r->live = live;
    r->path = path;
    st = worker_new(&r->worker, l, &worker, err);
    if (st != STATUS_OK) {
        free(r);
        return st;
    }
    *out = r;
    return STATUS_OK;
}

void
reload_free(struct reload **self)
{
    struct reload *r;

    if (*self == NULL)
        return;
    OBJ_TAKE(r, self, RELOAD_MAGIC);
    worker_give_up(&r->worker);
    settings_free(&r->fresh);
    settings_problems_fini(&r->problems);
    r->magic = 0;
    free(r);
}

bool
reload_begin(struct reload *r,
             void (*done)(void *ctx, enum status st, const char *text),
             void *ctx)
{
    void *item = r;
    enum status st;

    OBJ_CHECK(r, RELOAD_MAGIC);
    if (r->is_busy)
        return false;
    r->is_busy = true;
    r->done = done;
    r->ctx = ctx;
    service_manager_tell_reloading();
    st = worker_offer(r->worker, &item);
    assert(st == STATUS_OK); /* one slot, one item */
    return true;
}

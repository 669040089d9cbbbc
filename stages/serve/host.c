/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rounds and versions.
 *
 *   host_ask --> waiting ... --> round --> worker --> on_round --> http_answer
 *
 * Two rounds may be under way: one that is being answered, and a full one
 * behind it, so that the thread does not wait for the loop.
 */
#include "stages/serve/host.h"

#include "stages/checkpoint/checkpoint.h"
#include "stages/serve/response.h"

#include "daemon/base/clock.h"
#include "daemon/base/logging.h"
#include "daemon/base/macros.h"
#include "daemon/base/object.h"
#include "daemon/io/worker.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_MAGIC   0x484f5354u
#define ROUNDS       2
#define SPARES_MAX   256                 /* jobs kept for later requests */
#define BYTES_KEPT   65536               /* of a spare job's body and answer */
#define ANSWER_MAX   ((size_t)256 << 20) /* below what all may have */
#define NS_PER_MS    UINT64_C(1000000)
#define RETRIES_SKIP 30 /* refreshes before a bad version is tried again */

static const double seconds_bounds[] = {0.0001, 0.0002, 0.0005, 0.001, 0.002,
                                        0.005,  0.01,   0.02,   0.05,  0.1,
                                        0.2,    0.5,    1,      5};
static const double batch_bounds[] = {1,  2,   4,   8,   16,   32,
                                      64, 128, 256, 512, 1024, 4096};

struct host {
    unsigned magic;
    char name[HOST_NAME_MAX + 1];
    struct host_spec spec;
    struct version *current;
    struct worker *worker;
    struct timer *delay;
    struct job *first; /* that wait, oldest first */
    struct job *last;
    size_t waiting_count;
    size_t waiting_rows; /* as guessed */
    size_t asked_count;  /* waiting or in a round */
    struct round rounds[ROUNDS];
    size_t rounds_busy;
    struct job *spares;
    size_t spare_count;
    struct host_counters counters;
    /* Of the thread that refreshes, while it does; of the loop otherwise: */
    char found[PATH_TEXT_MAX];  /* directory of the current version */
    char broken[PATH_TEXT_MAX]; /* one that could not be loaded, or "" */
    unsigned skips;             /* left, before it is tried again */
    struct version *newer;
    struct version *retired; /* to be freed */
    struct error error;      /* why a version could not be loaded */
};

/* ---- jobs ---- */

static struct job *
take_job(struct host *h)
{
    struct job *job = h->spares;

    if (job != NULL) {
        h->spares = job->next;
        h->spare_count--;
        return job;
    }
    job = calloc(1, sizeof(*job));
    if (job == NULL)
        return NULL;
    bytes_init(&job->body, h->spec.version.body_bytes_max);
    bytes_init(&job->answer, ANSWER_MAX);
    return job;
}

static void
empty(struct bytes *b)
{
    if (b->capacity > BYTES_KEPT)
        bytes_fini(b);
    else
        bytes_clear(b);
}

static void
free_job(struct job *job)
{
    bytes_fini(&job->body);
    bytes_fini(&job->answer);
    free(job);
}

static void
give_job_back(struct host *h, struct job *job)
{
    if (h->spare_count >= SPARES_MAX) {
        free_job(job);
        return;
    }
    empty(&job->body);
    empty(&job->answer);
    job->next = h->spares;
    h->spares = job;
    h->spare_count++;
}

static void
free_jobs(struct job *job)
{
    while (job != NULL) {
        struct job *next = job->next;

        free_job(job);
        job = next;
    }
}

/* ---- rounds ---- */

static void
answer(struct host *h, struct job *job)
{
    char json_len[24];
    struct http_answer a = {.code = job->code,
                            .type = "application/json",
                            .data = job->answer.data,
                            .len = job->answer.used};

    if (job->answer_json_len < job->answer.used) {
        (void)snprintf(json_len, sizeof(json_len), "%zu", job->answer_json_len);
        a.type = "application/octet-stream";
        a.header = "Inference-Header-Content-Length";
        a.value = json_len;
    }
    http_answer(job->exchange, &a);
    h->counters.requests++;
    h->counters.refused += job->code >= 400 && job->code < 500;
    h->counters.failed += job->code >= 500;
    histogram_add(&h->counters.seconds, clock_seconds_since(job->arrived_ns));
    h->asked_count--;
    give_job_back(h, job);
}

static void
refuse_version(struct host *h, struct job *job)
{
    char text[256];
    struct error err;

    (void)snprintf(text, sizeof(text),
                   "model %s is served in version %s, not in this one any more",
                   h->name, h->current->number_text);
    bytes_clear(&job->answer);
    job->code =
        response_write_error(&job->answer, text, &err) == STATUS_OK ? 404 : 500;
    job->answer_json_len = job->answer.used;
    answer(h, job);
}

/* Moves what waits into a round, up to a full batch. */
static void
fill_round(struct host *h, struct round *r)
{
    struct job **end = &r->first;
    size_t rows = 0;

    *r = (struct round){.version = h->current, .model = h->name};
    while (h->first != NULL && (rows == 0 || rows + h->first->rows_guess <=
                                                 h->spec.version.rows_max)) {
        struct job *job = h->first;

        h->first = job->next;
        h->waiting_count--;
        h->waiting_rows -= job->rows_guess;
        job->next = NULL;
        if (job->wants_version != 0 &&
            job->wants_version != h->current->number) {
            refuse_version(h, job);
            continue;
        }
        rows += job->rows_guess;
        *end = job;
        end = &job->next;
    }
    if (h->first == NULL)
        h->last = NULL;
}

/* Whether a round is to begin now; if later, the timer runs. */
static bool
is_due(struct host *h)
{
    uint64_t waited_ns;
    uint64_t delay_ns = h->spec.batch_delay_ms * NS_PER_MS;

    if (h->first == NULL || h->rounds_busy == ROUNDS)
        return false;
    if (h->waiting_rows >= h->spec.version.rows_max)
        return true;
    if (h->rounds_busy > 0)
        return false;
    if (delay_ns == 0)
        return true;
    waited_ns = clock_now_ns() - h->first->arrived_ns;
    if (waited_ns >= delay_ns)
        return true;
    timer_start(h->delay, (delay_ns - waited_ns + NS_PER_MS - 1) / NS_PER_MS,
                0);
    return false;
}

static void
begin_rounds(struct host *h)
{
    while (is_due(h)) {
        struct round *r =
            h->rounds[0].first == NULL ? &h->rounds[0] : &h->rounds[1];
        void *item = r;
        enum status st;

        assert(r->first == NULL);
        fill_round(h, r);
        if (r->first == NULL) /* all wanted another version */
            continue;
        st = worker_offer(h->worker, &item);
        assert(st == STATUS_OK); /* as many slots as rounds */
        h->rounds_busy++;
    }
}

static void
on_delay(void *ctx)
{
    struct host *h = ctx;

    OBJ_CHECK(h, HOST_MAGIC);
    begin_rounds(h);
}

static void
work(void *ctx, void *item)
{
    (void)ctx;
    round_run(item);
}

static void
on_round(void *ctx, void *item)
{
    struct host *h = ctx;
    struct round *r = item;
    struct job *job = r->first;

    OBJ_CHECK(h, HOST_MAGIC);
    h->counters.rows += r->rows;
    h->counters.calls += r->calls;
    h->counters.model_ns += r->model_ns;
    if (r->calls > 0)
        histogram_add(&h->counters.batch, (double)r->rows / (double)r->calls);
    r->first = NULL;
    h->rounds_busy--;
    begin_rounds(h);
    while (job != NULL) {
        struct job *next = job->next;

        answer(h, job);
        job = next;
    }
}

static void
on_stopped(void *ctx)
{
    (void)ctx;
}

enum status
host_ask(struct host *h, struct http_exchange *x, size_t json_len,
         uint64_t wants_version, struct error *err)
{
    struct job *job;

    OBJ_CHECK(h, HOST_MAGIC);
    if (h->waiting_count >= h->spec.waiting_max) {
        h->counters.full++;
        return error_set(err, STATUS_AGAIN,
                         "model %s: %zu requests are waiting already", h->name,
                         h->waiting_count);
    }
    job = take_job(h);
    if (job == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a request");
    job->next = NULL;
    job->exchange = x;
    job->json_len = json_len;
    job->wants_version = wants_version;
    job->arrived_ns = clock_now_ns();
    job->code = 0;
    http_take_body(x, &job->body);
    http_defer(x);
    job->rows_guess = request_peek_rows(job->body.data, json_len);
    if (h->last != NULL)
        h->last->next = job;
    else
        h->first = job;
    h->last = job;
    h->waiting_count++;
    h->waiting_rows += job->rows_guess;
    h->asked_count++;
    begin_rounds(h);
    return STATUS_OK;
}

/* ---- versions ---- */

bool
host_may_refresh(const struct host *h)
{
    OBJ_CHECK(h, HOST_MAGIC);
    for (size_t i = 0; i < ROUNDS; i++) {
        if (h->rounds[i].first != NULL && h->rounds[i].version == h->retired)
            return false;
    }
    return true;
}

void
host_refresh(struct host *h)
{
    char path[PATH_TEXT_MAX];
    struct version_spec spec = h->spec.version;

    OBJ_CHECK(h, HOST_MAGIC);
    version_free(&h->retired);
    error_clear(&h->error);
    if (checkpoint_find(path, spec.path, &h->error) != STATUS_OK ||
        strcmp(path, h->found) == 0) {
        error_clear(&h->error); /* none is there for now: this one stays */
        return;
    }
    if (strcmp(path, h->broken) == 0 && h->skips > 0) {
        h->skips--;
        return;
    }
    spec.path = path;
    if (version_open(&h->newer, &spec, &h->error) == STATUS_OK) {
        (void)snprintf(h->found, sizeof(h->found), "%s", path);
        h->broken[0] = '\0';
        error_clear(&h->error);
    } else {
        (void)snprintf(h->broken, sizeof(h->broken), "%s", path);
        h->skips = RETRIES_SKIP;
    }
}

void
host_adopt(struct host *h)
{
    OBJ_CHECK(h, HOST_MAGIC);
    if (h->error.status != STATUS_OK) {
        log_error("version_refused",
                  "model=%s version=%s text=\"%s; this one stays\"", h->name,
                  h->current->number_text, h->error.text);
        h->counters.reload_failures++;
        error_clear(&h->error);
    }
    if (h->newer == NULL)
        return;
    assert(h->retired == NULL);
    log_info("version_served", "model=%s version=%s before=%s", h->name,
             h->newer->number_text, h->current->number_text);
    h->retired = h->current;
    h->current = h->newer;
    h->newer = NULL;
    h->counters.reloads++;
}

/* ---- the host ---- */

/* A name that needs no escape in a URL. */
static bool
is_name(const char *name)
{
    if (name[0] == '\0' || strlen(name) > HOST_NAME_MAX)
        return false;
    for (const char *c = name; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && strchr("._-", *c) == NULL)
            return false;
    }
    return true;
}

static enum status
open_version(struct host *h, struct error *err)
{
    struct version_spec spec = h->spec.version;
    const char *name = h->spec.name;
    enum status st = checkpoint_find(h->found, spec.path, err);

    spec.path = h->found;
    if (st == STATUS_OK)
        st = version_open(&h->current, &spec, err);
    if (st != STATUS_OK)
        return st;
    if (name[0] == '\0')
        name = h->current->model;
    if (!is_name(name))
        return error_set(err, STATUS_CONFIG,
                         "model name \"%s\": expected letters, digits, . _ "
                         "and -; -m NAME=CHECKPOINT gives it another",
                         name);
    (void)snprintf(h->name, sizeof(h->name), "%s", name);
    return STATUS_OK;
}

enum status
host_new(struct host **out, struct loop *l, const struct host_spec *spec,
         struct error *err)
{
    struct host *h = calloc(1, sizeof(*h));
    struct worker_spec worker = {
        .name = "model",
        .slots = ROUNDS,
        .ctx = h,
        .work = work,
        .done = on_round,
        .stopped = on_stopped,
    };
    enum status st;

    *out = NULL;
    if (h == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a model");
    h->magic = HOST_MAGIC;
    h->spec = *spec;
    error_clear(&h->error);
    histogram_init(&h->counters.seconds, seconds_bounds, COUNT(seconds_bounds));
    histogram_init(&h->counters.batch, batch_bounds, COUNT(batch_bounds));
    st = open_version(h, err);
    if (st == STATUS_OK)
        st = timer_new(&h->delay, l, on_delay, h, err);
    if (st == STATUS_OK)
        st = worker_new(&h->worker, l, &worker, err);
    if (st != STATUS_OK)
        host_free(&h);
    *out = h;
    return st;
}

void
host_free(struct host **self)
{
    struct host *h;

    if (*self == NULL)
        return;
    OBJ_TAKE(h, self, HOST_MAGIC);
    worker_give_up(&h->worker);
    timer_free(&h->delay);
    for (size_t i = 0; i < ROUNDS; i++)
        free_jobs(h->rounds[i].first);
    free_jobs(h->first);
    free_jobs(h->spares);
    version_free(&h->newer);
    version_free(&h->retired);
    version_free(&h->current);
    h->magic = 0;
    free(h);
}

const char *
host_name(const struct host *h)
{
    OBJ_CHECK(h, HOST_MAGIC);
    return h->name;
}

const struct version *
host_version(const struct host *h)
{
    OBJ_CHECK(h, HOST_MAGIC);
    return h->current;
}

const struct host_counters *
host_counters(const struct host *h)
{
    OBJ_CHECK(h, HOST_MAGIC);
    return &h->counters;
}

const struct host_spec *
host_spec(const struct host *h)
{
    OBJ_CHECK(h, HOST_MAGIC);
    return &h->spec;
}

size_t
host_waiting(const struct host *h)
{
    OBJ_CHECK(h, HOST_MAGIC);
    return h->asked_count;
}

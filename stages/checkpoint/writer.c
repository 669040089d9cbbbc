/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trainer's side of the checkpoint writer: fix snapshots, read them in
 * slices, pass full buffers on.
 */
#include "stages/checkpoint/writer.h"

#include "stages/checkpoint/writer_priv.h"

#include "daemon/base/clock.h"
#include "daemon/base/object.h"
#include "daemon/base/ring.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define WRITER_MAGIC 0xc4ec4b04u
#define BUFFERS      8
#define BUFFER_BYTES ((size_t)1 << 20)
#define PIECE_MIN    ((size_t)64 << 10) /* room that a read wants */
#define FILE_NICE    5    /* where cores are short, the trainer goes first */
#define STEP_S_MAX   1e-3 /* a step reads no longer than this */

/* What the trainer sees of the running checkpoint. */
enum writer_state {
    WRITER_IDLE,
    WRITER_READING, /* snapshots are open */
    WRITER_CLOSING, /* all was sent; the file thread makes it durable */
    WRITER_DONE,    /* the result waits to be taken */
};

struct checkpoint_writer {
    unsigned magic;
    enum writer_state state;
    struct store *store;
    struct job *job; /* not sent yet, or come back */
    struct model *models[CHECKPOINT_MODELS_MAX];
    size_t first[CHECKPOINT_MODELS_MAX]; /* of each model's tensors */
    size_t model_count;
    size_t model; /* that is being read */
    bool has_failed;
    struct buffer buffers[BUFFERS];
    struct buffer *empty[BUFFERS];
    size_t empty_count;
    struct buffer *filling; /* NULL: none */
    struct ring *there;
    struct ring *back;
    sem_t sent;
    sem_t returned;
    pthread_t thread;
    bool has_thread;
    struct output *output; /* the file thread's */
};

static void
wait_on(sem_t *s)
{
    while (sem_wait(s) != 0)
        assert(errno == EINTR);
}

static void
put(struct ring *r, sem_t *s, void *item)
{
    enum status st = ring_put(r, &item);

    assert(st == STATUS_OK); /* it has a slot for every buffer */
    (void)sem_post(s);
}

/* The file thread: buffers until the semaphore counts one that is none. */
static void *
run_output(void *arg)
{
    struct checkpoint_writer *w = arg;

    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), FILE_NICE);
    for (;;) {
        struct buffer *b;

        wait_on(&w->sent);
        b = ring_take(w->there);
        if (b == NULL)
            return NULL;
        output_take(w->output, b);
        put(w->back, &w->returned, b);
    }
}

static enum status
start(struct checkpoint_writer *w, struct error *err)
{
    enum status st;
    int failed;

    for (size_t i = 0; i < BUFFERS; i++) {
        w->buffers[i].data = malloc(BUFFER_BYTES);
        if (w->buffers[i].data == NULL)
            return error_set(err, STATUS_NOMEM,
                             "no memory for checkpoint buffers");
        w->empty[w->empty_count++] = &w->buffers[i];
    }
    st = ring_new(&w->there, BUFFERS, err);
    if (st == STATUS_OK)
        st = ring_new(&w->back, BUFFERS, err);
    if (st == STATUS_OK)
        st = output_new(&w->output, w->store, err);
    if (st != STATUS_OK)
        return st;
    failed = pthread_create(&w->thread, NULL, run_output, w);
    if (failed != 0)
        return error_set(err, STATUS_NOMEM, "no thread to write checkpoints");
    (void)pthread_setname_np(w->thread, "checkpoint");
    w->has_thread = true;
    return STATUS_OK;
}

enum status
writer_new(struct checkpoint_writer **out, struct store *s, struct error *err)
{
    struct checkpoint_writer *w = calloc(1, sizeof(*w));
    enum status st;

    assert(s != NULL);
    *out = NULL;
    if (w == NULL)
        return error_set(err, STATUS_NOMEM, "no memory to write checkpoints");
    w->magic = WRITER_MAGIC;
    w->store = s;
    (void)sem_init(&w->sent, 0, 0);
    (void)sem_init(&w->returned, 0, 0);
    st = start(w, err);
    if (st == STATUS_OK) {
        *out = w;
        w = NULL;
    }
    writer_free(&w);
    return st;
}

/* Takes back what the file thread is done with. */
static void
collect(struct checkpoint_writer *w, struct buffer *b)
{
    w->has_failed = w->has_failed || b->has_failed;
    if (b->job != NULL) {
        assert(w->state == WRITER_CLOSING && w->job == NULL);
        w->job = b->job;
        w->state = WRITER_DONE;
    }
    b->job = NULL;
    b->is_last = false;
    b->is_given_up = false;
    b->has_failed = false;
    b->piece_count = 0;
    b->used = 0;
    w->empty[w->empty_count++] = b;
}

static void
collect_ready(struct checkpoint_writer *w)
{
    while (sem_trywait(&w->returned) == 0)
        collect(w, ring_take(w->back));
}

static void
collect_next(struct checkpoint_writer *w)
{
    wait_on(&w->returned);
    collect(w, ring_take(w->back));
}

/* ---- Beginning ---- */

/* Adds a model's tensors to the job, under its prefix. */
static enum status
add_tensors(struct job *j, size_t model, const struct model *m,
            struct error *err)
{
    const char *prefix = j->prefixes[model];
    size_t count = model_snapshot_count(m);
    struct tensor *grown = realloc(j->tensors, (j->tensor_count + count + 1) *
                                                   sizeof(*j->tensors));

    if (grown == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a checkpoint");
    j->tensors = grown;
    j->first[model] = j->tensor_count;
    for (size_t i = 0; i < count; i++) {
        const struct tensor *t = model_snapshot_tensor(m, i);
        struct tensor *added = &j->tensors[j->tensor_count++];
        int n;

        *added = *t;
        added->is_state = t->is_state || model > 0;
        n = snprintf(added->name, sizeof(added->name), "%s%s", prefix, t->name);
        if (n < 0 || (size_t)n >= sizeof(added->name))
            return error_set(err, STATUS_CONFIG,
                             "tensor %s%s: name is too long", prefix, t->name);
    }
    return STATUS_OK;
}

/* Refuses names that would be read back as another model's or as progress. */
static enum status
check_names(const struct job *j, struct error *err)
{
    size_t own = j->model_count > 1 ? j->first[1] : j->tensor_count;

    for (size_t i = 0; i < own; i++) {
        const char *name = j->tensors[i].name;

        if (strcmp(name, CHECKPOINT_PROGRESS) == 0)
            return error_set(err, STATUS_CONFIG,
                             "tensor %s: the name is reserved", name);
        for (size_t k = 1; k < j->model_count; k++) {
            if (strncmp(name, j->prefixes[k], strlen(j->prefixes[k])) == 0)
                return error_set(err, STATUS_CONFIG,
                                 "tensor %s: names beginning with %s are "
                                 "reserved",
                                 name, j->prefixes[k]);
        }
        if (j->alias[0] != '\0' &&
            strncmp(name, j->alias, strlen(j->alias)) == 0)
            return error_set(err, STATUS_CONFIG,
                             "tensor %s: names beginning with %s are reserved",
                             name, j->alias);
    }
    return STATUS_OK;
}

static enum status
new_job(struct job **out, const struct checkpoint_content *c, uint64_t version,
        struct error *err)
{
    struct job *j = calloc(1, sizeof(*j));
    enum status st;

    *out = NULL;
    if (j == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a checkpoint");
    j->model_count = c->model_count;
    for (size_t i = 0; i < c->model_count; i++)
        (void)snprintf(j->prefixes[i], MODEL_NAME_MAX, "%s",
                       c->models[i].prefix);
    (void)snprintf(j->alias, sizeof(j->alias), "%s",
                   c->alias != NULL ? c->alias : "");
    j->progress = malloc(c->progress_bytes + 1);
    if (j->progress == NULL) {
        st = error_set(err, STATUS_NOMEM, "no memory for a checkpoint");
        goto out;
    }
    if (c->progress_bytes > 0)
        memcpy(j->progress, c->progress, c->progress_bytes);
    j->progress_bytes = c->progress_bytes;
    j->sync_path = c->sync_path;
    st = manifest_copy(&j->manifest, c->manifest, err);
    if (st != STATUS_OK)
        goto out;
    j->manifest.file_count = 0;
    j->manifest.version = version;
    j->result.version = version;
    if (j->manifest.created_at[0] == '\0')
        manifest_now(j->manifest.created_at);
    *out = j;
    j = NULL;
out:
    job_free(&j);
    return st;
}

/* Ends the snapshots that are still open. */
static void
end_snapshots(struct checkpoint_writer *w)
{
    for (size_t i = w->model; i < w->model_count; i++)
        model_snapshot_end(w->models[i]);
    w->model = w->model_count;
}

enum status
writer_begin(struct checkpoint_writer *w, const struct checkpoint_content *c,
             struct error *err)
{
    enum status st;

    OBJ_CHECK(w, WRITER_MAGIC);
    assert(c->model_count > 0 && c->model_count <= CHECKPOINT_MODELS_MAX);
    assert(c->models[0].prefix[0] == '\0');
    collect_ready(w);
    if (w->state != WRITER_IDLE)
        return error_set(err, STATUS_AGAIN, "a checkpoint is being written");
    w->model = 0;
    w->model_count = 0;
    w->has_failed = false;
    st = new_job(&w->job, c, store_take_version(w->store), err);
    for (size_t i = 0; st == STATUS_OK && i < c->model_count; i++) {
        assert(i == 0 || c->models[i].prefix[0] != '\0');
        st = model_snapshot_begin(c->models[i].model, err);
        if (st != STATUS_OK)
            break;
        w->models[w->model_count++] = c->models[i].model;
        st = add_tensors(w->job, i, c->models[i].model, err);
        w->first[i] = w->job->first[i];
    }
    if (st == STATUS_OK)
        st = check_names(w->job, err);
    if (st != STATUS_OK) {
        end_snapshots(w);
        job_free(&w->job);
        return st;
    }
    w->state = WRITER_READING;
    return STATUS_OK;
}

/* ---- Reading ---- */

static void
send(struct checkpoint_writer *w)
{
    struct buffer *b = w->filling;

    w->filling = NULL;
    b->job = w->job; /* NULL but for the first */
    w->job = NULL;
    put(w->there, &w->sent, b);
}

/* Sends the last buffer; needs one in hand. */
static void
send_last(struct checkpoint_writer *w, bool is_given_up)
{
    w->filling->is_last = true;
    w->filling->is_given_up = is_given_up;
    end_snapshots(w);
    w->state = WRITER_CLOSING;
    send(w);
}

/* Reads one piece of about wanted bytes into the buffer in hand; END when no
 * model has more. */
static enum status
read_piece(struct checkpoint_writer *w, size_t wanted, size_t *bytes)
{
    struct buffer *b = w->filling;
    size_t room = BUFFER_BYTES - b->used;
    struct tensor_piece piece;

    wanted = wanted < PIECE_MIN ? PIECE_MIN : wanted;
    room = room < wanted ? room : wanted;

    for (; w->model < w->model_count; w->model++) {
        enum status st = model_snapshot_read(w->models[w->model],
                                             b->data + b->used, room, &piece);

        if (st == STATUS_OK) {
            b->pieces[b->piece_count++] = (struct buffered_piece){
                .tensor = w->first[w->model] + piece.tensor,
                .offset = piece.offset,
                .bytes = piece.bytes};
            b->used += piece.bytes;
            *bytes = piece.bytes;
            return STATUS_OK;
        }
        assert(st == STATUS_END);
        model_snapshot_end(w->models[w->model]);
    }
    return STATUS_END;
}

static bool
is_full(const struct buffer *b)
{
    return BUFFER_BYTES - b->used < PIECE_MIN ||
           b->piece_count == WRITER_PIECES_MAX;
}

enum status
writer_step(struct checkpoint_writer *w, size_t budget)
{
    uint64_t start_ns = clock_now_ns();
    size_t done = 0;

    OBJ_CHECK(w, WRITER_MAGIC);
    collect_ready(w);
    if (w->state != WRITER_READING)
        return STATUS_END;
    while (done < budget &&
           (done == 0 || clock_seconds_since(start_ns) < STEP_S_MAX)) {
        size_t bytes = 0;

        if (w->filling == NULL) {
            if (w->empty_count == 0)
                return STATUS_AGAIN;
            w->filling = w->empty[--w->empty_count];
        }
        if (w->has_failed) { /* why read on */
            send_last(w, true);
            return STATUS_END;
        }
        if (read_piece(w, budget - done, &bytes) == STATUS_END) {
            send_last(w, false);
            return STATUS_END;
        }
        done += bytes;
        if (is_full(w->filling))
            send(w);
    }
    return STATUS_OK;
}

enum status
writer_poll(struct checkpoint_writer *w, struct checkpoint_result *out)
{
    OBJ_CHECK(w, WRITER_MAGIC);
    collect_ready(w);
    if (w->state == WRITER_IDLE)
        return STATUS_END;
    if (w->state != WRITER_DONE)
        return STATUS_AGAIN;
    *out = w->job->result;
    job_free(&w->job);
    w->state = WRITER_IDLE;
    return STATUS_OK;
}

enum status
writer_finish(struct checkpoint_writer *w, struct checkpoint_result *out)
{
    OBJ_CHECK(w, WRITER_MAGIC);
    while (w->state == WRITER_READING) {
        if (writer_step(w, BUFFERS * BUFFER_BYTES) == STATUS_AGAIN)
            collect_next(w);
    }
    while (w->state == WRITER_CLOSING)
        collect_next(w);
    return writer_poll(w, out);
}

void
writer_free(struct checkpoint_writer **self)
{
    struct checkpoint_writer *w = *self;

    if (w == NULL)
        return;
    OBJ_CHECK(w, WRITER_MAGIC);
    while (w->state == WRITER_READING) {
        w->has_failed = true;
        if (writer_step(w, 1) == STATUS_AGAIN)
            collect_next(w);
    }
    while (w->state == WRITER_CLOSING)
        collect_next(w);
    job_free(&w->job);
    if (w->has_thread) {
        (void)sem_post(&w->sent);
        (void)pthread_join(w->thread, NULL);
        collect_ready(w);
    }
    output_free(&w->output);
    ring_free(&w->back);
    ring_free(&w->there);
    for (size_t i = 0; i < BUFFERS; i++)
        free(w->buffers[i].data);
    (void)sem_destroy(&w->returned);
    (void)sem_destroy(&w->sent);
    w->magic = 0;
    free(w);
    *self = NULL;
}

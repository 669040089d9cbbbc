/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Store, writer and restoring, put together for the two roles that learn.
 */
#include "stages/keeper.h"

#include "stages/event/contract.h"
#include "stages/event/event_time.h"
#include "stages/event/label.h"

#include "daemon/base/clock.h"
#include "daemon/base/json_writer.h"
#include "daemon/base/logging.h"
#include "daemon/base/object.h"
#include "daemon/io/file.h"
#include "daemon/version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEPER_MAGIC       0x4b454550u
#define PROGRESS_BYTES_MAX ((size_t)64 << 20)
#define TEACHER_BYTES      (64 + 6 * (LABEL_TEACHER_MAX + LABEL_VERSION_MAX))

struct keeper {
    unsigned magic;
    struct keeper_spec spec;
    struct store *store;
    struct checkpoint_writer *writer;
    struct bytes progress;
    char *contract;         /* feature contract, JSON */
    char *spec_text;        /* model specification, JSON */
    uint64_t next_examples; /* when the next checkpoint is due */
    uint64_t parent;        /* newest version */
    uint64_t saved;         /* examples of the newest that was begun */
    uint64_t durable;       /* examples of the newest version */
    int64_t durable_ms;     /* when that was made; 0: unknown */
    uint64_t failures;      /* checkpoints that failed */
    bool is_writing;        /* one was begun and has no result yet */
    struct error failure;   /* of the last checkpoint that failed, or OK */
};

static enum status
write_contract(struct keeper *k, struct error *err)
{
    size_t room = contract_bytes_max(k->spec.events);
    size_t len = 0;
    enum status st;

    k->contract = malloc(room + 1);
    if (k->contract == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a contract");
    st = contract_write(k->spec.events, k->contract, room, &len, err);
    k->contract[len] = '\0';
    return st;
}

enum status
keeper_open(struct keeper **out, const struct keeper_spec *spec,
            struct error *err)
{
    struct keeper *k = calloc(1, sizeof(*k));
    enum status st;

    if (k == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a keeper");
    k->magic = KEEPER_MAGIC;
    k->spec = *spec;
    k->next_examples = spec->every;
    bytes_init(&k->progress, PROGRESS_BYTES_MAX);
    st = store_open(&k->store, spec->dir, (size_t)spec->keep, err);
    if (st == STATUS_OK)
        st = writer_new(&k->writer, k->store, err);
    if (st == STATUS_OK)
        st = write_contract(k, err);
    if (st == STATUS_OK)
        st = spec_write(spec->spec, &k->spec_text, err);
    if (st != STATUS_OK) {
        keeper_close(&k);
        return st;
    }
    *out = k;
    return STATUS_OK;
}

void
keeper_close(struct keeper **self)
{
    struct keeper *k;

    if (*self == NULL)
        return;
    OBJ_TAKE(k, self, KEEPER_MAGIC);
    writer_free(&k->writer);
    store_close(&k->store);
    bytes_fini(&k->progress);
    free(k->contract);
    free(k->spec_text);
    k->magic = 0;
    free(k);
}

struct store *
keeper_store(struct keeper *k)
{
    OBJ_CHECK(k, KEEPER_MAGIC);
    return k->store;
}

static void
on_aside(void *ctx, uint64_t version, const struct error *why)
{
    const struct keeper *k = ctx;

    log_warn("checkpoint_set_aside", "dir=%s version=%llu text=\"%s\"",
             k->spec.dir, (unsigned long long)version, why->text);
}

/* New models: from the seed, or with the parameters of a file. */
static enum status
make_models(struct keeper *k, const struct keeper_restore *r, struct error *err)
{
    struct safetensors *file = NULL;
    enum status st = STATUS_OK;

    if (r->init_from[0] != '\0')
        st = safetensors_open(&file, r->init_from, err);
    for (size_t i = 0; i < r->count && st == STATUS_OK; i++) {
        st = model_new(&r->models[i], k->spec.spec, err);
        if (st == STATUS_OK && file != NULL)
            st = model_restore(r->models[i], safetensors_tensors(file),
                               safetensors_count(file), RESTORE_WEIGHTS, NULL,
                               err);
    }
    safetensors_free(&file);
    if (st == STATUS_BADDATA) {
        struct error why = *err;

        st = error_set(err, STATUS_BADDATA, "%.256s: %.700s", r->init_from,
                       why.text);
    }
    return st;
}

/* How a checkpoint's tensors are to be taken over. */
static enum status
choose_mode(struct keeper *k, const struct keeper_restore *r,
            const struct checkpoint *ck, enum restore_mode *mode,
            struct error *err)
{
    char differences[SPEC_DIFFERENCES];

    *mode = RESTORE_EXACT;
    if (checkpoint_spec(ck) == NULL)
        return error_set(err, STATUS_BADDATA,
                         "checkpoint %s: its manifest has no model_spec",
                         checkpoint_path(ck));
    switch (spec_compare(checkpoint_spec(ck), k->spec.spec, differences)) {
    case SPEC_FITS:
        return STATUS_OK;
    case SPEC_OPTIMIZER:
        *mode = RESTORE_MATCHING;
        log_warn("optimizer_state_dropped", "text=\"%s\"", differences);
        return STATUS_OK;
    case SPEC_SHAPE:
    default:
        break;
    }
    if (r->migrates) {
        *mode = RESTORE_MATCHING;
        log_warn("checkpoint_migrated", "text=\"%s\"", differences);
        return STATUS_OK;
    }
    return error_set(err, STATUS_BADDATA,
                     "checkpoint %.200s does not fit the configuration:\n%.600s"
                     "\nrun --migrate keeps the tensors that match, another "
                     "checkpoint path starts anew",
                     checkpoint_path(ck), differences);
}

/* Which of the checkpoint's models a model begins with. */
static enum status
choose_model(const struct keeper_restore *r, const struct checkpoint *ck,
             const char *wanted, const char **prefix, struct error *err)
{
    *prefix = wanted;
    if (checkpoint_has_model(ck, wanted))
        return STATUS_OK;
    *prefix = "";
    if (!r->migrates)
        return error_set(err, STATUS_BADDATA,
                         "checkpoint %.400s holds no model %s, which the "
                         "configuration trains\nrun --migrate begins it with "
                         "the model that was served, another checkpoint path "
                         "starts anew",
                         checkpoint_path(ck), wanted);
    log_warn("model_added",
             "model=%s text=\"begins with the model that was served\"", wanted);
    return STATUS_OK;
}

static enum status
restore_models(struct keeper *k, const struct keeper_restore *r,
               const struct checkpoint *ck, struct error *err)
{
    const void *bytes;
    size_t len = 0;
    enum restore_mode mode;
    enum status st = choose_mode(k, r, ck, &mode, err);

    for (size_t i = 0; i < r->count && st == STATUS_OK; i++) {
        const char *prefix;

        st = choose_model(r, ck, r->prefixes[i], &prefix, err);
        if (st == STATUS_OK)
            st = checkpoint_load_model(ck, prefix, k->spec.spec, mode,
                                       &r->models[i], NULL, err);
    }
    if (st != STATUS_OK)
        return st;
    bytes = checkpoint_progress(ck, &len);
    if (bytes == NULL)
        return error_set(err, STATUS_BADDATA,
                         "checkpoint %s holds no progress: it was published, "
                         "not written for going on",
                         checkpoint_path(ck));
    return progress_decode(r->progress, r->curve, bytes, len, err);
}

enum status
keeper_restore(struct keeper *k, const struct keeper_restore *r,
               struct error *err)
{
    struct checkpoint *ck = NULL;
    enum status st;

    OBJ_CHECK(k, KEEPER_MAGIC);
    memset(r->progress, 0, sizeof(*r->progress));
    *r->curve = NULL;
    *r->version = 0;
    st = store_open_newest(k->store, &ck, on_aside, k, err);
    if (st != STATUS_OK)
        return st;
    if (ck == NULL)
        return make_models(k, r, err);
    st = restore_models(k, r, ck, err);
    if (st == STATUS_OK) {
        const char *created = checkpoint_manifest(ck)->created_at;

        *r->version = checkpoint_manifest(ck)->version;
        k->parent = *r->version;
        k->saved = r->progress->examples;
        k->durable = k->saved;
        if (!event_time_text(created, strlen(created), TIME_MILLISECONDS,
                             &k->durable_ms))
            k->durable_ms = 0;
        if (k->spec.every > 0)
            k->next_examples =
                (r->progress->examples / k->spec.every + 1) * k->spec.every;
        log_info("checkpoint_restored", "path=%s examples=%llu",
                 checkpoint_path(ck),
                 (unsigned long long)r->progress->examples);
    }
    checkpoint_free(&ck);
    return st;
}

bool
keeper_is_due(const struct keeper *k, uint64_t examples)
{
    OBJ_CHECK(k, KEEPER_MAGIC);
    return k->spec.every > 0 && examples >= k->next_examples;
}

/* The manifest's "teacher". A version is any text that a label brought. */
static void
write_teacher(const struct keeper *k, const struct keeper_content *c,
              char text[TEACHER_BYTES])
{
    struct json_writer w;

    json_writer_init(&w, text, TEACHER_BYTES - 1, 0);
    json_open_object(&w);
    if (k->spec.teacher_name != NULL) {
        json_put_key(&w, "name");
        json_put_string(&w, k->spec.teacher_name);
        json_put_key(&w, "version");
        json_put_string(&w, c->teacher_version);
    }
    json_close_object(&w);
    assert(!w.is_full); /* two bounded texts, escaped */
    text[w.len] = '\0';
}

static enum status
begin_writing(struct keeper *k, const struct keeper_content *c, char *data,
              char *training, struct error *err)
{
    struct checkpoint_model models[CHECKPOINT_MODELS_MAX];
    char producer[512];
    char teacher[TEACHER_BYTES];
    struct manifest manifest = {.parent_version = k->parent};
    struct checkpoint_content content = {
        .models = models,
        .model_count = c->count,
        .alias = c->alias,
        .progress = k->progress.data,
        .progress_bytes = k->progress.used,
        .manifest = &manifest,
        .sync_path = k->spec.sync_path,
    };

    assert(c->count <= CHECKPOINT_MODELS_MAX);
    for (size_t i = 0; i < c->count; i++)
        models[i] = (struct checkpoint_model){c->models[i], c->prefixes[i]};
    (void)snprintf(manifest.model, sizeof(manifest.model), "%s",
                   k->spec.model_name);
    (void)snprintf(manifest.config_sha256, sizeof(manifest.config_sha256), "%s",
                   k->spec.config_sha256);
    (void)snprintf(producer, sizeof(producer),
                   "{\"name\":\"distilld\",\"version\":\"%s\"}",
                   version_text());
    write_teacher(k, c, teacher);
    manifest.parts[MANIFEST_PRODUCER] = producer;
    manifest.parts[MANIFEST_FEATURE_SPEC] = k->contract;
    manifest.parts[MANIFEST_SPEC] = k->spec_text;
    manifest.parts[MANIFEST_DATA] = data;
    manifest.parts[MANIFEST_TEACHER] = teacher;
    manifest.parts[MANIFEST_TRAINING] = training;
    manifest.parts[MANIFEST_METRICS] = c->metrics;
    return writer_begin(k->writer, &content, err);
}

enum status
keeper_begin(struct keeper *k, const struct keeper_content *c,
             struct error *err)
{
    char *data = NULL;
    char *training = NULL;
    enum status st;

    OBJ_CHECK(k, KEEPER_MAGIC);
    if (k->spec.every > 0)
        k->next_examples =
            (c->progress->examples / k->spec.every + 1) * k->spec.every;
    bytes_clear(&k->progress);
    st = progress_encode(c->progress, c->curve, &k->progress, err);
    if (st == STATUS_OK)
        st = progress_lineage(c->progress, k->spec.log_path, c->seconds, &data,
                              &training, err);
    if (st != STATUS_OK)
        return st;
    st = begin_writing(k, c, data, training, err);
    free(data);
    free(training);
    if (st == STATUS_AGAIN) {
        log_warn("checkpoint_passed_over",
                 "dir=%s text=\"the one before is still being written\"",
                 k->spec.dir);
        return STATUS_OK;
    }
    if (st == STATUS_OK) {
        k->saved = c->progress->examples;
        k->is_writing = true;
    }
    return st;
}

uint64_t
keeper_saved(const struct keeper *k)
{
    OBJ_CHECK(k, KEEPER_MAGIC);
    return k->saved;
}

void
keeper_report(const struct keeper *k, struct keeper_report *out)
{
    OBJ_CHECK(k, KEEPER_MAGIC);
    *out = (struct keeper_report){
        .version = k->parent,
        .examples = k->durable,
        .created_ms = k->durable_ms,
        .failures = k->failures,
        .is_writing = k->is_writing,
    };
}

/* Logs what became of a checkpoint; its version when it is durable. */
static uint64_t
settle(struct keeper *k, const struct checkpoint_result *r)
{
    k->is_writing = false;
    if (r->status != STATUS_OK) {
        k->failures++;
        k->failure = r->err;
        k->saved = k->durable;
        log_error("checkpoint_failed", "dir=%s version=%llu text=\"%s\"",
                  k->spec.dir, (unsigned long long)r->version, r->err.text);
        return 0;
    }
    error_clear(&k->failure);
    k->parent = r->version;
    k->durable = k->saved;
    k->durable_ms = clock_wall_ms();
    log_info("checkpoint_done", "path=%s bytes=%llu model_sha256=%.12s",
             r->path, (unsigned long long)r->bytes, r->model_sha256);
    if (r->cleanup.status != STATUS_OK)
        log_warn("checkpoint_not_pruned", "text=\"%s\"", r->cleanup.text);
    return r->version;
}

bool
keeper_step(struct keeper *k, uint64_t *durable)
{
    struct checkpoint_result result;
    enum status step;

    OBJ_CHECK(k, KEEPER_MAGIC);
    *durable = 0;
    step = writer_step(k->writer, WRITER_BUDGET);
    if (writer_poll(k->writer, &result) == STATUS_OK)
        *durable = settle(k, &result);
    return step == STATUS_OK;
}

enum status
keeper_finish(struct keeper *k, uint64_t *durable, struct error *err)
{
    struct checkpoint_result result;

    OBJ_CHECK(k, KEEPER_MAGIC);
    *durable = 0;
    if (writer_finish(k->writer, &result) == STATUS_OK)
        *durable = settle(k, &result);
    if (k->failure.status != STATUS_OK) {
        *err = k->failure;
        return err->status;
    }
    return STATUS_OK;
}

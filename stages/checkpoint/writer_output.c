/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file thread's side of the checkpoint writer: plan the two files, write
 * pieces where they belong, and make the whole a version.
 */
#include "stages/checkpoint/versions.h"
#include "stages/checkpoint/writer_priv.h"

#include "daemon/base/crash.h"
#include "daemon/base/object.h"
#include "daemon/io/file.h"
#include "daemon/io/log_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUTPUT_MAGIC 0xc4ec4b03u

/* The two files, by whether they hold state. */
enum part {
    PART_MODEL,
    PART_STATE,
    PART_COUNT,
};

static const char *const part_names[PART_COUNT] = {
    [PART_MODEL] = CHECKPOINT_MODEL_FILE,
    [PART_STATE] = CHECKPOINT_STATE_FILE,
};

struct output {
    unsigned magic;
    const struct store *store;
    struct job *job; /* NULL: nothing is running */
    enum status st;  /* the job's first failure; job->result.err has it */
    char temp[PATH_TEXT_MAX];
    struct file *files[PART_COUNT];
    uint64_t *places; /* (job->tensor_count) offset of each tensor's data in
                         its file */
};

void
job_free(struct job **self)
{
    struct job *j = *self;

    if (j == NULL)
        return;
    manifest_fini(&j->manifest);
    free(j->progress);
    free(j->tensors);
    free(j);
    *self = NULL;
}

enum status
output_new(struct output **out, const struct store *s, struct error *err)
{
    struct output *o = calloc(1, sizeof(*o));

    *out = NULL;
    if (o == NULL)
        return error_set(err, STATUS_NOMEM, "no memory to write checkpoints");
    o->magic = OUTPUT_MAGIC;
    o->store = s;
    *out = o;
    return STATUS_OK;
}

static enum part
part_of(const struct tensor *t)
{
    return t->is_state ? PART_STATE : PART_MODEL;
}

/* The metadata of a file; keys is where the prefixes' keys are kept. */
static size_t
list_meta(const struct job *j, enum part part,
          struct safetensors_pair meta[2 + CHECKPOINT_MODELS_MAX],
          char keys[CHECKPOINT_MODELS_MAX][32])
{
    size_t count = 0;

    meta[count++] = (struct safetensors_pair){"format", "distilld"};
    meta[count++] = (struct safetensors_pair){"schema", "1"};
    if (part == PART_STATE && j->alias[0] != '\0')
        meta[count++] =
            (struct safetensors_pair){CHECKPOINT_PREFIX_KEY "0", j->alias};
    for (size_t i = 1; part == PART_STATE && i < j->model_count; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), CHECKPOINT_PREFIX_KEY "%zu",
                       i);
        meta[count++] = (struct safetensors_pair){keys[i], j->prefixes[i]};
    }
    return count;
}

/* Copies the tensors of one file to list, and where they come from. */
static size_t
select_tensors(const struct job *j, enum part part, struct tensor *list,
               size_t *origins)
{
    size_t count = 0;

    for (size_t i = 0; i < j->tensor_count; i++) {
        if (part_of(&j->tensors[i]) != part)
            continue;
        origins[count] = i;
        list[count++] = j->tensors[i];
    }
    if (part == PART_STATE) {
        struct tensor *t = &list[count];

        *t = (struct tensor){.type = TENSOR_U8, .rank = 1};
        (void)snprintf(t->name, sizeof(t->name), CHECKPOINT_PROGRESS);
        t->shape[0] = j->progress_bytes;
        origins[count++] = j->tensor_count;
    }
    return count;
}

/* Makes one file with its header, and notes where its tensors go. */
static enum status
open_part(struct output *o, enum part part, struct tensor *list,
          size_t *origins, struct error *err)
{
    const struct job *j = o->job;
    struct safetensors_pair meta[2 + CHECKPOINT_MODELS_MAX];
    char keys[CHECKPOINT_MODELS_MAX][32];
    size_t meta_count = list_meta(j, part, meta, keys);
    size_t count = select_tensors(j, part, list, origins);
    struct safetensors_plan *plan = NULL;
    char path[PATH_TEXT_MAX];
    enum status st;

    st = safetensors_plan_new(&plan, list, count, meta, meta_count, err);
    if (st != STATUS_OK)
        goto out;
    st = path_join(path, o->temp, part_names[part], err);
    if (st != STATUS_OK)
        goto out;
    st = file_open_new(&o->files[part], path, err);
    if (st != STATUS_OK)
        goto out;
    st = file_resize(o->files[part], plan->file_bytes, err);
    if (st != STATUS_OK)
        goto out;
    st =
        file_write_at(o->files[part], plan->header, plan->header_bytes, 0, err);
    if (st != STATUS_OK)
        goto out;
    for (size_t i = 0; i < count; i++)
        o->places[origins[i]] = plan->offsets[i];
    if (part == PART_STATE)
        st = file_write_at(o->files[part], j->progress, j->progress_bytes,
                           o->places[j->tensor_count], err);
    o->job->result.bytes += plan->file_bytes;
out:
    safetensors_plan_free(&plan);
    return st;
}

static enum status
begin_job(struct output *o, struct error *err)
{
    const struct job *j = o->job;
    size_t room = j->tensor_count + 1;
    struct tensor *list = calloc(room, sizeof(*list));
    size_t *origins = calloc(room, sizeof(*origins));
    enum status st;

    o->places = calloc(room, sizeof(*o->places));
    if (list == NULL || origins == NULL || o->places == NULL) {
        st = error_set(err, STATUS_NOMEM, "no memory to write a checkpoint");
        goto out;
    }
    st = versions_begin(o->temp, store_path(o->store), j->result.version, err);
    if (st != STATUS_OK)
        goto out;
    for (int part = 0; st == STATUS_OK && part < PART_COUNT; part++)
        st = open_part(o, (enum part)part, list, origins, err);
out:
    free(origins);
    free(list);
    return st;
}

static enum status
write_pieces(struct output *o, const struct buffer *b, struct error *err)
{
    const struct job *j = o->job;
    size_t at = 0;
    enum status st = STATUS_OK;

    for (size_t i = 0; st == STATUS_OK && i < b->piece_count; i++) {
        const struct buffered_piece *p = &b->pieces[i];
        enum part part;

        assert(p->tensor < j->tensor_count && at + p->bytes <= b->used);
        part = part_of(&j->tensors[p->tensor]);
        st = file_write_at(o->files[part], b->data + at, p->bytes,
                           o->places[p->tensor] + p->offset, err);
        at += p->bytes;
    }
    crash_point("checkpoint_while_writing");
    return st;
}

/* Syncs one file, digests it as the disk has it, and enters it. */
static enum status
finish_part(struct output *o, enum part part, char *hex, struct error *err)
{
    struct manifest *m = &o->job->manifest;
    struct manifest_file *f = &m->files[m->file_count];
    char path[PATH_TEXT_MAX];
    enum status st = file_sync(o->files[part], err);

    file_close(&o->files[part]);
    if (st == STATUS_OK)
        st = path_join(path, o->temp, part_names[part], err);
    if (st == STATUS_OK)
        st = file_digest(path, f->sha256, &f->bytes, err);
    if (st != STATUS_OK)
        return st;
    (void)snprintf(f->path, sizeof(f->path), "%s", part_names[part]);
    m->file_count++;
    memcpy(hex, f->sha256, DIGEST_HEX_SIZE);
    return STATUS_OK;
}

static enum status
write_manifest(struct output *o, struct error *err)
{
    char path[PATH_TEXT_MAX];
    struct file *f = NULL;
    char *text = NULL;
    size_t len = 0;
    enum status st;

    st = manifest_write(&o->job->manifest, &text, &len, err);
    if (st != STATUS_OK)
        goto out;
    st = path_join(path, o->temp, MANIFEST_NAME, err);
    if (st != STATUS_OK)
        goto out;
    st = file_open_new(&f, path, err);
    if (st != STATUS_OK)
        goto out;
    st = file_write(f, text, len, err);
    if (st == STATUS_OK)
        st = file_sync(f, err);
out:
    file_close(&f);
    free(text);
    return st;
}

/* Everything is written: makes it the version. */
static enum status
commit_job(struct output *o, struct error *err)
{
    struct checkpoint_result *r = &o->job->result;
    const char *dir = store_path(o->store);
    enum status st;

    st = finish_part(o, PART_MODEL, r->model_sha256, err);
    if (st == STATUS_OK)
        st = finish_part(o, PART_STATE, r->state_sha256, err);
    crash_point("checkpoint_before_manifest");
    if (st == STATUS_OK && o->job->sync_path != NULL)
        st = log_sync(o->job->sync_path, err);
    if (st == STATUS_OK)
        st = write_manifest(o, err);
    if (st == STATUS_OK)
        st = versions_path(r->path, dir, r->version, err);
    if (st == STATUS_OK)
        st = versions_commit(o->temp, dir, r->version, err);
    if (st != STATUS_OK)
        return st;
    o->temp[0] = '\0';
    if (versions_prune(dir, store_keep(o->store), &r->cleanup) == STATUS_OK)
        error_clear(&r->cleanup);
    return STATUS_OK;
}

/* Closes and removes what the job left, and gives the job back. */
static struct job *
end_job(struct output *o)
{
    struct job *j = o->job;
    struct error ignored;

    for (int part = 0; part < PART_COUNT; part++)
        file_close(&o->files[part]);
    /* What cannot be removed now goes when the store is next opened. */
    if (o->temp[0] != '\0' && directory_remove(o->temp, &ignored) != STATUS_OK)
        o->temp[0] = '\0';
    o->temp[0] = '\0';
    free(o->places);
    o->places = NULL;
    o->job = NULL;
    j->result.status = o->st;
    return j;
}

void
output_take(struct output *o, struct buffer *b)
{
    struct error *err;

    OBJ_CHECK(o, OUTPUT_MAGIC);
    if (b->job != NULL) {
        assert(o->job == NULL);
        o->job = b->job;
        b->job = NULL;
        error_clear(&o->job->result.err);
        o->st = begin_job(o, &o->job->result.err);
    }
    assert(o->job != NULL);
    err = &o->job->result.err;
    if (o->st == STATUS_OK && !b->is_given_up)
        o->st = write_pieces(o, b, err);
    if (o->st == STATUS_OK && b->is_given_up)
        o->st = error_set(err, STATUS_INTERNAL, "checkpoint was given up");
    if (o->st == STATUS_OK && b->is_last)
        o->st = commit_job(o, err);
    b->has_failed = o->st != STATUS_OK;
    if (b->is_last)
        b->job = end_job(o);
}

void
output_free(struct output **self)
{
    struct output *o = *self;

    if (o == NULL)
        return;
    OBJ_CHECK(o, OUTPUT_MAGIC);
    assert(o->job == NULL);
    o->magic = 0;
    free(o);
    *self = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening checkpoints.
 */
#include "stages/checkpoint/checkpoint.h"

#include "stages/checkpoint/spec.h"
#include "stages/checkpoint/versions.h"

#include "daemon/base/object.h"
#include "daemon/io/directory.h"
#include "daemon/io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECKPOINT_MAGIC 0xc4ec4b01u

struct checkpoint {
    unsigned magic;
    char path[PATH_TEXT_MAX];
    struct manifest manifest;
    struct spec_owned spec;
    struct safetensors *model;
    struct safetensors *state; /* NULL: a published version */
    size_t prefix_count;
    const char *prefixes[CHECKPOINT_MODELS_MAX];
    const char *alias; /* of the first model; NULL: none */
};

static enum status
verify_file(const char *path, const struct manifest_file *f, struct error *err)
{
    char hex[DIGEST_HEX_SIZE];
    enum status st = file_digest(path, hex, NULL, err);

    if (st == STATUS_OK && strcmp(hex, f->sha256) != 0)
        st = error_set(err, STATUS_BADDATA,
                       "%s: SHA-256 is %s, the manifest says %s", path, hex,
                       f->sha256);
    return st;
}

/* Opens one of the two files, which the manifest must list. */
static enum status
open_file(struct checkpoint *ck, const char *name, enum checkpoint_check check,
          struct safetensors **out, struct error *err)
{
    const struct manifest_file *f = manifest_find_file(&ck->manifest, name);
    char path[PATH_TEXT_MAX];
    struct file_map map;
    enum status st;

    if (f == NULL)
        return error_set(err, STATUS_BADDATA, "%s: %s lists no %s", ck->path,
                         MANIFEST_NAME, name);
    st = path_join(path, ck->path, name, err);
    if (st == STATUS_OK)
        st = file_map(&map, path, err);
    if (st != STATUS_OK)
        return st;
    if (map.bytes != f->bytes)
        st = error_set(err, STATUS_BADDATA,
                       "%s: %zu bytes, the manifest says %llu", path, map.bytes,
                       (unsigned long long)f->bytes);
    file_unmap(&map);
    if (st == STATUS_OK && check == CHECKPOINT_VERIFY)
        st = verify_file(path, f, err);
    return st == STATUS_OK ? safetensors_open(out, path, err) : st;
}

/* Files beside the two known ones are only verified. */
static enum status
verify_others(const struct checkpoint *ck, struct error *err)
{
    for (size_t i = 0; i < ck->manifest.file_count; i++) {
        const struct manifest_file *f = &ck->manifest.files[i];
        char path[PATH_TEXT_MAX];
        enum status st;

        if (strcmp(f->path, CHECKPOINT_MODEL_FILE) == 0 ||
            strcmp(f->path, CHECKPOINT_STATE_FILE) == 0)
            continue;
        st = path_join(path, ck->path, f->path, err);
        if (st == STATUS_OK)
            st = verify_file(path, f, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

static void
read_prefixes(struct checkpoint *ck)
{
    ck->prefixes[0] = "";
    ck->prefix_count = 1;
    if (ck->state != NULL)
        ck->alias = safetensors_meta(ck->state, CHECKPOINT_PREFIX_KEY "0");
    while (ck->state != NULL && ck->prefix_count < CHECKPOINT_MODELS_MAX) {
        char key[32];
        const char *prefix;

        (void)snprintf(key, sizeof(key), CHECKPOINT_PREFIX_KEY "%zu",
                       ck->prefix_count);
        prefix = safetensors_meta(ck->state, key);
        if (prefix == NULL || prefix[0] == '\0')
            break;
        ck->prefixes[ck->prefix_count++] = prefix;
    }
}

static enum status
open_all(struct checkpoint *ck, enum checkpoint_check check, struct error *err)
{
    const char *spec;
    enum status st = manifest_read(&ck->manifest, ck->path, err);

    if (st != STATUS_OK)
        return st;
    st = open_file(ck, CHECKPOINT_MODEL_FILE, check, &ck->model, err);
    if (st == STATUS_OK &&
        manifest_find_file(&ck->manifest, CHECKPOINT_STATE_FILE) != NULL)
        st = open_file(ck, CHECKPOINT_STATE_FILE, check, &ck->state, err);
    if (st == STATUS_OK && check == CHECKPOINT_VERIFY)
        st = verify_others(ck, err);
    spec = ck->manifest.parts[MANIFEST_SPEC];
    if (st == STATUS_OK && spec != NULL)
        st = spec_parse(&ck->spec, spec, strlen(spec), ck->path, err);
    if (st == STATUS_OK)
        read_prefixes(ck);
    return st;
}

enum status
checkpoint_find(char out[PATH_TEXT_MAX], const char *path, struct error *err)
{
    char inside[PATH_TEXT_MAX];
    enum status st = path_join(inside, path, MANIFEST_NAME, err);
    uint64_t latest;

    if (st != STATUS_OK)
        return st;
    if (access(inside, F_OK) == 0) {
        (void)snprintf(out, PATH_TEXT_MAX, "%s", path);
        return STATUS_OK;
    }
    latest = versions_latest(path);
    st = latest > 0 ? versions_path(out, path, latest, err)
                    : path_join(out, path, VERSIONS_POINTER, err);
    if (st == STATUS_OK)
        st = path_join(inside, out, MANIFEST_NAME, err);
    if (st == STATUS_OK && access(inside, F_OK) != 0)
        st = error_set(err, STATUS_NOTFOUND,
                       "%s: no checkpoint: neither %s nor %s/%s is in it", path,
                       MANIFEST_NAME, VERSIONS_POINTER, MANIFEST_NAME);
    return st;
}

enum status
checkpoint_open(struct checkpoint **out, const char *path,
                enum checkpoint_check check, struct error *err)
{
    struct checkpoint *ck = calloc(1, sizeof(*ck));
    enum status st;

    *out = NULL;
    if (ck == NULL)
        return error_set(err, STATUS_NOMEM, "%s: no memory to open it", path);
    ck->magic = CHECKPOINT_MAGIC;
    st = checkpoint_find(ck->path, path, err);
    if (st == STATUS_OK)
        st = open_all(ck, check, err);
    if (st == STATUS_OK) {
        *out = ck;
        ck = NULL;
    }
    checkpoint_free(&ck);
    return st;
}

void
checkpoint_free(struct checkpoint **self)
{
    struct checkpoint *ck = *self;

    if (ck == NULL)
        return;
    OBJ_CHECK(ck, CHECKPOINT_MAGIC);
    safetensors_free(&ck->state);
    safetensors_free(&ck->model);
    spec_fini(&ck->spec);
    manifest_fini(&ck->manifest);
    ck->magic = 0;
    free(ck);
    *self = NULL;
}

const char *
checkpoint_path(const struct checkpoint *ck)
{
    OBJ_CHECK(ck, CHECKPOINT_MAGIC);
    return ck->path;
}

const struct manifest *
checkpoint_manifest(const struct checkpoint *ck)
{
    OBJ_CHECK(ck, CHECKPOINT_MAGIC);
    return &ck->manifest;
}

const struct model_spec *
checkpoint_spec(const struct checkpoint *ck)
{
    OBJ_CHECK(ck, CHECKPOINT_MAGIC);
    return ck->spec.features != NULL ? &ck->spec.spec : NULL;
}

const struct safetensors *
checkpoint_model(const struct checkpoint *ck)
{
    OBJ_CHECK(ck, CHECKPOINT_MAGIC);
    return ck->model;
}

const struct safetensors *
checkpoint_state(const struct checkpoint *ck)
{
    OBJ_CHECK(ck, CHECKPOINT_MAGIC);
    return ck->state;
}

const char *
checkpoint_prefix(const struct checkpoint *ck, size_t i)
{
    OBJ_CHECK(ck, CHECKPOINT_MAGIC);
    return i < ck->prefix_count ? ck->prefixes[i] : NULL;
}

const char *
checkpoint_alias(const struct checkpoint *ck)
{
    OBJ_CHECK(ck, CHECKPOINT_MAGIC);
    return ck->alias;
}

/* Whether this is the first model's prefix or its alias. */
static bool
is_first(const struct checkpoint *ck, const char *prefix)
{
    return prefix[0] == '\0' ||
           (ck->alias != NULL && strcmp(ck->alias, prefix) == 0);
}

bool
checkpoint_has_model(const struct checkpoint *ck, const char *prefix)
{
    bool is_known = is_first(ck, prefix);

    OBJ_CHECK(ck, CHECKPOINT_MAGIC);
    for (size_t i = 1; i < ck->prefix_count; i++)
        is_known = is_known || strcmp(ck->prefixes[i], prefix) == 0;
    return is_known;
}

const void *
checkpoint_progress(const struct checkpoint *ck, size_t *bytes)
{
    const struct tensor *t = NULL;

    OBJ_CHECK(ck, CHECKPOINT_MAGIC);
    *bytes = 0;
    if (ck->state != NULL)
        t = safetensors_find(ck->state, CHECKPOINT_PROGRESS);
    if (t == NULL || t->type != TENSOR_U8 || t->rank != 1)
        return NULL;
    *bytes = (size_t)t->shape[0];
    return t->data;
}

/* Which model a tensor of the state file belongs to. */
static const char *
find_owner(const struct checkpoint *ck, const char *name)
{
    for (size_t i = 1; i < ck->prefix_count; i++) {
        if (strncmp(name, ck->prefixes[i], strlen(ck->prefixes[i])) == 0)
            return ck->prefixes[i];
    }
    return ck->prefixes[0];
}

/* Adds the tensors of s that belong to the model with this prefix. */
static void
add_tensors(const struct checkpoint *ck, const struct safetensors *s,
            const char *prefix, struct tensor *list, size_t *count)
{
    bool is_state = s == ck->state;

    for (size_t i = 0; s != NULL && i < safetensors_count(s); i++) {
        const struct tensor *t = &safetensors_tensors(s)[i];
        struct tensor *added = &list[*count];

        if (strcmp(t->name, CHECKPOINT_PROGRESS) == 0 ||
            strcmp(is_state ? find_owner(ck, t->name) : "", prefix) != 0)
            continue;
        *added = *t;
        (void)snprintf(added->name, sizeof(added->name), "%s",
                       t->name + strlen(prefix));
        added->is_state = is_state && prefix[0] == '\0';
        (*count)++;
    }
}

enum status
checkpoint_tensors(const struct checkpoint *ck, const char *prefix,
                   struct tensor **out, size_t *count, struct error *err)
{
    size_t room = 1;
    struct tensor *list;

    OBJ_CHECK(ck, CHECKPOINT_MAGIC);
    *out = NULL;
    *count = 0;
    if (!checkpoint_has_model(ck, prefix))
        return error_set(err, STATUS_BADDATA,
                         "%s: there is no model \"%s\" in it", ck->path,
                         prefix);
    if (is_first(ck, prefix))
        prefix = "";
    room += safetensors_count(ck->model);
    room += ck->state != NULL ? safetensors_count(ck->state) : 0;
    list = calloc(room, sizeof(*list));
    if (list == NULL)
        return error_set(err, STATUS_NOMEM, "%s: no memory to load it",
                         ck->path);
    if (prefix[0] == '\0')
        add_tensors(ck, ck->model, prefix, list, count);
    add_tensors(ck, ck->state, prefix, list, count);
    *out = list;
    return STATUS_OK;
}

enum status
checkpoint_load_model(const struct checkpoint *ck, const char *prefix,
                      const struct model_spec *spec, enum restore_mode mode,
                      struct model **out, size_t *kept, struct error *err)
{
    struct tensor *tensors = NULL;
    struct model *m = NULL;
    struct error why;
    size_t count = 0;
    enum status st;

    OBJ_CHECK(ck, CHECKPOINT_MAGIC);
    *out = NULL;
    if (spec == NULL)
        spec = checkpoint_spec(ck);
    if (spec == NULL)
        return error_set(err, STATUS_BADDATA,
                         "%s: the manifest has no model_spec", ck->path);
    st = checkpoint_tensors(ck, prefix, &tensors, &count, err);
    if (st != STATUS_OK)
        goto out;
    st = model_new(&m, spec, err);
    if (st != STATUS_OK)
        goto out;
    st = model_restore(m, tensors, count, mode, kept, &why);
    if (st != STATUS_OK) {
        st = error_set(err, st, "%.400s: %.600s", ck->path, why.text);
        goto out;
    }
    *out = m;
    m = NULL;
out:
    model_free(&m);
    free(tensors);
    return st;
}

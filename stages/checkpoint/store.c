/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The locked directory of checkpoints, and publishing out of it.
 */
#include "stages/checkpoint/store.h"

#include "stages/checkpoint/versions.h"

#include "daemon/base/crash.h"
#include "daemon/base/object.h"
#include "daemon/io/file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STORE_MAGIC 0xc4ec4b02u

struct store {
    unsigned magic;
    char dir[PATH_TEXT_MAX];
    size_t keep;
    uint64_t highest; /* number given or seen */
    struct file_lock *lock;
};

static enum status
prepare(struct store *s, const char *dir, struct error *err)
{
    char path[PATH_TEXT_MAX];
    struct versions v;
    enum status st = directory_make(dir, err);

    if (st != STATUS_OK)
        return st;
    memcpy(s->dir, dir, strlen(dir) + 1); /* directory_make took its length */
    st = path_join(path, dir, ".lock", err);
    if (st == STATUS_OK)
        st = file_lock_take(&s->lock, path, err);
    if (st == STATUS_OK)
        st = versions_clean(dir, true, err);
    if (st == STATUS_OK)
        st = versions_list(&v, dir, err);
    if (st != STATUS_OK)
        return st;
    s->highest = v.highest;
    versions_fini(&v);
    return STATUS_OK;
}

enum status
store_open(struct store **out, const char *dir, size_t keep, struct error *err)
{
    struct store *s = calloc(1, sizeof(*s));
    enum status st;

    assert(keep > 0);
    *out = NULL;
    if (s == NULL)
        return error_set(err, STATUS_NOMEM, "%s: no memory to open it", dir);
    s->magic = STORE_MAGIC;
    s->keep = keep;
    st = prepare(s, dir, err);
    if (st == STATUS_OK) {
        *out = s;
        s = NULL;
    }
    store_close(&s);
    return st;
}

void
store_close(struct store **self)
{
    struct store *s = *self;

    if (s == NULL)
        return;
    OBJ_CHECK(s, STORE_MAGIC);
    file_lock_release(&s->lock);
    s->magic = 0;
    free(s);
    *self = NULL;
}

/* Whether a version that failed so is corrupt, and not merely unreadable
 * today. */
static bool
is_corrupt(enum status st)
{
    return st == STATUS_BADDATA || st == STATUS_NOTFOUND ||
           st == STATUS_MALFORMED || st == STATUS_TOOBIG;
}

static enum status
open_version(const struct store *s, uint64_t version, struct checkpoint **out,
             struct error *err)
{
    char path[PATH_TEXT_MAX];
    enum status st = versions_path(path, s->dir, version, err);
    uint64_t said;

    if (st == STATUS_OK)
        st = checkpoint_open(out, path, CHECKPOINT_VERIFY, err);
    if (st != STATUS_OK)
        return st;
    said = checkpoint_manifest(*out)->version;
    if (said != version) {
        checkpoint_free(out);
        return error_set(err, STATUS_BADDATA,
                         "%s: the manifest says version %" PRIu64, path, said);
    }
    return STATUS_OK;
}

static enum status
set_aside(const struct store *s, uint64_t version, const struct error *why,
          store_aside_fn aside, void *ctx, struct error *err)
{
    enum status st = versions_set_aside(s->dir, version, err);

    if (st == STATUS_OK && aside != NULL)
        aside(ctx, version, why);
    return st;
}

enum status
store_open_newest(struct store *s, struct checkpoint **out,
                  store_aside_fn aside, void *ctx, struct error *err)
{
    struct versions v;
    struct error why;
    enum status st;

    OBJ_CHECK(s, STORE_MAGIC);
    *out = NULL;
    st = versions_list(&v, s->dir, err);
    if (st != STATUS_OK)
        return st;
    for (size_t i = v.count; st == STATUS_OK && i > 0; i--) {
        enum status opened = open_version(s, v.numbers[i - 1], out, &why);

        if (opened == STATUS_OK) {
            st = versions_point(s->dir, v.numbers[i - 1], err);
            goto out;
        }
        if (!is_corrupt(opened))
            st = error_set(err, opened, "%s", why.text);
        else
            st = set_aside(s, v.numbers[i - 1], &why, aside, ctx, err);
    }
    if (st == STATUS_OK && v.count + v.corrupt_count > 0)
        st = error_set(err, STATUS_BADDATA,
                       "%s: no version in it is valid; to start afresh, move "
                       "the directory away",
                       s->dir);
out:
    if (st != STATUS_OK)
        checkpoint_free(out);
    versions_fini(&v);
    return st;
}

uint64_t
store_take_version(struct store *s)
{
    OBJ_CHECK(s, STORE_MAGIC);
    return ++s->highest;
}

const char *
store_path(const struct store *s)
{
    OBJ_CHECK(s, STORE_MAGIC);
    return s->dir;
}

size_t
store_keep(const struct store *s)
{
    OBJ_CHECK(s, STORE_MAGIC);
    return s->keep;
}

/* ---- Publishing ---- */

/* Writes the manifest of the published version: the same without state. */
static enum status
write_manifest(const struct manifest *from, const struct manifest_file *file,
               const char *dir, struct error *err)
{
    struct manifest m = *from;
    char path[PATH_TEXT_MAX];
    struct file *f = NULL;
    char *text = NULL;
    size_t len = 0;
    enum status st;

    m.file_count = 1;
    m.files[0] = *file;
    st = manifest_write(&m, &text, &len, err);
    if (st != STATUS_OK)
        goto out;
    st = path_join(path, dir, MANIFEST_NAME, err);
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

/* Whether the version is published already; BADDATA when what is there is
 * something else. */
static enum status
check_published(const char *target, const struct manifest_file *file,
                bool *is_there, struct error *err)
{
    struct manifest m = {0};
    const struct manifest_file *found;
    enum status st;

    *is_there = access(target, F_OK) == 0;
    if (!*is_there)
        return STATUS_OK;
    st = manifest_read(&m, target, err);
    if (st != STATUS_OK)
        return st;
    found = manifest_find_file(&m, CHECKPOINT_MODEL_FILE);
    if (found == NULL || strcmp(found->sha256, file->sha256) != 0)
        st = error_set(err, STATUS_BADDATA,
                       "%s: another model was published under this number",
                       target);
    manifest_fini(&m);
    return st;
}

static enum status
publish_files(const char *source, const struct manifest *m,
              const struct manifest_file *file, const char *publish_dir,
              uint64_t version, struct error *err)
{
    char from[PATH_TEXT_MAX];
    char temp[PATH_TEXT_MAX];
    char to[PATH_TEXT_MAX];
    struct error ignored;
    enum status st;

    st = versions_begin(temp, publish_dir, version, err);
    if (st != STATUS_OK)
        return st;
    st = path_join(from, source, CHECKPOINT_MODEL_FILE, err);
    if (st == STATUS_OK)
        st = path_join(to, temp, CHECKPOINT_MODEL_FILE, err);
    if (st == STATUS_OK)
        st = file_copy(from, to, true, err);
    crash_point("publish_before_manifest");
    if (st == STATUS_OK)
        st = write_manifest(m, file, temp, err);
    crash_point("publish_before_rename");
    if (st == STATUS_OK)
        st = versions_commit(temp, publish_dir, version, err);
    if (st != STATUS_OK && directory_remove(temp, &ignored) != STATUS_OK)
        return st; /* what is left is removed by the next publishing */
    return st;
}

/* Moves the pointer to version unless it is further already. */
static enum status
point_forward(const char *dir, uint64_t version, struct error *err)
{
    struct versions v;
    enum status st = versions_list(&v, dir, err);
    uint64_t latest = v.latest;

    versions_fini(&v);
    if (st != STATUS_OK || latest >= version)
        return st;
    return versions_point(dir, version, err);
}

enum status
store_publish(const struct store *s, uint64_t version, const char *publish_dir,
              size_t keep, struct error *err)
{
    char source[PATH_TEXT_MAX];
    char target[PATH_TEXT_MAX];
    struct manifest m = {0};
    const struct manifest_file *file;
    bool is_there = false;
    enum status st;

    OBJ_CHECK(s, STORE_MAGIC);
    st = versions_path(source, s->dir, version, err);
    if (st == STATUS_OK)
        st = versions_path(target, publish_dir, version, err);
    if (st == STATUS_OK)
        st = manifest_read(&m, source, err);
    if (st != STATUS_OK)
        goto out;
    file = manifest_find_file(&m, CHECKPOINT_MODEL_FILE);
    if (file == NULL) {
        st = error_set(err, STATUS_BADDATA, "%s: no model in it", source);
        goto out;
    }
    st = directory_make(publish_dir, err);
    if (st == STATUS_OK)
        st = versions_clean(publish_dir, false, err);
    if (st == STATUS_OK)
        st = check_published(target, file, &is_there, err);
    if (st == STATUS_OK && !is_there)
        st = publish_files(source, &m, file, publish_dir, version, err);
    if (st == STATUS_OK)
        st = point_forward(publish_dir, version, err);
    if (st == STATUS_OK)
        st = versions_prune(publish_dir, keep, err);
out:
    manifest_fini(&m);
    return st;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories of numbered versions.
 */
#include "stages/checkpoint/versions.h"

#include "daemon/base/crash.h"
#include "daemon/base/object.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_BYTES 64 /* of the names that are made here */
#define CORRUPT        ".corrupt"
#define TEMP           ".tmp-"

/* Reads digits to the first other character; 0 when there is no number. */
static uint64_t
parse_number(const char *text, const char **end)
{
    uint64_t n = 0;
    const char *at = text;

    *end = text;
    if (*at < '1' || *at > '9')
        return 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        n = n * 10 + (uint64_t)(*at - '0');
        if (n > VERSION_MAX)
            return 0;
    }
    *end = at;
    return n;
}

uint64_t
versions_parse(const char *name)
{
    const char *end;
    uint64_t n = parse_number(name, &end);

    return *end == '\0' ? n : 0;
}

static int
compare_numbers(const void *a, const void *b)
{
    uint64_t p = *(const uint64_t *)a;
    uint64_t q = *(const uint64_t *)b;

    return p < q ? -1 : p > q;
}

static enum status
on_listed_name(void *ctx, const char *name, struct error *err)
{
    struct versions *v = ctx;
    const char *end;
    uint64_t n = parse_number(name, &end);

    if (n == 0 || (*end != '\0' && strcmp(end, CORRUPT) != 0))
        return STATUS_OK;
    if (n > v->highest)
        v->highest = n;
    if (*end != '\0') {
        v->corrupt_count++;
        return STATUS_OK;
    }
    if (v->count == VERSIONS_LISTED)
        return error_set(err, STATUS_TOOBIG,
                         "more than %d versions in one directory",
                         VERSIONS_LISTED);
    v->numbers[v->count++] = n;
    return STATUS_OK;
}

uint64_t
versions_latest(const char *dir)
{
    char path[PATH_TEXT_MAX];
    char target[NAME_MAX_BYTES];
    struct error err;
    ssize_t n;

    if (path_join(path, dir, VERSIONS_POINTER, &err) != STATUS_OK)
        return 0;
    n = readlink(path, target, sizeof(target) - 1);
    if (n <= 0)
        return 0;
    target[n] = '\0';
    return versions_parse(target);
}

enum status
versions_list(struct versions *out, const char *dir, struct error *err)
{
    struct versions v = {0};
    enum status st;

    *out = v;
    v.numbers = calloc(VERSIONS_LISTED, sizeof(*v.numbers));
    if (v.numbers == NULL)
        return error_set(err, STATUS_NOMEM, "%s: no memory to list it", dir);
    st = directory_each(dir, on_listed_name, &v, err);
    if (st != STATUS_OK) {
        versions_fini(&v);
        return st;
    }
    qsort(v.numbers, v.count, sizeof(*v.numbers), compare_numbers);
    v.latest = versions_latest(dir);
    *out = v;
    return STATUS_OK;
}

void
versions_fini(struct versions *v)
{
    free(v->numbers);
    *v = (struct versions){0};
}

enum status
versions_path(char out[PATH_TEXT_MAX], const char *dir, uint64_t version,
              struct error *err)
{
    char name[NAME_MAX_BYTES];

    assert(version > 0);
    (void)snprintf(name, sizeof(name), "%" PRIu64, version);
    return path_join(out, dir, name, err);
}

/* What versions_clean hands to each name. */
struct cleaning {
    const char *dir;
    bool all;
};

/* Whether a temporary name is left over: its process is gone, or is this one,
 * which writes nothing yet. */
static bool
is_left_over(const char *pid_text, bool all)
{
    long pid = strtol(pid_text, NULL, 10);

    if (all || pid <= 0 || pid == (long)getpid())
        return true;
    return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

static enum status
on_cleaned_name(void *ctx, const char *name, struct error *err)
{
    const struct cleaning *c = ctx;
    const char *mark = name[0] == '.' ? strstr(name, TEMP) : NULL;
    char path[PATH_TEXT_MAX];
    enum status st;

    if (mark == NULL || !is_left_over(mark + strlen(TEMP), c->all))
        return STATUS_OK;
    st = path_join(path, c->dir, name, err);
    return st == STATUS_OK ? directory_remove(path, err) : st;
}

enum status
versions_clean(const char *dir, bool all, struct error *err)
{
    struct cleaning c = {.dir = dir, .all = all};

    return directory_each(dir, on_cleaned_name, &c, err);
}

/* The path of a version's temporary directory in this process. */
static enum status
temp_path(char out[PATH_TEXT_MAX], const char *dir, uint64_t version,
          struct error *err)
{
    char name[NAME_MAX_BYTES];

    (void)snprintf(name, sizeof(name), ".%" PRIu64 TEMP "%ld", version,
                   (long)getpid());
    return path_join(out, dir, name, err);
}

enum status
versions_begin(char temp[PATH_TEXT_MAX], const char *dir, uint64_t version,
               struct error *err)
{
    enum status st = temp_path(temp, dir, version, err);

    if (st == STATUS_OK)
        st = directory_remove(temp, err);
    if (st == STATUS_OK)
        st = directory_make(temp, err);
    return st;
}

enum status
versions_point(const char *dir, uint64_t version, struct error *err)
{
    char name[NAME_MAX_BYTES];

    if (versions_latest(dir) == version)
        return STATUS_OK;
    (void)snprintf(name, sizeof(name), "%" PRIu64, version);
    return directory_point(dir, VERSIONS_POINTER, name, err);
}

enum status
versions_commit(const char *temp, const char *dir, uint64_t version,
                struct error *err)
{
    char path[PATH_TEXT_MAX];
    enum status st = versions_path(path, dir, version, err);

    if (st == STATUS_OK)
        st = directory_sync(temp, err);
    if (st != STATUS_OK)
        return st;
    crash_point("checkpoint_before_rename");
    st = directory_rename(temp, path, err);
    if (st == STATUS_OK)
        st = directory_sync(dir, err);
    if (st != STATUS_OK)
        return st;
    crash_point("checkpoint_before_latest");
    st = versions_point(dir, version, err);
    crash_point("checkpoint_after_latest");
    return st;
}

/* Renames first: a version that is there is whole, also while it goes. */
static enum status
remove_version(const char *dir, uint64_t version, struct error *err)
{
    char path[PATH_TEXT_MAX];
    char temp[PATH_TEXT_MAX];
    enum status st = versions_path(path, dir, version, err);

    if (st == STATUS_OK)
        st = temp_path(temp, dir, version, err);
    if (st == STATUS_OK)
        st = directory_remove(temp, err);
    if (st == STATUS_OK)
        st = directory_rename(path, temp, err);
    if (st != STATUS_OK)
        return st;
    crash_point("checkpoint_while_pruning");
    return directory_remove(temp, err);
}

enum status
versions_prune(const char *dir, size_t keep, struct error *err)
{
    struct versions v;
    enum status st = versions_list(&v, dir, err);

    assert(keep > 0);
    for (size_t i = 0; st == STATUS_OK && i + keep < v.count; i++) {
        if (v.numbers[i] != v.latest)
            st = remove_version(dir, v.numbers[i], err);
    }
    versions_fini(&v);
    return st;
}

enum status
versions_set_aside(const char *dir, uint64_t version, struct error *err)
{
    char path[PATH_TEXT_MAX];
    char aside[PATH_TEXT_MAX];
    char name[NAME_MAX_BYTES];
    enum status st = versions_path(path, dir, version, err);

    (void)snprintf(name, sizeof(name), "%" PRIu64 CORRUPT, version);
    if (st == STATUS_OK)
        st = path_join(aside, dir, name, err);
    if (st == STATUS_OK)
        st = directory_rename(path, aside, err);
    return st == STATUS_OK ? directory_sync(dir, err) : st;
}

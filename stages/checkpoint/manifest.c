/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing and reading manifest.json.
 */
#include "stages/checkpoint/manifest.h"

#include "daemon/base/json.h"
#include "daemon/base/json_writer.h"
#include "daemon/base/object.h"
#include "daemon/io/directory.h"
#include "daemon/io/file.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INDENT    2
#define DEPTH_MAX 32

static const struct json_limits limits = {.bytes_max = MANIFEST_BYTES_MAX,
                                          .depth_max = DEPTH_MAX};

static const char *const part_keys[MANIFEST_PART_COUNT] = {
    [MANIFEST_PRODUCER] = "producer", [MANIFEST_FEATURE_SPEC] = "feature_spec",
    [MANIFEST_SPEC] = "model_spec",   [MANIFEST_DATA] = "data",
    [MANIFEST_TEACHER] = "teacher",   [MANIFEST_TRAINING] = "training",
    [MANIFEST_METRICS] = "metrics",
};

/* Checks that every part is a JSON object, and adds up what they need. */
static enum status
check_parts(const struct manifest *m, size_t *bytes, struct error *err)
{
    *bytes = 0;
    for (size_t i = 0; i < MANIFEST_PART_COUNT; i++) {
        const char *part = m->parts[i];
        struct error why;

        if (part == NULL)
            continue;
        if (part[0] != '{')
            return error_set(err, STATUS_CONFIG,
                             "manifest: %s is not a JSON object", part_keys[i]);
        if (json_check(part, strlen(part), &limits, NULL, &why) != STATUS_OK)
            return error_set(err, STATUS_CONFIG, "manifest: %s: %.512s",
                             part_keys[i], why.text);
        *bytes += strlen(part) + 64;
    }
    return STATUS_OK;
}

static void
put_member(struct json_writer *w, const char *key, const char *value)
{
    if (value[0] == '\0')
        return;
    json_put_key(w, key);
    json_put_string(w, value);
}

static void
put_files(struct json_writer *w, const struct manifest *m)
{
    json_put_key(w, "files");
    json_open_array(w);
    for (size_t i = 0; i < m->file_count; i++) {
        json_open_object(w);
        put_member(w, "path", m->files[i].path);
        json_put_key(w, "size");
        json_put_uint(w, m->files[i].bytes);
        put_member(w, "sha256", m->files[i].sha256);
        json_close_object(w);
    }
    json_close_array(w);
}

static void
put_manifest(struct json_writer *w, const struct manifest *m)
{
    json_open_object(w);
    put_member(w, "schema", MANIFEST_SCHEMA);
    put_member(w, "model", m->model);
    json_put_key(w, "version");
    json_put_uint(w, m->version);
    if (m->parent_version > 0) {
        json_put_key(w, "parent_version");
        json_put_uint(w, m->parent_version);
    }
    put_member(w, "created_at", m->created_at);
    put_member(w, "config_sha256", m->config_sha256);
    put_files(w, m);
    for (size_t i = 0; i < MANIFEST_PART_COUNT; i++) {
        if (m->parts[i] == NULL)
            continue;
        json_put_key(w, part_keys[i]);
        json_put_raw(w, m->parts[i], strlen(m->parts[i]));
    }
    json_close_object(w);
}

enum status
manifest_write(const struct manifest *m, char **text, size_t *len,
               struct error *err)
{
    struct json_writer w;
    size_t capacity;
    char *buf;
    enum status st = check_parts(m, &capacity, err);

    assert(m->file_count <= MANIFEST_FILES_MAX);
    *text = NULL;
    *len = 0;
    if (st != STATUS_OK)
        return st;
    /* Names may grow sixfold as escapes; the rest is short. */
    capacity += 4096 + MANIFEST_FILES_MAX * (6 * MANIFEST_WORD_MAX + 256);
    if (capacity > MANIFEST_BYTES_MAX)
        return error_set(err, STATUS_TOOBIG, "manifest: more than %zu bytes",
                         MANIFEST_BYTES_MAX);
    buf = malloc(capacity);
    if (buf == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a manifest");
    json_writer_init(&w, buf, capacity - 2, INDENT);
    put_manifest(&w, m);
    assert(!w.is_full);
    buf[w.len] = '\n';
    buf[w.len + 1] = '\0';
    *text = buf;
    *len = w.len + 1;
    return STATUS_OK;
}

/* ---- Reading ---- */

/* Copies a string member into out; "" when it is absent. */
static enum status
read_word(const struct cJSON *root, const char *key, char *out, size_t size,
          const char *name, struct error *err)
{
    const struct cJSON *member = json_member(root, key);
    const char *text = json_string(member);

    out[0] = '\0';
    if (member == NULL)
        return STATUS_OK;
    if (text == NULL || strlen(text) >= size)
        return error_set(err, STATUS_BADDATA,
                         "%s: %s: expected a string of at most %zu bytes", name,
                         key, size - 1);
    memcpy(out, text, strlen(text) + 1);
    return STATUS_OK;
}

static enum status
read_count(const struct cJSON *root, const char *key, uint64_t *out,
           const char *name, struct error *err)
{
    const struct cJSON *member = json_member(root, key);
    int64_t value = 0;

    if (member != NULL && (!json_integer(member, &value) || value < 0))
        return error_set(err, STATUS_BADDATA,
                         "%s: %s: expected a whole number from 0 on", name,
                         key);
    *out = (uint64_t)value;
    return STATUS_OK;
}

/* A file of the checkpoint's own directory, and nothing outside of it. */
static bool
is_plain_name(const char *path)
{
    return path[0] != '\0' && path[0] != '.' && strchr(path, '/') == NULL;
}

static bool
is_digest(const char *text)
{
    return strlen(text) == DIGEST_HEX_SIZE - 1 &&
           strspn(text, "0123456789abcdef") == DIGEST_HEX_SIZE - 1;
}

static enum status
read_file_entry(struct manifest_file *f, const struct cJSON *item,
                const char *name, struct error *err)
{
    enum status st =
        read_word(item, "path", f->path, sizeof(f->path), name, err);

    if (st == STATUS_OK)
        st = read_count(item, "size", &f->bytes, name, err);
    if (st == STATUS_OK)
        st = read_word(item, "sha256", f->sha256, sizeof(f->sha256), name, err);
    if (st != STATUS_OK)
        return st;
    if (!is_plain_name(f->path) || json_member(item, "size") == NULL ||
        !is_digest(f->sha256))
        return error_set(err, STATUS_BADDATA,
                         "%s: files: each needs path (a name in the same "
                         "directory), size and sha256",
                         name);
    return STATUS_OK;
}

static enum status
read_files(struct manifest *m, const struct cJSON *root, const char *name,
           struct error *err)
{
    const struct cJSON *list = json_member(root, "files");

    if (!json_is_array(list) || json_count(list) > MANIFEST_FILES_MAX)
        return error_set(err, STATUS_BADDATA,
                         "%s: files: expected a list of at most %d", name,
                         MANIFEST_FILES_MAX);
    for (const struct cJSON *c = json_first(list); c != NULL;
         c = json_next(c)) {
        enum status st =
            read_file_entry(&m->files[m->file_count++], c, name, err);

        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

/* Steps over one JSON value of a text that is known to be JSON. */
static char *
skip_value(char *at)
{
    size_t depth = 0;

    do {
        if (*at == '"') {
            for (at++; *at != '"'; at++)
                at += *at == '\\';
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            depth--;
        }
        at++;
    } while (depth > 0 || strchr(":,}] \t\r\n", *at) == NULL);
    return at;
}

static char *
skip_space(char *at)
{
    return at + strspn(at, " \t\r\n");
}

/*
 * Points the parts into memory, which holds the whole text, JSON for sure,
 * and ends each with a NUL. The names of the parts need no escapes.
 */
static void
cut_parts(struct manifest *m)
{
    char *at = skip_space(m->memory) + 1;

    for (at = skip_space(at); *at == '"';) {
        char *key = at + 1;
        char *key_end = skip_value(at) - 1;
        char *value = skip_space(skip_space(key_end + 1) + 1);
        char *end = skip_value(value);
        char *next = skip_space(end);
        bool is_last = *next != ',';

        *key_end = '\0';
        for (size_t i = 0; i < MANIFEST_PART_COUNT; i++) {
            if (strcmp(key, part_keys[i]) == 0)
                m->parts[i] = value;
        }
        *end = '\0';
        if (is_last)
            break;
        at = skip_space(next + 1);
    }
}

static enum status
check_part_kinds(const struct cJSON *root, const char *name, struct error *err)
{
    for (size_t i = 0; i < MANIFEST_PART_COUNT; i++) {
        const struct cJSON *part = json_member(root, part_keys[i]);

        if (part != NULL && !json_is_object(part))
            return error_set(err, STATUS_BADDATA, "%s: %s: expected an object",
                             name, part_keys[i]);
    }
    return STATUS_OK;
}

static enum status
read_members(struct manifest *m, const struct cJSON *root, const char *name,
             struct error *err)
{
    const char *schema = json_string(json_member(root, "schema"));
    enum status st;

    if (schema == NULL || strcmp(schema, MANIFEST_SCHEMA) != 0)
        return error_set(err, STATUS_BADDATA,
                         "%s: schema: expected \"%s\", found \"%.64s\"", name,
                         MANIFEST_SCHEMA, schema != NULL ? schema : "");
    st = read_word(root, "model", m->model, sizeof(m->model), name, err);
    if (st == STATUS_OK)
        st = read_count(root, "version", &m->version, name, err);
    if (st == STATUS_OK)
        st = read_count(root, "parent_version", &m->parent_version, name, err);
    if (st == STATUS_OK)
        st = read_word(root, "created_at", m->created_at, sizeof(m->created_at),
                       name, err);
    if (st == STATUS_OK)
        st = read_word(root, "config_sha256", m->config_sha256,
                       sizeof(m->config_sha256), name, err);
    if (st == STATUS_OK)
        st = read_files(m, root, name, err);
    if (st == STATUS_OK)
        st = check_part_kinds(root, name, err);
    return st;
}

enum status
manifest_parse(struct manifest *out, const char *text, size_t len,
               const char *name, struct error *err)
{
    struct manifest m = {0};
    struct cJSON *root = NULL;
    struct error why;
    enum status st = STATUS_OK;

    *out = m;
    if (json_parse(&root, text, len, &limits, NULL, &why) != STATUS_OK) {
        st = error_set(err, STATUS_BADDATA, "%s: %.900s", name, why.text);
        goto out;
    }
    if (!json_is_object(root)) {
        st = error_set(err, STATUS_BADDATA, "%s: expected an object", name);
        goto out;
    }
    st = read_members(&m, root, name, err);
    if (st != STATUS_OK)
        goto out;
    m.memory = malloc(len + 1);
    if (m.memory == NULL) {
        st = error_set(err, STATUS_NOMEM, "%s: no memory to read it", name);
        goto out;
    }
    memcpy(m.memory, text, len);
    m.memory[len] = '\0';
    cut_parts(&m);
    *out = m;
out:
    json_free(&root);
    return st;
}

enum status
manifest_read(struct manifest *out, const char *dir, struct error *err)
{
    char path[PATH_TEXT_MAX];
    char *text = NULL;
    size_t len = 0;
    enum status st;

    *out = (struct manifest){0};
    st = path_join(path, dir, MANIFEST_NAME, err);
    if (st != STATUS_OK)
        goto out;
    st = file_read_all(path, MANIFEST_BYTES_MAX, &text, &len, err);
    if (st != STATUS_OK)
        goto out;
    st = manifest_parse(out, text, len, path, err);
out:
    free(text);
    return st;
}

enum status
manifest_copy(struct manifest *out, const struct manifest *from,
              struct error *err)
{
    size_t bytes = 1;
    size_t used = 0;
    char *memory;

    *out = (struct manifest){0};
    for (size_t i = 0; i < MANIFEST_PART_COUNT; i++) {
        if (from->parts[i] != NULL)
            bytes += strlen(from->parts[i]) + 1;
    }
    memory = malloc(bytes);
    if (memory == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a manifest");
    *out = *from;
    out->memory = memory;
    for (size_t i = 0; i < MANIFEST_PART_COUNT; i++) {
        size_t size;

        if (from->parts[i] == NULL)
            continue;
        size = strlen(from->parts[i]) + 1;
        memcpy(memory + used, from->parts[i], size);
        out->parts[i] = memory + used;
        used += size;
    }
    return STATUS_OK;
}

void
manifest_fini(struct manifest *m)
{
    free(m->memory);
    *m = (struct manifest){0};
}

const struct manifest_file *
manifest_find_file(const struct manifest *m, const char *path)
{
    for (size_t i = 0; i < m->file_count; i++) {
        if (strcmp(m->files[i].path, path) == 0)
            return &m->files[i];
    }
    return NULL;
}

void
manifest_now(char text[32])
{
    time_t now = time(NULL);
    struct tm utc;

    text[0] = '\0';
    if (gmtime_r(&now, &utc) != NULL)
        (void)strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

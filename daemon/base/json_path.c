/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the paths of the configuration.
 */
#include "daemon/base/json_path.h"

#include <assert.h>
#include <string.h>

struct reader {
    const char *text;
    size_t at;
    size_t key_end; /* of what is used in out->keys */
    struct json_path *out;
};

static enum status
refuse(const struct reader *r, struct error *err, const char *what)
{
    return error_set(err, STATUS_CONFIG, "path \"%s\": %s at character %zu",
                     r->text, what, r->at + 1);
}

static enum status
read_quoted(struct reader *r, struct error *err)
{
    for (r->at++; r->text[r->at] != '"'; r->at++) {
        if (r->text[r->at] == '\\' &&
            (r->text[r->at + 1] == '"' || r->text[r->at + 1] == '\\'))
            r->at++;
        if (r->text[r->at] == '\0')
            return refuse(r, err, "quote without an end");
        r->out->keys[r->key_end++] = r->text[r->at];
    }
    r->at++;
    r->out->keys[r->key_end++] = '\0';
    return STATUS_OK;
}

static enum status
read_key(struct reader *r, struct error *err)
{
    size_t len = strcspn(r->text + r->at, ".[]\" \t");

    r->out->steps[r->out->count++] =
        (struct json_step){.kind = JSON_STEP_KEY, .index = r->key_end};
    if (r->text[r->at] == '"')
        return read_quoted(r, err);
    if (len == 0)
        return refuse(r, err, "expected a key");
    memcpy(r->out->keys + r->key_end, r->text + r->at, len);
    r->key_end += len;
    r->out->keys[r->key_end++] = '\0';
    r->at += len;
    return STATUS_OK;
}

static enum status
read_index(struct reader *r, struct error *err)
{
    struct json_step step = {.kind = JSON_STEP_EACH};

    for (r->at++; r->text[r->at] != ']'; r->at++) {
        char c = r->text[r->at];

        if (c < '0' || c > '9' || step.index > 99999)
            return refuse(r, err, "expected a number below 1000000 and ]");
        step.kind = JSON_STEP_INDEX;
        step.index = step.index * 10 + (size_t)(c - '0');
    }
    r->at++;
    r->out->steps[r->out->count++] = step;
    return STATUS_OK;
}

enum status
json_path_parse(struct json_path *out, const char *text, struct error *err)
{
    struct reader r = {.text = text, .out = out};

    assert(out != NULL && text != NULL && err != NULL);
    *out = (struct json_path){.count = 0};
    if (strlen(text) > JSON_PATH_BYTES_MAX / 2)
        return error_set(err, STATUS_CONFIG,
                         "path \"%.40s...\" is longer than %d bytes", text,
                         JSON_PATH_BYTES_MAX / 2);
    do {
        enum status st;

        if (out->count == JSON_PATH_STEPS_MAX)
            return refuse(&r, err, "more than 16 steps");
        if (text[r.at] == '[') {
            st = read_index(&r, err);
        } else {
            if (out->count > 0 && text[r.at] != '.')
                return refuse(&r, err, "expected . or [");
            r.at += out->count > 0;
            st = read_key(&r, err);
        }
        if (st != STATUS_OK)
            return st;
    } while (text[r.at] != '\0');
    return STATUS_OK;
}

const char *
json_path_key(const struct json_path *path, size_t i)
{
    assert(i < path->count && path->steps[i].kind == JSON_STEP_KEY);
    return path->keys + path->steps[i].index;
}

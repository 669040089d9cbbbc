/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers and models, as they describe themselves.
 */
#include "stages/oip/metadata.h"

#include "daemon/base/json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct json_limits limits = {.bytes_max = 1 << 20,
                                          .depth_max = 32};

static enum status
parse(struct cJSON **root, const char *body, size_t len, struct error *err)
{
    *root = NULL;
    return json_parse(root, body, len, &limits, NULL, err);
}

bool
oip_server_has(const char *body, size_t len, const char *extension)
{
    struct cJSON *root;
    struct error err;
    const struct cJSON *e;
    bool has = false;

    if (parse(&root, body, len, &err) != STATUS_OK)
        return false;
    for (e = json_first(json_member(root, "extensions")); e != NULL && !has;
         e = json_next(e))
        has = json_string(e) != NULL && strcmp(json_string(e), extension) == 0;
    json_free(&root);
    return has;
}

bool
oip_config_batch_max(const char *body, size_t len, size_t *out)
{
    struct cJSON *root;
    struct error err;
    int64_t size = -1;
    bool has;

    if (parse(&root, body, len, &err) != STATUS_OK)
        return false;
    has = json_integer(json_member(root, "max_batch_size"), &size) && size >= 0;
    if (has)
        *out = (size_t)size;
    json_free(&root);
    return has;
}

/* A version as text; NULL where there is none. TF Serving's are numbers in
 * quotes. */
static const char *
version_of(const struct cJSON *status)
{
    const char *text = json_string(json_member(status, "version"));

    if (text == NULL || *text == '\0' || strlen(text) > OIP_VERSION_MAX)
        return NULL;
    return text[strspn(text, "0123456789")] == '\0' ? text : NULL;
}

static bool
is_higher(const char *a, const char *b)
{
    size_t la = strlen(a);
    size_t lb = strlen(b);

    return la != lb ? la > lb : strcmp(a, b) > 0;
}

enum status
tfs_status_version(const char *body, size_t len, const char *wanted, char *out,
                   struct error *err)
{
    struct cJSON *root;
    const struct cJSON *list;
    enum status st = parse(&root, body, len, err);

    assert(wanted != NULL && out != NULL);
    if (st != STATUS_OK)
        return st;
    out[0] = '\0';
    list = json_member(root, "model_version_status");
    for (const struct cJSON *s = json_first(list); s != NULL;
         s = json_next(s)) {
        const char *version = version_of(s);
        const char *state = json_string(json_member(s, "state"));

        if (version == NULL || state == NULL ||
            strcmp(state, "AVAILABLE") != 0 ||
            (wanted[0] != '\0' && strcmp(wanted, version) != 0) ||
            !is_higher(version, out))
            continue;
        (void)snprintf(out, OIP_VERSION_MAX + 1, "%s", version);
    }
    if (!json_is_array(list))
        st = error_set(err, STATUS_MALFORMED,
                       "its status has no model_version_status");
    else if (out[0] == '\0')
        st = error_set(err, STATUS_AGAIN, "no version %s%sis available", wanted,
                       wanted[0] == '\0' ? "" : " ");
    json_free(&root);
    return st;
}

static void
read_tensors(const struct cJSON *list, struct oip_tensor *out, size_t *count)
{
    for (const struct cJSON *e = json_first(list);
         e != NULL && *count < OIP_TENSORS_MAX; e = json_next(e)) {
        struct oip_tensor *t = &out[*count];
        const char *name = json_string(json_member(e, "name"));
        const char *type = json_string(json_member(e, "datatype"));
        const struct cJSON *n = json_first(json_member(e, "shape"));

        if (name == NULL || strlen(name) > OIP_NAME_MAX)
            continue;
        (void)snprintf(t->name, sizeof(t->name), "%s", name);
        (void)snprintf(t->datatype, sizeof(t->datatype), "%.15s",
                       type == NULL ? "" : type);
        for (; n != NULL && t->rank < COUNT(t->shape); n = json_next(n)) {
            if (!json_integer(n, &t->shape[t->rank]))
                t->shape[t->rank] = -1;
            t->rank++;
        }
        (*count)++;
    }
}

enum status
oip_metadata_read(struct oip_metadata *out, const char *body, size_t len,
                  struct error *err)
{
    struct cJSON *root;
    enum status st = parse(&root, body, len, err);

    memset(out, 0, sizeof(*out));
    if (st != STATUS_OK)
        return st;
    if (!json_is_object(root))
        st = error_set(err, STATUS_MALFORMED, "metadata is no object");
    read_tensors(json_member(root, "inputs"), out->inputs, &out->input_count);
    read_tensors(json_member(root, "outputs"), out->outputs,
                 &out->output_count);
    json_free(&root);
    return st;
}

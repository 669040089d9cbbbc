/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at a model server, for `validate --connect`.
 */
#include "stages/connect_http.h"

#include "stages/annotate/http_teacher.h"
#include "stages/oip/metadata.h"

#include "daemon/base/bytes.h"

#include <stdlib.h>
#include <string.h>

#define BODY_MAX ((size_t)1 << 20)

/* One GET, waited for. */
struct look {
    const struct teacher_settings *teacher;
    struct loop *loop;
    struct http_calls *calls;
    struct bytes body;
    unsigned code;
    struct error error;
};

static void
on_reply(void *ctx, const struct http_reply *reply)
{
    struct look *l = ctx;
    char text[200];

    error_clear(&l->error);
    bytes_clear(&l->body);
    l->code = reply->code;
    if (reply->status != STATUS_OK) {
        (void)error_set(&l->error, reply->status, "%.500s", reply->error);
    } else if (reply->code != 200) {
        oip_error_text(reply->body, reply->body_bytes, text, sizeof(text));
        (void)error_set(
            &l->error,
            reply->code == 401 || reply->code == 403 ? STATUS_DENIED
                                                     : STATUS_REFUSED,
            "HTTP %u%s%s", reply->code, text[0] == '\0' ? "" : ": ", text);
    } else if (bytes_append(&l->body, reply->body, reply->body_bytes,
                            &l->error) != STATUS_OK) {
        l->code = 0;
    }
    loop_stop(l->loop);
}

static enum status
get(struct look *l, const char *version, const char *end, struct error *err)
{
    const struct teacher_settings *t = l->teacher;
    bool is_tfs = t->protocol == PROTOCOL_TFSERVING_ROW ||
                  t->protocol == PROTOCOL_TFSERVING_COLUMN;
    size_t len = strlen(t->url);
    char url[HTTP_URL_MAX];
    struct http_call *call;
    struct http_request request = {
        .url = url, .timeout_ms = t->timeout, .done = on_reply, .ctx = l};
    enum status st;

    while (len > 0 && t->url[len - 1] == '/')
        len--;
    (void)snprintf(url, sizeof(url), "%.*s/%s/models/%.256s%s%.127s%s",
                   (int)len, t->url, is_tfs ? "v1" : "v2", t->model_name,
                   version[0] == '\0' ? "" : "/versions/", version, end);
    st = http_calls_send(l->calls, &request, &call, err);
    if (st != STATUS_OK)
        return st;
    loop_run(l->loop);
    *err = l->error;
    return err->status;
}

/* ---- Tensors ---- */

static const struct oip_tensor *
find_tensor(const struct oip_tensor *tensors, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(tensors[i].name, name) == 0)
            return &tensors[i];
    }
    return NULL;
}

static enum status
check_input(const struct oip_input *in, const struct oip_metadata *m,
            struct error *err)
{
    const struct oip_tensor *t =
        find_tensor(m->inputs, m->input_count, in->name);
    size_t rank = in->width > 0 ? 2 : 1;

    if (t == NULL)
        return error_set(err, STATUS_CONFIG,
                         "the model has no input '%.100s'; its first is '%s'",
                         in->name, m->inputs[0].name);
    if (strcmp(t->datatype, oip_datatype_name(in->datatype)) != 0)
        return error_set(err, STATUS_CONFIG,
                         "input '%.100s' is %s, expected %s", in->name,
                         oip_datatype_name(in->datatype), t->datatype);
    if (t->rank != 0 && t->rank != rank)
        return error_set(err, STATUS_CONFIG,
                         "input '%.100s' has rank %zu with its batch, "
                         "expected %zu",
                         in->name, rank, t->rank);
    if (t->rank == 2 && t->shape[1] >= 0 && (size_t)t->shape[1] != in->width)
        return error_set(err, STATUS_CONFIG,
                         "input '%.100s' has width %zu, expected %lld",
                         in->name, in->width, (long long)t->shape[1]);
    return STATUS_OK;
}

static enum status
check_tensors(const struct tensor_map *map, const struct oip_metadata *m,
              FILE *out, struct error *err)
{
    enum status st = STATUS_OK;

    for (size_t i = 0;
         i < map->input_count && m->input_count > 0 && st == STATUS_OK; i++)
        st = check_input(&map->tensors[i], m, err);
    for (size_t i = 0; i < m->input_count && st == STATUS_OK; i++) {
        bool is_given = false;

        for (size_t k = 0; k < map->input_count; k++)
            is_given = is_given ||
                       strcmp(map->tensors[k].name, m->inputs[i].name) == 0;
        if (!is_given)
            (void)fprintf(out, "teacher: its input '%s' is not given\n",
                          m->inputs[i].name);
    }
    for (size_t i = 0; i < map->output_count && st == STATUS_OK; i++) {
        const char *name = map->output_names[i];

        if (m->output_count > 0 && name[0] != '\0' &&
            find_tensor(m->outputs, m->output_count, name) == NULL)
            st = error_set(err, STATUS_CONFIG,
                           "the model has no output '%.100s'; its first is "
                           "'%s'",
                           name, m->outputs[0].name);
    }
    return st;
}

/* ---- The look ---- */

static enum status
look_at_oip(struct look *l, const struct tensor_map *map, FILE *out,
            struct error *err)
{
    const char *version = l->teacher->model_version;
    struct oip_metadata *m = NULL;
    enum status st = get(l, version, "/ready", err);

    if (st != STATUS_OK)
        return st;
    (void)fprintf(out, "teacher: model %s is ready at %s\n",
                  l->teacher->model_name, l->teacher->url);
    st = get(l, version, "", err);
    if (st == STATUS_REFUSED && l->code != 0) {
        error_clear(err); /* not every server describes its models */
        return STATUS_OK;
    }
    if (st != STATUS_OK)
        return st;
    m = calloc(1, sizeof(*m));
    if (m == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for metadata");
    st = oip_metadata_read(m, l->body.data, l->body.used, err);
    if (st == STATUS_OK)
        st = check_tensors(map, m, out, err);
    if (st == STATUS_OK && m->input_count + m->output_count > 0)
        (void)fprintf(out, "teacher: its %zu inputs and %zu outputs fit\n",
                      map->input_count, map->output_count);
    free(m);
    return st;
}

static enum status
look_at_tfserving(struct look *l, FILE *out, struct error *err)
{
    char version[OIP_VERSION_MAX + 1];
    enum status st = get(l, l->teacher->model_version, "", err);

    if (st == STATUS_OK)
        st = tfs_status_version(l->body.data, l->body.used,
                                l->teacher->model_version, version, err);
    if (st == STATUS_OK)
        (void)fprintf(out, "teacher: model %s has version %s at %s\n",
                      l->teacher->model_name, version, l->teacher->url);
    return st;
}

enum status
connect_http_teacher(const struct settings *s,
                     const struct teacher_settings *teacher, FILE *out,
                     struct error *err)
{
    struct look l = {.teacher = teacher};
    struct tensor_map *map = NULL;
    enum status st =
        tensor_map_new(&map, s, &teacher->inputs, &teacher->outputs, err);

    bytes_init(&l.body, BODY_MAX);
    if (st == STATUS_OK)
        st = loop_new(&l.loop, err);
    if (st == STATUS_OK)
        st = http_calls_open(&l.calls, l.loop, teacher, err);
    if (st == STATUS_OK && (teacher->protocol == PROTOCOL_TFSERVING_ROW ||
                            teacher->protocol == PROTOCOL_TFSERVING_COLUMN))
        st = look_at_tfserving(&l, out, err);
    else if (st == STATUS_OK)
        st = look_at_oip(&l, map, out, err);
    http_calls_free(&l.calls);
    loop_free(&l.loop);
    bytes_fini(&l.body);
    tensor_map_free(&map);
    return st;
}

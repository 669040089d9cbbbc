/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata and configurations of models.
 */
#include "stages/serve/describe.h"

#include "stages/oip/datatype.h"

#include "daemon/base/json_writer.h"
#include "daemon/version.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define BYTES_EACH 256 /* around an input's or output's name */

/* An input or output as clients are advised to send or expect it. */
struct port {
    const char *name;
    enum oip_datatype datatype;
    int64_t width; /* -1: any */
};

static struct port
input_tensor(const struct event_feature *f)
{
    struct port t = {.name = f->name, .datatype = OIP_BYTES, .width = 1};

    switch (f->kind) {
    case FEATURE_CATEGORICAL:
        break;
    case FEATURE_BAG:
        t.width = -1;
        break;
    case FEATURE_NUMBER: /* as exact as in an event */
        t.datatype = OIP_FP64;
        break;
    case FEATURE_VECTOR:
        t.datatype = OIP_FP32;
        t.width = (int64_t)f->width;
        break;
    }
    return t;
}

static struct port
output_tensor(const struct version_output *o)
{
    return (struct port){
        .name = o->name, .datatype = OIP_FP32, .width = (int64_t)o->width};
}

static void
put_text(struct json_writer *w, const char *key, const char *value)
{
    json_put_key(w, key);
    json_put_string(w, value);
}

static void
put_metadata(struct json_writer *w, const struct port *t)
{
    json_open_object(w);
    put_text(w, "name", t->name);
    put_text(w, "datatype", oip_datatype_name(t->datatype));
    json_put_key(w, "shape");
    json_open_array(w);
    json_put_int(w, -1);
    json_put_int(w, t->width);
    json_close_array(w);
    json_close_object(w);
}

static void
open_config(struct json_writer *w, const struct port *t)
{
    char type[16];

    (void)snprintf(type, sizeof(type), "TYPE_%s",
                   t->datatype == OIP_BYTES ? "STRING"
                                            : oip_datatype_name(t->datatype));
    json_open_object(w);
    put_text(w, "name", t->name);
    put_text(w, "data_type", type);
    json_put_key(w, "dims");
    json_open_array(w);
    json_put_int(w, t->width);
    json_close_array(w);
}

static void
put_input_config(struct json_writer *w, const struct port *t)
{
    open_config(w, t);
    json_put_key(w, "optional");
    json_put_bool(w, true);
    json_close_object(w);
}

static void
put_output_config(struct json_writer *w, const struct port *t)
{
    open_config(w, t);
    json_close_object(w);
}

static void
put_inputs(struct json_writer *w, const struct version *v, const char *key,
           void (*put)(struct json_writer *, const struct port *))
{
    json_put_key(w, key);
    json_open_array(w);
    for (size_t i = 0; i < v->contract.spec.feature_count; i++) {
        struct port t = input_tensor(&v->contract.spec.features[i]);

        if (version_model_reads(v, i))
            put(w, &t);
    }
    json_close_array(w);
}

static void
put_outputs(struct json_writer *w, const struct version *v, const char *key,
            void (*put)(struct json_writer *, const struct port *))
{
    json_put_key(w, key);
    json_open_array(w);
    for (size_t i = 0; i < v->output_count; i++) {
        struct port t = output_tensor(&v->outputs[i]);

        put(w, &t);
    }
    json_close_array(w);
}

/* Makes room for what describes a version, and a writer there. */
static enum status
begin(struct json_writer *w, struct bytes *out, const struct host *h,
      struct error *err)
{
    size_t bytes = 1024;
    enum status st;

    if (h != NULL) {
        const struct version *v = host_version(h);

        bytes += 6 * strlen(host_name(h));
        for (size_t i = 0; i < v->contract.spec.feature_count; i++)
            bytes += BYTES_EACH + 6 * strlen(v->contract.spec.features[i].name);
        for (size_t i = 0; i < v->output_count; i++)
            bytes += BYTES_EACH + 6 * strlen(v->output_names[i]);
    }
    st = bytes_reserve(out, bytes, err);
    if (st == STATUS_OK)
        json_writer_init(w, out->data + out->used, out->capacity - out->used,
                         0);
    return st;
}

static enum status
end(const struct json_writer *w, struct bytes *out)
{
    assert(!w->is_full);
    out->used += w->len;
    return STATUS_OK;
}

enum status
describe_server(struct bytes *out, struct error *err)
{
    struct json_writer w;
    enum status st = begin(&w, out, NULL, err);

    if (st != STATUS_OK)
        return st;
    json_open_object(&w);
    put_text(&w, "name", "distilld");
    put_text(&w, "version", version_text());
    json_put_key(&w, "extensions");
    json_open_array(&w);
    json_put_string(&w, "binary_tensor_data");
    json_put_string(&w, "model_configuration");
    json_close_array(&w);
    json_close_object(&w);
    return end(&w, out);
}

enum status
describe_model(struct bytes *out, const struct host *h, struct error *err)
{
    const struct version *v = host_version(h);
    struct json_writer w;
    enum status st = begin(&w, out, h, err);

    if (st != STATUS_OK)
        return st;
    json_open_object(&w);
    put_text(&w, "name", host_name(h));
    json_put_key(&w, "versions");
    json_open_array(&w);
    json_put_string(&w, v->number_text);
    json_close_array(&w);
    put_text(&w, "platform", "distilld");
    put_inputs(&w, v, "inputs", put_metadata);
    put_outputs(&w, v, "outputs", put_metadata);
    json_close_object(&w);
    return end(&w, out);
}

enum status
describe_config(struct bytes *out, const struct host *h, struct error *err)
{
    const struct version *v = host_version(h);
    struct json_writer w;
    enum status st = begin(&w, out, h, err);

    if (st != STATUS_OK)
        return st;
    json_open_object(&w);
    put_text(&w, "name", host_name(h));
    put_text(&w, "platform", "distilld");
    put_text(&w, "backend", "distilld");
    json_put_key(&w, "max_batch_size");
    json_put_uint(&w, host_spec(h)->version.rows_max);
    json_put_key(&w, "dynamic_batching");
    json_open_object(&w);
    json_put_key(&w, "max_queue_delay_microseconds");
    json_put_uint(&w, host_spec(h)->batch_delay_ms * 1000);
    json_close_object(&w);
    put_inputs(&w, v, "input", put_input_config);
    put_outputs(&w, v, "output", put_output_config);
    json_close_object(&w);
    return end(&w, out);
}

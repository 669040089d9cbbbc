/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a version to serve it.
 */
#include "stages/serve/version.h"

#include "stages/event/batch_columns.h"
#include "stages/event/decoder.h"

#include "daemon/base/object.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION_MAGIC 0x56455253u
#define PER_TASK      2 /* outputs */

static enum status
read_contract(struct version *v, const struct checkpoint *ck, struct error *err)
{
    const char *text = checkpoint_manifest(ck)->parts[MANIFEST_FEATURE_SPEC];
    struct decoder *decoder = NULL;
    enum status st;

    if (text == NULL)
        return error_set(err, STATUS_BADDATA,
                         "%s: its manifest has no feature_spec, which says "
                         "what the model reads",
                         checkpoint_path(ck));
    st = contract_parse(&v->contract, text, strlen(text), checkpoint_path(ck),
                        err);
    /* A decoder is made of specs that make sense, and of no other. */
    if (st == STATUS_OK)
        st = decoder_new(&decoder, &v->contract.spec, err);
    decoder_free(&decoder);
    return st;
}

static void
add_output(struct version *v, const struct model_task *t, enum output_kind kind,
           size_t at)
{
    struct version_output *o = &v->outputs[v->output_count];

    *o = (struct version_output){
        .kind = kind, .task = t->kind, .at = at, .width = t->classes};
    (void)snprintf(o->name, sizeof(o->name), "%s%s", t->name,
                   kind == OUTPUT_LOGIT ? OUTPUT_LOGIT_SUFFIX : "");
    v->output_names[v->output_count++] = o->name;
}

static enum status
list_outputs(struct version *v, struct error *err)
{
    const struct model_spec *spec = &v->loaded.shape.spec;
    size_t at = 0;

    v->outputs = calloc(PER_TASK * spec->task_count + 1, sizeof(*v->outputs));
    v->output_names =
        calloc(PER_TASK * spec->task_count + 1, sizeof(*v->output_names));
    if (v->outputs == NULL || v->output_names == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for outputs");
    for (size_t i = 0; i < spec->task_count; i++) {
        const struct model_task *t = &spec->tasks[i];

        if (t->kind == TASK_REGRESSION) {
            add_output(v, t, OUTPUT_VALUE, at);
        } else {
            add_output(v, t, OUTPUT_PROBABILITY, at);
            add_output(v, t, OUTPUT_LOGIT, at);
        }
        at += t->classes;
    }
    for (size_t i = 0; i < v->output_count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(v->outputs[i].name, v->outputs[k].name) == 0)
                return error_set(err, STATUS_CONFIG,
                                 "two tasks' outputs are called %s",
                                 v->outputs[i].name);
        }
    }
    return STATUS_OK;
}

static enum status
make_room(struct version *v, const struct version_spec *spec, struct error *err)
{
    struct request_spec request = {
        .events = &v->contract.spec,
        .outputs = v->output_names,
        .output_count = v->output_count,
        .body_bytes_max = spec->body_bytes_max,
    };
    enum status st =
        columns_new(&v->columns, &v->contract.spec, spec->rows_max, err);

    if (st != STATUS_OK)
        return st;
    v->logit_count = model_logit_count(v->loaded.model);
    v->logits = calloc(spec->rows_max * v->logit_count, sizeof(*v->logits));
    if (v->logits == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for logits");
    return request_reader_new(&v->reader, &request, err);
}

enum status
version_open(struct version **out, const struct version_spec *spec,
             struct error *err)
{
    struct version *v = calloc(1, sizeof(*v));
    struct checkpoint *ck = NULL;
    enum status st;

    *out = NULL;
    if (v == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a version");
    v->magic = VERSION_MAGIC;
    st = checkpoint_open(&ck, spec->path, CHECKPOINT_VERIFY, err);
    if (st == STATUS_OK)
        st = read_contract(v, ck, err);
    if (st == STATUS_OK)
        st = load_model(&v->loaded, ck, "", &v->contract.spec, spec->rows_max,
                        spec->threads, "checkpoint", err);
    if (st == STATUS_OK)
        st = list_outputs(v, err);
    if (st == STATUS_OK)
        st = make_room(v, spec, err);
    if (st == STATUS_OK) {
        v->number = checkpoint_manifest(ck)->version;
        (void)snprintf(v->number_text, sizeof(v->number_text), "%" PRIu64,
                       v->number);
        (void)snprintf(v->model, sizeof(v->model), "%s",
                       checkpoint_manifest(ck)->model);
    }
    checkpoint_free(&ck);
    if (st != STATUS_OK)
        version_free(&v);
    *out = v;
    return st;
}

void
version_free(struct version **self)
{
    struct version *v;

    if (*self == NULL)
        return;
    OBJ_TAKE(v, self, VERSION_MAGIC);
    request_reader_free(&v->reader);
    columns_free(&v->columns);
    free(v->logits);
    free(v->output_names);
    free(v->outputs);
    loaded_model_fini(&v->loaded);
    contract_fini(&v->contract);
    v->magic = 0;
    free(v);
}

bool
version_model_reads(const struct version *v, size_t feature)
{
    const struct model_spec *spec = &v->loaded.shape.spec;

    OBJ_CHECK(v, VERSION_MAGIC);
    for (size_t i = 0; i < spec->feature_count; i++) {
        if (spec->features[i].column == feature)
            return true;
    }
    return false;
}

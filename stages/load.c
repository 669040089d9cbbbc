/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a model to answer with.
 */
#include "stages/load.h"

#include "stages/shape.h"

#include <stdio.h>
#include <string.h>

enum status
load_model(struct loaded_model *out, const struct checkpoint *ck,
           const char *prefix, const struct event_spec *events,
           size_t batch_max, size_t threads, const char *who, struct error *err)
{
    const char *text = checkpoint_manifest(ck)->parts[MANIFEST_SPEC];
    char subject[512];
    enum status st;

    *out = (struct loaded_model){0};
    if (text == NULL)
        return error_set(err, STATUS_BADDATA,
                         "%s %s: its manifest has no model_spec", who,
                         checkpoint_path(ck));
    (void)snprintf(subject, sizeof(subject), "%s %.400s", who,
                   checkpoint_path(ck));
    st = spec_parse(&out->shape, text, strlen(text), "model_spec", err);
    if (st != STATUS_OK)
        return st;
    out->shape.spec.batch_max = batch_max;
    out->shape.spec.threads = threads;
    st = model_shape_bind(&out->shape, events, subject, err);
    if (st == STATUS_OK)
        st = checkpoint_load_model(ck, prefix, &out->shape.spec,
                                   RESTORE_WEIGHTS, &out->model, NULL, err);
    if (st != STATUS_OK)
        loaded_model_fini(out);
    return st;
}

void
loaded_model_fini(struct loaded_model *m)
{
    model_free(&m->model);
    spec_fini(&m->shape);
}

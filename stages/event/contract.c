/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract as text.
 */
#include "stages/event/contract.h"

#include "stages/event/contract_words.h"
#include "stages/event/feature_id.h"

#include "daemon/base/macros.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

const char *const contract_kinds[] = {
    [FEATURE_CATEGORICAL] = "categorical",
    [FEATURE_BAG] = "bag",
    [FEATURE_NUMBER] = "number",
    [FEATURE_VECTOR] = "vector",
    NULL,
};

const char *const contract_tasks[] = {
    [TASK_BINARY] = "binary",
    [TASK_CLASS] = "class",
    [TASK_REGRESSION] = "regression",
    NULL,
};

/* Values whose ids a reader of the contract can check its own code against:
 * empty text cannot occur, so it is not here. */
static const char *const test_values[] = {"0", "42", "user-7", "caf\xC3\xA9"};

static void
put_id_rule(struct json_writer *w)
{
    json_put_key(w, "id");
    json_open_object(w);
    json_put_key(w, "hash");
    json_put_string(w, CONTRACT_HASH);
    json_put_key(w, "seed");
    json_put_int(w, 0);
    json_put_key(w, "input");
    json_put_string(w, "name, byte 0x1F, value, as UTF-8");
    json_put_key(w, "mask");
    json_put_uint(w, FEATURE_ID_MASK);
    json_put_key(w, "zero_becomes");
    json_put_int(w, 1);
    json_put_key(w, "missing");
    json_put_int(w, ID_MISSING);
    json_put_key(w, "value_bytes_max");
    json_put_int(w, FEATURE_ID_BYTES_MAX);
    json_put_key(w, "integers");
    json_put_string(w, "decimal digits, no exponent, as a string of them");
    json_put_key(w, "booleans");
    json_put_string(w, "true, false");
    json_put_key(w, "fractions");
    json_put_string(w, "missing");
    json_close_object(w);
}

static void
put_vector(struct json_writer *w, const char *name, const char *value)
{
    json_open_object(w);
    json_put_key(w, "value");
    json_put_string(w, value);
    json_put_key(w, "id");
    json_put_uint(w, feature_id(name, value, strlen(value)));
    json_close_object(w);
}

static void
put_vectors(struct json_writer *w, const struct event_feature *f)
{
    char bucket[24];

    json_put_key(w, "test_vectors");
    json_open_array(w);
    if (f->kind == FEATURE_NUMBER) {
        for (size_t k = 0; k <= f->boundary_count; k++) {
            (void)snprintf(bucket, sizeof(bucket), "%zu", k);
            put_vector(w, f->name, bucket);
        }
    } else {
        for (size_t i = 0; i < COUNT(test_values); i++)
            put_vector(w, f->name, test_values[i]);
    }
    json_close_array(w);
}

static void
put_number_rules(struct json_writer *w, const struct event_feature *f)
{
    if (f->has_range) {
        json_put_key(w, "range");
        json_open_array(w);
        json_put_double(w, f->range_min);
        json_put_double(w, f->range_max);
        json_close_array(w);
    }
    if (f->has_log) {
        json_put_key(w, "log");
        json_put_string(w, "sign(x) ln(1 + |x|)");
    }
    if (f->boundary_count == 0)
        return;
    json_put_key(w, "boundaries");
    json_open_array(w);
    for (size_t k = 0; k < f->boundary_count; k++)
        json_put_double(w, f->boundaries[k]);
    json_close_array(w);
    json_put_key(w, "bucket");
    json_put_string(w, "the number of boundaries <= x, in decimal digits");
}

static void
put_feature(struct json_writer *w, const struct event_feature *f)
{
    char separator[2] = {f->separator, '\0'};

    json_open_object(w);
    json_put_key(w, "name");
    json_put_string(w, f->name);
    json_put_key(w, "kind");
    json_put_string(w, contract_kinds[event_column_kind(f)]);
    json_put_key(w, "path");
    json_put_string(w, f->path);
    if (f->kind == FEATURE_VECTOR) {
        json_put_key(w, "width");
        json_put_uint(w, f->width);
    }
    if (f->kind == FEATURE_BAG) {
        json_put_key(w, "ids_max");
        json_put_uint(w, f->ids_max > 0 ? f->ids_max : EVENT_IDS_MAX);
        if (f->separator != '\0') {
            json_put_key(w, "separator");
            json_put_string(w, separator);
        }
    }
    if (f->kind == FEATURE_NUMBER || f->kind == FEATURE_VECTOR)
        put_number_rules(w, f);
    if (event_column_kind(f) == FEATURE_CATEGORICAL || f->kind == FEATURE_BAG)
        put_vectors(w, f);
    json_close_object(w);
}

static void
put_task(struct json_writer *w, const struct event_task *t)
{
    json_open_object(w);
    json_put_key(w, "name");
    json_put_string(w, t->name);
    json_put_key(w, "kind");
    json_put_string(w, contract_tasks[t->kind]);
    if (t->path != NULL) {
        json_put_key(w, "path");
        json_put_string(w, t->path);
    }
    if (t->kind == TASK_BINARY && t->has_threshold) {
        json_put_key(w, "threshold");
        json_put_double(w, t->threshold);
    }
    if (t->kind == TASK_CLASS) {
        json_put_key(w, "classes");
        json_put_uint(w, t->classes);
    }
    if (t->kind == TASK_CLASS && t->class_names != NULL) {
        json_put_key(w, "class_names");
        json_open_array(w);
        for (size_t k = 0; k < t->classes; k++)
            json_put_string(w, t->class_names[k]);
        json_close_array(w);
    }
    json_close_object(w);
}

void
contract_put(struct json_writer *w, const struct event_spec *spec)
{
    assert(w != NULL && spec != NULL);
    json_open_object(w);
    json_put_key(w, "schema");
    json_put_string(w, CONTRACT_SCHEMA);
    put_id_rule(w);
    json_put_key(w, "features");
    json_open_array(w);
    for (size_t i = 0; i < spec->feature_count; i++)
        put_feature(w, &spec->features[i]);
    json_close_array(w);
    json_put_key(w, "tasks");
    json_open_array(w);
    for (size_t i = 0; i < spec->task_count; i++)
        put_task(w, &spec->tasks[i]);
    json_close_array(w);
    json_close_object(w);
}

enum status
contract_write(const struct event_spec *spec, char *buf, size_t capacity,
               size_t *len, struct error *err)
{
    struct json_writer w;

    assert(len != NULL && err != NULL);
    json_writer_init(&w, buf, capacity, 0);
    contract_put(&w, spec);
    if (w.is_full)
        return error_set(err, STATUS_TOOBIG,
                         "feature contract does not fit into %zu bytes",
                         capacity);
    *len = w.len;
    return STATUS_OK;
}

size_t
contract_bytes_max(const struct event_spec *spec)
{
    size_t bytes = 2048;

    for (size_t i = 0; i < spec->feature_count; i++) {
        const struct event_feature *f = &spec->features[i];

        bytes += 1024 + 6 * (strlen(f->name) + strlen(f->path));
        bytes += f->boundary_count * 128;
    }
    for (size_t i = 0; i < spec->task_count; i++) {
        const struct event_task *t = &spec->tasks[i];

        bytes += 512 + 6 * strlen(t->name);
        bytes += t->path != NULL ? 6 * strlen(t->path) : 0;
        for (size_t k = 0; t->class_names != NULL && k < t->classes; k++)
            bytes += 6 * strlen(t->class_names[k]) + 4;
    }
    return bytes;
}

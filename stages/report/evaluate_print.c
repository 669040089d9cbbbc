/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results of an evaluation, for people and as JSON.
 */
#include "stages/report/evaluate.h"
#include "stages/report/format.h"

#include "daemon/base/json_writer.h"
#include "daemon/base/text_table.h"

#include <assert.h>
#include <math.h>

/* Of one model in JSON: eight estimates of three numbers. */
#define MODEL_BYTES 8192u

struct measure_name {
    const char *json;
    const char *people; /* NULL: this kind of task has no such measure */
};

static const struct measure_name names[][EVALUATION_MEASURES] = {
    [TASK_BINARY] = {{"auc", "AUC"},
                     {"log_loss", "log-loss"},
                     {"normalized_entropy", "norm. entropy"},
                     {"calibration", "calibration"}},
    [TASK_CLASS] = {{"accuracy", "accuracy"},
                    {"cross_entropy", "cross-entropy"},
                    {NULL, NULL},
                    {NULL, NULL}},
    [TASK_REGRESSION] = {{NULL, NULL},
                         {"mean_squared_error", "squared error"},
                         {NULL, NULL},
                         {NULL, NULL}},
};

static const char *const kind_names[] = {
    [TASK_BINARY] = "binary",
    [TASK_CLASS] = "class",
    [TASK_REGRESSION] = "regression",
};

static void
add_interval(struct text_table *t, const struct estimate *x)
{
    if (isfinite(x->low))
        text_table_add(t, "%s to %s", format_fixed(x->low, 4).text,
                       format_fixed(x->high, 4).text);
    else
        text_table_add(t, "n/a");
    text_table_style(t, TEXT_FAINT);
}

static void
add_difference(struct text_table *t, const struct estimate *x,
               enum evaluation_measure k)
{
    bool is_clear = x->low > 0.0 || x->high < 0.0;
    bool is_better = k == EVALUATION_SCORE ? x->value > 0.0 : x->value < 0.0;

    text_table_add(t, "%s", format_change(x->value, 4).text);
    if (is_clear && k != EVALUATION_CALIBRATION)
        text_table_style(t, is_better ? TEXT_GOOD : TEXT_BAD);
    if (isfinite(x->low))
        text_table_add(t, "%s to %s%s", format_change(x->low, 4).text,
                       format_change(x->high, 4).text, is_clear ? " *" : "  ");
    else
        text_table_add(t, "n/a  ");
    text_table_style(t, TEXT_FAINT);
}

static void
add_model(struct text_table *t, const struct evaluation_spec *spec, size_t m,
          const struct evaluation_result *result)
{
    const struct measure_name *name = names[spec->kind];
    bool is_first = true; /* measure of the model */

    text_table_rule(t);
    for (size_t k = 0; k < EVALUATION_MEASURES; k++) {
        if (name[k].people == NULL)
            continue;
        text_table_add(t, "%s", is_first ? spec->models[m] : "");
        text_table_add(t, "%s", name[k].people);
        text_table_add(t, "%s",
                       format_fixed(result->measures[k].value, 4).text);
        add_interval(t, &result->measures[k]);
        if (spec->model_count > 1 && m == 0) {
            text_table_add(t, "%s", "");
            text_table_add(t, "%s", "");
        } else if (m > 0) {
            add_difference(t, &result->differences[k],
                           (enum evaluation_measure)k);
        }
        is_first = false;
    }
}

void
evaluation_print(const struct evaluation *e,
                 const struct evaluation_result *results, FILE *out,
                 bool has_color)
{
    static const char *const headings[] = {
        "model", "", "value", "95 % interval", "to first", "95 % interval  "};
    const struct evaluation_spec *spec;
    struct text_table table;
    size_t columns;

    assert(e != NULL && results != NULL && out != NULL);
    spec = evaluation_spec(e);
    columns = spec->model_count > 1 ? 6 : 4;
    (void)fprintf(out, "%s, %s rows, %zu bootstrap replicates\n\n", spec->task,
                  format_count((double)evaluation_rows(e)).text,
                  evaluation_replicates(e));
    text_table_init(&table, columns);
    for (size_t i = 0; i < columns; i++)
        text_table_add(&table, "%s", headings[i]);
    for (size_t m = 0; m < spec->model_count; m++)
        add_model(&table, spec, m, &results[m]);
    text_table_print(&table, out, has_color);
    if (spec->model_count > 1)
        (void)fputs("\n* the interval of the difference leaves out 0; rows "
                    "count as independent\n",
                    out);
}

static void
put_estimates(struct json_writer *w, enum task_kind kind,
              const struct estimate estimates[EVALUATION_MEASURES])
{
    for (size_t k = 0; k < EVALUATION_MEASURES; k++) {
        if (names[kind][k].json == NULL)
            continue;
        json_put_key(w, names[kind][k].json);
        json_open_object(w);
        json_put_key(w, "value");
        json_put_double(w, estimates[k].value);
        json_put_key(w, "low");
        json_put_double(w, estimates[k].low);
        json_put_key(w, "high");
        json_put_double(w, estimates[k].high);
        json_close_object(w);
    }
}

static void
put_evaluation(struct json_writer *w, const struct evaluation *e,
               const struct evaluation_result *results)
{
    const struct evaluation_spec *spec = evaluation_spec(e);

    json_open_object(w);
    json_put_key(w, "task");
    json_put_string(w, spec->task);
    json_put_key(w, "kind");
    json_put_string(w, kind_names[spec->kind]);
    json_put_key(w, "rows");
    json_put_uint(w, evaluation_rows(e));
    json_put_key(w, "replicates");
    json_put_uint(w, evaluation_replicates(e));
    json_put_key(w, "models");
    json_open_array(w);
    for (size_t m = 0; m < spec->model_count; m++) {
        json_open_object(w);
        json_put_key(w, "name");
        json_put_string(w, spec->models[m]);
        put_estimates(w, spec->kind, results[m].measures);
        json_put_key(w, "difference");
        if (m == 0) {
            json_put_null(w);
        } else {
            json_open_object(w);
            put_estimates(w, spec->kind, results[m].differences);
            json_close_object(w);
        }
        json_close_object(w);
    }
    json_close_array(w);
    json_close_object(w);
}

enum status
evaluation_encode_json(const struct evaluation *e,
                       const struct evaluation_result *results,
                       struct bytes *out, struct error *err)
{
    struct json_writer w;
    size_t room;
    enum status st;

    assert(e != NULL && results != NULL && out != NULL && err != NULL);
    room = (evaluation_spec(e)->model_count + 1) * MODEL_BYTES;
    st = bytes_reserve(out, room, err);
    if (st != STATUS_OK)
        return st;
    json_writer_init(&w, out->data + out->used, room, 2);
    put_evaluation(&w, e, results);
    assert(!w.is_full);
    out->used += w.len;
    return bytes_append(out, "\n", 1, err);
}

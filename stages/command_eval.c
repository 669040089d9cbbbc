/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `distilld eval`: several models on the same events, task by task.
 */
#include "stages/commands.h"
#include "stages/event/batch_columns.h"
#include "stages/event/decoder.h"
#include "stages/load.h"
#include "stages/report/evaluate.h"
#include "stages/report/timing.h"
#include "stages/settings.h"
#include "stages/shape.h"

#include "daemon/base/json_writer.h"
#include "daemon/base/logging.h"
#include "daemon/io/log_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_ROWS       1024u
#define TIMING_BATCH_MAX 256u
#define TIMING_SECONDS   0.2
#define REPLICATES       1000u
#define OUTPUT_BYTES_MAX ((size_t)16 << 20)
#define SIZES_BYTES      16384

struct eval {
    const struct eval_options *options;
    struct settings *settings;
    struct event_shape *events;
    struct checkpoint *checkpoints[EVAL_MODELS_MAX];
    struct loaded_model models[EVAL_MODELS_MAX];
    float *logits[EVAL_MODELS_MAX]; /* (BATCH_ROWS, logits) */
    struct model_size sizes[EVAL_MODELS_MAX];
    double us_1[EVAL_MODELS_MAX];
    double us_256[EVAL_MODELS_MAX];
    struct evaluation *tasks[TASKS_MAX];
    struct columns *columns;
    struct decoder *decoder;
    uint64_t refused; /* records that could not be read */
    bool has_timing;
};

/* Splits "PATH:PREFIX": the model with that prefix in the checkpoint. */
static void
split_name(const char *name, char path[PATH_TEXT_MAX], char prefix[32])
{
    static const char tail[] = ":baseline";
    size_t n = strlen(name);
    size_t t = sizeof(tail) - 1;
    bool has_tail = n > t && strcmp(name + n - t, tail) == 0;

    (void)snprintf(path, PATH_TEXT_MAX, "%.*s", (int)(has_tail ? n - t : n),
                   name);
    (void)snprintf(prefix, 32, "%s", has_tail ? "baseline/" : "");
}

static enum status
open_model(struct eval *e, size_t i, struct error *err)
{
    char path[PATH_TEXT_MAX];
    char prefix[32];
    enum status st;

    split_name(e->options->models[i], path, prefix);
    st = checkpoint_open(&e->checkpoints[i], path, CHECKPOINT_VERIFY, err);
    if (st == STATUS_OK)
        st = load_model(&e->models[i], e->checkpoints[i], prefix,
                        event_shape_spec(e->events), BATCH_ROWS, 1,
                        "checkpoint", err);
    if (st != STATUS_OK)
        return st;
    model_measure(e->models[i].model, &e->sizes[i]);
    e->logits[i] = calloc(BATCH_ROWS * model_logit_count(e->models[i].model),
                          sizeof(float));
    if (e->logits[i] == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for logits");
    return STATUS_OK;
}

static enum status
open_task(struct eval *e, size_t task, struct error *err)
{
    struct evaluation_spec spec = {
        .kind = e->settings->tasks[task].kind,
        .width = e->columns->tasks[task].width,
        .model_count = e->options->model_count,
        .replicates = REPLICATES,
        .seed = 1,
    };

    (void)snprintf(spec.task, sizeof(spec.task), "%s",
                   e->settings->tasks[task].name);
    for (size_t i = 0; i < spec.model_count; i++) {
        const char *name = e->options->models[i];
        size_t n = strlen(name);

        /* The end of a path tells more than its beginning. */
        if (n >= EVALUATION_NAME_MAX)
            name += n - EVALUATION_NAME_MAX + 1;
        (void)snprintf(spec.models[i], sizeof(spec.models[i]), "%s", name);
    }
    return evaluation_new(&e->tasks[task], &spec, err);
}

static enum status
open_eval(struct eval *e, struct error *err)
{
    struct settings_problems problems = {0};
    enum status st =
        settings_load(&e->settings, e->options->config, &problems, err);

    settings_problems_print(&problems, e->options->config, stderr);
    settings_problems_fini(&problems);
    if (st == STATUS_OK)
        st = event_shape_new(&e->events, e->settings, err);
    if (st == STATUS_OK)
        st = columns_new(&e->columns, event_shape_spec(e->events), BATCH_ROWS,
                         err);
    if (st == STATUS_OK)
        st = decoder_new(&e->decoder, event_shape_spec(e->events), err);
    for (size_t i = 0; i < e->options->model_count && st == STATUS_OK; i++)
        st = open_model(e, i, err);
    for (size_t i = 0; i < e->settings->task_count && st == STATUS_OK; i++)
        st = open_task(e, i, err);
    return st;
}

static void
close_eval(struct eval *e)
{
    for (size_t i = 0; i < EVAL_MODELS_MAX; i++) {
        loaded_model_fini(&e->models[i]);
        checkpoint_free(&e->checkpoints[i]);
        free(e->logits[i]);
    }
    for (size_t i = 0; i < TASKS_MAX; i++)
        evaluation_free(&e->tasks[i]);
    decoder_free(&e->decoder);
    columns_free(&e->columns);
    event_shape_free(&e->events);
    settings_free(&e->settings);
}

/* Where a task's logits begin in a model's row; SIZE_MAX: not answered. */
static size_t
find_logits(const struct model_spec *spec, size_t task)
{
    size_t at = 0;

    for (size_t i = 0; i < spec->task_count; i++) {
        if (spec->tasks[i].column == task)
            return at;
        at += spec->tasks[i].classes;
    }
    return SIZE_MAX;
}

static enum status
add_task_rows(struct eval *e, size_t task, struct error *err)
{
    const struct outcome_column *o = &e->columns->tasks[task];
    const float *row_logits[EVAL_MODELS_MAX];
    size_t at[EVAL_MODELS_MAX];
    enum status st = STATUS_OK;

    for (size_t i = 0; i < e->options->model_count; i++) {
        at[i] = find_logits(&e->models[i].shape.spec, task);
        if (at[i] == SIZE_MAX)
            return error_set(
                err, STATUS_CONFIG, "checkpoint %s does not answer task %s",
                e->options->models[i], e->settings->tasks[task].name);
    }
    for (size_t row = 0; row < e->columns->row_count && st == STATUS_OK;
         row++) {
        if (!o->has_outcome[row])
            continue;
        for (size_t i = 0; i < e->options->model_count; i++)
            row_logits[i] = e->logits[i] +
                            row * model_logit_count(e->models[i].model) + at[i];
        st = evaluation_add(e->tasks[task], o->outcome[row],
                            e->columns->weight[row], row_logits, err);
    }
    return st;
}

static enum status
measure_speed(struct eval *e, struct error *err)
{
    enum status st = STATUS_OK;

    e->has_timing = true;
    for (size_t i = 0; i < e->options->model_count && st == STATUS_OK; i++) {
        st = timing_measure(e->models[i].model, e->columns, 1, TIMING_SECONDS,
                            &e->us_1[i], err);
        if (st == STATUS_OK)
            st =
                timing_measure(e->models[i].model, e->columns, TIMING_BATCH_MAX,
                               TIMING_SECONDS, &e->us_256[i], err);
    }
    return st;
}

/* Answers for the open batch, counts it, and empties it. */
static enum status
take_batch(struct eval *e, struct error *err)
{
    enum status st = STATUS_OK;

    if (e->columns->row_count == 0)
        return STATUS_OK;
    if (!e->has_timing)
        st = measure_speed(e, err);
    for (size_t i = 0; i < e->options->model_count; i++)
        model_predict(e->models[i].model, e->columns, e->logits[i]);
    for (size_t i = 0; i < e->settings->task_count && st == STATUS_OK; i++)
        st = add_task_rows(e, i, err);
    columns_clear(e->columns);
    return st;
}

static enum status
take_chunk(struct eval *e, struct log_chunk *chunk, struct error *err)
{
    struct log_line line;
    struct error why;
    enum status st = STATUS_OK;

    while (st == STATUS_OK && log_chunk_next(chunk, &line)) {
        if (chunk->is_cut ||
            decoder_decode(e->decoder, line.data, line.bytes, e->columns,
                           e->columns->row_count, NULL, &why) != STATUS_OK) {
            if (e->refused++ == 0)
                log_warn("record_refused", "offset=%" PRIu64 " text=\"%s\"",
                         line.offset, chunk->is_cut ? "too long" : why.text);
            continue;
        }
        if (e->columns->row_count == BATCH_ROWS)
            st = take_batch(e, err);
    }
    return st;
}

static enum status
read_input(struct eval *e, struct error *err)
{
    size_t record_max =
        e->settings->events_record_bytes_max + EVENT_LABEL_BYTES_MAX;
    struct log_reader *reader = NULL;
    struct log_chunk *chunk = NULL;
    enum status st = log_chunk_new(&chunk, record_max, err);

    if (st == STATUS_OK)
        st = log_reader_open(&reader, e->options->input, LOG_TAIL_TAKE,
                             record_max, (struct log_position){0}, err);
    while (st == STATUS_OK) {
        st = log_reader_read(reader, chunk, err);
        if (st == STATUS_OK)
            st = take_chunk(e, chunk, err);
    }
    if (st == STATUS_END)
        st = take_batch(e, err);
    log_reader_close(&reader);
    log_chunk_free(&chunk);
    if (st == STATUS_OK && !e->has_timing)
        st = error_set(err, STATUS_BADDATA,
                       "%s holds no event that can be read", e->options->input);
    return st;
}

static enum status
print_text(struct eval *e, FILE *out, struct error *err)
{
    struct evaluation_result results[EVAL_MODELS_MAX];
    enum status st = STATUS_OK;

    for (size_t i = 0; i < e->settings->task_count && st == STATUS_OK; i++) {
        st = evaluation_judge(e->tasks[i], results, err);
        if (st == STATUS_OK)
            evaluation_print(e->tasks[i], results, out, e->options->has_color);
    }
    (void)fprintf(out, "\n%12s %12s %14s %14s  model\n", "parameters", "bytes",
                  "us/event at 1", "at 256");
    for (size_t i = 0; i < e->options->model_count; i++)
        (void)fprintf(out, "%12" PRIu64 " %12" PRIu64 " %14.3f %14.3f  %s\n",
                      e->sizes[i].parameters, e->sizes[i].bytes, e->us_1[i],
                      e->us_256[i], e->options->models[i]);
    if (e->refused > 0)
        (void)fprintf(out, "\n%" PRIu64 " records could not be read\n",
                      e->refused);
    return st;
}

static void
put_sizes(struct json_writer *w, const struct eval *e)
{
    json_open_array(w);
    for (size_t i = 0; i < e->options->model_count; i++) {
        json_open_object(w);
        json_put_key(w, "name");
        json_put_string(w, e->options->models[i]);
        json_put_key(w, "parameters");
        json_put_uint(w, e->sizes[i].parameters);
        json_put_key(w, "bytes");
        json_put_uint(w, e->sizes[i].bytes);
        json_put_key(w, "us_per_event_batch_1");
        json_put_double(w, e->us_1[i]);
        json_put_key(w, "us_per_event_batch_256");
        json_put_double(w, e->us_256[i]);
        json_close_object(w);
    }
    json_close_array(w);
}

static enum status
print_json(struct eval *e, FILE *out, struct error *err)
{
    struct evaluation_result results[EVAL_MODELS_MAX];
    char sizes[SIZES_BYTES];
    struct json_writer w;
    struct bytes text;
    enum status st = STATUS_OK;

    bytes_init(&text, OUTPUT_BYTES_MAX);
    for (size_t i = 0; i < e->settings->task_count && st == STATUS_OK; i++) {
        if (i > 0)
            st = bytes_append(&text, ",", 1, err);
        if (st == STATUS_OK)
            st = evaluation_judge(e->tasks[i], results, err);
        if (st == STATUS_OK)
            st = evaluation_encode_json(e->tasks[i], results, &text, err);
    }
    json_writer_init(&w, sizes, sizeof(sizes), 0);
    put_sizes(&w, e);
    if (st == STATUS_OK && w.is_full)
        st = error_set(err, STATUS_TOOBIG, "the models' names are too long");
    if (st == STATUS_OK)
        (void)fprintf(out,
                      "{\"refused\":%" PRIu64 ",\"models\":%.*s,"
                      "\"tasks\":[%.*s]}\n",
                      e->refused, (int)w.len, sizes, (int)text.used,
                      text.data != NULL ? text.data : "");
    bytes_fini(&text);
    return st;
}

enum status
eval_command(const struct eval_options *options, FILE *out, struct error *err)
{
    struct eval *e = calloc(1, sizeof(*e));
    enum status st;

    if (e == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for eval");
    e->options = options;
    st = open_eval(e, err);
    if (st == STATUS_OK)
        st = read_input(e, err);
    if (st == STATUS_OK)
        st = options->is_json ? print_json(e, out, err)
                              : print_text(e, out, err);
    close_eval(e);
    free(e);
    return st;
}

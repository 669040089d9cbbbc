/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `distilld report`: what runs came to, from their configurations and last
 * checkpoints; only speed is measured anew.
 */
#include "stages/commands.h"
#include "stages/event/batch_columns.h"
#include "stages/event/decoder.h"
#include "stages/load.h"
#include "stages/progress.h"
#include "stages/report/report.h"
#include "stages/report/timing.h"
#include "stages/settings.h"
#include "stages/shape.h"
#include "stages/train/arms.h"

#include "daemon/base/json.h"
#include "daemon/io/directory.h"
#include "daemon/io/file.h"
#include "daemon/io/log_file.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMING_ROWS      4096u
#define TIMING_BATCH_MAX 256u
#define TIMING_SECONDS   0.2
#define OUTPUT_BYTES_MAX ((size_t)64 << 20)

/* All that one run needs while the report is written. */
struct run_view {
    struct settings *settings;
    struct event_shape *events;
    struct columns *columns; /* events to measure speed on */
    struct curve *curve;
    struct progress progress;
};

static void
close_view(struct run_view *v)
{
    curve_free(&v->curve);
    columns_free(&v->columns);
    event_shape_free(&v->events);
    settings_free(&v->settings);
}

static enum status
load_view_settings(struct run_view *v, const char *path, struct error *err)
{
    struct settings_problems problems = {0};
    enum status st = settings_load(&v->settings, path, &problems, err);

    settings_problems_print(&problems, path, stderr);
    settings_problems_fini(&problems);
    if (st == STATUS_OK)
        st = event_shape_new(&v->events, v->settings, err);
    return st;
}

/* The first TIMING_ROWS good events of the log. */
static enum status
read_columns(struct run_view *v, struct error *err)
{
    const struct event_spec *spec = event_shape_spec(v->events);
    size_t record_max = v->settings->events_record_bytes_max;
    struct decoder *decoder = NULL;
    struct log_reader *reader = NULL;
    struct log_chunk *chunk = NULL;
    struct log_line line;
    struct error ignored;
    enum status st = columns_new(&v->columns, spec, TIMING_ROWS, err);

    if (st == STATUS_OK)
        st = decoder_new(&decoder, spec, err);
    if (st == STATUS_OK)
        st = log_chunk_new(&chunk, record_max, err);
    if (st == STATUS_OK)
        st = log_reader_open(&reader, v->settings->events_path, LOG_TAIL_TAKE,
                             record_max, (struct log_position){0}, err);
    while (st == STATUS_OK && v->columns->row_count < TIMING_ROWS) {
        st = log_reader_read(reader, chunk, err);
        while (st == STATUS_OK && v->columns->row_count < TIMING_ROWS &&
               log_chunk_next(chunk, &line)) {
            if (!chunk->is_cut &&
                decoder_decode(decoder, line.data, line.bytes, v->columns,
                               v->columns->row_count, NULL,
                               &ignored) != STATUS_OK)
                continue; /* the run made a dead letter of it */
        }
    }
    log_reader_close(&reader);
    log_chunk_free(&chunk);
    decoder_free(&decoder);
    return st == STATUS_END ? STATUS_OK : st;
}

/* Size and speed of one model of a checkpoint. */
static enum status
measure_model(struct run_view *v, const struct checkpoint *ck,
              const char *prefix, struct report_model *out, struct error *err)
{
    struct loaded_model loaded;
    struct model_size size;
    enum status st =
        load_model(&loaded, ck, prefix, event_shape_spec(v->events),
                   TIMING_BATCH_MAX, 1, "checkpoint", err);

    if (st != STATUS_OK)
        return st;
    model_measure(loaded.model, &size);
    report_take_size(out, &size);
    st = timing_measure(loaded.model, v->columns, 1, TIMING_SECONDS,
                        &out->us_per_event_batch_1, err);
    if (st == STATUS_OK)
        st = timing_measure(loaded.model, v->columns, TIMING_BATCH_MAX,
                            TIMING_SECONDS, &out->us_per_event_batch_256, err);
    loaded_model_fini(&loaded);
    return st;
}

/* Where the teacher's checkpoint is; "" when there is none in process. */
static const char *
teacher_path(const struct settings *s)
{
    if (s->teacher.kind != TEACHER_KIND_CHECKPOINT)
        return "";
    return s->teacher_learn ? s->teacher_checkpoint_path : s->teacher.path;
}

static enum status
add_teacher(struct run_view *v, struct report_setting *setting,
            struct error *err)
{
    struct checkpoint *ck = NULL;
    enum status st;

    if (teacher_path(v->settings)[0] == '\0')
        return STATUS_OK;
    st = checkpoint_open(&ck, teacher_path(v->settings), CHECKPOINT_QUICK, err);
    if (st == STATUS_OK)
        st = measure_model(v, ck, "", &setting->models[CURVE_TEACHER], err);
    checkpoint_free(&ck);
    return st;
}

/* The seconds that the manifest says the run took. */
static double
read_seconds(const struct manifest *m)
{
    const struct json_limits limits = {MANIFEST_BYTES_MAX, 8};
    const char *text = m->parts[MANIFEST_TRAINING];
    struct cJSON *root = NULL;
    struct error ignored;
    double seconds = (double)NAN;

    if (text == NULL || json_parse(&root, text, strlen(text), &limits, NULL,
                                   &ignored) != STATUS_OK)
        return seconds;
    (void)json_number(json_member(root, "seconds"), &seconds);
    json_free(&root);
    return seconds;
}

static enum status
add_curve(struct run_view *v, const struct checkpoint *ck,
          struct report_setting *setting, struct error *err)
{
    const struct settings *s = v->settings;
    size_t len = 0;
    const void *bytes = checkpoint_progress(ck, &len);
    enum status st;

    if (bytes == NULL)
        return error_set(err, STATUS_BADDATA,
                         "%s holds no progress; give the configuration of a "
                         "run, not of something published",
                         checkpoint_path(ck));
    st = progress_decode(&v->progress, &v->curve, bytes, len, err);
    if (st != STATUS_OK)
        return st;
    arms_tell(s, &v->progress.contest, &setting->arms);
    if (v->curve == NULL)
        return st;
    for (size_t i = 0; i < s->task_count; i++) {
        if (s->tasks[i].kind == TASK_BINARY) {
            report_take_curve(setting, v->curve, i);
            break;
        }
    }
    setting->has_marks = s->train_start != SETTING_EARLIEST;
    return STATUS_OK;
}

static enum status
add_run(struct run_view *v, const char *path, struct report *report,
        struct error *err)
{
    struct report_setting *setting;
    struct checkpoint *ck = NULL;
    enum status st = load_view_settings(v, path, err);

    if (st != STATUS_OK)
        return st;
    setting = report_add_setting(report, v->settings->name);
    assert(setting != NULL); /* REPORT_RUNS_MAX fit */
    st = checkpoint_open(&ck, v->settings->checkpoint_path, CHECKPOINT_QUICK,
                         err);
    if (st == STATUS_OK)
        st = read_columns(v, err);
    if (st == STATUS_OK)
        st = add_curve(v, ck, setting, err);
    if (st == STATUS_OK)
        st = measure_model(v, ck, "", &setting->models[CURVE_STUDENT], err);
    if (st == STATUS_OK && v->settings->baseline)
        st = measure_model(v, ck, "baseline/", &setting->models[CURVE_BASELINE],
                           err);
    if (st == STATUS_OK)
        st = add_teacher(v, setting, err);
    if (st == STATUS_OK) {
        setting->seconds = read_seconds(checkpoint_manifest(ck));
        report->seconds += isfinite(setting->seconds) ? setting->seconds : 0;
    }
    checkpoint_free(&ck);
    return st;
}

static enum status
write_output(const char *dir, const char *name, const struct bytes *content,
             struct error *err)
{
    char path[PATH_TEXT_MAX];
    enum status st = path_join(path, dir, name, err);

    if (st == STATUS_OK)
        st = file_replace(path, content->data, content->used, err);
    return st;
}

static enum status
write_files(const struct report *report, const char *dir, struct error *err)
{
    struct bytes content;
    enum status st = directory_make(dir, err);

    bytes_init(&content, OUTPUT_BYTES_MAX);
    if (st == STATUS_OK)
        st = report_encode_json(report, &content, err);
    if (st == STATUS_OK)
        st = write_output(dir, "report.json", &content, err);
    bytes_clear(&content);
    if (st == STATUS_OK)
        st = report_encode_html(report, &content, err);
    if (st == STATUS_OK)
        st = write_output(dir, "report.html", &content, err);
    bytes_fini(&content);
    return st;
}

enum status
report_command(const struct report_options *options, FILE *out,
               struct error *err)
{
    struct report *report = calloc(1, sizeof(*report));
    struct run_view *views = calloc(REPORT_RUNS_MAX, sizeof(*views));
    enum status st = STATUS_OK;

    if (report == NULL || views == NULL) {
        st = error_set(err, STATUS_NOMEM, "no memory for a report");
        goto out;
    }
    report_init(report, "What distillation adds");
    report->seconds = 0;
    for (size_t i = 0; i < options->config_count && st == STATUS_OK; i++)
        st = add_run(&views[i], options->configs[i], report, err);
    if (st != STATUS_OK)
        goto out;
    report_print(report, out, options->has_color);
    if (options->output != NULL) {
        st = write_files(report, options->output, err);
        if (st == STATUS_OK)
            (void)fprintf(out, "\nwritten: %s/report.json, %s/report.html\n",
                          options->output, options->output);
    }

out:
    for (size_t i = 0; views != NULL && i < REPORT_RUNS_MAX; i++)
        close_view(&views[i]);
    free(views);
    free(report);
    return st;
}

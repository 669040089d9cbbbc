/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report as JSON.
 */
#include "stages/report/report.h"

#include "daemon/base/json_writer.h"

#include <assert.h>
#include <math.h>

/* Of one setting: points dominate, some 1000 bytes each. */
#define SETTING_BYTES (64u * 1024u + CURVE_POINTS_MAX * 2048u)

static void
put_number(struct json_writer *w, const char *key, double value)
{
    json_put_key(w, key);
    json_put_double(w, value);
}

/* A number that may be whole: without exponent or fraction, then. */
static void
put_size(struct json_writer *w, const char *key, double value)
{
    json_put_key(w, key);
    if (isfinite(value) && !(fabs(value) >= 0x1p53) && !(floor(value) < value))
        json_put_int(w, (int64_t)value);
    else
        json_put_double(w, value);
}

static void
put_model(struct json_writer *w, const struct report_model *m)
{
    json_open_object(w);
    put_number(w, "auc", m->auc);
    put_number(w, "log_loss", m->log_loss);
    put_number(w, "normalized_entropy", m->normalized_entropy);
    put_number(w, "calibration", m->calibration);
    put_size(w, "parameters", m->parameters);
    put_size(w, "dense_parameters", m->dense_parameters);
    put_size(w, "row_width", m->row_width);
    put_size(w, "bytes", m->bytes);
    put_number(w, "us_per_event_batch_1", m->us_per_event_batch_1);
    put_number(w, "us_per_event_batch_256", m->us_per_event_batch_256);
    put_number(w, "distance_to_teacher", m->distance);
    json_put_key(w, "reliability");
    json_open_array(w);
    for (size_t i = 0; i < m->bin_count; i++) {
        json_open_object(w);
        put_size(w, "weight", m->bins[i].weight);
        put_number(w, "predicted", m->bins[i].predicted);
        put_number(w, "observed", m->bins[i].observed);
        json_close_object(w);
    }
    json_close_array(w);
    json_close_object(w);
}

static void
put_point_part(struct json_writer *w, const char *key,
               const float values[CURVE_MODELS])
{
    json_put_key(w, key);
    json_open_object(w);
    for (size_t m = 0; m < CURVE_MODELS; m++) {
        json_put_key(w, report_model_name((enum curve_model)m));
        json_put_float(w, values[m]);
    }
    json_close_object(w);
}

static void
put_eta(struct json_writer *w, const char *key,
        const float values[CURVE_MODELS])
{
    double eta =
        curve_eta((double)values[CURVE_TEACHER], (double)values[CURVE_STUDENT],
                  (double)values[CURVE_BASELINE]);

    json_put_key(w, key);
    json_put_float(w, (float)eta);
}

static void
put_curve(struct json_writer *w, const struct report_setting *s)
{
    json_put_key(w, "curve");
    json_open_array(w);
    for (size_t i = 0; i < s->point_count; i++) {
        const struct curve_point *p = &s->points[i];

        json_open_object(w);
        json_put_key(w, "examples");
        json_put_uint(w, p->examples);
        put_point_part(w, "auc", p->score);
        put_point_part(w, "log_loss", p->loss);
        put_point_part(w, "window_auc", p->window_score);
        put_point_part(w, "window_log_loss", p->window_loss);
        json_put_key(w, "transfer_ratio");
        json_open_object(w);
        put_eta(w, "auc", p->score);
        put_eta(w, "log_loss", p->loss);
        json_close_object(w);
        json_close_object(w);
    }
    json_close_array(w);
}

static void
put_reached(struct json_writer *w, const char *key, uint64_t examples)
{
    json_put_key(w, key);
    if (examples > 0)
        json_put_uint(w, examples);
    else
        json_put_null(w);
}

static void
put_marks(struct json_writer *w, const struct report_setting *s)
{
    json_put_key(w, "as_good_as");
    json_open_object(w);
    for (size_t i = 0; i < CURVE_MARKS; i++) {
        char key[24];

        (void)snprintf(key, sizeof(key), "%llu",
                       (unsigned long long)s->marks[i].examples);
        json_put_key(w, key);
        json_open_object(w);
        put_number(w, "student_window_auc", s->marks[i].score);
        put_number(w, "student_window_log_loss", s->marks[i].loss);
        put_reached(w, "auc", s->marks[i].as_good_score);
        put_reached(w, "log_loss", s->marks[i].as_good_loss);
        put_number(w, "student_window_auc_gap", s->marks[i].score_gap);
        put_number(w, "student_window_log_loss_gap", s->marks[i].loss_gap);
        put_reached(w, "auc_gap", s->marks[i].as_close_score);
        put_reached(w, "log_loss_gap", s->marks[i].as_close_loss);
        json_close_object(w);
    }
    json_close_object(w);
}

/* Of soft_weight auto, as /status has it. */
static void
put_arms(struct json_writer *w, const struct arms_report *a)
{
    if (a->count == 0)
        return;
    json_put_key(w, "soft_weight");
    arms_report_write(a, w);
}

static void
put_setting(struct json_writer *w, const struct report_setting *s)
{
    json_put_key(w, s->name);
    json_open_object(w);
    json_put_key(w, "description");
    json_put_string(w, s->description);
    json_put_key(w, "models");
    json_open_object(w);
    for (size_t m = 0; m < CURVE_MODELS; m++) {
        json_put_key(w, report_model_name((enum curve_model)m));
        put_model(w, &s->models[m]);
    }
    json_close_object(w);
    json_put_key(w, "transfer_ratio");
    json_open_object(w);
    put_number(w, "auc", report_eta_auc(s));
    put_number(w, "log_loss", report_eta_loss(s));
    json_close_object(w);
    put_size(w, "events", s->events);
    put_number(w, "seconds", s->seconds);
    put_size(w, "window", (double)s->window);
    put_arms(w, &s->arms);
    if (s->has_marks)
        put_marks(w, s);
    put_curve(w, s);
    json_close_object(w);
}

enum status
report_encode_json(const struct report *r, struct bytes *out, struct error *err)
{
    size_t room = 4096;
    struct json_writer w;
    enum status st;

    assert(r != NULL && out != NULL && err != NULL);
    for (size_t i = 0; i < r->setting_count; i++)
        room += SETTING_BYTES;
    st = bytes_reserve(out, room, err);
    if (st != STATUS_OK)
        return st;
    json_writer_init(&w, out->data + out->used, room, 1);
    json_open_object(&w);
    for (size_t i = 0; i < r->setting_count; i++)
        put_setting(&w, &r->settings[i]);
    put_number(&w, "seconds", r->seconds);
    json_close_object(&w);
    assert(!w.is_full);
    out->used += w.len;
    return bytes_append(out, "\n", 1, err);
}

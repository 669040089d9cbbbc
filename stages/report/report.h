/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include "stages/model/curve.h"
#include "stages/model/model.h"
#include "stages/train_report.h"

#include "daemon/base/bytes.h"
#include "daemon/base/error.h"

#include <stdbool.h>
#include <stdio.h>

/*
 * What one or more runs came to: teacher, student and baseline side by side,
 * as a table at the terminal, as JSON and as a page. A number that is not
 * known is NAN here, "n/a" for people and null in JSON.
 */

#define REPORT_SETTINGS_MAX 16
#define REPORT_BINS         12 /* of a calibration plot */
#define REPORT_NAME_MAX     64
#define REPORT_TEXT_MAX     512

struct report_model {
    double auc;
    double log_loss;
    double normalized_entropy;
    double calibration; /* mean prediction / mean outcome */
    double parameters;
    double dense_parameters;
    double row_width; /* floats a table row */
    double bytes;     /* of parameters */
    double us_per_event_batch_1;
    double us_per_event_batch_256;
    double distance; /* mean |p - p_teacher| */
    struct reliability bins[REPORT_BINS];
    size_t bin_count;
};

/* One run. */
struct report_setting {
    char name[REPORT_NAME_MAX];        /* the key in JSON: new_student */
    char description[REPORT_TEXT_MAX]; /* a sentence; may be empty */
    struct report_model models[CURVE_MODELS];
    double events;  /* judged */
    double seconds; /* of the run; NAN when not known */
    uint64_t window;
    uint64_t judged_from;             /* example after which judging begins */
    const struct curve_point *points; /* lent by the curve */
    size_t point_count;
    struct arms_report arms; /* count 0: soft_weight is a number */
    bool has_marks;          /* student and baseline began new */
    struct curve_mark marks[CURVE_MARKS];
};

struct report {
    char title[REPORT_TEXT_MAX];
    struct report_setting settings[REPORT_SETTINGS_MAX];
    size_t setting_count;
    double seconds; /* of all together */
};

/* report_init makes it empty. */
void report_init(struct report *r, const char *title);

/*
 * report_add_setting adds a run of which nothing is known yet but its name
 * (cut at REPORT_NAME_MAX), and lends it until the report goes. NULL when
 * there are REPORT_SETTINGS_MAX.
 */
struct report_setting *report_add_setting(struct report *r, const char *name);

/* report_take_curve fills in everything that a curve knows about a binary
 * task; the setting keeps a borrow of the curve's points. */
void report_take_curve(struct report_setting *s, const struct curve *c,
                       size_t task);

/* report_take_size fills in what a model is made of. */
void report_take_size(struct report_model *m, const struct model_size *size);

/* report_model_name lends "teacher", "student" or "baseline". */
const char *report_model_name(enum curve_model model);

/* report_print prints a table and a few sentences a setting, 100 columns wide
 * at most. has_color: out is a terminal. */
void report_print(const struct report *r, FILE *out, bool has_color);

/* report_print_arms prints who is the student of soft_weight auto, and how all
 * of them stand; nothing where the weight is fixed. */
void report_print_arms(const struct arms_report *a, FILE *out, bool has_color);

/* report_encode_json appends the report as JSON. TOOBIG, NOMEM. */
must_check enum status report_encode_json(const struct report *r,
                                          struct bytes *out, struct error *err);

/* report_encode_html appends a page that needs nothing but itself. TOOBIG,
 * NOMEM. */
must_check enum status report_encode_html(const struct report *r,
                                          struct bytes *out, struct error *err);

/* ---- What the numbers mean, shared by table and page ---- */

/* report_lead is student minus baseline, in AUC and in log-loss. */
double report_lead_auc(const struct report_setting *s);
double report_lead_loss(const struct report_setting *s);

/* report_eta is the share of the teacher's lead that the student has. */
double report_eta_auc(const struct report_setting *s);
double report_eta_loss(const struct report_setting *s);

/* report_ratio is what of the teacher's number the model has. */
double report_ratio(double model, double teacher);

/* report_arm_place lends what an arm is: "in force", "ahead", "in force and
 * ahead", or nothing. */
const char *report_arm_place(const struct arms_report *a, size_t arm);

/* report_arms_sentence writes who is in force and who is ahead; empty where
 * the weight is fixed. */
void report_arms_sentence(const struct arms_report *a, char *out,
                          size_t out_max);

/* report_sentence writes what the numbers say, in one or two sentences. */
void report_sentence(const struct report_setting *s, char *out, size_t out_max);

/* report_mark_sentence writes how long the baseline took to be as good as the
 * student was at the i-th mark; empty when that is not known. */
void report_mark_sentence(const struct report_setting *s, size_t i, char *out,
                          size_t out_max);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_CURVE_H
#define MODEL_CURVE_H

#include "stages/model/columns.h"
#include "stages/model/quality.h"

#include "daemon/base/bytes.h"
#include "daemon/base/error.h"

#include <stdbool.h>

/*
 * How good teacher, student and baseline are while the stream goes by. Every
 * answer was given before the model learned from the row (predict first), so
 * what comes out is progressive quality. All three are judged on the same
 * rows: those with an outcome and, when there is a teacher, its answer.
 *
 * Kept for each task and model: sums over everything that was judged, sums
 * over a trailing window, and points of both along the stream. The window
 * moves in CURVE_SLICES steps, so it covers between (1 - 1 / CURVE_SLICES)
 * and all of its examples. Everything is plain data of bounded size that is
 * written to bytes and read back exactly: it is part of a checkpoint.
 */

#define CURVE_TASKS_MAX  64
#define CURVE_NAME_MAX   64
#define CURVE_POINTS_MAX 512 /* beyond, every second one is dropped */
#define CURVE_SLICES     10
#define CURVE_MARKS      2 /* see curve_mark */

enum curve_model {
    CURVE_TEACHER,
    CURVE_STUDENT,
    CURVE_BASELINE,
    CURVE_MODELS,
};

struct curve_task {
    char name[CURVE_NAME_MAX];
    enum task_kind kind;
    size_t width;     /* logits a row */
    size_t column;    /* index into columns.tasks */
    bool has_teacher; /* judge only rows that the teacher answered */
};

struct curve_spec {
    struct curve_task tasks[CURVE_TASKS_MAX];
    size_t task_count;
    bool has_baseline;     /* curve_add gets its answers */
    uint64_t window;       /* examples, CURVE_SLICES at least */
    uint64_t point_every;  /* examples between two points */
    int64_t judge_from_ms; /* event time from which rows count in the sums
                              over everything; windows always go on */
};

struct curve;

/* curve_new gives an empty one. Borrows spec until return. NOMEM. */
must_check enum status
curve_new(struct curve **out, const struct curve_spec *spec, struct error *err);

/* curve_free frees *self and sets it NULL; NULL is fine. */
void curve_free(struct curve **self);

/* curve_spec lends what it was made with, until curve_free. */
const struct curve_spec *curve_spec(const struct curve *c);

/*
 * curve_add counts a batch that was just predicted.
 *
 * student  (B, sum of task widths) its logits, tasks side by side
 * baseline the same of the baseline; NULL exactly when there is none
 *
 * The teacher's answers are those in the columns. Binary answers of a row that
 * was kept with a sample rate r are judged as the loss is, at z - log r. Where
 * the teacher is among those judged, rows weigh ask_weight more. Imagined rows
 * are passed over.
 * Thread: one at a time. Allocates: nothing.
 */
void curve_add(struct curve *c, const struct columns *columns,
               const float *student, const float *baseline);

/* curve_examples is how many rows were offered so far, judged or not. */
uint64_t curve_examples(const struct curve *c);

/*
 * Quality of one model on one task; NAN wherever there is nothing to say.
 * score is the AUC (binary), the accuracy (class) or NAN (regression); loss is
 * the log-loss, the cross-entropy or the mean squared error.
 */
struct curve_quality {
    double score;
    double loss;
    double normalized_entropy; /* binary */
    double calibration;        /* binary */
    double window_score;
    double window_loss;
    double distance; /* to the teacher's answer: mean |p - p_t|; class: half
                        the sum of |p - p_t| over classes; regression: mean
                        |z - z_t| */
};

struct curve_summary {
    uint64_t examples; /* offered */
    uint64_t judged;   /* of them counted in the sums over everything */
    struct curve_quality models[CURVE_MODELS];
    /* Share of the teacher's lead over the baseline that the student has. */
    double eta_score;
    double eta_loss;
};

/* curve_summarize says how the task stands now. */
void curve_summarize(const struct curve *c, size_t task,
                     struct curve_summary *out);

/* curve_quality lends the gauge over everything of a binary task, until
 * curve_add or curve_free. */
const struct quality *curve_gauge(const struct curve *c, size_t task,
                                  enum curve_model model);

/* curve_eta is (student - baseline) / (teacher - baseline); NAN when that
 * makes no sense. */
double curve_eta(double teacher, double student, double baseline);

/* One point of the curve; members as in struct curve_quality. */
struct curve_point {
    uint64_t examples; /* offered up to here */
    float score[CURVE_MODELS];
    float loss[CURVE_MODELS];
    float window_score[CURVE_MODELS];
    float window_loss[CURVE_MODELS];
};

/* curve_points lends the task's points, oldest first, until curve_add or
 * curve_free. */
const struct curve_point *curve_points(const struct curve *c, size_t task,
                                       size_t *count);

/*
 * How soon the baseline is as good as the student was: the student's trailing
 * window at `examples`, and after how many examples the baseline's trailing
 * window first was as good, looked at every point_every examples from the mark
 * on (0: not yet). A stream is not equally hard everywhere, so when there is a
 * teacher the same is also told by the distance to the teacher's window over
 * the same rows, which hardly depends on where the stream is hard.
 */
struct curve_mark {
    uint64_t examples; /* 10,000 and 30,000 */
    double score;      /* NAN until the mark has been passed */
    double loss;
    double score_gap; /* teacher's minus student's */
    double loss_gap;
    uint64_t as_good_score; /* examples */
    uint64_t as_good_loss;
    uint64_t as_close_score;
    uint64_t as_close_loss;
};

/* curve_marks lends the task's CURVE_MARKS marks, until curve_free. */
const struct curve_mark *curve_marks(const struct curve *c, size_t task);

/* curve_encode appends it to out. The same curve gives the same bytes on
 * every machine. TOOBIG, NOMEM as bytes_append. */
must_check enum status curve_encode(const struct curve *c, struct bytes *out,
                                    struct error *err);

/* curve_decode makes a curve of what curve_encode wrote. BADDATA for anything
 * else. */
must_check enum status curve_decode(struct curve **out, const void *data,
                                    size_t len, struct error *err);

/* curve_fits says whether two specs count the same: a decoded curve can be
 * gone on with. */
bool curve_fits(const struct curve_spec *a, const struct curve_spec *b);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "stages/model/columns.h"

#include "daemon/base/error.h"

#include <stdbool.h>

/*
 * The model engine: embeddings, linear term, FM, cross layers (DCN-v2), MLP
 * and one head a task. The same engine is teacher, student and baseline. It
 * knows no file, log or clock; a step allocates nothing (tables grow in
 * bounded blocks).
 *
 *   x0     = [ embedding of every categorical and bag feature (bags: mean),
 *              numbers and vectors (standardized when asked), 1 indicator a
 *              number or vector that may be missing ]
 *   xl+1   = x0 * (Wl xl + bl) + xl                      cross layers
 *   h      = MLP(xl)
 *   fm     = ((sum_f v_f)^2 - sum_f v_f^2) / 2           (D), needs one width
 *   z_task = head . [h or xl, fm] + linear + bias
 *   answer = scale z_task + shift                        where calibrated
 *
 * All functions: thread: the one that owns the model (its helpers are inside).
 */

#define MODEL_NAME_MAX   64
#define MODEL_LAYERS_MAX 8

#define MODEL_ADAPTER_MAX 256 /* hidden units of a student adapter */

enum activation {
    ACTIVATION_RELU,
    ACTIVATION_TANH,
    ACTIVATION_SIGMOID,
    ACTIVATION_GELU,
    ACTIVATION_SILU,
    ACTIVATION_LEAKY_RELU,
    ACTIVATION_SOFTMAX,
    ACTIVATION_IDENTITY,
};

enum optimizer_kind {
    OPTIMIZER_SGD,
    OPTIMIZER_ADAGRAD,
    OPTIMIZER_ROWWISE_ADAGRAD, /* tables only: one accumulator a row */
    OPTIMIZER_ADAM,
};

enum schedule_kind {
    SCHEDULE_CONSTANT,
    SCHEDULE_LINEAR,       /* falls to rate_final over decay_examples */
    SCHEDULE_COSINE,       /* the same along half a cosine */
    SCHEDULE_INVERSE_SQRT, /* rate / sqrt(1 + n / decay_examples) */
};

/* Every schedule first rises linearly from 0 over warmup_examples. */
struct schedule {
    enum schedule_kind kind;
    float rate;
    float rate_final;
    uint64_t warmup_examples;
    uint64_t decay_examples;
};

struct optimizer {
    enum optimizer_kind kind;
    struct schedule schedule;
    float epsilon;             /* added outside of the square root */
    float beta1;               /* ADAM */
    float beta2;               /* ADAM */
    float accumulator_initial; /* ADAGRAD */
    float l2;                  /* adds l2 * w to the gradient of w; tables:
                                  touched rows only */
    float clip_norm;           /* of the whole dense gradient, or of one row's
                                  in tables; 0: none */
};

struct model_feature {
    const char *name;
    enum feature_kind kind;
    size_t column;           /* index into columns.features */
    size_t width;            /* embedding width, or numbers of a VECTOR */
    size_t ids_max;          /* BAG: most ids a row, as in its column */
    uint64_t rows_max;       /* of the table, without row 0 */
    uint32_t admit_after;    /* sightings before an id gets a row; 1: at once */
    uint32_t expire_after_s; /* 0: never */
    bool standardize;        /* NUMBER, VECTOR: by running mean and deviation
                                of the batches before */
    bool has_indicator;      /* NUMBER, VECTOR: may be missing, so one more
                                input says when it is */
};

struct model_task {
    const char *name;
    enum task_kind kind;
    size_t column;  /* index into columns.tasks */
    size_t classes; /* CLASS: K; otherwise 1 */
    bool auxiliary; /* has a second head that learns the soft label */
    size_t adapter; /* hidden units of the student adapter, which is taught
                       the outcomes and teaches in the teacher's place
                       (adapter.h); 0: none */
    bool adapter_sees_student; /* and begins as the student, not the teacher */
};

struct model_spec {
    const struct model_feature *features;
    size_t feature_count;
    const struct model_task *tasks;
    size_t task_count;
    bool has_linear;
    bool has_fm;
    bool is_calibrated; /* answers are scaled and shifted by what the outcomes
                           say, beside learning */
    size_t cross_layers;
    size_t hidden[MODEL_LAYERS_MAX]; /* widths of the MLP's hidden layers */
    size_t hidden_count;
    enum activation activation;
    float embedding_deviation; /* of initial embeddings, normal */
    uint64_t seed;
    size_t batch_max; /* most rows a call may bring */
    size_t threads;   /* 1: the caller alone; n: n - 1 helpers beside it */
    struct optimizer dense;
    struct optimizer tables;
};

enum distill_kind {
    DISTILL_CROSS_ENTROPY, /* T^2 BCE or CE of softened answers */
    DISTILL_KL,            /* T^2 KL: the same gradient */
    DISTILL_LOGIT_MSE,
    DISTILL_PROBABILITY_MSE,
};

/* What one task's step minimizes; reference: Hinton 2015 for T and T^2. */
struct objective {
    float hard_weight;
    float soft_weight;
    enum distill_kind distill;
    float temperature;
    float label_scale;    /* AUXILIARY: alpha in min(alpha p_t, 1) */
    float gradient_scale; /* AUXILIARY: beta, on the gradient into the trunk */
    uint64_t soft_warmup_examples; /* soft weight rises linearly from 0 */
    bool cross_debias;   /* BINARY: the soft loss, too, sees logits as the row's
                          sample rate shows them */
    float teacher_shift; /* BINARY: added to the teacher's logits first: log
                            of the rate at which its own negatives were kept,
                            when nothing corrected its answers */
    float imagined_weight; /* times soft_weight: of the mean soft loss of the
                              imagined rows, beside that of the real ones */
};

struct task_loss {
    double hard; /* sum over hard_rows, unweighted mean is hard / hard_rows */
    double soft;
    size_t hard_rows;
    size_t soft_rows;
    double adapted;   /* hard loss of the adapter's answers */
    double unadapted; /* and that of the teacher's, of the same rows */
    size_t adapter_rows;
};

/* What a step did. */
struct step {
    double loss;          /* the objective's value, mean over the batch */
    double gradient_norm; /* dense, before clipping */
    bool is_skipped;      /* loss or gradient not finite: see model_step */
};

struct model;

/*
 * model_new builds a model with initial values that depend on spec->seed (and
 * for table rows on seed, table and id) alone. Borrows spec until return.
 * CONFIG when the spec makes no sense (FM with two widths, ...).
 */
must_check enum status
model_new(struct model **out, const struct model_spec *spec, struct error *err);

/* model_free ends the helpers, frees *self and sets it NULL; NULL is fine. */
void model_free(struct model **self);

/* model_logit_count is the number of logits a row: the sum over tasks of
 * their widths, without auxiliary heads. */
size_t model_logit_count(const struct model *m);

/*
 * model_predict answers for a batch and changes nothing that is learned or
 * counted; unknown ids use row 0.
 *
 * logits (B, model_logit_count) written, tasks side by side in spec order
 */
void model_predict(struct model *m, const struct columns *c, float *logits);

/*
 * model_step predicts for a batch with the model as it is, then learns from
 * it: one forward, one backward, one update. Ids are counted and admitted
 * first, so a new id is predicted with its initial row.
 *
 * objectives (task_count) in spec order
 * logits     (B, model_logit_count) written, before learning; may be NULL
 * losses     (task_count) written; may be NULL
 *
 * A loss or gradient that is not finite reaches no parameter, and the step is
 * skipped (step->is_skipped): dense parameters stay, and so do all rows of
 * tables but, with one thread, those that earlier parts of the batch (128 rows
 * each) had the last word on, and which have learned from these. Allocates:
 * table blocks at most.
 */
void model_step(struct model *m, const struct columns *c,
                const struct objective *objectives, float *logits,
                struct task_loss *losses, struct step *step);

/* What a model is made of, for reports. */
struct model_size {
    uint64_t parameters;       /* dense and rows in use */
    uint64_t dense_parameters; /* without tables */
    uint64_t row_width;        /* floats a table row, the widest table */
    uint64_t bytes;            /* of parameters, without optimizer state */
    uint64_t rows;             /* in use, all tables */
};

void model_measure(const struct model *m, struct model_size *out);

/* One table's counters since the start of the process, and what it holds. */
struct table_counters {
    const char *name; /* lends, until model_free */
    uint64_t rows;
    uint64_t rows_max;
    uint64_t candidates; /* ids seen, not admitted yet */
    uint64_t refused;    /* sightings served by row 0 since rows_max was full */
    uint64_t expired;
    uint64_t bytes; /* of memory: rows, state and index */
};

/* model_table_count and model_table_counters list the tables. */
size_t model_table_count(const struct model *m);
void model_table_counters(const struct model *m, size_t i,
                          struct table_counters *out);

/*
 * model_table_ids calls back for every id of the i-th table with a row or a
 * candidate count, in row order, candidates last (row 0).
 */
typedef void (*model_id_fn)(void *ctx, uint64_t id, uint64_t row,
                            uint32_t sightings, int64_t last_seen_s);
void model_table_ids(const struct model *m, size_t i, model_id_fn fn,
                     void *ctx);

/* ---- Snapshots: a consistent copy, taken in slices between steps ---- */

enum tensor_type {
    TENSOR_F32,
    TENSOR_F64,
    TENSOR_I64,
    TENSOR_U64,
    TENSOR_U32,
    TENSOR_U8,
};

struct tensor {
    char name[2 * MODEL_NAME_MAX];
    enum tensor_type type;
    size_t rank; /* 1 or 2 */
    uint64_t shape[2];
    bool is_state;    /* optimizer state and counters, not a parameter */
    const void *data; /* when given to model_restore: its bytes, any
                         alignment; NULL in lists of a snapshot */
};

/* tensor_bytes is the size of a tensor's data. */
uint64_t tensor_bytes(const struct tensor *t);

/*
 * model_snapshot_begin fixes the model's state as of now. From here to
 * model_snapshot_end, steps keep a copy of each table row that they are about
 * to change and that was not read yet, so the snapshot stays exact while
 * training goes on. Gives the number of tensors; lists them in file order.
 * The bounded pause is the copy of the dense tensors and small state.
 */
must_check enum status model_snapshot_begin(struct model *m, struct error *err);
size_t model_snapshot_count(const struct model *m);
const struct tensor *model_snapshot_tensor(const struct model *m, size_t i);

/* A piece of a tensor: bytes [offset, offset + bytes) of its data. */
struct tensor_piece {
    size_t tensor;
    uint64_t offset;
    size_t bytes;
};

/*
 * model_snapshot_read copies the next piece (at most capacity bytes, at least
 * 64 KiB wanted) into buf. Every byte of every tensor comes exactly once; the
 * pieces of one tensor come in order, the tensors may interleave. END when all
 * has been read.
 */
must_check enum status model_snapshot_read(struct model *m, void *buf,
                                           size_t capacity,
                                           struct tensor_piece *out);

/* model_snapshot_end frees the kept copies; legal before END (given up). */
void model_snapshot_end(struct model *m);

enum restore_mode {
    RESTORE_EXACT,    /* every tensor there, every shape equal, state too */
    RESTORE_WEIGHTS,  /* parameters exactly, optimizer state and counters from
                         their beginnings: init_from */
    RESTORE_MATCHING, /* --migrate: what matches by name and shape; the rest
                         keeps its initial value */
};

/*
 * model_restore fills a new model from tensors (borrowed until return). On
 * failure the model is unusable but for model_free. BADDATA names the first
 * tensor that is missing, surplus, of another shape or type, or not finite,
 * with both shapes. kept (may be NULL) counts the tensors that were used.
 */
must_check enum status model_restore(struct model *m,
                                     const struct tensor *tensors, size_t count,
                                     enum restore_mode mode, size_t *kept,
                                     struct error *err);

#endif

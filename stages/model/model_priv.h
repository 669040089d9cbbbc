/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_MODEL_PRIV_H
#define MODEL_MODEL_PRIV_H

#include "stages/model/gemm.h"
#include "stages/model/helpers.h"
#include "stages/model/lookup.h"
#include "stages/model/matrix.h"
#include "stages/model/model.h"
#include "stages/model/optimizer.h"
#include "stages/model/standardize.h"

#include "daemon/base/object.h"

/*
 * What the files of the model engine share. The widths: N inputs, H the
 * trunk's output, D the FM's, U = H + D what a head reads, L logits of the
 * serving heads, A those of the auxiliary heads behind them.
 *
 * A chunk of rows goes forth and back as a whole: so what it computes stays in
 * the second-level cache, and the addresses of the pages where its tables' rows
 * lie stay in the processor's list of them until those rows learn. Each helper
 * works through the chunks of its own fixed range of the batch, into its own
 * gradient.
 */

#define MODEL_MAGIC      0x3d7ae419U
#define CHUNK_ROWS       128
#define TABLE_TENSORS    12 /* most tensors that one table lists */
#define NONE             SIZE_MAX
#define CROSS_LAYERS_MAX 8

/*
 * The tensor list: every tensor beside the tables, in file order, made once by
 * tensors_list. Learned ones lie in m->parameters at offset, and their
 * gradient and optimizer state at the same offset of its own block.
 */
struct entry {
    struct tensor tensor;
    void *live;       /* its bytes in the model */
    size_t block;     /* floats: 0 parameters, 1 or 2 optimizer state */
    size_t offset;    /* floats: into the block */
    bool is_learned;  /* a parameter that the gradient changes */
    double bound;     /* learned: initially uniform in +-bound */
    size_t ones_from; /* learned: columns from here on begin at 1 */
    double fill;      /* not learned: its first value */
};

enum counter {
    COUNTER_STEPS,
    COUNTER_EXAMPLES,
    COUNTER_UPDATES, /* steps that were not skipped */
    COUNTER_CLOCK_MS,
    COUNTER_COUNT,
};

/* A NUMBER or VECTOR feature. */
struct numeric {
    const struct model_feature *feature;
    size_t offset;    /* in the inputs */
    size_t indicator; /* in the inputs, or NONE */
    size_t linear;    /* its weight (L, width [+ 1]) in parameters, or NONE */
    struct standardize stats;
};

struct dense_layer {
    size_t weight; /* in parameters */
    size_t bias;
    size_t rows;
    size_t columns;
    size_t packed; /* in packed */
};

struct task {
    const struct model_task *task;
    size_t width;                  /* K */
    size_t at;                     /* its first logit */
    size_t auxiliary;              /* its first auxiliary logit, or NONE */
    struct dense_layer adapter[2]; /* (H, I) and (K, H), if it has one */
    double *calibration;           /* (CALIBRATE_WIDTH), NULL: not calibrated */
    double *derivatives;           /* (CALIBRATE_STATE) */
};

/* What one task's losses are multiplied with in this step. */
struct task_plan {
    struct objective objective;
    double hard_scale; /* weight / rows of the batch that have an outcome */
    double soft_scale; /* of real rows, and of imagined ones, likewise */
    double imagined_scale;
    double adapter_scale; /* 1 / rows that have both */
};

/* What one of the team computes with, for a chunk (C rows). */
struct worker {
    float *gradient;                        /* (parameters) */
    struct matrix x[CROSS_LAYERS_MAX + 1];  /* (C, N) inputs, cross outputs;
                                               the first is no memory of its
                                               own but a view of inputs, or
                                               the trunk's beginning */
    struct matrix p[CROSS_LAYERS_MAX];      /* (C, N) of the cross layers */
    struct matrix hidden[MODEL_LAYERS_MAX]; /* (C, hidden) */
    struct matrix sum[MODEL_LAYERS_MAX];    /* (C, hidden) or no data */
    struct matrix trunk;                    /* (C, U) its end is hidden or x */
    struct matrix fm_sum;                   /* (C, D) */
    struct matrix dtrunk;                   /* (C, U) */
    struct matrix dhidden[MODEL_LAYERS_MAX];
    struct matrix dx0; /* (C, N) by the cross layers' products */
    struct matrix dp;  /* (C, N) */
    float *taught;     /* (2 K) the teacher's logits, corrected, and the
                          student's for an adapter that sees them */
    float *adapted;    /* (K) the adapter's */
    float *dadapted;   /* (K) */
    float *adapter;    /* (H) its hidden units */
    struct task_loss *losses;
    double objective;
    uint32_t largest; /* bits of the largest gradient of an input */
};

struct model {
    unsigned magic;
    struct model_spec spec; /* with its own features, tasks and names */
    struct model_feature *features;
    struct model_task *task_specs;
    char (*names)[MODEL_NAME_MAX];

    struct entry *entries;
    size_t entry_count;
    size_t entry_max;
    size_t float_count;   /* of parameters, with gaps for alignment */
    unsigned char *block; /* owns the floats below, and what workers and lookups
                           compute with */
    float *parameters;
    float *first;  /* optimizer state, or NULL */
    float *second; /* optimizer state, or NULL */
    double *stats; /* of all standardized features, and calibrations */
    float *scales;
    float *packed;  /* the dense layers' weights as products read them, */
    bool is_packed; /* unless they have changed since */
    int64_t counters[COUNTER_COUNT];

    struct lookup *lookups;
    size_t lookup_count;
    size_t *fm_offsets; /* (lookup_count) */
    struct numeric *numerics;
    size_t numeric_count;
    struct task *tasks;
    size_t task_count;
    size_t N, H, D, U, L, A;
    struct dense_layer cross[CROSS_LAYERS_MAX];
    struct dense_layer mlp[MODEL_LAYERS_MAX];
    struct dense_layer heads; /* (L + A, U), all heads stacked */

    struct helpers *helpers;
    struct worker *workers; /* (threads) */
    size_t chunk_rows;
    size_t G;               /* N, then L linear weights a table */
    float *inputs;          /* (batch_max, G) */
    float *inputs_gradient; /* (batch_max, N) or NULL: pass_gradient */
    float *logits;          /* (batch_max, L + A) */
    float *logits_gradient; /* (batch_max, L + A) */
    int64_t *times;         /* (batch_max) */
    int64_t clock_step_ms;

    /* of the running call */
    const struct columns *batch;
    struct task_plan *plans; /* (task_count) */
    struct pace dense_pace;
    struct pace table_pace;
    float dense_scale; /* by clipping */

    /* of the running snapshot */
    bool has_snapshot;
    unsigned char *kept; /* bytes of all entries, in order */
    size_t kept_bytes;
    struct tensor *listed;
    size_t listed_count;
    size_t *listed_from; /* (lookup_count + 1) first tensor of each table */
    size_t read_entry;
    uint64_t read_offset;
    size_t read_table;
};

/* spec_check says whether a model can be made of it. Thread: any. */
must_check enum status spec_check(const struct model_spec *spec,
                                  struct error *err);

/* tensors_list makes the list of entries and every offset into parameters.
 * Allocates: the list. */
must_check enum status tensors_list(struct model *m, struct error *err);

/* tensors_attach points the entries at their bytes and gives them their
 * initial values. Allocates: nothing. */
void tensors_attach(struct model *m);

/* adapter_inputs is the width of what a task's adapter sees, I. */
size_t adapter_inputs(const struct task *t);

/*
 * pass_pack packs the weights of all layers for products (gemm.h) and returns
 * the floats that they take; while there is no m->packed it does no more than
 * to give them their places. Thread: the owner, while no helper runs.
 */
size_t pass_pack(struct model *m);

/*
 * pass_gradient views the gradient of the inputs of rows [first, first + n) of
 * the batch (n, N). Where the first layer that goes back is the last to read
 * the inputs, it takes their place and so half of the memory.
 */
struct matrix pass_gradient(const struct model *m, size_t first, size_t n);

/*
 * pass_forward computes the logits of rows [first, first + n) of the batch
 * into m->logits; n <= chunk_rows. Reads what lookup_find or lookup_see left.
 */
void pass_forward(struct model *m, struct worker *w, size_t first, size_t n);

/*
 * pass_backward goes back from m->logits_gradient of the same rows, right
 * after pass_forward: adds to w->gradient, writes pass_gradient's. Scales
 * the auxiliary part of m->logits_gradient by gradient_scale.
 */
void pass_backward(struct model *m, struct worker *w, size_t first, size_t n);

#endif

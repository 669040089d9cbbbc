/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_COLUMNS_H
#define MODEL_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

/*
 * A mini-batch as columns: what the decoder fills and the models read. One
 * column a feature in the order of the configuration, one outcome column a
 * task. B below is row_count. Whoever made the columns owns all their memory;
 * the models only borrow it. A model names the columns that it sees, so
 * teacher and student can see different features of the same batch.
 *
 * The last imagined_count rows are *imagined*: pairs that never happened, made
 * of two events, with a teacher's answer and no outcome. Behind all real rows,
 * so that whoever wants none of them takes a copy of the struct with a smaller
 * row_count and imagined_count 0. They are no examples: no model counts their
 * ids as seen, no curve judges them.
 */

enum feature_kind {
    FEATURE_CATEGORICAL, /* one id a row */
    FEATURE_BAG,         /* any number of ids a row */
    FEATURE_NUMBER,      /* one number a row */
    FEATURE_VECTOR,      /* width numbers a row */
};

enum task_kind {
    TASK_BINARY,     /* outcome 0 or 1, one logit */
    TASK_CLASS,      /* outcome 0..K-1, K logits */
    TASK_REGRESSION, /* outcome any finite number, one "logit", the value */
};

/* The id of a missing value, and the table row that missing and unknown ids
 * share. */
#define ID_MISSING 0u

struct column {
    enum feature_kind kind;
    size_t width;      /* VECTOR: numbers a row; otherwise 1 */
    size_t ids_max;    /* BAG: most ids a row; otherwise 1 */
    uint64_t *ids;     /* CATEGORICAL (B); BAG (offsets[B]) */
    uint32_t *offsets; /* BAG (B + 1): row r is ids[offsets[r]..offsets[r+1]) */
    float *values;     /* NUMBER (B), VECTOR (B, width); 0 where missing */
    uint8_t *present;  /* NUMBER, VECTOR (B): 0 where the value is missing */
};

struct outcome_column {
    enum task_kind kind;
    size_t width;         /* logits a row: K for CLASS, otherwise 1 */
    float *outcome;       /* (B) see enum task_kind */
    uint8_t *has_outcome; /* (B) 0 masks the hard loss of this row */
    float *teacher;       /* (B, width) the teacher's raw logits */
    uint8_t *has_teacher; /* (B) 0 masks the soft loss of this row */
};

struct columns {
    size_t row_count;      /* B */
    size_t imagined_count; /* of them, the last ones */
    size_t row_max;
    size_t feature_count;
    struct column *features;
    size_t task_count;
    struct outcome_column *tasks;
    float *weight;        /* (B) of the row in every loss, 1 by default */
    float *sample_rate;   /* (B) of negatives, (0, 1], on positives too */
    float *ask_weight;    /* (B) inverse of the probability with which the
                             teacher was asked, capped; 1: all were */
    int64_t *time_ms;     /* (B) event time, ms since 1970; 0 where unknown */
    uint64_t *teacher_id; /* (B) who answered, by name and version; 0: nobody,
                             or not known */
    const float *soft_weight; /* (B) of the row in soft losses alone, beside
                                 weight; NULL: 1 each */
};

/* columns_real is the number of rows that happened. */
static inline size_t
columns_real(const struct columns *c)
{
    return c->row_count - c->imagined_count;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_PROGRESS_H
#define STAGES_PROGRESS_H

#include "stages/batch.h"
#include "stages/label_age.h"
#include "stages/model/contest.h"
#include "stages/model/curve.h"

#include "daemon/base/bytes.h"
#include "daemon/base/error.h"

/*
 * Where a model that learns stands: the part of a checkpoint that says how far
 * the logs were read and how good the model was on the way. Holds no wall
 * clock, so that the same input gives the same bytes.
 */
struct progress {
    uint64_t examples; /* learned from */
    uint64_t batches;
    uint64_t skipped_steps; /* not finite */
    uint64_t discarded;     /* examples undone by going back */
    uint64_t skips_in_row;  /* steps skipped at last, one after another */
    uint64_t went_back_at;  /* examples when the model last went back; 0 */
    uint32_t pass;
    uint32_t generation; /* labels.generation, of a teacher in line */
    bool is_end;         /* the input ended here */
    int64_t first_ms;    /* event time window, 0: none known */
    int64_t last_ms;
    struct label_ages ages;    /* of a trainer that minds them */
    struct contest contest;    /* of the trainer's arms */
    struct positions position; /* behind the last example */
    struct watermarks seen;
    struct log_identity input;  /* the log of position */
    struct log_identity source; /* the log of seen */
};

/* progress_add counts a batch as learned. */
void progress_add(struct progress *p, const struct batch *b);

/* progress_encode writes one line of JSON and, unless NULL, the curve. */
must_check enum status progress_encode(const struct progress *p,
                                       const struct curve *curve,
                                       struct bytes *out, struct error *err);

/* progress_decode reads what progress_encode wrote; *curve is NULL when there
 * was none. BADDATA. */
must_check enum status progress_decode(struct progress *p, struct curve **curve,
                                       const void *data, size_t len,
                                       struct error *err);

/*
 * progress_lineage writes the manifest's "data" and "training" objects
 * (malloc's): offsets read, event time window, examples, passes, seconds of
 * this process.
 */
must_check enum status progress_lineage(const struct progress *p,
                                        const char *log, double seconds,
                                        char **data, char **training,
                                        struct error *err);

#endif

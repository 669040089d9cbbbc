/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_ASK_H
#define ANNOTATE_ASK_H

#include "stages/batch.h"

#include "daemon/base/bytes.h"

#include <stdbool.h>

/*
 * One question to one teacher: what it says about the wanted rows of a batch.
 * The answers lie in the ask, not in the batch, so that several teachers can
 * be asked about one batch at a time. Row numbers are the batch's.
 *
 * Whoever has been given an ask reads its batch, writes its answers, and is
 * alone with it until it gives it back (stages/annotate/teacher.h). A wanted
 * row that is left as it is has no answer; error says why, and OK says that
 * the teacher has nothing to say about it.
 */

#define ASK_VERSIONS_MAX 15

enum answer {
    ANSWER_NONE,     /* none, or none yet */
    ANSWER_GIVEN,    /* its logits and its version are here */
    ANSWER_REJECTED, /* there never will be one: it becomes a dead letter */
};

struct ask {
    const struct batch *batch; /* columns, rows and raw bytes: read only */
    uint8_t *wanted;           /* (rows) 0: not asked about */
    size_t wanted_count;
    size_t row_max;
    size_t width;     /* logits a row: of all tasks, side by side in order */
    float *logits;    /* (rows, width) raw; NAN: of this task there is none */
    uint8_t *answers; /* (rows) of enum answer */
    uint8_t *version_of; /* (rows) that answered: index of versions */
    char versions[ASK_VERSIONS_MAX][LABEL_VERSION_MAX + 1];
    size_t version_count;
    struct bytes reasons; /* of rejected rows, each with a NUL */
    uint32_t *reason_at;  /* (rows) */
    struct error error;   /* what went wrong, or OK */
    uint64_t began_ns;    /* of clock_now_ns */
    uint64_t work_ns;     /* that the answers took */
    bool is_under_way;
    bool is_canceled;
    bool was_asked; /* in this round of its hearing */
    void *own;      /* an asynchronous teacher's while it has the ask */

    /* Takes the ask back. Thread: loop. */
    void (*done)(void *ctx, struct ask *ask);
    void *ctx;
};

/* ask_init makes room for row_max rows of width logits. NOMEM; ask_fini frees
 * it, also after that. */
must_check enum status ask_init(struct ask *a, size_t row_max, size_t width,
                                struct error *err);
void ask_fini(struct ask *a);

/* ask_begin begins a question about b: no row is wanted, none answered. */
void ask_begin(struct ask *a, const struct batch *b);

/* ask_want adds a row to those asked about. */
void ask_want(struct ask *a, size_t row);

/*
 * ask_version finds or adds a version that answers, of which there are at most
 * ASK_VERSIONS_MAX. TOOBIG: one too many, or longer than LABEL_VERSION_MAX
 * bytes. MALFORMED: no UTF-8 text. Thread: who has the ask. Allocates: nothing.
 */
must_check enum status ask_version(struct ask *a, const char *version,
                                   size_t *index, struct error *err);

/* ask_give answers a wanted row: lends its logits (width), all NAN, to be
 * written. A row may be answered again. Thread: who has the ask. */
float *ask_give(struct ask *a, size_t row, size_t version);

/* ask_reject says that a wanted row is no question at all, with the reason for
 * a person, cut at ERROR_TEXT_MAX. Thread: who has the ask. Allocates: at
 * most. When there is no memory, error says so and the row stays open. */
void ask_reject(struct ask *a, size_t row, const char *reason);

/* ask_reason lends the reason of a rejected row. */
const char *ask_reason(const struct ask *a, size_t row);

#endif

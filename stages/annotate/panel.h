/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_PANEL_H
#define ANNOTATE_PANEL_H

#include "stages/annotate/blend.h"
#include "stages/annotate/teacher.h"

/*
 * The teachers of a role. A hearing is what they have to say about one batch:
 * which of them is asked about which rows, and what their answers make
 * together, is decided here. Hearings go on beside each other and end in any
 * order. Thread: loop, all of it.
 */
struct panel;

struct hearing {
    struct panel *panel;
    struct batch *batch; /* keeps a borrow from panel_hear to on_heard */
    struct ask *asks;    /* (teachers) */
    struct blend blend;
    uint8_t *targets;      /* (rows) seats to ask in this round, one bit each */
    uint8_t *next_targets; /* (rows) and in the next one */
    size_t open;           /* asks under way */
    uint64_t round_ns;     /* that the slowest of them took */
    bool is_under_way;
    bool is_canceled;
    struct error error; /* why there are no answers, or OK */
};

struct panel_spec {
    size_t hearings_max;                    /* at a time */
    const struct teacher_ops *const *kinds; /* by enum teacher_kind */
    /* A hearing has ended: the batch has its answers, or h->error says why
     * not. May come from inside of panel_hear. */
    void (*on_heard)(void *ctx, struct hearing *h);
    /* After panel_stop, once. *err: what the teachers said at their end. */
    void (*on_stopped)(void *ctx, const struct error *err);
    void *ctx;
};

/* panel_open opens all teachers; borrows *spec until return and keeps ctx. */
must_check enum status panel_open(struct panel **out, struct pipeline *p,
                                  const struct panel_spec *spec,
                                  struct error *err);

/* panel_hearing_init makes a hearing for batches of row_max rows; NOMEM.
 * panel_hearing_fini frees it, also after that. */
must_check enum status panel_hearing_init(struct panel *panel,
                                          struct hearing *h, size_t row_max,
                                          struct error *err);
void panel_hearing_fini(struct panel *panel, struct hearing *h);

/* panel_hear begins a hearing about b, whose columns, answered_by, is_rejected
 * and dead letters are written when it ends. */
void panel_hear(struct panel *panel, struct hearing *h, struct batch *b);

/* panel_stop ends the teachers when the last hearing has ended; nothing is
 * heard any more. Later calls do nothing. */
void panel_stop(struct panel *panel);

/* panel_refresh lets teachers look whether there is anything newer. */
void panel_refresh(struct panel *panel);

/* panel_report adds what keeps teachers from answering to *r. */
void panel_report(const struct panel *panel, struct role_report *r);

/* panel_free frees *self and sets it NULL; NULL is fine. After on_stopped, or
 * when nothing was ever heard. */
void panel_free(struct panel **self);

#endif

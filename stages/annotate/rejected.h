/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_REJECTED_H
#define ANNOTATE_REJECTED_H

#include "stages/pipeline.h"

/*
 * reject_row makes a row of b a dead letter with its event, key and headers as
 * they came; it gets no label. NOMEM, TOOBIG. Thread: loop.
 */
must_check enum status reject_row(struct pipeline *p, struct batch *b,
                                  size_t row, const char *reason,
                                  struct error *err);

#endif

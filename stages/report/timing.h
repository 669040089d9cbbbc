/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPORT_TIMING_H
#define REPORT_TIMING_H

#include "stages/model/model.h"

#include "daemon/base/error.h"

/*
 * timing_measure says how long model_predict takes, in microseconds per event,
 * when the rows come in batches of batch_rows: the median of passes over whole
 * batches of the columns, after one that warms up, for about budget_s seconds
 * and 5 passes at least. *us is NAN when the columns have not even one batch.
 *
 * columns borrowed until return, and not changed; 1 row to a few thousand
 *
 * NOMEM. Thread: the model's. Allocates: views of the batches, freed before it
 * returns.
 */
must_check enum status timing_measure(struct model *m,
                                      const struct columns *columns,
                                      size_t batch_rows, double budget_s,
                                      double *us, struct error *err);

#endif

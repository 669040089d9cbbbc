/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMIT_LABELS_BATCH_H
#define EMIT_LABELS_BATCH_H

#include "daemon/base/error.h"
#include "daemon/io/log_file.h"

/*
 * labels_batch_start finds the event that began the batch in which the last
 * label of a log was made: labels of the generation, counted from its first
 * one in batches of batch_rows. To go on from there cuts the same batches as
 * if nothing had happened; that matters because a matrix product may round a
 * row differently among other rows. *start is unchanged where the log has no
 * label of the generation. Reads the whole log; blocks. BADDATA.
 */
must_check enum status
labels_batch_start(const char *path, size_t record_bytes_max, size_t batch_rows,
                   uint32_t generation, struct log_position *start,
                   struct error *err);

#endif

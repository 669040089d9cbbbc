/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_TENSOR_ROWS_H
#define ANNOTATE_TENSOR_ROWS_H

#include "stages/annotate/tensor_map.h"
#include "stages/batch.h"

/*
 * The inputs of a batch's rows, packed as the binary form has them, so that a
 * request about any of the rows is written from here, however often.
 *
 * A value that cannot be one of the datatype (missing, null, of another type,
 * out of range, a fraction for an integer) is the input's default; so is what
 * lacks to its width, and what is more is left off. Numbers and true and false
 * become text as they stand; digits in quotes are integers.
 */
struct tensor_rows;

/* tensor_source prepares to read events of at most record_bytes_max for a map,
 * of which it keeps a borrow; shared by rows of one thread. NOMEM. */
struct tensor_source;
must_check enum status tensor_source_new(struct tensor_source **out,
                                         const struct tensor_map *map,
                                         size_t record_bytes_max,
                                         struct error *err);
void tensor_source_free(struct tensor_source **self);

/* tensor_rows_new makes room for row_max rows; keeps a borrow of source. NOMEM.
 */
must_check enum status tensor_rows_new(struct tensor_rows **out,
                                       struct tensor_source *source,
                                       size_t row_max, struct error *err);
void tensor_rows_free(struct tensor_rows **self);

/* tensor_rows_clear forgets all rows and keeps the memory. */
void tensor_rows_clear(struct tensor_rows *t);

/* tensor_rows_add reads a row of b, once. NOMEM; MALFORMED for bytes that no
 * decoder has accepted. Allocates: nothing once it has seen its largest use. */
must_check enum status tensor_rows_add(struct tensor_rows *t,
                                       const struct batch *b, size_t row,
                                       struct error *err);

/* tensor_rows_cells lends the packed elements of a row that was added, until
 * the next call of add or clear. */
const char *tensor_rows_cells(const struct tensor_rows *t, size_t row,
                              size_t input, size_t *bytes);

#endif

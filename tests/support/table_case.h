/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPPORT_TABLE_CASE_H
#define SUPPORT_TABLE_CASE_H

#include "stages/model/table.h"

/*
 * Tables by row number, as tests want them.
 */

/* table_case_see is all three touches of table_see for n ids, in order. */
void table_case_see(struct table *t, const uint64_t *ids, size_t n,
                    int64_t now_s, uint32_t *rows);

/* table_case_find is the same for table_find. */
void table_case_find(const struct table *t, const uint64_t *ids, size_t n,
                     uint32_t *rows);

/* table_case_row lends a row's payload; to be changed, it must just have been
 * seen. */
float *table_case_row(const struct table *t, uint32_t row);

#endif

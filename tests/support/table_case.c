/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/table_case.h"

#include "stages/model/table_priv.h"

enum { PIECE = 50 };

static size_t
aim(const struct table *t, const uint64_t *ids, size_t n,
    struct table_probe *probes)
{
    n = n < PIECE ? n : PIECE;
    table_ask(t, ids, n, probes);
    table_aim(t, probes, n, true);
    return n;
}

void
table_case_see(struct table *t, const uint64_t *ids, size_t n, int64_t now_s,
               uint32_t *rows)
{
    struct table_probe probes[PIECE];

    for (size_t at = 0; at < n; at += PIECE) {
        size_t count = aim(t, ids + at, n - at, probes);

        table_see(t, probes, count, now_s, NULL);
        for (size_t i = 0; i < count; i++)
            rows[at + i] = probes[i].row;
    }
}

void
table_case_find(const struct table *t, const uint64_t *ids, size_t n,
                uint32_t *rows)
{
    struct table_probe probes[PIECE];

    for (size_t at = 0; at < n; at += PIECE) {
        size_t count = aim(t, ids + at, n - at, probes);

        table_find(t, probes, count, NULL);
        for (size_t i = 0; i < count; i++)
            rows[at + i] = probes[i].row;
    }
}

float *
table_case_row(const struct table *t, uint32_t row)
{
    return table_store_payload(&t->rows, row);
}

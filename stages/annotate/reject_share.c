/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sums that fade together.
 */
#include "stages/annotate/reject_share.h"

#include <assert.h>

void
reject_share_init(struct reject_share *r, double share_max)
{
    *r = (struct reject_share){.share_max = share_max};
}

bool
reject_share_add(struct reject_share *r, size_t rows, size_t rejected)
{
    double of;

    assert(rejected <= rows);
    if (r->is_outage && (double)rejected <= r->share_max * (double)rows)
        reject_share_init(r, r->share_max);
    r->rows += (double)rows;
    r->rejected += (double)rejected;
    if (r->rows > REJECT_SHARE_ROWS) {
        r->rejected *= REJECT_SHARE_ROWS / r->rows;
        r->rows = REJECT_SHARE_ROWS;
    }
    of = r->rows > REJECT_SHARE_ROWS_MIN ? r->rows : REJECT_SHARE_ROWS_MIN;
    r->is_outage = r->rejected > r->share_max * of;
    return !r->is_outage;
}

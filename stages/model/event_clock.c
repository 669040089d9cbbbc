/* SPDX-License-Identifier: Apache-2.0 */
/* The clock of event time. */
#include "stages/model/event_clock.h"

#include <assert.h>

static void
swap(int64_t *a, int64_t *b)
{
    int64_t kept = *a;

    *a = *b;
    *b = kept;
}

/* Hoare's selection: the k-th smallest of v[n], in any order given. */
static int64_t
select_kth(int64_t *v, size_t n, size_t k)
{
    size_t low = 0;
    size_t high = n - 1;

    while (low < high) {
        int64_t pivot = v[low + (high - low) / 2];
        size_t i = low;
        size_t j = high;

        for (;;) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i >= j)
                break;
            swap(&v[i], &v[j]);
            i++;
            j--;
        }
        if (k <= j)
            high = j;
        else
            low = j + 1;
    }
    return v[low];
}

int64_t
event_clock_advance(int64_t clock_ms, const int64_t *times_ms, size_t n,
                    int64_t *scratch, int64_t step_max)
{
    size_t count = 0;
    int64_t earliest = INT64_MAX;
    int64_t median;

    assert(step_max > 0);
    for (size_t i = 0; i < n; i++) {
        if (times_ms[i] <= 0)
            continue;
        earliest = times_ms[i] < earliest ? times_ms[i] : earliest;
        scratch[count++] = times_ms[i];
    }
    if (count == 0)
        return clock_ms;
    if (clock_ms == 0)
        return earliest;
    median = select_kth(scratch, count, (count - 1) / 2);
    if (median <= clock_ms)
        return clock_ms;
    return median - clock_ms > step_max ? clock_ms + step_max : median;
}

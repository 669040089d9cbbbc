/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_PREFETCH_H
#define BASE_PREFETCH_H

#include <stddef.h>

/*
 * Asks for memory that is going to be read or written soon, at random places.
 * It goes to the second-level cache: the first has room for a few requests
 * under way only, and who asks for more stands still.
 */

#define PREFETCH_LINE ((size_t)64)
#define PREFETCH_MAX  ((size_t)512) /* bytes, of what prefetch_bytes takes */

/* prefetch asks for the line that an address is in. */
static inline void
prefetch(const void *at)
{
    __builtin_prefetch(at, 0, 2);
    /* Or GCC holds a function that does nothing else for one that does
     * nothing, and leaves its calls out. */
    __asm__ volatile("");
}

/* prefetch_bytes asks for the first lines of bytes (not 0). */
static inline void
prefetch_bytes(const void *at, size_t bytes)
{
    const char *first = at;
    size_t n = bytes < PREFETCH_MAX ? bytes : PREFETCH_MAX;

    prefetch(first);
    for (size_t i = PREFETCH_LINE; i < n - 1; i += PREFETCH_LINE)
        prefetch(first + i);
    prefetch(first + n - 1);
}

#endif

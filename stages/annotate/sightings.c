/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A count-min sketch.
 */
#include "stages/annotate/sightings.h"

#include "stages/annotate/draw.h"

#include "daemon/base/object.h"

#include <stdlib.h>

#define SIGHTINGS_MAGIC 0x53494748u
#define ROWS            4
#define BITS            19

struct sightings {
    unsigned magic;
    uint32_t counts[ROWS][1u << BITS];
};

enum status
sightings_new(struct sightings **out, struct error *err)
{
    struct sightings *s = calloc(1, sizeof(*s));

    *out = NULL;
    if (s == NULL)
        return error_set(err, STATUS_NOMEM, "no memory to count sightings");
    s->magic = SIGHTINGS_MAGIC;
    *out = s;
    return STATUS_OK;
}

void
sightings_free(struct sightings **self)
{
    struct sightings *s;

    if (*self == NULL)
        return;
    OBJ_TAKE(s, self, SIGHTINGS_MAGIC);
    s->magic = 0;
    free(s);
}

uint32_t
sightings_add(struct sightings *s, uint64_t id)
{
    uint32_t least = UINT32_MAX;

    OBJ_CHECK(s, SIGHTINGS_MAGIC);
    for (uint64_t row = 0; row < ROWS; row++) {
        uint64_t at = draw_mix(id ^ (row + 1) << 56) >> (64 - BITS);
        uint32_t *count = &s->counts[row][at];

        least = *count < least ? *count : least;
        *count += *count < UINT32_MAX;
    }
    return least;
}

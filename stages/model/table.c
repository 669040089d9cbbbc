/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedding table: sightings, admission, expiry and initial rows, over two
 * stores, one of rows and one of candidates.
 */
#include "stages/model/table_priv.h"

#include "daemon/base/object.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RING           32u   /* ids under way at once */
#define EXPIRY_ROWS    1024u /* looked at in one call */
#define CANDIDATES_MIN 1024u

static uint64_t
mix_bits(uint64_t x)
{
    /* The output function of SplitMix64 (Steele, Lea and Flood 2014). */
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t
mix_name(uint64_t seed, const char *name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (; *name != '\0'; name++)
        h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return mix_bits(seed + mix_bits(h));
}

static uint64_t
sum_quarters(uint64_t x)
{
    const uint64_t even = UINT64_C(0x0000ffff0000ffff);
    uint64_t sum = (x & even) + (x >> 16 & even);

    return (sum & UINT32_MAX) + (sum >> 32);
}

/*
 * A normal deviate as the sum of eight uniform 16-bit integers, less their
 * mean, over their deviation: exact but for one rounding, so it is the same on
 * every machine. It ends at 4.9 deviations and its kurtosis is 2.85 instead
 * of 3, which no initial weight cares about.
 */
static float
draw_normal(uint64_t key, uint64_t i)
{
    const uint64_t step = UINT64_C(0x9e3779b97f4a7c15);
    const double mean = 4.0 * 65535.0;
    const double deviation = 53509.92; /* sqrt(8 (2^32 - 1) / 12) */
    uint64_t sum = sum_quarters(mix_bits(key + (2 * i + 1) * step)) +
                   sum_quarters(mix_bits(key + (2 * i + 2) * step));

    return (float)(((double)sum - mean) / deviation);
}

void
table_fill_state(struct table *t, uint32_t row)
{
    float *state = table_store_payload(&t->rows, row) + t->spec.width;

    for (size_t i = 0; i < t->spec.state_width; i++)
        state[i] = t->spec.state_initial;
}

static void
fill_row(struct table *t, uint32_t row, uint64_t id)
{
    float *w = table_store_payload(&t->rows, row);
    uint64_t key = mix_bits(t->seed ^ mix_bits(id));

    for (size_t i = 0; i < t->spec.embedding_width; i++)
        w[i] = t->spec.deviation * draw_normal(key, i);
    for (size_t i = t->spec.embedding_width; i < t->spec.width; i++)
        w[i] = 0.0f;
    table_fill_state(t, row);
}

/* Rows keep seconds in 32 bits: 1970 to 2106; 0 is unknown. */
static uint32_t
cut_time(int64_t now_s)
{
    if (now_s <= 0)
        return 0;
    return now_s > (int64_t)UINT32_MAX ? UINT32_MAX : (uint32_t)now_s;
}

static uint32_t
add_sighting(uint32_t sightings)
{
    return sightings == UINT32_MAX ? sightings : sightings + 1;
}

static void
count_sighting(struct table_store *s, uint32_t row, uint32_t now)
{
    struct row_meta *m;

    table_store_keep(s, row);
    m = table_store_meta(s, row);
    m->sightings = add_sighting(m->sightings);
    if (m->last_seen < now)
        m->last_seen = now;
}

/* Gives an id its row, taking over from its candidate (0: it has none). */
static uint32_t
admit_id(struct table *t, uint64_t id, uint32_t candidate, uint32_t now)
{
    uint32_t row = table_store_take(&t->rows, id);
    uint32_t before = 0;
    struct row_meta *m;

    if (row == 0)
        return 0;
    fill_row(t, row, id);
    if (candidate != 0) {
        before = table_store_meta(&t->candidates, candidate)->sightings;
        table_store_drop(&t->candidates, candidate);
    }
    m = table_store_meta(&t->rows, row);
    m->sightings = add_sighting(before);
    m->last_seen = now;
    return row;
}

/* A sighting of an id that may have no row: counts it, admits it when due. */
static uint32_t
see_unknown(struct table *t, uint64_t id, uint64_t hash, uint32_t now)
{
    uint32_t sightings = 1;
    uint32_t candidate = 0;
    uint32_t row;

    if (id == ID_MISSING)
        return 0;
    row = table_store_find(&t->rows, hash, id);
    if (row != 0) {
        count_sighting(&t->rows, row, now);
        return row;
    }
    if (table_store_rows(&t->candidates) > 0)
        candidate = table_store_find(&t->candidates, hash, id);
    if (candidate != 0) {
        const struct row_meta *m = table_store_meta(&t->candidates, candidate);

        sightings = add_sighting(m->sightings);
    }
    if (sightings >= t->spec.admit_after) {
        row = admit_id(t, id, candidate, now);
        t->refused += row == 0;
    } else if (candidate == 0) {
        candidate = table_store_take(&t->candidates, id);
        t->refused += candidate == 0;
    }
    if (row == 0 && candidate != 0)
        count_sighting(&t->candidates, candidate, now);
    return row;
}

/* The second touch of an id, which asks for a candidate where it has no row. */
static uint32_t
guess_row(const struct table *t, uint64_t hash)
{
    uint32_t row = table_store_guess(&t->rows, hash);

    if (row == 0 && t->spec.admit_after > 1)
        table_index_prefetch(&t->candidates.index, hash);
    return row;
}

/* The third touch of an id: its row's meta and payload have been asked for. */
static uint32_t
see_one(struct table *t, uint64_t id, uint64_t hash, uint32_t guess,
        uint32_t now)
{
    /* Row 0 has id 0, so a missing id must not pass for its row. */
    if (guess == 0 || table_store_meta(&t->rows, guess)->id != id)
        return see_unknown(t, id, hash, now);
    count_sighting(&t->rows, guess, now);
    return guess;
}

static uint32_t
find_one(const struct table *t, uint64_t id, uint64_t hash, uint32_t guess)
{
    if (guess == 0 || table_store_meta(&t->rows, guess)->id == id)
        return guess;
    return table_store_find(&t->rows, hash, id);
}

/* Looks at the next rows of a store; gives the number of rows freed. */
static uint64_t
expire_rows(struct table *t, struct table_store *s, uint32_t now)
{
    uint32_t row = s->at.expiry < s->at.used ? s->at.expiry : 1;
    uint32_t end =
        s->at.used - row < EXPIRY_ROWS ? s->at.used : row + EXPIRY_ROWS;
    uint64_t freed = 0;

    for (; row < end; row++) {
        struct row_meta *m = table_store_meta(s, row);

        if (m->id == 0)
            continue;
        if (m->last_seen == 0) {
            /* Never seen at a known time: its time begins now. */
            table_store_keep(s, row);
            m->last_seen = now;
        } else if (m->last_seen < now &&
                   now - m->last_seen > t->spec.expire_after_s) {
            table_store_drop(s, row);
            freed++;
        }
    }
    s->at.expiry = end;
    return freed;
}

static enum status
check_spec(const struct table_spec *spec, struct error *err)
{
    if (strlen(spec->name) >= MODEL_NAME_MAX || spec->name[0] == '\0')
        return error_set(err, STATUS_CONFIG,
                         "table \"%s\": a name has 1 to %d bytes", spec->name,
                         MODEL_NAME_MAX - 1);
    if (spec->width == 0 || spec->embedding_width > spec->width ||
        spec->width > UINT16_MAX || spec->state_width > 2 * (size_t)UINT16_MAX)
        return error_set(err, STATUS_CONFIG,
                         "table %s: %zu floats wide, %zu of them embedding, "
                         "and %zu of state make no row",
                         spec->name, spec->width, spec->embedding_width,
                         spec->state_width);
    if (spec->rows_max == 0 || spec->rows_max >= UINT32_MAX)
        return error_set(
            err, STATUS_CONFIG, "table %s: rows_max is %llu, expected 1 to %u",
            spec->name, (unsigned long long)spec->rows_max, UINT32_MAX - 1);
    if (!isfinite(spec->deviation) || !isfinite(spec->state_initial))
        return error_set(err, STATUS_CONFIG,
                         "table %s: initial values must be finite", spec->name);
    return STATUS_OK;
}

enum status
table_new(struct table **out, const struct table_spec *spec, struct error *err)
{
    struct table *t = NULL;
    uint32_t row_max;
    uint32_t candidate_max;
    enum status st;

    assert(out != NULL && spec != NULL && err != NULL);
    *out = NULL;
    st = check_spec(spec, err);
    if (st != STATUS_OK)
        return st;
    row_max = (uint32_t)spec->rows_max;
    candidate_max = row_max < CANDIDATES_MIN ? CANDIDATES_MIN : row_max;
    t = calloc(1, sizeof(*t));
    if (t == NULL)
        goto nomem;
    t->magic = TABLE_MAGIC;
    t->spec = *spec;
    memcpy(t->name, spec->name, strlen(spec->name) + 1);
    t->spec.name = t->name;
    t->seed = mix_name(spec->seed, spec->name);
    if (!table_store_init(&t->rows, row_max,
                          (spec->width + spec->state_width) * sizeof(float)))
        goto nomem;
    if (!table_store_init(&t->candidates, candidate_max, 0))
        goto nomem;
    t->rows.look_bytes = spec->width * sizeof(float);
    if (t->rows.look_bytes > TABLE_LOOK_BYTES)
        t->rows.look_bytes = TABLE_LOOK_BYTES;
    memset(table_store_payload(&t->rows, 0), 0, spec->width * sizeof(float));
    table_fill_state(t, 0);
    *out = t;
    return STATUS_OK;

nomem:
    table_free(&t);
    return error_set(err, STATUS_NOMEM, "table %s: no memory for %llu rows",
                     spec->name, (unsigned long long)spec->rows_max);
}

void
table_free(struct table **self)
{
    struct table *t;

    if (self == NULL || *self == NULL)
        return;
    OBJ_TAKE(t, self, TABLE_MAGIC);
    table_snapshot_end(t);
    table_store_fini(&t->candidates);
    table_store_fini(&t->rows);
    t->magic = 0;
    free(t);
}

/*
 * Each id is touched three times, RING / 2 ids apart, and each touch asks the
 * caches for what the next one reads: its slot, then its row. So the misses of
 * many ids overlap, and no touch waits for the one before.
 */
void
table_find(const struct table *t, const uint64_t *ids, size_t n, uint32_t *rows)
{
    uint64_t hashes[RING];

    OBJ_CHECK(t, TABLE_MAGIC);
    for (size_t i = 0; i < n + RING; i++) {
        if (i >= RING)
            rows[i - RING] =
                find_one(t, ids[i - RING], hashes[i % RING], rows[i - RING]);
        if (i < n)
            hashes[i % RING] = table_store_ask(&t->rows, ids[i]);
        if (i >= RING / 2 && i - RING / 2 < n)
            rows[i - RING / 2] =
                table_store_guess(&t->rows, hashes[(i - RING / 2) % RING]);
    }
}

void
table_ask_slots(const struct table *t, const uint64_t *ids, size_t n)
{
    OBJ_CHECK(t, TABLE_MAGIC);
    for (size_t i = 0; i < n; i++)
        (void)table_store_ask(&t->rows, ids[i]);
}

void
table_ask_rows(const struct table *t, const uint64_t *ids, size_t n)
{
    OBJ_CHECK(t, TABLE_MAGIC);
    for (size_t i = 0; i < n; i++)
        (void)table_store_guess(&t->rows, table_hash(ids[i]));
}

void
table_see(struct table *t, const uint64_t *ids, size_t n, int64_t now_s,
          uint32_t *rows)
{
    uint32_t now = cut_time(now_s);
    uint64_t hashes[RING];

    OBJ_CHECK(t, TABLE_MAGIC);
    for (size_t i = 0; i < n + RING; i++) {
        if (i >= RING)
            rows[i - RING] = see_one(t, ids[i - RING], hashes[i % RING],
                                     rows[i - RING], now);
        if (i < n)
            hashes[i % RING] = table_store_ask(&t->rows, ids[i]);
        if (i >= RING / 2 && i - RING / 2 < n)
            rows[i - RING / 2] = guess_row(t, hashes[(i - RING / 2) % RING]);
    }
}

const float *
table_row(const struct table *t, uint32_t row)
{
    assert(row < t->rows.at.used);
    return table_store_payload(&t->rows, row);
}

float *
table_change(struct table *t, uint32_t row)
{
    assert(row < t->rows.at.used);
    table_store_keep(&t->rows, row);
    return table_store_payload(&t->rows, row);
}

void
table_change_many(struct table *t, const uint32_t *rows, size_t n,
                  float **payloads)
{
    OBJ_CHECK(t, TABLE_MAGIC);
    for (size_t i = 0; i < n; i++) {
        payloads[i] = table_change(t, rows[i]);
        __builtin_prefetch(payloads[i], 1);
        __builtin_prefetch(payloads[i] + t->spec.width, 1);
    }
}

void
table_expire(struct table *t, int64_t now_s)
{
    uint32_t now = cut_time(now_s);

    OBJ_CHECK(t, TABLE_MAGIC);
    if (t->spec.expire_after_s == 0 || now == 0)
        return;
    t->expired += expire_rows(t, &t->rows, now);
    (void)expire_rows(t, &t->candidates, now);
}

uint64_t
table_rows(const struct table *t)
{
    OBJ_CHECK(t, TABLE_MAGIC);
    return table_store_rows(&t->rows);
}

void
table_count(const struct table *t, struct table_counters *out)
{
    OBJ_CHECK(t, TABLE_MAGIC);
    *out = (struct table_counters){
        .name = t->name,
        .rows = table_store_rows(&t->rows),
        .rows_max = t->spec.rows_max,
        .candidates = table_store_rows(&t->candidates),
        .refused = t->refused,
        .expired = t->expired,
        .bytes =
            table_store_bytes(&t->rows) + table_store_bytes(&t->candidates),
    };
}

static void
list_ids(const struct table_store *s, bool has_rows, model_id_fn fn, void *ctx)
{
    for (uint32_t row = 1; row < s->at.used; row++) {
        const struct row_meta *m = table_store_meta(s, row);

        if (m->id != 0)
            fn(ctx, m->id, has_rows ? row : 0, m->sightings, m->last_seen);
    }
}

void
table_ids(const struct table *t, model_id_fn fn, void *ctx)
{
    OBJ_CHECK(t, TABLE_MAGIC);
    list_ids(&t->rows, true, fn, ctx);
    list_ids(&t->candidates, false, fn, ctx);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedding table: sightings, admission, expiry and initial rows, over two
 * stores, one of rows and one of candidates.
 */
#include "stages/model/table_priv.h"

#include "daemon/base/hash.h"
#include "daemon/base/object.h"
#include "daemon/base/prefetch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EXPIRY_ROWS    1024u /* looked at in one call */
#define CANDIDATES_MIN 1024u
#define GUESSED        64u /* probes at a time */

static uint64_t
mix_name(uint64_t seed, const char *name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (; *name != '\0'; name++)
        h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash_mix(seed + hash_mix(h));
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
    uint64_t sum = sum_quarters(hash_mix(key + (2 * i + 1) * step)) +
                   sum_quarters(hash_mix(key + (2 * i + 2) * step));

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
    uint64_t key = hash_mix(t->seed ^ hash_mix(id));

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
add_one(uint32_t sightings)
{
    return sightings == UINT32_MAX ? sightings : sightings + 1;
}

static void
add_sighting(struct row_meta *m, uint32_t now)
{
    m->sightings = add_one(m->sightings);
    m->last_seen = m->last_seen < now ? now : m->last_seen;
}

static void
count_sighting(struct table_store *s, uint32_t row, uint32_t now)
{
    table_store_keep(s, row);
    add_sighting(table_store_meta(s, row), now);
}

static struct row_meta *
meta_of(const struct table_probe *p)
{
    return (struct row_meta *)p->payload - 1;
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
    m->sightings = add_one(before);
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

        sightings = add_one(m->sightings);
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
    t->look_bytes = sizeof(struct row_meta) + spec->width * sizeof(float);
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

/* All lines are found before any is asked for: a request that has to wait for
 * its page's address holds up all reads behind it. */
void
table_ask(const struct table *t, const uint64_t *ids, size_t n,
          struct table_probe *probes)
{
    OBJ_CHECK(t, TABLE_MAGIC);
    for (size_t i = 0; i < n; i++) {
        struct table_probe *p = &probes[i];

        p->id = ids[i];
        p->hash = table_hash(ids[i]);
        p->line = table_index_line(&t->rows.index, p->hash);
    }
    for (size_t i = 0; i < n; i++)
        prefetch(probes[i].line);
}

/*
 * Guesses the rows of n probes, GUESSED at most. Those that go on in the next
 * line (one in fifteen at a load of 0.75) wait for it together; a branch on
 * them would be guessed wrong each time.
 */
static void
guess_rows(const struct table *t, struct table_probe *probes, size_t n)
{
    uint8_t late[GUESSED];
    size_t late_count = 0;

    for (size_t i = 0; i < n; i++) {
        struct table_probe *p = &probes[i];
        bool is_decided;

        p->row = table_index_guess(p->line, p->hash, &is_decided);
        prefetch(p->line + (is_decided ? 0 : TABLE_LINE_SLOTS));
        late[late_count] = (uint8_t)i;
        late_count += !is_decided;
    }
    for (size_t i = 0; i < late_count; i++) {
        struct table_probe *p = &probes[late[i]];

        p->row = table_index_guess_on(&t->rows.index, p->hash);
    }
}

void
table_aim(const struct table *t, struct table_probe *probes, size_t n,
          bool learns_soon)
{
    size_t bytes = learns_soon ? t->rows.rows.item_bytes : t->look_bytes;

    OBJ_CHECK(t, TABLE_MAGIC);
    for (size_t i = 0; i < n; i += GUESSED)
        guess_rows(t, probes + i, n - i < GUESSED ? n - i : GUESSED);
    for (size_t i = 0; i < n; i++) {
        struct table_probe *p = &probes[i];

        p->payload = table_store_payload(&t->rows, p->row);
        prefetch_bytes(meta_of(p), bytes);
    }
    for (size_t i = 0; t->spec.admit_after > 1 && i < n; i++) {
        if (probes[i].row == 0)
            prefetch(table_index_line(&t->candidates.index, probes[i].hash));
    }
}

/* While the row is in the first-level cache, and its page's address at hand. */
static inline void
copy_row(const struct matrix *to, size_t i, const struct table_probe *p)
{
    if (to == NULL)
        return;
    if (to->columns == 16)
        memcpy(matrix_row(*to, i), p->payload, 16 * sizeof(float));
    else if (to->columns == 4)
        memcpy(matrix_row(*to, i), p->payload, 4 * sizeof(float));
    else
        memcpy(matrix_row(*to, i), p->payload, to->columns * sizeof(float));
}

void
table_find(const struct table *t, struct table_probe *probes, size_t n,
           const struct matrix *to)
{
    OBJ_CHECK(t, TABLE_MAGIC);
    for (size_t i = 0; i < n; i++) {
        struct table_probe *p = &probes[i];

        if (p->row != 0 && meta_of(p)->id != p->id) {
            p->row = table_store_find(&t->rows, p->hash, p->id);
            p->payload = table_store_payload(&t->rows, p->row);
        }
        copy_row(to, i, p);
    }
}

void
table_see(struct table *t, struct table_probe *probes, size_t n, int64_t now_s,
          const struct matrix *to)
{
    uint32_t now = cut_time(now_s);

    OBJ_CHECK(t, TABLE_MAGIC);
    for (size_t i = 0; i < n; i++) {
        struct table_probe *p = &probes[i];

        /* Row 0 has id 0, so a missing id must not pass for its row. */
        if (p->row != 0 && meta_of(p)->id == p->id) {
            table_store_keep(&t->rows, p->row);
            add_sighting(meta_of(p), now);
        } else {
            p->row = see_unknown(t, p->id, p->hash, now);
            p->payload = table_store_payload(&t->rows, p->row);
            table_store_keep(&t->rows, p->row);
        }
        copy_row(to, i, p);
    }
}

void
table_touch(struct table *t, struct table_probe *probes, size_t n,
            const struct matrix *to)
{
    OBJ_CHECK(t, TABLE_MAGIC);
    for (size_t i = 0; i < n; i++) {
        struct table_probe *p = &probes[i];

        if (p->row == 0 || meta_of(p)->id != p->id) {
            p->row = p->id == ID_MISSING
                         ? 0
                         : table_store_find(&t->rows, p->hash, p->id);
            p->payload = table_store_payload(&t->rows, p->row);
        }
        table_store_keep(&t->rows, p->row);
        copy_row(to, i, p);
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

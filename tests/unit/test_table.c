/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables: lookup, growth, admission, expiry, refusal, initial rows.
 */
#include "stages/model/table.h"
#include "stages/model/table_index.h"

#include "daemon/base/macros.h"

#include "tests/support/check.h"
#include "tests/support/table_case.h"

#include <stdlib.h>

#define ID_MAX ((UINT64_C(1) << 53) - 1)

static struct table_spec
make_spec(uint64_t rows_max)
{
    return (struct table_spec){
        .name = "user",
        .width = 5,
        .state_width = 3,
        .rows_max = rows_max,
        .admit_after = 1,
        .embedding_width = 4,
        .deviation = 0.5f,
        .state_initial = 0.25f,
        .seed = 7,
    };
}

static struct table *
make_table(const struct table_spec *spec)
{
    struct table *t = NULL;
    struct error err;

    if (table_new(&t, spec, &err) != STATUS_OK) {
        (void)printf("%s\n", err.text);
        abort();
    }
    return t;
}

static uint32_t
see_one(struct table *t, uint64_t id, int64_t now_s)
{
    uint32_t row;

    table_case_see(t, &id, 1, now_s, &row);
    return row;
}

static uint32_t
find_one(const struct table *t, uint64_t id)
{
    uint32_t row;

    table_case_find(t, &id, 1, &row);
    return row;
}

static struct table_counters
count_table(const struct table *t)
{
    struct table_counters out;

    table_count(t, &out);
    return out;
}

static void
test_table_missing_and_unknown_ids_use_row_0(void)
{
    struct table_spec spec = make_spec(10);
    struct table *t = make_table(&spec);

    CHECK_INT(see_one(t, ID_MISSING, 5), 0);
    CHECK_INT(find_one(t, ID_MISSING), 0);
    CHECK_INT(find_one(t, 42), 0);
    CHECK_INT(table_rows(t), 0);
    for (size_t i = 0; i < 5; i++)
        CHECK_NEAR(table_case_row(t, 0)[i], 0.0, 0.0);
    for (size_t i = 0; i < 3; i++)
        CHECK_NEAR(table_case_row(t, 0)[5 + i], 0.25, 0.0);
    table_free(&t);
    CHECK(t == NULL);
    table_free(&t);
}

static void
test_table_gives_every_id_its_own_row_across_splits(void)
{
    enum { N = 60000 };
    struct table_spec spec = make_spec(N);
    struct table *t = make_table(&spec);
    uint64_t *ids = calloc(N, sizeof(*ids));
    uint32_t *rows = calloc(N, sizeof(*rows));
    size_t wrong = 0;

    for (size_t i = 0; i < N; i++)
        ids[i] = i % 2 == 0 ? i + 1 : ID_MAX - i;
    table_case_see(t, ids, N, 9, rows);
    for (size_t i = 0; i < N; i++) {
        wrong += rows[i] != i + 1;
        table_case_row(t, rows[i])[0] = (float)i;
    }
    CHECK_INT(wrong, 0);
    memset(rows, 0, N * sizeof(*rows));
    table_case_find(t, ids, N, rows);
    for (size_t i = 0; i < N; i++)
        wrong += rows[i] != i + 1 || table_case_row(t, rows[i])[0] != (float)i;
    CHECK_INT(wrong, 0);
    CHECK_INT(table_rows(t), N);
    CHECK_INT(find_one(t, N + 2), 0);
    CHECK(count_table(t).bytes > N * 8 * sizeof(float));
    free(rows);
    free(ids);
    table_free(&t);
}

static void
test_table_compares_ids_when_tags_are_equal(void)
{
    struct row_meta *meta;
    struct table_pages rows;
    struct table_index x;
    const uint64_t *line;
    bool is_decided;
    /* One segment, equal low halves: only the id tells these apart. */
    const uint64_t hashes[] = {0x1234500000077ull, 0x1234600000077ull,
                               0x1234700000077ull};

    CHECK(table_pages_init(&rows, sizeof(*meta), 10));
    CHECK(table_pages_reserve(&rows, 0));
    CHECK(table_index_init(&x, 10));
    for (uint32_t i = 1; i <= 3; i++) {
        meta = table_pages_at(&rows, i);
        *meta = (struct row_meta){.id = 100 + i};
        CHECK(table_index_put(&x, hashes[i - 1], i));
    }
    line = table_index_line(&x, hashes[2]);
    CHECK_INT(table_index_guess(line, hashes[2], &is_decided), 1);
    CHECK(is_decided);
    CHECK_INT(table_index_guess(line, hashes[2] + 1, &is_decided), 0);
    CHECK(is_decided);
    for (uint32_t i = 1; i <= 3; i++)
        CHECK_INT(table_index_find(&x, hashes[i - 1], 100 + i, &rows), i);
    CHECK_INT(table_index_find(&x, hashes[0], 99, &rows), 0);
    table_index_remove(&x, hashes[1], 2);
    CHECK_INT(table_index_find(&x, hashes[1], 102, &rows), 0);
    CHECK_INT(table_index_find(&x, hashes[2], 103, &rows), 3);
    CHECK_INT(table_index_find(&x, hashes[0], 101, &rows), 1);
    table_index_fini(&x);
    table_pages_fini(&rows);
}

/* Tags of one line, of which there are more than it has slots: the last line of
 * the segment, so that probing goes on at its beginning. */
static void
test_table_index_guesses_on_where_a_line_is_full(void)
{
    enum { N = 20 };
    const uint64_t last = UINT32_MAX - N;
    struct table_index x;
    bool is_decided;

    CHECK(table_index_init(&x, N));
    for (uint32_t i = 1; i <= N; i++)
        CHECK(table_index_put(&x, last + i, i));
    for (uint32_t i = 1; i <= N; i++) {
        const uint64_t *line = table_index_line(&x, last + i);
        bool is_first = i <= TABLE_LINE_SLOTS;

        CHECK_INT(table_index_guess(line, last + i, &is_decided),
                  is_first ? i : 0);
        CHECK(is_decided == is_first);
        if (!is_first)
            CHECK_INT(table_index_guess_on(&x, last + i), i);
    }
    CHECK_INT(table_index_guess_on(&x, last), 0);
    table_index_remove(&x, last + N, N);
    CHECK_INT(table_index_guess_on(&x, last + N), 0);
    table_index_fini(&x);
}

/* A split moves thousands of ids, so no two may follow each other closely. */
static void
test_table_index_spreads_its_splits(void)
{
    enum { SEGMENTS = 64, N = SEGMENTS * TABLE_SEGMENT_SLOTS };
    struct table_pages rows;
    struct table_index x;
    uint32_t least = N;
    uint32_t last = 0;
    uint32_t wrong = 0;

    CHECK(table_pages_init(&rows, sizeof(struct row_meta), N + 1));
    CHECK(table_pages_reserve(&rows, 0));
    CHECK(table_index_init(&x, N));
    CHECK_INT(table_index_bytes(&x), 0);
    for (uint32_t i = 1; i <= N; i++) {
        uint64_t count = x.segment_count;
        struct row_meta *m;

        CHECK(table_pages_reserve(&rows, i));
        m = table_pages_at(&rows, i);
        *m = (struct row_meta){.id = i};
        CHECK(table_index_put(&x, table_hash(i), i));
        CHECK(x.segment_count <= count + 1);
        if (i == 1 || x.segment_count == count)
            continue;
        least = i - last < least ? i - last : least;
        last = i;
    }
    CHECK(x.segment_count > SEGMENTS);
    CHECK(least >= TABLE_SEGMENT_SLOTS / 10);
    for (uint32_t i = 1; i <= N; i++)
        wrong += table_index_find(&x, table_hash(i), i, &rows) != i;
    for (uint32_t i = 1; i <= N; i += 2)
        table_index_remove(&x, table_hash(i), i);
    for (uint32_t i = 1; i <= N; i++)
        wrong += table_index_find(&x, table_hash(i), i, &rows) !=
                 (i % 2 == 0 ? i : 0);
    CHECK_INT(wrong, 0);
    table_index_fini(&x);
    table_pages_fini(&rows);
}

/* Ids whose hashes share their lowest bits, as an attacker might bring. */
static void
test_table_index_stays_bounded_when_hashes_end_alike(void)
{
    enum { N = 10000 };
    struct table_index x;
    uint32_t put = 0;

    CHECK(table_index_init(&x, N));
    for (uint32_t i = 1; i <= N; i++)
        put += table_index_put(&x, table_hash(0) + ((uint64_t)i << 20), i);
    CHECK_INT(put, TABLE_SEGMENT_SLOTS - 1);
    CHECK(table_index_bytes(&x) < 4u << 20);
    table_index_fini(&x);
}

static void
test_table_initial_row_depends_on_seed_name_and_id_alone(void)
{
    struct table_spec spec = make_spec(2000);
    struct table_spec other = spec;
    struct table *a = make_table(&spec);
    struct table *b = make_table(&spec);
    struct table *c;
    struct table *d;
    double sum = 0.0;
    double squares = 0.0;
    const float *x;
    const float *y;

    other.seed = 8;
    c = make_table(&other);
    other = spec;
    other.name = "item";
    d = make_table(&other);
    (void)see_one(b, 1, 0);
    x = table_case_row(a, see_one(a, 77, 0));
    y = table_case_row(b, see_one(b, 77, 5));
    CHECK(memcmp(x, y, 5 * sizeof(*x)) == 0);
    CHECK(memcmp(x, table_case_row(c, see_one(c, 77, 0)), 16) != 0);
    CHECK(memcmp(x, table_case_row(d, see_one(d, 77, 0)), 16) != 0);
    CHECK_NEAR(x[4], 0.0, 0.0); /* past embedding_width */
    CHECK_NEAR(x[5], 0.25, 0.0);
    for (uint64_t id = 1000; id < 2000; id++) {
        const float *w = table_case_row(a, see_one(a, id, 0));

        for (size_t i = 0; i < 4; i++) {
            sum += (double)w[i];
            squares += (double)w[i] * (double)w[i];
        }
    }
    /* 4000 draws of deviation 0.5: 4 standard errors of mean and variance. */
    CHECK_NEAR(sum / 4000.0, 0.0, 4.0 * 0.5 / 63.2);
    CHECK_NEAR(squares / 4000.0, 0.25, 4.0 * 0.25 * 1.36 / 63.2);
    table_free(&a);
    table_free(&b);
    table_free(&c);
    table_free(&d);
}

struct listed {
    size_t count;
    uint64_t id;
    uint64_t row;
    uint32_t sightings;
    int64_t last_seen;
};

static void
on_id(void *ctx, uint64_t id, uint64_t row, uint32_t sightings,
      int64_t last_seen)
{
    struct listed *l = ctx;

    *l = (struct listed){l->count + 1, id, row, sightings, last_seen};
}

static void
test_table_admits_after_n_sightings(void)
{
    struct table_spec spec = make_spec(10);
    struct table *t;
    struct listed l = {0};
    const uint64_t twice[] = {5, 6, 5, 5};
    uint32_t rows[4];

    spec.admit_after = 3;
    t = make_table(&spec);
    CHECK_INT(see_one(t, 9, 100), 0);
    CHECK_INT(see_one(t, 9, 101), 0);
    CHECK_INT(find_one(t, 9), 0);
    CHECK_INT(count_table(t).candidates, 1);
    table_ids(t, on_id, &l);
    CHECK_INT(l.count, 1);
    CHECK_INT(l.row, 0);
    CHECK_INT(l.sightings, 2);
    CHECK_INT(see_one(t, 9, 102), 1);
    CHECK_INT(count_table(t).candidates, 0);
    CHECK_INT(see_one(t, 9, 90), 1); /* time does not go back */
    l = (struct listed){0};
    table_ids(t, on_id, &l);
    CHECK_INT(l.count, 1);
    CHECK_INT(l.id, 9);
    CHECK_INT(l.row, 1);
    CHECK_INT(l.sightings, 4);
    CHECK_INT(l.last_seen, 102);
    /* Duplicates in one call count each, in order. */
    table_case_see(t, twice, 4, 103, rows);
    CHECK_INT(rows[0], 0);
    CHECK_INT(rows[2], 0);
    CHECK_INT(rows[3], 2);
    CHECK_INT(count_table(t).candidates, 1);
    table_free(&t);
}

static void
test_table_refuses_at_rows_max_until_expiry(void)
{
    struct table_spec spec = make_spec(3);
    struct table *t;

    spec.expire_after_s = 10;
    t = make_table(&spec);
    for (uint64_t id = 1; id <= 3; id++)
        CHECK_INT(see_one(t, id, 100 + (int64_t)id), (long long)id);
    CHECK_INT(see_one(t, 4, 104), 0);
    CHECK_INT(see_one(t, 4, 104), 0);
    CHECK_INT(count_table(t).refused, 2);
    CHECK_INT(see_one(t, 2, 105), 2);
    table_expire(t, 111); /* id 1 is 10 s old: not yet */
    CHECK_INT(table_rows(t), 3);
    table_expire(t, 114); /* now it is 13 s, and id 3 is 11 */
    CHECK_INT(table_rows(t), 1);
    CHECK_INT(find_one(t, 1), 0);
    CHECK_INT(find_one(t, 2), 2);
    CHECK_INT(find_one(t, 3), 0);
    CHECK_INT(count_table(t).expired, 2);
    /* Freed last, used first; a used row begins anew. */
    CHECK_INT(see_one(t, 4, 114), 3);
    CHECK_INT(see_one(t, 1, 114), 1);
    CHECK_INT(see_one(t, 5, 114), 0);
    CHECK_INT(count_table(t).refused, 3);
    table_free(&t);
}

static void
test_table_reused_row_starts_from_its_ids_values(void)
{
    struct table_spec spec = make_spec(1);
    struct table *t;
    struct table *fresh;
    float *w;

    spec.expire_after_s = 10;
    t = make_table(&spec);
    w = table_case_row(t, see_one(t, 1, 100));
    for (size_t i = 0; i < 8; i++)
        w[i] = 99.0f;
    table_expire(t, 200);
    fresh = make_table(&spec);
    CHECK_INT(see_one(t, 2, 200), 1);
    CHECK_INT(see_one(fresh, 2, 200), 1);
    CHECK(memcmp(table_case_row(t, 1), table_case_row(fresh, 1),
                 8 * sizeof(float)) == 0);
    table_free(&t);
    table_free(&fresh);
}

static void
test_table_bounds_candidates_and_expires_them(void)
{
    struct table_spec spec = make_spec(5);
    struct table *t;

    spec.admit_after = 2;
    spec.expire_after_s = 10;
    t = make_table(&spec);
    for (uint64_t id = 1; id <= 1024; id++)
        (void)see_one(t, id, 100);
    CHECK_INT(count_table(t).candidates, 1024);
    CHECK_INT(see_one(t, 5000, 100), 0);
    CHECK_INT(count_table(t).candidates, 1024);
    CHECK_INT(count_table(t).refused, 1);
    for (size_t i = 0; i < 4; i++)
        table_expire(t, 200);
    CHECK_INT(count_table(t).candidates, 0);
    CHECK_INT(count_table(t).expired, 0); /* counts rows only */
    CHECK_INT(see_one(t, 5000, 200), 0);
    CHECK_INT(see_one(t, 5000, 200), 1);
    table_free(&t);
}

static void
test_table_expiry_walks_in_pieces_and_spares_unknown_times(void)
{
    enum { N = 3000 };
    struct table_spec spec = make_spec(N);
    struct table *t;
    uint64_t left;

    spec.expire_after_s = 10;
    t = make_table(&spec);
    (void)see_one(t, 1, 0);
    (void)see_one(t, 2, -5);
    for (uint64_t id = 3; id <= N; id++)
        (void)see_one(t, id, 100);
    table_expire(t, 200);
    left = table_rows(t);
    CHECK(left > 2 && left < N);
    for (size_t i = 0; i < N && table_rows(t) > 2; i++)
        table_expire(t, 200);
    CHECK_INT(table_rows(t), 2);
    CHECK_INT(find_one(t, 1), 1);
    table_expire(t, 0); /* an unknown time expires nothing */
    for (size_t i = 0; i < N; i++)
        table_expire(t, 211);
    CHECK_INT(table_rows(t), 0);
    table_free(&t);
}

/* Against a plain list: random sightings and expiry over many splits. */
static void
test_table_keeps_step_with_a_plain_list(void)
{
    enum { IDS = 9000, STEPS = 400, BATCH = 150 };
    struct table_spec spec = make_spec(IDS);
    struct table *t;
    static int64_t seen[IDS + 1];
    uint64_t random = 1;
    size_t wrong = 0;

    spec.expire_after_s = 60;
    t = make_table(&spec);
    for (int64_t now = 1000; now < 1000 + STEPS; now++) {
        uint64_t ids[BATCH];
        uint32_t rows[BATCH];

        for (size_t i = 0; i < BATCH; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695;
            ids[i] = (random >> 33) % IDS + 1;
            seen[ids[i]] = now;
        }
        table_case_see(t, ids, BATCH, now, rows);
        for (size_t i = 0; i < 20; i++)
            table_expire(t, now);
        for (uint64_t id = 1; now % 50 == 0 && id <= IDS; id++) {
            bool is_there = seen[id] != 0 && now - seen[id] <= 60;

            wrong += (find_one(t, id) != 0) != is_there;
        }
    }
    CHECK_INT(wrong, 0);
    CHECK(count_table(t).expired > 1000);
    table_free(&t);
}

static void
test_table_probes_lend_the_payloads_of_their_rows(void)
{
    struct table_spec spec = make_spec(10);
    struct table *t = make_table(&spec);
    const uint64_t ids[] = {3, 4, 3, ID_MISSING, 9};
    struct table_probe probes[5];

    table_ask(t, ids, 4, probes);
    table_aim(t, probes, 4, true);
    table_see(t, probes, 4, 0, NULL);
    CHECK_INT(probes[2].row, probes[0].row);
    CHECK_INT(probes[3].row, 0);
    for (size_t i = 0; i < 4; i++)
        CHECK(probes[i].payload == table_case_row(t, probes[i].row));
    table_ask(t, ids, 5, probes);
    table_aim(t, probes, 5, true);
    table_find(t, probes, 5, NULL);
    CHECK_INT(probes[1].row, 2);
    CHECK_INT(probes[4].row, 0);
    for (size_t i = 0; i < 5; i++)
        CHECK(probes[i].payload == table_case_row(t, probes[i].row));
    table_free(&t);
}

/* The index takes one of these for the other; the rows' ids tell. */
static void
test_table_tells_ids_of_one_tag_apart(void)
{
    struct table_spec spec = make_spec(10);
    struct table *t = make_table(&spec);
    const uint64_t ids[] = {3304, 124471};
    struct table_probe probes[2];
    uint32_t rows[2];

    CHECK_INT((uint32_t)table_hash(ids[0]), (uint32_t)table_hash(ids[1]));
    table_case_see(t, ids, 1, 9, rows);
    CHECK_INT(find_one(t, ids[1]), 0);
    for (int round = 0; round < 2; round++) {
        table_case_see(t, ids, 2, 9, rows);
        CHECK_INT(rows[0], 1);
        CHECK_INT(rows[1], 2);
    }
    table_case_find(t, ids, 2, rows);
    CHECK_INT(rows[0], 1);
    CHECK_INT(rows[1], 2);
    table_ask(t, ids, 2, probes);
    table_aim(t, probes, 2, true);
    CHECK_INT(probes[1].row, 1); /* the guess */
    table_touch(t, probes, 2, NULL);
    CHECK_INT(probes[0].row, 1);
    CHECK_INT(probes[1].row, 2);
    CHECK(probes[1].payload == table_case_row(t, 2));
    CHECK_INT(table_rows(t), 2);
    table_free(&t);
}

/* Rows of some width, of which fewer are asked for too, into every other row
 * of memory: nothing beside them is written. */
static void
check_copies(size_t width, size_t columns)
{
    enum { N = 4, STRIDE = 24 };
    const uint64_t ids[N] = {3, 4, 3, ID_MISSING};
    struct table_spec spec = make_spec(10);
    struct table_probe probes[N];
    float memory[3][N * STRIDE];
    struct table *t;

    spec.width = spec.embedding_width = width;
    t = make_table(&spec);
    for (size_t round = 0; round < 3; round++) {
        struct matrix to = {memory[round], N, columns, STRIDE};

        for (size_t i = 0; i < N * STRIDE; i++)
            memory[round][i] = 7.0F;
        table_ask(t, ids, N, probes);
        table_aim(t, probes, N, round == 0);
        if (round == 0)
            table_see(t, probes, N, 0, &to);
        else if (round == 1)
            table_touch(t, probes, N, &to);
        else
            table_find(t, probes, N, &to);
        for (size_t i = 0; i < N * STRIDE; i++) {
            const float *row = probes[i / STRIDE].payload;
            size_t k = i % STRIDE;

            CHECK_NEAR(memory[round][i], k < columns ? row[k] : 7.0F, 0.0);
        }
    }
    CHECK(memory[0][0] != memory[0][STRIDE]);
    table_free(&t);
}

static void
test_table_copies_the_first_parameters(void)
{
    check_copies(3, 3);
    check_copies(4, 4);
    check_copies(16, 16);
    check_copies(20, 17);
    check_copies(20, 16);
}

/* An id on its way while its segment splits, and one that gets its row. */
static void
test_table_finds_ids_that_were_asked_for_before_it_grew(void)
{
    enum { N = 60000, ASKED = 500 };
    struct table_spec spec = make_spec(N);
    struct table *t = make_table(&spec);
    static struct table_probe probes[2 * ASKED];
    uint64_t ids[2 * ASKED];
    uint64_t bytes;
    size_t wrong = 0;

    for (size_t i = 0; i < 2 * (size_t)ASKED; i++) {
        ids[i] = i + 1;
        if (i < ASKED)
            (void)see_one(t, ids[i], 0);
    }
    bytes = count_table(t).bytes;
    table_ask(t, ids, 2 * (size_t)ASKED, probes);
    for (uint64_t id = N; id > ASKED; id--)
        (void)see_one(t, id, 0);
    CHECK(count_table(t).bytes > 4 * bytes);
    table_aim(t, probes, 2 * (size_t)ASKED, true);
    table_see(t, probes, 2 * (size_t)ASKED, 0, NULL);
    for (size_t i = 0; i < 2 * (size_t)ASKED; i++)
        wrong += probes[i].row != (i < ASKED ? i + 1 : N - i + ASKED);
    CHECK_INT(wrong, 0);
    CHECK_INT(table_rows(t), N);
    table_free(&t);
}

static void
test_table_new_explains_an_impossible_spec(void)
{
    struct table_spec spec = make_spec(0);
    struct table *t = NULL;
    struct error err;

    CHECK_INT(table_new(&t, &spec, &err), STATUS_CONFIG);
    CHECK_HAS(err.text, "rows_max");
    CHECK(t == NULL);
    spec = make_spec(UINT64_C(1) << 32);
    CHECK_INT(table_new(&t, &spec, &err), STATUS_CONFIG);
    spec = make_spec(4);
    spec.embedding_width = 6;
    CHECK_INT(table_new(&t, &spec, &err), STATUS_CONFIG);
    spec = make_spec(4);
    spec.deviation = NAN;
    CHECK_INT(table_new(&t, &spec, &err), STATUS_CONFIG);
    CHECK_HAS(err.text, "finite");
}

int
main(void)
{
    RUN(test_table_missing_and_unknown_ids_use_row_0);
    RUN(test_table_gives_every_id_its_own_row_across_splits);
    RUN(test_table_compares_ids_when_tags_are_equal);
    RUN(test_table_index_guesses_on_where_a_line_is_full);
    RUN(test_table_index_spreads_its_splits);
    RUN(test_table_index_stays_bounded_when_hashes_end_alike);
    RUN(test_table_initial_row_depends_on_seed_name_and_id_alone);
    RUN(test_table_admits_after_n_sightings);
    RUN(test_table_refuses_at_rows_max_until_expiry);
    RUN(test_table_reused_row_starts_from_its_ids_values);
    RUN(test_table_bounds_candidates_and_expires_them);
    RUN(test_table_expiry_walks_in_pieces_and_spares_unknown_times);
    RUN(test_table_keeps_step_with_a_plain_list);
    RUN(test_table_probes_lend_the_payloads_of_their_rows);
    RUN(test_table_tells_ids_of_one_tag_apart);
    RUN(test_table_copies_the_first_parameters);
    RUN(test_table_finds_ids_that_were_asked_for_before_it_grew);
    RUN(test_table_new_explains_an_impossible_spec);
    return check_report();
}

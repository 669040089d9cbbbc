/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of tables while rows change, and restoring them: exact, in part,
 * and from hostile tensors.
 */
#include "stages/model/table_priv.h"

#include "daemon/base/macros.h"

#include "tests/support/check.h"
#include "tests/support/table_case.h"

#include <stdlib.h>

enum { IDS = 12000, ROWS_MAX = 2300, BATCH = 200, TENSORS = 9 };

/* A snapshot in memory: what a checkpoint would hold. */
struct copy {
    size_t count;
    struct tensor tensors[TENSORS];
    unsigned char *data[TENSORS];
    size_t bytes[TENSORS];
};

static struct table_spec
make_spec(void)
{
    return (struct table_spec){
        .name = "user",
        .width = 6,
        .state_width = 2,
        .rows_max = ROWS_MAX,
        .admit_after = 2,
        .expire_after_s = 40,
        .embedding_width = 5,
        .deviation = 0.1f,
        .state_initial = 0.5f,
        .seed = 3,
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

static uint64_t
draw(uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return *random >> 33;
}

/* One step of a made-up training: skewed ids, a change to what was seen. */
static void
train(struct table *t, uint64_t *random, int64_t now)
{
    uint64_t ids[BATCH];
    uint32_t rows[BATCH];

    for (size_t i = 0; i < BATCH; i++) {
        uint64_t most = draw(random) % 3 == 0 ? IDS : IDS / 8;

        ids[i] = draw(random) % most;
    }
    table_case_see(t, ids, BATCH, now, rows);
    for (size_t i = 0; i < BATCH; i++) {
        float *w = table_case_row(t, rows[i]);

        for (size_t k = 0; k < 8; k++)
            w[k] = w[k] * 0.9f + (float)(ids[i] % 17) * 0.01f;
    }
    table_expire(t, now);
}

/* Leaves rows and candidates free that a full table would use at once. */
static void
age(struct table *t, int64_t now)
{
    for (size_t i = 0; i < 9; i++)
        table_expire(t, now);
}

static size_t
measure_tensor(const struct tensor *t)
{
    size_t item = t->type == TENSOR_F32 || t->type == TENSOR_U32 ? 4 : 8;

    return (size_t)t->shape[0] * (size_t)t->shape[1] * item;
}

static void
free_copy(struct copy *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->data[i]);
    memset(c, 0, sizeof(*c));
}

static void
begin_copy(struct table *t, struct copy *c)
{
    struct error err;

    memset(c, 0, sizeof(*c));
    CHECK_INT(table_snapshot_begin(t, &err), STATUS_OK);
    c->count = table_snapshot_count(t);
    for (size_t i = 0; i < c->count; i++) {
        c->tensors[i] = *table_snapshot_tensor(t, i);
        c->data[i] = malloc(measure_tensor(&c->tensors[i]));
        c->tensors[i].data = c->data[i];
    }
}

/* Reads one piece; false at the end. Pieces of a tensor come in order. */
static bool
read_piece(struct table *t, struct copy *c, size_t capacity)
{
    static unsigned char buf[1 << 16];
    struct tensor_piece piece;
    enum status st = table_snapshot_read(t, buf, capacity, &piece);

    if (st == STATUS_END)
        return false;
    CHECK_INT(st, STATUS_OK);
    CHECK(piece.bytes > 0 && piece.bytes <= capacity);
    CHECK_INT(piece.offset, c->bytes[piece.tensor]);
    memcpy(c->data[piece.tensor] + piece.offset, buf, piece.bytes);
    c->bytes[piece.tensor] += piece.bytes;
    return true;
}

static void
end_copy(struct table *t, struct copy *c)
{
    table_snapshot_end(t);
    for (size_t i = 0; i < c->count; i++)
        CHECK_INT(c->bytes[i], measure_tensor(&c->tensors[i]));
}

/* The whole at once, with no step between. */
static void
take_copy(struct table *t, struct copy *c)
{
    begin_copy(t, c);
    while (read_piece(t, c, 1 << 16))
        continue;
    end_copy(t, c);
}

static bool
is_same(const struct copy *a, const struct copy *b)
{
    bool same = a->count == b->count;

    for (size_t i = 0; same && i < a->count; i++) {
        if (strcmp(a->tensors[i].name, b->tensors[i].name) != 0 ||
            a->tensors[i].shape[0] != b->tensors[i].shape[0] ||
            memcmp(a->data[i], b->data[i], a->bytes[i]) != 0) {
            (void)printf("%s differs\n", a->tensors[i].name);
            same = false;
        }
    }
    return same;
}

static enum status
restore(struct table *t, const struct copy *c, enum restore_mode mode,
        size_t *kept, struct error *err)
{
    bool used[TENSORS] = {false};
    enum status st = table_restore(t, c->tensors, c->count, mode, used, err);

    *kept = 0;
    for (size_t i = 0; i < c->count; i++)
        *kept += used[i];
    return st;
}

static uint64_t
get_id(const struct copy *c, size_t tensor, size_t i)
{
    uint64_t id;

    memcpy(&id, c->data[tensor] + 8 * i, 8);
    return id;
}

static size_t
pick_row(const struct copy *c, size_t first, bool is_free)
{
    size_t i = first;

    while (i < c->tensors[1].shape[0] && (get_id(c, 1, i) == 0) != is_free)
        i++;
    CHECK(i < c->tensors[1].shape[0]);
    return i;
}

static void
test_snapshot_lists_its_tensors_in_order(void)
{
    static const char *const names[] = {
        "user/embedding",
        "user/ids",
        "user/state",
        "user/sightings",
        "user/last_seen",
        "user/candidates",
        "user/candidate_sightings",
        "user/candidate_last_seen",
        "user/cursors",
    };
    struct table_spec spec = make_spec();
    struct table *t = make_table(&spec);
    struct copy c;

    take_copy(t, &c);
    CHECK_INT(c.count, COUNT(names));
    for (size_t i = 0; i < c.count; i++) {
        CHECK_STR(c.tensors[i].name, names[i]);
        CHECK_INT(c.tensors[i].is_state, i >= 2);
    }
    CHECK_INT(c.tensors[0].rank, 2);
    CHECK_INT(c.tensors[0].shape[0], 1);
    CHECK_INT(c.tensors[0].shape[1], 6);
    free_copy(&c);
    table_free(&t);
    spec.state_width = 0;
    t = make_table(&spec);
    take_copy(t, &c);
    CHECK_INT(c.count, COUNT(names) - 1);
    CHECK_STR(c.tensors[2].name, "user/sightings");
    free_copy(&c);
    table_free(&t);
}

static void
test_snapshot_stays_exact_while_rows_change(void)
{
    /* A full table, one on its way there, and one that has just begun. */
    static const size_t capacities[] = {1 << 16, 4096, 1001};
    static const int64_t begins[] = {260, 125, 104};
    struct table_spec spec = make_spec();

    for (size_t k = 0; k < COUNT(capacities); k++) {
        struct table *t = make_table(&spec);
        struct copy now;
        struct copy later;
        uint64_t random = 11 + k;
        int64_t time = 100;
        bool has_more = true;

        for (; time < begins[k]; time++)
            train(t, &random, time);
        take_copy(t, &now);
        begin_copy(t, &later);
        while (has_more) {
            train(t, &random, time++);
            for (size_t i = 0; i < 2 && has_more; i++)
                has_more = read_piece(t, &later, capacities[k]);
        }
        end_copy(t, &later);
        CHECK(is_same(&now, &later));
        CHECK(k > 0 || now.tensors[0].shape[0] > 2048);
        CHECK(k > 0 || now.tensors[5].shape[0] > 1024);
        free_copy(&now);
        free_copy(&later);
        table_free(&t);
    }
}

static void
test_snapshot_given_up_leaves_the_next_one_exact(void)
{
    struct table_spec spec = make_spec();
    struct table *t = make_table(&spec);
    struct copy part;
    struct copy now;
    struct copy later;
    uint64_t random = 5;
    int64_t time = 100;

    for (; time < 200; time++)
        train(t, &random, time);
    begin_copy(t, &part);
    for (; time < 220; time++) {
        train(t, &random, time);
        (void)read_piece(t, &part, 3000);
    }
    table_snapshot_end(t);
    free_copy(&part);
    train(t, &random, time++);
    take_copy(t, &now);
    begin_copy(t, &later);
    for (; time < 260; time++)
        train(t, &random, time);
    while (read_piece(t, &later, 1 << 16))
        train(t, &random, time++);
    end_copy(t, &later);
    CHECK(is_same(&now, &later));
    free_copy(&now);
    free_copy(&later);
    /* Freed in the middle of one: the sanitizer watches. */
    begin_copy(t, &part);
    train(t, &random, time);
    free_copy(&part);
    table_free(&t);
}

/* Images that a journal holds or has ready. */
static uint64_t
count_images(const struct table *t)
{
    return t->rows.journal.images.item_count;
}

static void
test_snapshot_keeps_one_copy_of_a_row_however_often_it_changes(void)
{
    struct table_spec spec = make_spec();
    struct table *t;
    struct error err;
    uint64_t ids[BATCH];
    uint32_t rows[BATCH];

    spec.admit_after = 1;
    t = make_table(&spec);
    for (size_t i = 0; i < BATCH; i++)
        ids[i] = i + 1;
    table_case_see(t, ids, BATCH, 1, rows);
    CHECK_INT(table_snapshot_begin(t, &err), STATUS_OK);
    CHECK_INT(count_images(t), 0);
    for (int64_t now = 2; now < 50; now++) {
        table_case_see(t, ids, BATCH / 2, now, rows);
        for (size_t i = 0; i < BATCH / 2; i++)
            table_case_row(t, rows[i])[0] += 1.0f;
    }
    CHECK_INT(count_images(t), BATCH / 2);
    table_snapshot_end(t);
    CHECK_INT(count_images(t), 0);
    table_free(&t);
}

/* Rows behind the reader leave their images to rows before it. */
static void
test_snapshot_uses_images_again(void)
{
    struct table_journal j;
    struct {
        struct row_meta meta;
        float payload[4];
    } row = {{.id = 1}, {1, 2, 3, 4}};
    const struct table_list *list;
    uint32_t chunk;
    uint32_t rows;

    table_journal_init(&j, sizeof(row));
    chunk = 1u << j.chunk_shift;
    rows = 4 * chunk;
    CHECK(table_journal_begin(&j, rows));
    for (uint32_t first = 0; first < rows; first += chunk) {
        size_t count = 0;

        for (uint32_t i = 0; i < chunk; i++)
            table_journal_save(&j, first + i, &row.meta);
        /* The images of a chunk are lent until the next is taken. */
        CHECK(j.images.item_count <= 2 * chunk);
        for (list = table_journal_take(&j, chunk); list != NULL;
             list = list->next)
            count += list->count;
        CHECK_INT(count, chunk);
    }
    CHECK_INT(j.images.item_count, 2 * chunk);
    CHECK(j.lists.item_count <= 2 * (chunk / TABLE_LIST_IMAGES + 2));
    table_journal_end(&j);
    table_journal_end(&j);
}

static void
test_restore_goes_on_as_if_never_stopped(void)
{
    struct table_spec spec = make_spec();
    struct table *t = make_table(&spec);
    uint64_t random = 21;
    int64_t time = 100;

    for (size_t round = 0; round < 6; round++) {
        struct table *again = make_table(&spec);
        struct table_counters counted;
        struct copy then;
        struct copy a;
        struct copy b;
        uint64_t random_again;
        int64_t time_again;
        struct error err;
        size_t kept;

        for (size_t i = 0; i < 70; i++)
            train(t, &random, time++);
        take_copy(t, &then);
        CHECK_INT(restore(again, &then, RESTORE_EXACT, &kept, &err), STATUS_OK);
        CHECK_INT(kept, then.count);
        random_again = random;
        time_again = time;
        for (size_t i = 0; i < 60; i++) {
            train(t, &random, time++);
            train(again, &random_again, time_again++);
        }
        take_copy(t, &a);
        take_copy(again, &b);
        CHECK(is_same(&a, &b));
        free_copy(&a);
        free_copy(&b);
        free_copy(&then);
        table_count(again, &counted);
        if (round == 5) { /* it was no fair-weather run */
            CHECK(counted.expired > 500);
            CHECK(counted.candidates > 100);
            CHECK(counted.rows > 300);
            CHECK(counted.refused > 0);
        }
        table_free(&t);
        t = again;
        random = random_again;
    }
    table_free(&t);
}

static void
test_restore_weights_starts_state_and_counters_anew(void)
{
    struct table_spec spec = make_spec();
    struct table *t = make_table(&spec);
    struct table *fresh = make_table(&spec);
    struct table_counters counted;
    const uint64_t ids[] = {1u << 20, 1u << 20};
    uint64_t random = 2;
    uint32_t rows[2];
    struct copy c;
    struct error err;
    size_t kept;

    for (int64_t now = 100; now < 260; now++)
        train(t, &random, now);
    age(t, 285);
    take_copy(t, &c);
    CHECK_INT(restore(fresh, &c, RESTORE_WEIGHTS, &kept, &err), STATUS_OK);
    CHECK_INT(kept, 2);
    CHECK_INT(table_rows(fresh), table_rows(t));
    table_count(fresh, &counted);
    CHECK_INT(counted.candidates, 0);
    for (uint32_t i = 0; i < c.tensors[0].shape[0]; i++) {
        CHECK(memcmp(table_case_row(t, i), table_case_row(fresh, i), 24) == 0);
        CHECK_NEAR(table_case_row(fresh, i)[6], 0.5, 0.0);
    }
    /* Rows of unknown age are not old: the first walks spare them. */
    for (size_t i = 0; i < 10; i++)
        table_expire(fresh, 5000);
    CHECK_INT(table_rows(fresh), table_rows(t));
    /* The lowest free row is used first. */
    table_case_see(fresh, ids, 2, 1, rows);
    CHECK_INT(rows[1], pick_row(&c, 1, true));
    free_copy(&c);
    table_free(&t);
    table_free(&fresh);
}

static void
test_restore_matching_keeps_what_fits(void)
{
    struct table_spec spec = make_spec();
    struct table *t = make_table(&spec);
    struct table *fresh;
    uint64_t random = 2;
    struct copy c;
    struct error err;
    size_t kept;

    for (int64_t now = 100; now < 200; now++)
        train(t, &random, now);
    take_copy(t, &c);
    spec.state_width = 1;
    fresh = make_table(&spec);
    CHECK_INT(restore(fresh, &c, RESTORE_EXACT, &kept, &err), STATUS_BADDATA);
    CHECK_HAS(err.text, "user/state");
    table_free(&fresh);
    fresh = make_table(&spec);
    CHECK_INT(restore(fresh, &c, RESTORE_MATCHING, &kept, &err), STATUS_OK);
    CHECK_INT(kept, c.count - 1);
    CHECK_INT(table_rows(fresh), table_rows(t));
    CHECK_NEAR(table_case_row(fresh, 1)[6], 0.5, 0.0);
    table_free(&fresh);
    spec.width = 7;
    fresh = make_table(&spec);
    CHECK_INT(restore(fresh, &c, RESTORE_MATCHING, &kept, &err), STATUS_OK);
    CHECK_INT(kept, 0);
    CHECK_INT(table_rows(fresh), 0);
    table_free(&fresh);
    fresh = make_table(&spec);
    CHECK_INT(restore(fresh, &c, RESTORE_WEIGHTS, &kept, &err), STATUS_BADDATA);
    CHECK_HAS(err.text, "6 wide");
    CHECK_HAS(err.text, "7 wide");
    table_free(&fresh);
    free_copy(&c);
    table_free(&t);
}

/* Writes a value over one element (64 bits, or 32 for sightings and floats),
 * restores, and puts it back. */
static void
check_refused(struct copy *c, size_t tensor, size_t i, uint64_t value,
              const char *text)
{
    struct table_spec spec = make_spec();
    struct table *fresh = make_table(&spec);
    enum tensor_type type = c->tensors[tensor].type;
    size_t item = type == TENSOR_F32 || type == TENSOR_U32 ? 4 : 8;
    struct error err = {0};
    unsigned char kept[8];
    size_t count;

    memcpy(kept, c->data[tensor] + i * item, item);
    memcpy(c->data[tensor] + i * item, &value, item);
    CHECK_INT(restore(fresh, c, RESTORE_EXACT, &count, &err), STATUS_BADDATA);
    CHECK_INT(count, 0);
    CHECK_HAS(err.text, text);
    memcpy(c->data[tensor] + i * item, kept, item);
    table_free(&fresh);
}

static void
test_restore_refuses_hostile_values(void)
{
    struct table_spec spec = make_spec();
    struct table *t = make_table(&spec);
    uint64_t random = 4;
    struct copy c;
    size_t rows;
    size_t used;
    size_t freed;

    for (int64_t now = 100; now < 200; now++)
        train(t, &random, now);
    age(t, 225);
    take_copy(t, &c);
    rows = (size_t)c.tensors[1].shape[0];
    used = pick_row(&c, 1, false);
    freed = pick_row(&c, 1, true);
    check_refused(&c, 0, 9, 0x7fc00000, "not finite");
    check_refused(&c, 2, 1, 0x7f800000, "not finite");
    check_refused(&c, 1, used, UINT64_C(1) << 53, "53 bits");
    check_refused(&c, 1, 0, 5, "row 0");
    check_refused(&c, 1, used, get_id(&c, 1, pick_row(&c, used + 1, false)),
                  "another row");
    check_refused(&c, 1, freed, 12345678, "free rows");
    check_refused(&c, 3, freed, 1, "is free but");
    check_refused(&c, 4, used, UINT64_MAX, "last seen");
    check_refused(&c, 4, 0, 5, "last seen");
    check_refused(&c, 4, freed, rows, "free rows");  /* out of range */
    check_refused(&c, 4, freed, used, "free rows");  /* a used row */
    check_refused(&c, 4, freed, freed, "free rows"); /* a circle */
    check_refused(&c, 5, 1, get_id(&c, 1, used), "has a row already");
    check_refused(&c, 8, 0, 2, "version");
    check_refused(&c, 8, 1, 0, "free rows");
    check_refused(&c, 8, 1, rows + 7, "free rows");
    check_refused(&c, 8, 1, UINT64_MAX, "free rows");
    check_refused(&c, 8, 2, 1, "free rows");
    check_refused(&c, 8, 3, 0, "expiry");
    check_refused(&c, 8, 3, rows + 1, "expiry");
    check_refused(&c, 8, 4, rows * 100, "free rows");
    check_refused(&c, 8, 6, UINT64_MAX, "expiry");
    free_copy(&c);
    table_free(&t);
}

static void
check_shape(const struct copy *c, size_t tensor, const char *text)
{
    struct table_spec spec = make_spec();
    struct table *fresh = make_table(&spec);
    struct error err = {0};
    size_t kept;

    CHECK_INT(restore(fresh, c, RESTORE_EXACT, &kept, &err), STATUS_BADDATA);
    CHECK_HAS(err.text, strchr(c->tensors[tensor].name, '/'));
    CHECK_HAS(err.text, text);
    table_free(&fresh);
}

static void
test_restore_refuses_wrong_shapes(void)
{
    struct table_spec spec = make_spec();
    struct table *t = make_table(&spec);
    uint64_t random = 4;
    struct copy c;

    for (int64_t now = 100; now < 150; now++)
        train(t, &random, now);
    take_copy(t, &c);
    for (size_t i = 0; i < c.count; i++) {
        struct tensor kept = c.tensors[i];

        c.tensors[i].type = TENSOR_U8;
        check_shape(&c, i, "type");
        c.tensors[i] = kept;
        c.tensors[i].rank = 3 - kept.rank;
        check_shape(&c, i, "rank");
        c.tensors[i] = kept;
        c.tensors[i].shape[0] = UINT64_MAX;
        check_shape(&c, i, "rows, expected");
        c.tensors[i].shape[0] = 0;
        check_shape(&c, i, "rows, expected");
        c.tensors[i] = kept;
        c.tensors[i].name[0] = 'x';
        check_shape(&c, i, "missing");
        c.tensors[i] = kept;
    }
    free_copy(&c);
    table_free(&t);
}

int
main(void)
{
    RUN(test_snapshot_lists_its_tensors_in_order);
    RUN(test_snapshot_stays_exact_while_rows_change);
    RUN(test_snapshot_given_up_leaves_the_next_one_exact);
    RUN(test_snapshot_keeps_one_copy_of_a_row_however_often_it_changes);
    RUN(test_snapshot_uses_images_again);
    RUN(test_restore_goes_on_as_if_never_stopped);
    RUN(test_restore_weights_starts_state_and_counters_anew);
    RUN(test_restore_matching_keeps_what_fits);
    RUN(test_restore_refuses_hostile_values);
    RUN(test_restore_refuses_wrong_shapes);
    return check_report();
}

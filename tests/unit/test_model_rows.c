/* SPDX-License-Identifier: Apache-2.0 */
/* Which row of a table learns from which examples of a batch. */
#include "tests/support/check.h"
#include "tests/support/model_case.h"

static void
test_duplicate_ids_are_summed_into_one_update(void)
{
    struct model_spec spec = case_small_spec(OPTIMIZER_ADAGRAD);
    struct model *many = case_model(&spec);
    struct model *one = case_model(&spec);
    struct columns *c = case_columns(&spec, 4);
    struct objective o = case_objective(1.0F, 0.0F);
    struct tensors a;
    struct tensors b;
    struct step step;

    /* Four equal rows weigh as much as one: the mean is over the rows. A
     * second update with an accumulator would move less than the first. */
    for (size_t r = 0; r < 4; r++) {
        c->features[0].ids[r] = 77;
        c->tasks[0].outcome[r] = 1.0F;
        c->tasks[0].has_outcome[r] = 1;
    }
    c->row_count = 4;
    model_step(many, c, &o, NULL, NULL, &step);
    c->row_count = 1;
    model_step(one, c, &o, NULL, NULL, &step);
    a = case_take(many, 4096);
    b = case_take(one, 4096);
    for (size_t i = 0; i < 6; i++) {
        const float *x = case_find(&a, "user/embedding", NULL);
        const float *y = case_find(&b, "user/embedding", NULL);

        CHECK_NEAR(x[i], y[i], 1e-6);
    }
    case_drop(&a);
    case_drop(&b);
    case_columns_free(&c);
    model_free(&many);
    model_free(&one);
}

/* The embeddings (2, 3) of row 0 and of id 77 after one step on three rows, the
 * first of them with this id, the others with 77. */
static void
learn_three(float *out, uint64_t first_id, uint32_t admit_after,
            bool has_linear)
{
    struct model_spec spec = case_small_spec(OPTIMIZER_ADAGRAD);
    struct model_feature user = spec.features[0];
    struct objective o = case_objective(1.0F, 0.0F);
    struct columns *c;
    struct model *m;
    struct tensors t;
    struct step step;

    user.admit_after = admit_after;
    spec.features = &user;
    spec.has_linear = has_linear;
    m = case_model(&spec);
    c = case_columns(&spec, 3);
    for (size_t r = 0; r < 3; r++) {
        c->features[0].ids[r] = r == 0 ? first_id : 77;
        c->tasks[0].outcome[r] = r == 1 ? 1.0F : 0.0F;
        c->tasks[0].has_outcome[r] = 1;
    }
    c->row_count = 3;
    model_step(m, c, &o, NULL, NULL, &step);
    t = case_take(m, 4096);
    memcpy(out, case_find(&t, "user/embedding", NULL), 6 * sizeof(*out));
    case_drop(&t);
    case_columns_free(&c);
    model_free(&m);
}

static void
test_what_came_before_an_id_was_admitted_is_row_0s(void)
{
    for (size_t i = 0; i < 2; i++) {
        float late[6];
        float missing[6];

        learn_three(late, 77, 2, i == 1);
        learn_three(missing, ID_MISSING, 1, i == 1);
        CHECK(memcmp(late, missing, sizeof(late)) == 0);
        CHECK(late[0] != 0.0F);
    }
}

int
main(void)
{
    RUN(test_duplicate_ids_are_summed_into_one_update);
    RUN(test_what_came_before_an_id_was_admitted_is_row_0s);
    return check_report();
}

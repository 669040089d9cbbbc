/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots while training goes on, and models restored from them. */
#include "tests/support/check.h"
#include "tests/support/model_case.h"

#include <stdlib.h>

static const struct model_feature features[] = {
    {.name = "user",
     .kind = FEATURE_CATEGORICAL,
     .column = 0,
     .width = 4,
     .rows_max = 300,
     .admit_after = 2},
    {.name = "genres",
     .kind = FEATURE_BAG,
     .column = 1,
     .width = 4,
     .ids_max = 3,
     .rows_max = 50,
     .admit_after = 1,
     .expire_after_s = 60},
    {.name = "price",
     .kind = FEATURE_NUMBER,
     .column = 2,
     .standardize = true,
     .has_indicator = true},
};
static const struct model_task tasks[] = {
    {.name = "click",
     .kind = TASK_BINARY,
     .classes = 1,
     .auxiliary = true,
     .adapter = 6},
};

static struct model_spec
snapshot_spec(void)
{
    struct model_spec spec = {
        .features = features,
        .feature_count = COUNT(features),
        .tasks = tasks,
        .task_count = 1,
        .has_linear = true,
        .has_fm = true,
        .cross_layers = 1,
        .hidden = {8},
        .hidden_count = 1,
        .embedding_deviation = 0.1F,
        .seed = 1,
        .batch_max = 50,
        .threads = 2,
        .dense = case_optimizer(OPTIMIZER_ADAM, 0.01F),
        .tables = case_optimizer(OPTIMIZER_ADAGRAD, 0.05F),
    };

    spec.dense.schedule.warmup_examples = 500;
    return spec;
}

/* Steps [from, to) of one fixed stream; true when none was skipped. */
static bool
train(struct model *m, const struct model_spec *spec, int from, int to)
{
    struct columns *c = case_columns(spec, 50);
    struct objective o = case_objective(1.0F, 0.5F);
    bool is_fine = true;

    o.soft_warmup_examples = 700;
    for (int i = from; i < to; i++) {
        uint64_t state = (uint64_t)i + 1000;
        struct step step;

        case_fill(c, 50, 200, &state);
        for (size_t r = 0; r < 50; r++)
            c->time_ms[r] = 1700000000000 + i * 7000 + (int64_t)r;
        model_step(m, c, &o, NULL, NULL, &step);
        is_fine = is_fine && !step.is_skipped;
    }
    case_columns_free(&c);
    return is_fine;
}

static void
test_going_on_from_a_snapshot_equals_never_having_stopped(void)
{
    struct model_spec spec = snapshot_spec();
    struct model *whole = case_model(&spec);
    struct model *rest = case_model(&spec);
    struct tensors half;
    struct tensors a;
    struct tensors b;

    CHECK(train(whole, &spec, 0, 30));
    half = case_take(whole, 4096);
    case_restore(rest, &half, RESTORE_EXACT);
    a = case_take(rest, 100);
    CHECK(case_is_equal(&half, &a));
    case_drop(&a);
    CHECK(train(whole, &spec, 30, 60));
    CHECK(train(rest, &spec, 30, 60));
    a = case_take(whole, 4096);
    b = case_take(rest, 4096);
    CHECK(case_is_equal(&a, &b));
    CHECK(!case_is_equal(&a, &half));
    case_drop(&half);
    case_drop(&a);
    case_drop(&b);
    model_free(&whole);
    model_free(&rest);
}

static void
test_snapshot_is_of_its_beginning_while_training_goes_on(void)
{
    struct model_spec spec = snapshot_spec();
    struct model *m = case_model(&spec);
    struct tensors want;
    struct tensor_piece piece;
    struct error err = {0};
    enum status st;
    char buf[512];
    int at = 20;

    CHECK(train(m, &spec, 0, 20));
    want = case_take(m, 4096);
    CHECK_INT(model_snapshot_begin(m, &err), STATUS_OK);
    CHECK_INT(model_snapshot_count(m), want.count);
    for (;;) {
        const struct tensor *t;

        st = model_snapshot_read(m, buf, sizeof(buf), &piece);
        if (st != STATUS_OK)
            break;
        t = &want.list[piece.tensor];
        CHECK_STR(model_snapshot_tensor(m, piece.tensor)->name, t->name);
        CHECK(piece.offset + piece.bytes <= tensor_bytes(t));
        if (memcmp(buf, (const char *)t->data + piece.offset, piece.bytes) != 0)
            (void)printf("%s at %llu\n", t->name,
                         (unsigned long long)piece.offset);
        CHECK(memcmp(buf, (const char *)t->data + piece.offset, piece.bytes) ==
              0);
        CHECK(train(m, &spec, at, at + 1));
        at++;
    }
    CHECK_INT(st, STATUS_END);
    model_snapshot_end(m);
    CHECK_INT(model_snapshot_begin(m, &err), STATUS_OK);
    model_snapshot_end(m); /* given up */
    case_drop(&want);
    model_free(&m);
}

static void
test_weights_alone_begin_with_fresh_state(void)
{
    struct model_spec spec = snapshot_spec();
    struct model *m = case_model(&spec);
    struct model *n = case_model(&spec);
    struct tensors a;
    struct tensors b;
    struct columns *c = case_columns(&spec, 50);
    float x[50];
    float y[50];
    uint64_t state = 1001;

    CHECK(train(m, &spec, 0, 30));
    a = case_take(m, 4096);
    case_restore(n, &a, RESTORE_WEIGHTS);
    b = case_take(n, 4096);
    case_fill(c, 50, 200, &state);
    model_predict(m, c, x);
    model_predict(n, c, y);
    for (size_t i = 0; i < 50; i++)
        CHECK_NEAR(x[i], y[i], 0.0);
    CHECK_NEAR(((int64_t *)case_find(&a, "model/counters", NULL))[0], 30, 0);
    CHECK_NEAR(((int64_t *)case_find(&b, "model/counters", NULL))[0], 0, 0);
    CHECK_NEAR(((float *)case_find(&b, "mlp/0/weight/adam_v", NULL))[3], 0, 0);
    case_drop(&a);
    case_drop(&b);
    case_columns_free(&c);
    model_free(&m);
    model_free(&n);
}

/* ---- Files that do not fit ---- */

/* Restores into a fresh model of the specification and checks the message. */
static void
check_refused(const struct model_spec *spec, const struct tensors *t,
              enum restore_mode mode, const char *part)
{
    struct model *m = case_model(spec);
    struct error err = {0};

    CHECK_INT(model_restore(m, t->list, t->count, mode, NULL, &err),
              STATUS_BADDATA);
    CHECK_HAS(err.text, part);
    model_free(&m);
}

static void
test_tensors_that_do_not_fit_are_named_with_both_shapes(void)
{
    struct model_spec spec = snapshot_spec();
    struct model_spec wider = spec;
    struct model *m = case_model(&spec);
    struct tensors t;
    float *w;
    float kept;

    CHECK(train(m, &spec, 0, 3));
    t = case_take(m, 4096);
    wider.hidden[0] = 9;
    check_refused(&wider, &t, RESTORE_EXACT,
                  "tensor mlp/0/weight is F32 (8, 10), the model's is F32 "
                  "(9, 10)");
    check_refused(&wider, &t, RESTORE_WEIGHTS, "tensor mlp/0/weight");
    wider = spec;
    wider.cross_layers = 2;
    check_refused(&wider, &t, RESTORE_EXACT,
                  "tensor cross/1/weight is missing");
    wider.cross_layers = 0;
    check_refused(&wider, &t, RESTORE_EXACT,
                  "tensor cross/0/weight, F32 (10, 10), has no place");
    w = case_find(&t, "cross/0/bias", NULL);
    kept = w[2];
    w[2] = NAN;
    check_refused(&spec, &t, RESTORE_EXACT,
                  "tensor cross/0/bias has values that are not finite");
    w[2] = kept;
    ((int64_t *)case_find(&t, "model/counters", NULL))[1] = -5;
    check_refused(&spec, &t, RESTORE_EXACT, "model/counters");
    case_drop(&t);
    model_free(&m);
}

static void
test_matching_keeps_what_fits_and_the_initial_rest(void)
{
    struct model_spec spec = snapshot_spec();
    struct model_spec wider = spec;
    struct model *m = case_model(&spec);
    struct model *n;
    struct model *fresh;
    struct tensors a;
    struct tensors b;
    struct tensors c;
    struct error err = {0};
    size_t kept = 0;

    CHECK(train(m, &spec, 0, 10));
    a = case_take(m, 4096);
    wider.hidden[0] = 9;
    n = case_model(&wider);
    fresh = case_model(&wider);
    CHECK_INT(model_restore(n, a.list, a.count, RESTORE_MATCHING, &kept, &err),
              STATUS_OK);
    CHECK(kept > 0 && kept < a.count);
    b = case_take(n, 4096);
    c = case_take(fresh, 4096);
    CHECK_NEAR(((float *)case_find(&b, "cross/0/weight", NULL))[5],
               ((float *)case_find(&a, "cross/0/weight", NULL))[5], 0.0);
    CHECK_NEAR(((float *)case_find(&b, "mlp/0/weight", NULL))[5],
               ((float *)case_find(&c, "mlp/0/weight", NULL))[5], 0.0);
    CHECK(train(n, &wider, 10, 20));
    case_drop(&a);
    case_drop(&b);
    case_drop(&c);
    model_free(&m);
    model_free(&n);
    model_free(&fresh);
}

int
main(void)
{
    RUN(test_going_on_from_a_snapshot_equals_never_having_stopped);
    RUN(test_snapshot_is_of_its_beginning_while_training_goes_on);
    RUN(test_weights_alone_begin_with_fresh_state);
    RUN(test_tensors_that_do_not_fit_are_named_with_both_shapes);
    RUN(test_matching_keeps_what_fits_and_the_initial_rest);
    return check_report();
}

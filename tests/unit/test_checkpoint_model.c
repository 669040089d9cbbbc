/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of real models: written while they train, loaded without their
 * configuration, and gone on from as if nothing had happened.
 */
#include "stages/checkpoint/spec.h"
#include "stages/checkpoint/store.h"
#include "stages/checkpoint/writer.h"

#include "tests/support/check.h"
#include "tests/support/model_case.h"

#include <stdlib.h>

#define BATCH 50

static char root[] = "/tmp/distilld-checkpoint-XXXXXX";
static struct error err;

static const struct model_feature features[] = {
    {.name = "user",
     .kind = FEATURE_CATEGORICAL,
     .width = 4,
     .rows_max = 2000,
     .admit_after = 2},
    {.name = "genres",
     .kind = FEATURE_BAG,
     .column = 1,
     .width = 4,
     .ids_max = 3,
     .rows_max = 50,
     .admit_after = 1},
    {.name = "price",
     .kind = FEATURE_NUMBER,
     .column = 2,
     .standardize = true,
     .has_indicator = true},
};
static const struct model_task tasks[] = {
    {.name = "click", .kind = TASK_BINARY, .classes = 1, .auxiliary = true},
};

static struct model_spec
example(void)
{
    return (struct model_spec){
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
        .batch_max = BATCH,
        .threads = 1,
        .dense = case_optimizer(OPTIMIZER_ADAM, 0.01F),
        .tables = case_optimizer(OPTIMIZER_ADAGRAD, 0.05F),
    };
}

/* The n-th batch of one fixed stream, learned by both models. */
static void
learn(struct model *student, struct model *baseline, uint64_t n)
{
    struct model_spec spec = example();
    struct columns *c = case_columns(&spec, BATCH);
    struct objective both = case_objective(1.0F, 1.0F);
    struct objective hard = case_objective(1.0F, 0.0F);
    uint64_t state = n + 1;
    struct step step;

    case_fill(c, BATCH, 3000, &state);
    model_step(student, c, &both, NULL, NULL, &step);
    CHECK(!step.is_skipped);
    model_step(baseline, c, &hard, NULL, NULL, &step);
    CHECK(!step.is_skipped);
    case_columns_free(&c);
}

static void
begin(struct checkpoint_writer *w, struct model *student,
      struct model *baseline)
{
    struct model_spec spec = example();
    const struct checkpoint_model models[] = {
        {.model = student, .prefix = ""},
        {.model = baseline, .prefix = "baseline/"}};
    struct manifest manifest = {.model = "student"};
    const struct checkpoint_content content = {
        .models = models,
        .model_count = 2,
        .progress = "here",
        .progress_bytes = 4,
        .manifest = &manifest,
    };
    char *text = NULL;

    CHECK_INT(spec_write(&spec, &text, &err), STATUS_OK);
    manifest.parts[MANIFEST_SPEC] = text;
    CHECK_INT(writer_begin(w, &content, &err), STATUS_OK);
    free(text);
}

/* Reads what two directories' newest checkpoints are made of. */
static void
check_equal_models(struct model *a, struct model *b)
{
    struct tensors one = case_take(a, 1 << 16);
    struct tensors two = case_take(b, 1 << 16);

    CHECK(case_is_equal(&one, &two));
    case_drop(&one);
    case_drop(&two);
}

static void
test_checkpoint_taken_while_training_is_exact_and_goes_on(void)
{
    struct model_spec spec = example();
    struct model *student = case_model(&spec);
    struct model *baseline = case_model(&spec);
    struct model *student_back = NULL;
    struct model *baseline_back = NULL;
    struct checkpoint_writer *w = NULL;
    struct checkpoint_result r = {.status = STATUS_INTERNAL};
    struct checkpoint_result again = {.status = STATUS_INTERNAL};
    struct checkpoint *ck = NULL;
    struct store *s = NULL;
    uint64_t n = 0;

    CHECK_INT(store_open(&s, root, 9, &err), STATUS_OK);
    CHECK_INT(writer_new(&w, s, &err), STATUS_OK);
    for (; n < 40; n++)
        learn(student, baseline, n);
    begin(w, student, baseline);
    /* A slice between any two steps, as the trainer does it. */
    while (writer_step(w, 1) != STATUS_END)
        learn(student, baseline, n++);
    for (; n < 80; n++)
        learn(student, baseline, n);
    CHECK_INT(writer_finish(w, &r), STATUS_OK);
    CHECK_INT(r.status, STATUS_OK);
    CHECK_STR(r.err.text, "");

    CHECK_INT(store_open_newest(s, &ck, NULL, NULL, &err), STATUS_OK);
    CHECK_INT(checkpoint_load_model(ck, "", NULL, RESTORE_EXACT, &student_back,
                                    NULL, &err),
              STATUS_OK);
    CHECK_INT(checkpoint_load_model(ck, "baseline/", NULL, RESTORE_EXACT,
                                    &baseline_back, NULL, &err),
              STATUS_OK);
    if (student_back == NULL || baseline_back == NULL) {
        (void)printf("%s\n", err.text);
        return;
    }
    /* Loaded and saved: the same bytes. */
    begin(w, student_back, baseline_back);
    CHECK_INT(writer_finish(w, &again), STATUS_OK);
    CHECK_STR(again.model_sha256, r.model_sha256);
    CHECK_STR(again.state_sha256, r.state_sha256);
    /* Gone on from: the same models as those that never stopped. */
    for (uint64_t k = 40; k < n; k++)
        learn(student_back, baseline_back, k);
    check_equal_models(student_back, student);
    check_equal_models(baseline_back, baseline);
    checkpoint_free(&ck);
    writer_free(&w);
    store_close(&s);
    model_free(&student);
    model_free(&baseline);
    model_free(&student_back);
    model_free(&baseline_back);
}

static void
test_published_weights_predict_the_same(void)
{
    struct model_spec spec = example();
    struct columns *c = case_columns(&spec, BATCH);
    struct checkpoint *ck = NULL;
    struct checkpoint *published = NULL;
    struct model *a = NULL;
    struct model *b = NULL;
    struct store *s = NULL;
    float one[BATCH];
    float two[BATCH];
    char path[PATH_TEXT_MAX];
    uint64_t state = 99;

    case_fill(c, BATCH, 3000, &state);
    CHECK_INT(store_open(&s, root, 9, &err), STATUS_OK);
    CHECK_INT(path_join(path, root, "published", &err), STATUS_OK);
    CHECK_INT(store_publish(s, 2, path, 3, &err), STATUS_OK);
    CHECK_INT(checkpoint_open(&ck, root, CHECKPOINT_VERIFY, &err), STATUS_OK);
    CHECK_INT(checkpoint_open(&published, path, CHECKPOINT_VERIFY, &err),
              STATUS_OK);
    CHECK_INT(
        checkpoint_load_model(ck, "", NULL, RESTORE_EXACT, &a, NULL, &err),
        STATUS_OK);
    CHECK_INT(checkpoint_load_model(published, "", NULL, RESTORE_WEIGHTS, &b,
                                    NULL, &err),
              STATUS_OK);
    if (a != NULL && b != NULL) {
        model_predict(a, c, one);
        model_predict(b, c, two);
        CHECK(memcmp(one, two, sizeof(one)) == 0);
    } else {
        (void)printf("%s\n", err.text);
    }
    model_free(&a);
    model_free(&b);
    checkpoint_free(&ck);
    checkpoint_free(&published);
    store_close(&s);
    case_columns_free(&c);
}

static void
test_other_shape_is_refused_and_what_matches_is_kept(void)
{
    struct model_spec spec = example();
    struct checkpoint *ck = NULL;
    struct model *m = NULL;
    char text[SPEC_DIFFERENCES];
    size_t kept = 0;

    spec.hidden[0] = 6;
    CHECK_INT(checkpoint_open(&ck, root, CHECKPOINT_QUICK, &err), STATUS_OK);
    if (ck == NULL)
        return;
    CHECK_INT(spec_compare(checkpoint_spec(ck), &spec, text), SPEC_SHAPE);
    CHECK_HAS(text, "hidden layer 1 8 in the checkpoint, 6");
    CHECK_INT(
        checkpoint_load_model(ck, "", &spec, RESTORE_EXACT, &m, NULL, &err),
        STATUS_BADDATA);
    CHECK_HAS(err.text, "mlp/0");
    CHECK(m == NULL);
    CHECK_INT(
        checkpoint_load_model(ck, "", &spec, RESTORE_MATCHING, &m, &kept, &err),
        STATUS_OK);
    CHECK(kept > 0);
    model_free(&m);
    checkpoint_free(&ck);
}

int
main(void)
{
    if (mkdtemp(root) == NULL)
        return 1;
    RUN(test_checkpoint_taken_while_training_is_exact_and_goes_on);
    RUN(test_published_weights_predict_the_same);
    RUN(test_other_shape_is_refused_and_what_matches_is_kept);
    if (directory_remove(root, &err) != STATUS_OK)
        return 1;
    return check_report();
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests and model specifications: what is written reads back, what is
 * strange is refused, and differences are told in words.
 */
#include "stages/checkpoint/manifest.h"
#include "stages/checkpoint/spec.h"

#include "tests/support/check.h"

#include <stdlib.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct error err;

static const struct model_feature features[] = {
    {.name = "user",
     .kind = FEATURE_CATEGORICAL,
     .column = 0,
     .width = 4,
     .rows_max = 5000000000u,
     .admit_after = 2,
     .expire_after_s = 86400},
    {.name = "genres \"x\"",
     .kind = FEATURE_BAG,
     .column = 3,
     .ids_max = 16,
     .width = 4,
     .rows_max = 100,
     .admit_after = 1},
    {.name = "year",
     .kind = FEATURE_NUMBER,
     .column = 2,
     .width = 1,
     .standardize = true,
     .has_indicator = true},
};
static const struct model_task tasks[] = {
    {.name = "liked", .kind = TASK_BINARY, .classes = 1, .auxiliary = true},
    {.name = "kind",
     .kind = TASK_CLASS,
     .column = 1,
     .classes = 5,
     .adapter = 12,
     .adapter_sees_student = true},
};

static struct model_spec
example(void)
{
    struct model_spec spec = {
        .features = features,
        .feature_count = 3,
        .tasks = tasks,
        .task_count = 2,
        .has_linear = true,
        .has_fm = true,
        .cross_layers = 2,
        .hidden = {128, 64},
        .hidden_count = 2,
        .activation = ACTIVATION_GELU,
        .embedding_deviation = 0.01f,
        .seed = 18446744073709551615u,
        .batch_max = 1024,
        .threads = 3,
        .dense = {.kind = OPTIMIZER_ADAM,
                  .epsilon = 1e-8f,
                  .beta1 = 0.9f,
                  .beta2 = 0.999f},
        .tables = {.kind = OPTIMIZER_ROWWISE_ADAGRAD,
                   .l2 = 1.0f / 3.0f,
                   .schedule = {.kind = SCHEDULE_COSINE,
                                .rate = 0.05f,
                                .rate_final = 0.001f,
                                .warmup_examples = 7,
                                .decay_examples = 9007199254740993u}},
    };

    return spec;
}

static void
test_spec_reads_back_bit_for_bit(void)
{
    struct model_spec spec = example();
    struct spec_owned back;
    char *text = NULL;
    char *again = NULL;

    CHECK_INT(spec_write(&spec, &text, &err), STATUS_OK);
    CHECK_INT(spec_parse(&back, text, strlen(text), "m", &err), STATUS_OK);
    CHECK_INT(spec_write(&back.spec, &again, &err), STATUS_OK);
    CHECK_STR(again, text);
    CHECK_STR(back.spec.features[1].name, "genres \"x\"");
    CHECK(back.spec.features[0].rows_max == 5000000000u);
    CHECK(back.spec.features[2].standardize);
    CHECK(back.spec.features[2].has_indicator);
    CHECK_INT(back.spec.features[1].ids_max, 16);
    CHECK(back.spec.seed == 18446744073709551615u);
    CHECK(back.spec.tables.l2 == 1.0f / 3.0f);
    CHECK(back.spec.tables.schedule.decay_examples == 9007199254740993u);
    CHECK_INT(back.spec.hidden[1], 64);
    CHECK_INT(back.spec.tasks[1].classes, 5);
    CHECK_INT(back.spec.tasks[1].adapter, 12);
    CHECK(back.spec.tasks[1].adapter_sees_student);
    CHECK_INT(back.spec.tasks[0].adapter, 0);
    CHECK(strstr(text, "\"auxiliary\":true,\"column\"") != NULL);
    CHECK_INT(back.spec.threads, 1);
    free(text);
    free(again);
    spec_fini(&back);
    CHECK(back.features == NULL);
    spec_fini(&back);
}

static void
check_spec_refused(const char *text, const char *from, const char *to,
                   const char *words)
{
    char changed[8192];
    const char *at = strstr(text, from);
    struct spec_owned s;

    CHECK(at != NULL);
    if (at == NULL)
        return;
    (void)snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text,
                   to, at + strlen(from));
    error_clear(&err);
    CHECK_INT(spec_parse(&s, changed, strlen(changed), "m", &err),
              STATUS_BADDATA);
    CHECK_HAS(err.text, words);
    CHECK(s.features == NULL);
    spec_fini(&s);
}

static void
test_strange_specs_are_refused(void)
{
    struct model_spec spec = example();
    char *text = NULL;

    CHECK_INT(spec_write(&spec, &text, &err), STATUS_OK);
    check_spec_refused(text, "\"gelu\"", "\"swish\"", "activation");
    check_spec_refused(text, "\"categorical\"", "7", "kind");
    check_spec_refused(text, "[128,64]", "[128,0]", "hidden");
    check_spec_refused(text, "[128,64]", "[1,1,1,1,1,1,1,1,1]", "hidden");
    check_spec_refused(text, "\"name\":\"user\"", "\"name\":\"\"", "name");
    check_spec_refused(text, "\"fm\":true", "\"fm\":1", "fm");
    check_spec_refused(text, "\"fm\":true", "\"fn\":true", "fm");
    check_spec_refused(text, "\"seed\":\"1", "\"seed\":\"-1", "seed");
    check_spec_refused(text, "\"seed\":\"1", "\"seed\":\"99", "seed");
    check_spec_refused(text, "\"batch_max\":1024", "\"batch_max\":1e99",
                       "batch_max");
    check_spec_refused(text, "\"features\":[", "\"features\":7,\"x\":[",
                       "features");
    check_spec_refused(text, "{", "[", "model_spec");
    free(text);
}

static void
test_shape_digest_sees_shapes_alone(void)
{
    struct model_spec spec = example();
    struct model_feature wider[3];
    char one[DIGEST_HEX_SIZE];
    char two[DIGEST_HEX_SIZE];

    CHECK_INT(spec_shape_digest(&spec, one, &err), STATUS_OK);
    spec.seed = 1;
    spec.dense.schedule.rate = 7;
    spec.tables.kind = OPTIMIZER_SGD;
    spec.batch_max = 1;
    CHECK_INT(spec_shape_digest(&spec, two, &err), STATUS_OK);
    CHECK_STR(two, one);
    memcpy(wider, features, sizeof(wider));
    wider[0].rows_max = 1;
    wider[0].admit_after = 9;
    wider[1].ids_max = 5;
    wider[2].width = 0;
    spec.features = wider;
    CHECK_INT(spec_shape_digest(&spec, two, &err), STATUS_OK);
    CHECK_STR(two, one);
    wider[0].width = 8;
    CHECK_INT(spec_shape_digest(&spec, two, &err), STATUS_OK);
    CHECK(strcmp(one, two) != 0);
}

static void
test_differences_are_told_in_words(void)
{
    struct model_spec a = example();
    struct model_spec b = example();
    struct model_feature changed[3];
    char text[SPEC_DIFFERENCES];

    CHECK_INT(spec_compare(&a, &b, text), SPEC_FITS);
    CHECK_STR(text, "");
    b.tables.kind = OPTIMIZER_ADAGRAD;
    CHECK_INT(spec_compare(&a, &b, text), SPEC_OPTIMIZER);
    CHECK_STR(text, "optimizer of the tables rowwise_adagrad in the "
                    "checkpoint, adagrad in the configuration");
    memcpy(changed, features, sizeof(changed));
    changed[0].width = 8;
    changed[1].has_indicator = true;
    changed[2].name = "age";
    b.features = changed;
    b.hidden[1] = 32;
    b.task_count = 1;
    CHECK_INT(spec_compare(&a, &b, text), SPEC_SHAPE);
    CHECK_HAS(text, "user embedding width 4 in the checkpoint, 8 in the "
                    "configuration\n");
    CHECK_HAS(text, "indicator of missing values off in the checkpoint, on");
    CHECK_HAS(text, "feature year is only in the checkpoint\n");
    CHECK_HAS(text, "feature age is only in the configuration\n");
    CHECK_HAS(text, "task kind is only in the checkpoint\n");
    CHECK_HAS(text, "width of hidden layer 2 64 in the checkpoint, 32 in");
}

static void
test_order_of_features_counts(void)
{
    struct model_spec a = example();
    struct model_spec b = example();
    struct model_feature turned[] = {features[1], features[0], features[2]};
    char text[SPEC_DIFFERENCES];

    b.features = turned;
    CHECK_INT(spec_compare(&a, &b, text), SPEC_SHAPE);
    CHECK_HAS(text, "the order counts");
}

static void
test_endless_differences_are_cut(void)
{
    static struct model_feature many[1000];
    static char names[1000][MODEL_NAME_MAX];
    struct model_spec a = example();
    struct model_spec b = example();
    char text[SPEC_DIFFERENCES];

    for (size_t i = 0; i < 1000; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "feature-%zu", i);
        many[i] = (struct model_feature){.name = names[i], .width = 1};
    }
    b.features = many;
    b.feature_count = 1000;
    CHECK_INT(spec_compare(&a, &b, text), SPEC_SHAPE);
    CHECK(strlen(text) < SPEC_DIFFERENCES);
    CHECK_HAS(text, "feature-10 ");
}

/* ---- Manifests ---- */

static struct manifest
example_manifest(void)
{
    struct manifest m = {
        .model = "student",
        .version = 42,
        .parent_version = 41,
        .created_at = "2026-11-23T16:21:02Z",
        .file_count = 1,
        .files = {{.path = "model.safetensors", .bytes = 7, .sha256 = HEX64}},
    };

    m.parts[MANIFEST_METRICS] = "{\"auc\": 0.75, \"s\": \"a\\\"},{\"}";
    m.parts[MANIFEST_TEACHER] = "{}";
    m.parts[MANIFEST_DATA] = "{\"offsets\":[{\"end\":5400}]}";
    return m;
}

static void
test_manifest_reads_back(void)
{
    struct manifest m = example_manifest();
    struct manifest back = {0};
    struct manifest copy = {0};
    char *text = NULL;
    size_t len = 0;

    CHECK_INT(manifest_write(&m, &text, &len, &err), STATUS_OK);
    CHECK_INT(strlen(text), len);
    CHECK_INT(manifest_parse(&back, text, len, "m", &err), STATUS_OK);
    CHECK_INT(manifest_copy(&copy, &back, &err), STATUS_OK);
    manifest_fini(&back);
    CHECK_STR(copy.model, "student");
    CHECK_INT(copy.version, 42);
    CHECK_INT(copy.parent_version, 41);
    CHECK_STR(copy.created_at, "2026-11-23T16:21:02Z");
    CHECK_STR(copy.config_sha256, "");
    CHECK(manifest_find_file(&copy, "model.safetensors") != NULL);
    CHECK(manifest_find_file(&copy, "other") == NULL);
    CHECK_STR(copy.files[0].sha256, HEX64);
    for (size_t i = 0; i < MANIFEST_PART_COUNT; i++) {
        CHECK((copy.parts[i] == NULL) == (m.parts[i] == NULL));
        if (copy.parts[i] != NULL && m.parts[i] != NULL)
            CHECK_STR(copy.parts[i], m.parts[i]);
    }
    manifest_fini(&copy);
    free(text);
}

static void
test_manifest_parts_must_be_objects(void)
{
    struct manifest m = example_manifest();
    char *text = NULL;
    size_t len = 0;

    m.parts[MANIFEST_DATA] = "[]";
    CHECK_INT(manifest_write(&m, &text, &len, &err), STATUS_CONFIG);
    CHECK_HAS(err.text, "data");
    m.parts[MANIFEST_DATA] = "{\"a\":1";
    CHECK_INT(manifest_write(&m, &text, &len, &err), STATUS_CONFIG);
    m.parts[MANIFEST_DATA] = "{}{}";
    CHECK_INT(manifest_write(&m, &text, &len, &err), STATUS_CONFIG);
    CHECK(text == NULL);
}

static void
check_manifest_refused(const char *text, const char *words)
{
    struct manifest m;

    error_clear(&err);
    CHECK_INT(manifest_parse(&m, text, strlen(text), "m", &err),
              STATUS_BADDATA);
    CHECK_HAS(err.text, words);
    manifest_fini(&m);
}

#define HEAD "{\"schema\":\"distilld.checkpoint/1\",\"version\":1,"

static void
test_strange_manifests_are_refused(void)
{
    struct manifest m;

    check_manifest_refused("", "m: ");
    check_manifest_refused("[]", "object");
    check_manifest_refused("{}", "schema");
    check_manifest_refused("{\"schema\":\"distilld.checkpoint/2\"}",
                           "distilld.checkpoint/2");
    check_manifest_refused(HEAD "\"files\":{}}", "files");
    check_manifest_refused(HEAD "\"files\":[{},{},{},{},{}]}", "files");
    check_manifest_refused(HEAD "\"files\":[{\"path\":\"../x\",\"size\":1,"
                                "\"sha256\":\"" HEX64 "\"}]}",
                           "same directory");
    check_manifest_refused(HEAD "\"files\":[{\"path\":\"a/b\",\"size\":1,"
                                "\"sha256\":\"" HEX64 "\"}]}",
                           "same directory");
    check_manifest_refused(HEAD "\"files\":[{\"path\":\"x\",\"size\":-1,"
                                "\"sha256\":\"" HEX64 "\"}]}",
                           "size");
    check_manifest_refused(
        HEAD "\"files\":[{\"path\":\"x\",\"size\":1,\"sha256\":\"12\"}]}",
        "sha256");
    check_manifest_refused(HEAD "\"files\":[],\"data\":[]}", "data");
    check_manifest_refused(HEAD "\"files\":[],\"version\":2}", "version");
    CHECK_INT(manifest_parse(&m, HEAD "\"files\":[],\"new\":[1]}\n",
                             strlen(HEAD "\"files\":[],\"new\":[1]}\n"), "m",
                             &err),
              STATUS_OK);
    CHECK_INT(m.version, 1);
    manifest_fini(&m);
}

int
main(void)
{
    RUN(test_spec_reads_back_bit_for_bit);
    RUN(test_strange_specs_are_refused);
    RUN(test_shape_digest_sees_shapes_alone);
    RUN(test_differences_are_told_in_words);
    RUN(test_order_of_features_counts);
    RUN(test_endless_differences_are_cut);
    RUN(test_manifest_reads_back);
    RUN(test_manifest_parts_must_be_objects);
    RUN(test_strange_manifests_are_refused);
    return check_report();
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What inspect prints, and what it finds wrong.
 */
#include "stages/checkpoint/inspect.h"
#include "stages/checkpoint/spec.h"

#include "tests/support/checkpoints.h"

/* A table of four rows (0, 7, free, 9) and one candidate. */
static struct model *
model_with_table(void)
{
    static const uint64_t ids[] = {0, 7, 0, 9};
    static const uint32_t sightings[] = {0, 3, 0, 5};
    static const int64_t last_seen[] = {0, 1700000001, -1, 1700000002};
    static const uint64_t candidate = 11;
    static const uint32_t candidate_sightings = 1;
    static const int64_t candidate_last_seen = 1700000003;
    const void *const data[] = {ids,
                                sightings,
                                last_seen,
                                &candidate,
                                &candidate_sightings,
                                &candidate_last_seen};
    struct model *m = calloc(1, sizeof(*m));

    fake_add(m, "user/ids", TENSOR_U64, 4, false, 1);
    fake_add(m, "user/sightings", TENSOR_U32, 4, true, 1);
    fake_add(m, "user/last_seen", TENSOR_I64, 4, true, 1);
    fake_add(m, "user/candidates", TENSOR_U64, 1, true, 1);
    fake_add(m, "user/candidate_sightings", TENSOR_U32, 1, true, 1);
    fake_add(m, "user/candidate_last_seen", TENSOR_I64, 1, true, 1);
    for (size_t i = 0; i < m->count; i++)
        memcpy(m->data[i], data[i], tensor_bytes(&m->tensors[i]));
    fake_add(m, "mlp/0/weight", TENSOR_F32, 300, false, 1);
    return m;
}

/* Makes version 1 in "s" and publishes it to "p". */
static void
make_version(void)
{
    static const struct model_feature feature = {
        .name = "user", .width = 4, .rows_max = 1000, .admit_after = 2};
    static const struct model_task task = {
        .name = "liked", .classes = 1, .auxiliary = true, .adapter = 8};
    const struct model_spec spec = {.features = &feature,
                                    .feature_count = 1,
                                    .tasks = &task,
                                    .task_count = 1,
                                    .hidden = {16, 8},
                                    .hidden_count = 2,
                                    .has_fm = true};
    struct model *m = model_with_table();
    const struct checkpoint_model models[] = {{.model = m, .prefix = ""}};
    struct manifest manifest = {.model = "student", .parent_version = 6};
    const struct checkpoint_content content = {
        .models = models, .model_count = 1, .manifest = &manifest};
    struct checkpoint_writer *w = NULL;
    struct checkpoint_result r = {.status = STATUS_INTERNAL};
    struct store *s = NULL;
    char *text = NULL;

    CHECK_INT(directory_remove(at("s"), &err), STATUS_OK);
    CHECK_INT(directory_remove(at("p"), &err), STATUS_OK);
    CHECK_INT(store_open(&s, at("s"), 3, &err), STATUS_OK);
    CHECK_INT(spec_write(&spec, &text, &err), STATUS_OK);
    manifest.parts[MANIFEST_SPEC] = text;
    manifest.parts[MANIFEST_TEACHER] = "{\"version\":\"7\"}";
    CHECK_INT(writer_new(&w, s, &err), STATUS_OK);
    CHECK_INT(writer_begin(w, &content, &err), STATUS_OK);
    CHECK_INT(writer_finish(w, &r), STATUS_OK);
    CHECK_INT(r.status, STATUS_OK);
    CHECK_INT(store_publish(s, 1, at("p"), 3, &err), STATUS_OK);
    writer_free(&w);
    free(text);
    model_free(&m);
    store_close(&s);
}

/* What one of inspect's functions printed; the status in *st. */
enum inspection {
    PRINT,
    VERIFY,
    IDS,
};

static char *
inspect(enum inspection what, const char *path, const char *feature,
        enum status *st)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    error_clear(&err);
    if (what == PRINT)
        *st = inspect_print(out, path, &err);
    else if (what == VERIFY)
        *st = inspect_verify(out, path, &err);
    else
        *st = inspect_ids(out, path, feature, &err);
    (void)fclose(out);
    return text;
}

static void
test_print_shows_lineage_model_and_tensors(void)
{
    enum status st;
    char *text;

    make_version();
    text = inspect(PRINT, at("s"), NULL, &st);
    CHECK_INT(st, STATUS_OK);
    CHECK_HAS(text, "model        student\n");
    CHECK_HAS(text, "version      1\n");
    CHECK_HAS(text, "parent       6\n");
    CHECK_HAS(text, "teacher      {\"version\":\"7\"}\n");
    CHECK_HAS(text, "fm on, cross 0, hidden 16-8, relu");
    CHECK_HAS(text, "liked                    binary            1  auxiliary "
                    "head  adapter of 8 units\n");
    CHECK_HAS(text, "mlp/0/weight                             F32  300");
    CHECK_HAS(text, "1.2 KiB");
    free(text);
    text = inspect(PRINT, at("nothing"), NULL, &st);
    CHECK_INT(st, STATUS_NOTFOUND);
    free(text);
}

static void
test_ids_come_with_sightings_and_candidates(void)
{
    enum status st;
    char *text;

    make_version();
    text = inspect(IDS, at("s/1"), "user", &st);
    CHECK_INT(st, STATUS_OK);
    CHECK_STR(text, "id\trow\tsightings\tlast_seen\n"
                    "7\t1\t3\t1700000001\n"
                    "9\t3\t5\t1700000002\n"
                    "11\t0\t1\t1700000003\n");
    free(text);
    text = inspect(IDS, at("p"), "user", &st);
    CHECK_STR(text, "id\trow\tsightings\tlast_seen\n"
                    "7\t1\t-\t-\n9\t3\t-\t-\n");
    free(text);
    text = inspect(IDS, at("s"), "movie", &st);
    CHECK_INT(st, STATUS_NOTFOUND);
    CHECK_HAS(err.text, "movie");
    free(text);
}

static void
test_verify_names_the_file_that_is_wrong(void)
{
    enum status st;
    char *text;
    FILE *f;

    make_version();
    text = inspect(VERIFY, at("s"), NULL, &st);
    CHECK_INT(st, STATUS_OK);
    CHECK_HAS(text, "model.safetensors    ok\n");
    CHECK_HAS(text, "state.safetensors    ok\n");
    free(text);
    f = fopen(at("s/1/state.safetensors"), "r+");
    CHECK(f != NULL && fseek(f, -3, SEEK_END) == 0 && fputc(0x55, f) == 0x55);
    if (f != NULL)
        (void)fclose(f);
    text = inspect(VERIFY, at("s"), NULL, &st);
    CHECK_INT(st, STATUS_BADDATA);
    CHECK_INT(status_exit_code(st), 65);
    CHECK_HAS(text, "model.safetensors    ok\n");
    CHECK_HAS(text, "state.safetensors    WRONG\n");
    CHECK_HAS(err.text, "state.safetensors: SHA-256 is");
    free(text);
}

int
main(void)
{
    if (mkdtemp(root) == NULL)
        return 1;
    RUN(test_print_shows_lineage_model_and_tensors);
    RUN(test_ids_come_with_sightings_and_candidates);
    RUN(test_verify_names_the_file_that_is_wrong);
    if (directory_remove(root, &err) != STATUS_OK)
        return 1;
    return check_report();
}

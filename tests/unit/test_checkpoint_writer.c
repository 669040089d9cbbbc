/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer: what it writes reads back byte for byte, in slices, with several
 * models; a failure leaves nothing behind and the next one succeeds.
 */
#include "stages/checkpoint/versions.h"

#include "tests/support/checkpoints.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct store *
fresh_store(void)
{
    struct store *s = NULL;

    CHECK_INT(directory_remove(at("s"), &err), STATUS_OK);
    CHECK_INT(store_open(&s, at("s"), 5, &err), STATUS_OK);
    return s;
}

/* Expects that every tensor of m is in the list, byte for byte. */
static void
check_tensors(const struct model *m, const struct tensor *list, size_t count)
{
    CHECK_INT(count, m->count);
    for (size_t i = 0; i < m->count; i++) {
        const struct tensor *found = NULL;

        for (size_t k = 0; k < count; k++) {
            if (strcmp(list[k].name, m->tensors[i].name) == 0)
                found = &list[k];
        }
        CHECK(found != NULL);
        if (found == NULL)
            continue;
        CHECK_INT(found->type, m->tensors[i].type);
        CHECK_INT(tensor_bytes(found), tensor_bytes(&m->tensors[i]));
        CHECK(memcmp(found->data, m->data[i], tensor_bytes(found)) == 0);
    }
}

static void
test_models_and_progress_read_back(void)
{
    struct store *s = fresh_store();
    struct model *m = small_model(1);
    struct model *baseline = small_model(50);
    struct checkpoint_result r = write_checkpoint(s, m, baseline, "{\"o\":7}");
    struct checkpoint *ck = NULL;
    struct tensor *list = NULL;
    size_t bytes = 0;
    size_t count = 0;

    CHECK_INT(r.status, STATUS_OK);
    CHECK_INT(r.version, 1);
    CHECK_INT(r.cleanup.status, STATUS_OK);
    CHECK_STR(r.path, at("s/1"));
    CHECK_INT(checkpoint_open(&ck, r.path, CHECKPOINT_VERIFY, &err), STATUS_OK);
    if (ck == NULL)
        return;
    CHECK_STR(checkpoint_prefix(ck, 0), "");
    CHECK_STR(checkpoint_prefix(ck, 1), "baseline/");
    CHECK(checkpoint_prefix(ck, 2) == NULL);
    CHECK_INT(checkpoint_tensors(ck, "", &list, &count, &err), STATUS_OK);
    check_tensors(m, list, count);
    free(list);
    CHECK_INT(checkpoint_tensors(ck, "baseline/", &list, &count, &err),
              STATUS_OK);
    check_tensors(baseline, list, count);
    free(list);
    CHECK_INT(checkpoint_tensors(ck, "teacher/", &list, &count, &err),
              STATUS_BADDATA);
    CHECK_INT(safetensors_count(checkpoint_model(ck)), 3);
    CHECK(memcmp(checkpoint_progress(ck, &bytes), "{\"o\":7}", 7) == 0);
    CHECK_INT(bytes, 7);
    CHECK_STR(checkpoint_manifest(ck)->files[0].sha256, r.model_sha256);
    CHECK_STR(checkpoint_manifest(ck)->files[1].sha256, r.state_sha256);
    CHECK_HAS(checkpoint_manifest(ck)->created_at, "T");
    CHECK_INT(r.bytes, checkpoint_manifest(ck)->files[0].bytes +
                           checkpoint_manifest(ck)->files[1].bytes);
    checkpoint_free(&ck);
    model_free(&m);
    model_free(&baseline);
    store_close(&s);
}

static void
test_equal_content_gives_equal_digests(void)
{
    struct store *s = fresh_store();
    struct model *m = small_model(1);
    struct checkpoint_result one = write_checkpoint(s, m, NULL, "p");
    struct checkpoint_result two = write_checkpoint(s, m, NULL, "p");
    struct checkpoint_result other = write_checkpoint(s, m, NULL, "q");

    CHECK_INT(two.version, 2);
    CHECK_STR(two.model_sha256, one.model_sha256);
    CHECK_STR(two.state_sha256, one.state_sha256);
    CHECK_STR(other.model_sha256, one.model_sha256);
    CHECK(strcmp(other.state_sha256, one.state_sha256) != 0);
    model_free(&m);
    store_close(&s);
}

/* 24 MiB through 8 MiB of buffers, a slice at a time, as the trainer does. */
static void
test_slices_carry_more_than_the_buffers_hold(void)
{
    struct store *s = fresh_store();
    struct model *m = calloc(1, sizeof(*m));
    const struct checkpoint_model models[] = {{.model = m, .prefix = ""}};
    struct manifest manifest = {.model = "big"};
    const struct checkpoint_content content = {
        .models = models, .model_count = 1, .manifest = &manifest};
    struct checkpoint_writer *w = NULL;
    struct checkpoint_result r;
    struct checkpoint *ck = NULL;
    struct tensor *list = NULL;
    size_t count = 0;
    size_t steps = 0;

    fake_add(m, "a", TENSOR_F32, 3000000, false, 1);
    fake_add(m, "b", TENSOR_U8, 7654321, true, 2);
    fake_add(m, "c", TENSOR_F64, 600000, false, 3);
    fake_add(m, "none", TENSOR_I64, 0, false, 4);
    CHECK_INT(writer_new(&w, s, &err), STATUS_OK);
    CHECK_INT(writer_poll(w, &r), STATUS_END);
    CHECK_INT(writer_step(w, WRITER_BUDGET), STATUS_END);
    CHECK_INT(writer_begin(w, &content, &err), STATUS_OK);
    CHECK_INT(writer_begin(w, &content, &err), STATUS_AGAIN);
    CHECK_INT(writer_poll(w, &r), STATUS_AGAIN);
    while (writer_step(w, WRITER_BUDGET) != STATUS_END)
        steps++;
    CHECK(steps >= 23);
    CHECK(!m->has_snapshot);
    while (writer_poll(w, &r) == STATUS_AGAIN)
        (void)usleep(100);
    CHECK_INT(r.status, STATUS_OK);
    CHECK_INT(writer_poll(w, &r), STATUS_END);
    CHECK_INT(writer_finish(w, &r), STATUS_END);
    CHECK_INT(checkpoint_open(&ck, at("s"), CHECKPOINT_VERIFY, &err),
              STATUS_OK);
    if (ck != NULL) {
        CHECK_INT(checkpoint_tensors(ck, "", &list, &count, &err), STATUS_OK);
        check_tensors(m, list, count);
    }
    free(list);
    checkpoint_free(&ck);
    writer_free(&w);
    model_free(&m);
    store_close(&s);
}

static void
test_ending_in_the_middle_leaves_nothing(void)
{
    struct store *s = fresh_store();
    struct model *m = small_model(1);
    const struct checkpoint_model models[] = {{.model = m, .prefix = ""}};
    struct manifest manifest = {.model = "m"};
    const struct checkpoint_content content = {
        .models = models, .model_count = 1, .manifest = &manifest};
    struct checkpoint_writer *w = NULL;
    struct versions v;

    CHECK_INT(writer_new(&w, s, &err), STATUS_OK);
    CHECK_INT(writer_begin(w, &content, &err), STATUS_OK);
    CHECK_INT(writer_step(w, 1), STATUS_OK);
    writer_free(&w);
    CHECK(w == NULL);
    CHECK(!m->has_snapshot);
    CHECK_INT(versions_list(&v, at("s"), &err), STATUS_OK);
    CHECK_INT(v.count, 0);
    versions_fini(&v);
    CHECK_INT(write_checkpoint(s, m, NULL, "").status, STATUS_OK);
    model_free(&m);
    store_close(&s);
}

static void
test_names_that_would_be_mistaken_are_refused(void)
{
    static const char *const bad[] = {"baseline/x", "progress"};
    struct store *s = fresh_store();
    struct checkpoint_writer *w = NULL;
    struct model *baseline = small_model(3);
    struct manifest manifest = {.model = "m"};

    CHECK_INT(writer_new(&w, s, &err), STATUS_OK);
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct model *m = small_model(1);
        const struct checkpoint_model models[] = {
            {.model = m, .prefix = ""},
            {.model = baseline, .prefix = "baseline/"}};
        const struct checkpoint_content content = {
            .models = models, .model_count = 2, .manifest = &manifest};

        fake_add(m, bad[i], TENSOR_U8, 1, true, 1);
        CHECK_INT(writer_begin(w, &content, &err), STATUS_CONFIG);
        CHECK_HAS(err.text, bad[i]);
        CHECK(!m->has_snapshot && !baseline->has_snapshot);
        model_free(&m);
    }
    CHECK_INT(writer_step(w, 1), STATUS_END);
    writer_free(&w);
    model_free(&baseline);
    store_close(&s);
}

static void
test_bad_manifest_part_fails_and_the_next_succeeds(void)
{
    struct store *s = fresh_store();
    struct model *m = small_model(1);
    const struct checkpoint_model models[] = {{.model = m, .prefix = ""}};
    struct manifest manifest = {.model = "m"};
    const struct checkpoint_content content = {
        .models = models, .model_count = 1, .manifest = &manifest};
    struct checkpoint_writer *w = NULL;
    struct checkpoint_result r;

    CHECK_INT(writer_new(&w, s, &err), STATUS_OK);
    manifest.parts[MANIFEST_METRICS] = "{\"auc\":nan}";
    CHECK_INT(writer_begin(w, &content, &err), STATUS_OK);
    CHECK_INT(writer_finish(w, &r), STATUS_OK);
    CHECK_INT(r.status, STATUS_CONFIG);
    CHECK_HAS(r.err.text, "metrics");
    CHECK(!is_there("s/1"));
    manifest.parts[MANIFEST_METRICS] = "{\"auc\":null}";
    CHECK_INT(writer_begin(w, &content, &err), STATUS_OK);
    CHECK_INT(writer_finish(w, &r), STATUS_OK);
    CHECK_INT(r.status, STATUS_OK);
    CHECK(is_there("s/2"));
    writer_free(&w);
    model_free(&m);
    store_close(&s);
}

/* What the child below does; 0 when all is as it should be. */
static int
fill_the_disk(void)
{
    struct store *s = fresh_store();
    struct model *m = small_model(1);
    struct model *big = calloc(1, sizeof(*big));
    struct rlimit limit = {100000, RLIM_INFINITY};
    struct checkpoint_result r;

    fake_add(big, "big", TENSOR_U8, 20000000, true, 1);
    if (write_checkpoint(s, m, NULL, "").status != STATUS_OK)
        return 1;
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)setrlimit(RLIMIT_FSIZE, &limit);
    r = write_checkpoint(s, big, NULL, "");
    if (r.status != STATUS_FULL || big->has_snapshot)
        return 2;
    if (is_there("s/2") || !is_there("s/1/manifest.json"))
        return 3;
    limit.rlim_cur = RLIM_INFINITY;
    (void)setrlimit(RLIMIT_FSIZE, &limit);
    r = write_checkpoint(s, big, NULL, "");
    if (r.status != STATUS_OK || r.version != 3)
        return 4;
    model_free(&m);
    model_free(&big);
    store_close(&s);
    return check_failed_now != 0 ? 5 : 0;
}

/* In a child of its own, which the limit on file sizes may not outlive. */
static void
test_full_disk_fails_cleanly_and_resumes(void)
{
    int code = 0;
    pid_t child;

    (void)fflush(stdout);
    child = fork();
    if (child == 0)
        _exit(fill_the_disk());
    CHECK(waitpid(child, &code, 0) == child);
    CHECK(WIFEXITED(code));
    CHECK_INT(WEXITSTATUS(code), 0);
}

int
main(void)
{
    if (mkdtemp(root) == NULL)
        return 1;
    RUN(test_full_disk_fails_cleanly_and_resumes); /* before any thread */
    RUN(test_models_and_progress_read_back);
    RUN(test_equal_content_gives_equal_digests);
    RUN(test_slices_carry_more_than_the_buffers_hold);
    RUN(test_ending_in_the_middle_leaves_nothing);
    RUN(test_names_that_would_be_mistaken_are_refused);
    RUN(test_bad_manifest_part_fails_and_the_next_succeeds);
    if (directory_remove(root, &err) != STATUS_OK)
        return 1;
    return check_report();
}

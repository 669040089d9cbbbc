/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory of versions: locked, cleaned, pruned, recovered, published.
 */
#include "stages/checkpoint/versions.h"

#include "tests/support/checkpoints.h"

#include <inttypes.h>

/* What store_open_newest said about versions that it set aside. */
struct told {
    size_t count;
    uint64_t version;
    char text[ERROR_TEXT_MAX];
};

static void
on_aside(void *ctx, uint64_t version, const struct error *why)
{
    struct told *t = ctx;

    t->count++;
    t->version = version;
    (void)snprintf(t->text, sizeof(t->text), "%s", why->text);
}

/* A store in an empty directory. */
static struct store *
fresh_store(size_t keep)
{
    struct store *s = NULL;

    CHECK_INT(directory_remove(at("s"), &err), STATUS_OK);
    CHECK_INT(store_open(&s, at("s"), keep, &err), STATUS_OK);
    return s;
}

static void
reopen(struct store **s, size_t keep)
{
    store_close(s);
    CHECK_INT(store_open(s, at("s"), keep, &err), STATUS_OK);
}

/* Writes count versions, each of another model. */
static void
write_versions(struct store *s, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct model *m = small_model((unsigned)(100 * i));
        struct checkpoint_result r = write_checkpoint(s, m, NULL, "{}");

        CHECK_INT(r.status, STATUS_OK);
        model_free(&m);
    }
}

/* Turns one bit of a file, at an offset. */
static void
damage(const char *name, off_t offset)
{
    FILE *f = fopen(at(name), "r+");
    int c;

    CHECK(f != NULL);
    if (f == NULL)
        return;
    (void)fseeko(f, offset, offset < 0 ? SEEK_END : SEEK_SET);
    c = fgetc(f);
    (void)fseeko(f, -1, SEEK_CUR);
    (void)fputc(c ^ 1, f);
    (void)fclose(f);
}

static uint64_t
latest(const char *dir)
{
    struct versions v;
    uint64_t n;

    CHECK_INT(versions_list(&v, dir, &err), STATUS_OK);
    n = v.latest;
    versions_fini(&v);
    return n;
}

static void
test_version_names_are_plain_decimals(void)
{
    CHECK_INT(versions_parse("42"), 42);
    CHECK_INT(versions_parse("042"), 0);
    CHECK_INT(versions_parse("0"), 0);
    CHECK_INT(versions_parse("-1"), 0);
    CHECK_INT(versions_parse("1x"), 0);
    CHECK_INT(versions_parse(""), 0);
    CHECK_INT(versions_parse("latest"), 0);
    CHECK_INT(versions_parse("99999999999999999999"), 0);
}

static void
test_empty_directory_is_a_fresh_start(void)
{
    struct store *s = fresh_store(3);
    struct checkpoint *ck = NULL;

    CHECK_INT(store_open_newest(s, &ck, NULL, NULL, &err), STATUS_OK);
    CHECK(ck == NULL);
    CHECK_INT(store_take_version(s), 1);
    CHECK_INT(store_take_version(s), 2);
    store_close(&s);
    CHECK(s == NULL);
    store_close(&s);
}

static void
test_second_process_is_refused(void)
{
    struct store *s = fresh_store(3);
    struct store *other = NULL;
    char pid[32];

    (void)snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    CHECK_INT(store_open(&other, at("s"), 3, &err), STATUS_LOCKED);
    CHECK(other == NULL);
    CHECK_HAS(err.text, pid);
    CHECK_INT(status_exit_code(err.status), 69);
    store_close(&s);
}

static void
test_newest_version_is_opened(void)
{
    struct store *s = fresh_store(3);
    struct checkpoint *ck = NULL;

    write_versions(s, 2);
    reopen(&s, 3);
    CHECK_INT(store_open_newest(s, &ck, NULL, NULL, &err), STATUS_OK);
    if (ck != NULL)
        CHECK_INT(checkpoint_manifest(ck)->version, 2);
    CHECK_INT(latest(at("s")), 2);
    CHECK_INT(store_take_version(s), 3);
    checkpoint_free(&ck);
    store_close(&s);
}

static void
test_what_a_crash_left_is_removed(void)
{
    struct store *s = fresh_store(3);

    write_versions(s, 1);
    store_close(&s);
    CHECK_INT(directory_make(at("s/.2.tmp-1/deep"), &err), STATUS_OK);
    CHECK_INT(file_replace(at("s/.2.tmp-1/model.safetensors"), "x", 1, &err),
              STATUS_OK);
    CHECK_INT(file_replace(at("s/.latest.tmp-77"), "x", 1, &err), STATUS_OK);
    CHECK_INT(file_replace(at("s/.keep"), "x", 1, &err), STATUS_OK);
    CHECK_INT(store_open(&s, at("s"), 3, &err), STATUS_OK);
    CHECK(!is_there("s/.2.tmp-1"));
    CHECK(!is_there("s/.latest.tmp-77"));
    CHECK(is_there("s/.keep"));
    CHECK(is_there("s/1"));
    CHECK_INT(store_take_version(s), 2);
    store_close(&s);
}

static void
test_crash_before_the_pointer_moved_is_mended(void)
{
    struct store *s = fresh_store(3);
    struct checkpoint *ck = NULL;

    write_versions(s, 2);
    CHECK_INT(versions_point(at("s"), 1, &err), STATUS_OK);
    CHECK_INT(latest(at("s")), 1);
    CHECK_INT(store_open_newest(s, &ck, NULL, NULL, &err), STATUS_OK);
    CHECK_INT(latest(at("s")), 2);
    checkpoint_free(&ck);
    store_close(&s);
}

/* Expects that version 2 of two is set aside, for a reason with these
 * words, that 1 is used, and that 2 is not used again. */
static void
check_set_aside(struct store **s, const char *words)
{
    struct checkpoint *ck = NULL;
    struct told told = {0};

    CHECK_INT(store_open_newest(*s, &ck, on_aside, &told, &err), STATUS_OK);
    CHECK_INT(told.count, 1);
    CHECK_INT(told.version, 2);
    CHECK_HAS(told.text, words);
    CHECK(ck != NULL);
    if (ck != NULL)
        CHECK_INT(checkpoint_manifest(ck)->version, 1);
    CHECK(is_there("s/2.corrupt"));
    CHECK(!is_there("s/2"));
    CHECK_INT(latest(at("s")), 1);
    checkpoint_free(&ck);
    reopen(s, 3);
    CHECK_INT(store_take_version(*s), 3);
    store_close(s);
}

static void
test_corrupt_version_is_set_aside_and_its_number_not_reused(void)
{
    struct store *s = fresh_store(3);

    write_versions(s, 2);
    damage("s/2/model.safetensors", -1);
    check_set_aside(&s, "model.safetensors: SHA-256");
    s = fresh_store(3);
    write_versions(s, 2);
    damage("s/2/state.safetensors", 9);
    check_set_aside(&s, "state.safetensors: SHA-256");
    s = fresh_store(3);
    write_versions(s, 2);
    CHECK(truncate(at("s/2/state.safetensors"), 100) == 0);
    check_set_aside(&s, "100 bytes, the manifest says");
    s = fresh_store(3);
    write_versions(s, 2);
    CHECK(unlink(at("s/2/manifest.json")) == 0);
    check_set_aside(&s, "manifest.json");
    s = fresh_store(3);
    write_versions(s, 2);
    CHECK(truncate(at("s/2/manifest.json"), 20) == 0);
    check_set_aside(&s, "manifest.json");
}

static void
test_nothing_valid_is_no_fresh_start(void)
{
    struct store *s = fresh_store(3);
    struct checkpoint *ck = NULL;

    write_versions(s, 1);
    damage("s/1/model.safetensors", -1);
    CHECK_INT(store_open_newest(s, &ck, NULL, NULL, &err), STATUS_BADDATA);
    CHECK_HAS(err.text, "no version in it is valid");
    reopen(&s, 3);
    CHECK_INT(store_open_newest(s, &ck, NULL, NULL, &err), STATUS_BADDATA);
    CHECK(ck == NULL);
    store_close(&s);
}

static void
test_only_the_newest_are_kept(void)
{
    struct store *s = fresh_store(2);

    write_versions(s, 3);
    CHECK(!is_there("s/1"));
    CHECK(is_there("s/2") && is_there("s/3"));
    CHECK_INT(versions_point(at("s"), 2, &err), STATUS_OK);
    CHECK_INT(versions_prune(at("s"), 1, &err), STATUS_OK);
    CHECK(is_there("s/2") && is_there("s/3"));
    CHECK_INT(versions_point(at("s"), 3, &err), STATUS_OK);
    CHECK_INT(versions_prune(at("s"), 1, &err), STATUS_OK);
    CHECK(!is_there("s/2") && is_there("s/3"));
    store_close(&s);
}

static void
test_existing_version_is_never_replaced(void)
{
    char temp[PATH_TEXT_MAX];
    struct store *s = fresh_store(3);

    write_versions(s, 1);
    CHECK_INT(versions_begin(temp, at("s"), 1, &err), STATUS_OK);
    CHECK_INT(versions_commit(temp, at("s"), 1, &err), STATUS_IO);
    CHECK(is_there("s/1/manifest.json"));
    store_close(&s);
}

static void
test_published_version_has_the_model_alone(void)
{
    struct store *s = fresh_store(5);
    struct checkpoint *ck = NULL;
    struct checkpoint *published = NULL;
    struct model *m = NULL;

    CHECK_INT(directory_remove(at("p"), &err), STATUS_OK);
    write_versions(s, 3);
    for (uint64_t v = 1; v <= 3; v++)
        CHECK_INT(store_publish(s, v, at("p"), 2, &err), STATUS_OK);
    CHECK(!is_there("p/1") && is_there("p/2") && is_there("p/3"));
    CHECK(!is_there("p/3/state.safetensors"));
    CHECK_INT(latest(at("p")), 3);
    CHECK_INT(checkpoint_open(&ck, at("s"), CHECKPOINT_VERIFY, &err),
              STATUS_OK);
    CHECK_INT(checkpoint_open(&published, at("p"), CHECKPOINT_VERIFY, &err),
              STATUS_OK);
    if (ck != NULL && published != NULL) {
        CHECK_STR(checkpoint_manifest(published)->files[0].sha256,
                  checkpoint_manifest(ck)->files[0].sha256);
        CHECK_INT(checkpoint_manifest(published)->file_count, 1);
        CHECK(checkpoint_state(published) == NULL);
        CHECK_INT(checkpoint_load_model(published, "baseline/", NULL,
                                        RESTORE_WEIGHTS, &m, NULL, &err),
                  STATUS_BADDATA);
    }
    checkpoint_free(&published);
    checkpoint_free(&ck);
    store_close(&s);
}

static void
test_publishing_again_changes_nothing(void)
{
    struct store *s = fresh_store(5);

    CHECK_INT(directory_remove(at("p"), &err), STATUS_OK);
    write_versions(s, 2);
    CHECK_INT(store_publish(s, 1, at("p"), 2, &err), STATUS_OK);
    CHECK_INT(store_publish(s, 2, at("p"), 2, &err), STATUS_OK);
    CHECK_INT(store_publish(s, 1, at("p"), 2, &err), STATUS_OK);
    CHECK_INT(latest(at("p")), 2);
    CHECK_INT(store_publish(s, 7, at("p"), 2, &err), STATUS_NOTFOUND);
    /* Another life of the store: the number is taken by another model. */
    store_close(&s);
    s = fresh_store(5);
    write_versions(s, 1);
    damage("s/1/model.safetensors", -1);
    CHECK_INT(store_publish(s, 1, at("p"), 2, &err), STATUS_OK);
    store_close(&s);
    s = fresh_store(5);
    {
        struct model *m = small_model(12345);

        CHECK_INT(write_checkpoint(s, m, NULL, "").status, STATUS_OK);
        model_free(&m);
    }
    CHECK_INT(store_publish(s, 1, at("p"), 2, &err), STATUS_BADDATA);
    CHECK_HAS(err.text, "another model");
    store_close(&s);
}

static void
test_path_without_a_checkpoint_is_named(void)
{
    struct checkpoint *ck = NULL;

    CHECK_INT(checkpoint_open(&ck, at("nowhere"), CHECKPOINT_QUICK, &err),
              STATUS_NOTFOUND);
    CHECK_HAS(err.text, "nowhere");
    CHECK(ck == NULL);
}

int
main(void)
{
    if (mkdtemp(root) == NULL)
        return 1;
    RUN(test_version_names_are_plain_decimals);
    RUN(test_empty_directory_is_a_fresh_start);
    RUN(test_second_process_is_refused);
    RUN(test_newest_version_is_opened);
    RUN(test_what_a_crash_left_is_removed);
    RUN(test_crash_before_the_pointer_moved_is_mended);
    RUN(test_corrupt_version_is_set_aside_and_its_number_not_reused);
    RUN(test_nothing_valid_is_no_fresh_start);
    RUN(test_only_the_newest_are_kept);
    RUN(test_existing_version_is_never_replaced);
    RUN(test_published_version_has_the_model_alone);
    RUN(test_publishing_again_changes_nothing);
    RUN(test_path_without_a_checkpoint_is_named);
    if (directory_remove(root, &err) != STATUS_OK)
        return 1;
    return check_report();
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are old or new but never half, directories, pointers and locks.
 */
#include "daemon/io/directory.h"
#include "daemon/io/file.h"

#include "tests/support/check.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[] = "/tmp/distilld-file-XXXXXX";
static struct error err;

/* The path of a name in the test's directory; one at a time. */
static const char *
at(const char *name)
{
    static char paths[4][PATH_TEXT_MAX];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    if (path_join(path, root, name, &err) != STATUS_OK)
        path[0] = '\0';
    return path;
}

static size_t
count_names(const char *path)
{
    DIR *d = opendir(path);
    size_t n = 0;

    if (d == NULL)
        return 0;
    while (readdir(d) != NULL)
        n++;
    (void)closedir(d);
    return n - 2;
}

static void
check_text(const char *path, const char *want)
{
    char *data = NULL;
    size_t len = 0;

    CHECK_INT(file_read_all(path, 1000, &data, &len, &err), STATUS_OK);
    if (data != NULL) {
        CHECK_INT(len, strlen(want));
        CHECK_STR(data, want);
    }
    free(data);
}

static void
test_temp_file_appears_only_when_committed(void)
{
    struct file *f = NULL;

    CHECK_INT(file_replace(at("a"), "old", 3, &err), STATUS_OK);
    CHECK_INT(file_open_temp(&f, at("a"), &err), STATUS_OK);
    CHECK_INT(file_write(f, "new!", 4, &err), STATUS_OK);
    check_text(at("a"), "old");
    CHECK_INT(file_commit(f, &err), STATUS_OK);
    file_close(&f);
    CHECK(f == NULL);
    check_text(at("a"), "new!");
    CHECK_INT(count_names(root), 1);
}

static void
test_temp_file_vanishes_when_given_up(void)
{
    struct file *f = NULL;

    CHECK_INT(file_replace(at("a"), "old", 3, &err), STATUS_OK);
    CHECK_INT(file_open_temp(&f, at("a"), &err), STATUS_OK);
    CHECK_INT(file_write(f, "new!", 4, &err), STATUS_OK);
    CHECK_INT(count_names(root), 2);
    file_close(&f);
    CHECK_INT(count_names(root), 1);
    check_text(at("a"), "old");
}

static void
test_pieces_land_at_their_offsets(void)
{
    struct file *f = NULL;

    (void)unlink(at("p"));
    CHECK_INT(file_open_new(&f, at("p"), &err), STATUS_OK);
    CHECK_INT(file_resize(f, 6, &err), STATUS_OK);
    CHECK_INT(file_write_at(f, "def", 3, 3, &err), STATUS_OK);
    CHECK_INT(file_write_at(f, "abc", 3, 0, &err), STATUS_OK);
    CHECK_INT(file_commit(f, &err), STATUS_OK);
    file_close(&f);
    check_text(at("p"), "abcdef");
    CHECK_INT(file_open_new(&f, at("p"), &err), STATUS_IO);
    CHECK(f == NULL);
}

static void
test_reading_is_bounded_and_names_what_is_wrong(void)
{
    char *data = NULL;
    size_t len = 0;

    CHECK_INT(file_replace(at("a"), "12345", 5, &err), STATUS_OK);
    CHECK_INT(file_read_all(at("a"), 4, &data, &len, &err), STATUS_TOOBIG);
    CHECK(data == NULL);
    CHECK_INT(file_read_all(at("none"), 4, &data, &len, &err), STATUS_NOTFOUND);
    CHECK_HAS(err.text, "none");
    CHECK_INT(file_read_all(root, 4, &data, &len, &err), STATUS_NOTFOUND);
    CHECK_HAS(err.text, "not a regular file");
}

static void
test_map_shows_the_bytes_and_takes_empty_files(void)
{
    struct file_map m;

    CHECK_INT(file_replace(at("m"), "bytes", 5, &err), STATUS_OK);
    CHECK_INT(file_map(&m, at("m"), &err), STATUS_OK);
    CHECK_INT(m.bytes, 5);
    CHECK(m.data != NULL && memcmp(m.data, "bytes", 5) == 0);
    file_unmap(&m);
    CHECK(m.data == NULL);
    file_unmap(&m);
    CHECK_INT(file_replace(at("m"), "", 0, &err), STATUS_OK);
    CHECK_INT(file_map(&m, at("m"), &err), STATUS_OK);
    CHECK_INT(m.bytes, 0);
    file_unmap(&m);
}

static void
test_digest_and_copy_agree(void)
{
    char one[DIGEST_HEX_SIZE];
    char two[DIGEST_HEX_SIZE];
    uint64_t size = 0;

    CHECK_INT(file_replace(at("s"), "abc", 3, &err), STATUS_OK);
    CHECK_INT(file_digest(at("s"), one, &size, &err), STATUS_OK);
    CHECK_INT(size, 3);
    CHECK_HAS(one, "ba7816bf8f01cfea");
    (void)unlink(at("t"));
    CHECK_INT(file_copy(at("s"), at("t"), false, &err), STATUS_OK);
    CHECK_INT(file_digest(at("t"), two, NULL, &err), STATUS_OK);
    CHECK_STR(two, one);
    CHECK_INT(file_copy(at("s"), at("t"), true, &err), STATUS_IO);
    (void)unlink(at("t"));
    CHECK_INT(file_copy(at("s"), at("t"), true, &err), STATUS_OK);
    check_text(at("t"), "abc");
}

static void
test_directories_are_made_moved_and_removed(void)
{
    struct stat sb;

    CHECK_INT(directory_make(at("d/e//f/"), &err), STATUS_OK);
    CHECK_INT(directory_make(at("d/e/f"), &err), STATUS_OK);
    CHECK_INT(file_replace(at("d/e/f/x"), "1", 1, &err), STATUS_OK);
    CHECK_INT(directory_make(at("d/e/f/x"), &err), STATUS_NOTFOUND);
    CHECK_INT(directory_make(at("g"), &err), STATUS_OK);
    CHECK_INT(directory_rename(at("g"), at("d"), &err), STATUS_IO);
    CHECK_INT(directory_rename(at("d/e"), at("h"), &err), STATUS_OK);
    check_text(at("h/f/x"), "1");
    CHECK_INT(directory_remove(at("h"), &err), STATUS_OK);
    CHECK_INT(directory_remove(at("h"), &err), STATUS_OK);
    CHECK(stat(at("h"), &sb) != 0);
}

static void
test_pointer_moves_in_one_step(void)
{
    char target[64] = "";

    CHECK_INT(directory_point(root, "latest", "1", &err), STATUS_OK);
    CHECK_INT(directory_point(root, "latest", "22", &err), STATUS_OK);
    CHECK_INT(readlink(at("latest"), target, sizeof(target) - 1), 2);
    CHECK_STR(target, "22");
}

static void
test_lock_names_the_process_that_holds_it(void)
{
    struct file_lock *one = NULL;
    struct file_lock *two = NULL;
    char pid[32];

    (void)snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    CHECK_INT(file_lock_take(&one, at(".lock"), &err), STATUS_OK);
    CHECK_INT(file_lock_take(&two, at(".lock"), &err), STATUS_LOCKED);
    CHECK(two == NULL);
    CHECK_HAS(err.text, pid);
    file_lock_release(&one);
    CHECK(one == NULL);
    CHECK_INT(file_lock_take(&two, at(".lock"), &err), STATUS_OK);
    file_lock_release(&two);
    file_lock_release(&two);
}

/* In a child, since the limit on file sizes cannot be raised again. */
static void
test_full_disk_leaves_the_old_file(void)
{
    char big[10000];
    int code = 0;
    pid_t child;

    memset(big, 'x', sizeof(big));
    CHECK_INT(file_replace(at("a"), "old", 3, &err), STATUS_OK);
    (void)fflush(stdout);
    child = fork();
    if (child == 0) {
        struct rlimit limit = {4096, 4096};
        enum status st;

        (void)signal(SIGXFSZ, SIG_IGN);
        (void)setrlimit(RLIMIT_FSIZE, &limit);
        st = file_replace(at("a"), big, sizeof(big), &err);
        _exit(st == STATUS_FULL ? 0 : 1);
    }
    CHECK(waitpid(child, &code, 0) == child);
    CHECK_INT(code, 0);
    check_text(at("a"), "old");
}

int
main(void)
{
    if (mkdtemp(root) == NULL)
        return 1;
    RUN(test_temp_file_appears_only_when_committed);
    RUN(test_temp_file_vanishes_when_given_up);
    RUN(test_pieces_land_at_their_offsets);
    RUN(test_reading_is_bounded_and_names_what_is_wrong);
    RUN(test_map_shows_the_bytes_and_takes_empty_files);
    RUN(test_digest_and_copy_agree);
    RUN(test_directories_are_made_moved_and_removed);
    RUN(test_pointer_moves_in_one_step);
    RUN(test_lock_names_the_process_that_holds_it);
    RUN(test_full_disk_leaves_the_old_file);
    if (directory_remove(root, &err) != STATUS_OK)
        return 1;
    return check_report();
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs in files: whole lines only, plain and gzip, growing and torn ones.
 */
#include "daemon/base/digest.h"
#include "daemon/io/directory.h"
#include "daemon/io/log_file.h"

#include "tests/support/check.h"

#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#define RECORD_MAX 64

static char folder[] = "/tmp/test_log_file.XXXXXX";
static char path[128];

static void
write_file(const char *text)
{
    FILE *f = fopen(path, "wb");

    CHECK(f != NULL && fputs(text, f) >= 0);
    if (f != NULL)
        (void)fclose(f);
}

/* Reads to the end and joins all lines with '|'; offsets in *last. */
static enum status
read_all(enum log_tail tail, struct log_position start, char *out,
         struct log_position *last, struct error *err)
{
    struct log_reader *r = NULL;
    struct log_chunk *c = NULL;
    struct log_line line;
    enum status st = log_chunk_new(&c, RECORD_MAX, err);

    out[0] = '\0';
    if (st == STATUS_OK)
        st = log_reader_open(&r, path, tail, RECORD_MAX, start, err);
    while (st == STATUS_OK) {
        st = log_reader_read(r, c, err);
        while (st == STATUS_OK && log_chunk_next(c, &line)) {
            (void)strncat(out, line.data, line.bytes);
            (void)strncat(out, c->is_cut ? "!" : "|", 2);
        }
        if (st == STATUS_OK && last != NULL)
            *last = c->after;
    }
    log_reader_close(&r);
    log_chunk_free(&c);
    return st;
}

static void
test_reader_gives_whole_lines_and_skips_blank_ones(void)
{
    char out[256];
    struct error err;

    write_file("a\n\nbb\n  \nccc\n");
    CHECK_INT(
        read_all(LOG_TAIL_WAIT, (struct log_position){0}, out, NULL, &err),
        STATUS_END);
    CHECK_STR(out, "a|bb|ccc|");
}

static void
test_torn_line_waits_or_is_taken(void)
{
    char out[256];
    struct error err;

    write_file("a\nbb");
    (void)read_all(LOG_TAIL_WAIT, (struct log_position){0}, out, NULL, &err);
    CHECK_STR(out, "a|");
    (void)read_all(LOG_TAIL_TAKE, (struct log_position){0}, out, NULL, &err);
    CHECK_STR(out, "a|bb|");
}

static void
test_reader_goes_on_where_it_was(void)
{
    char out[256];
    struct error err;
    struct log_position at = {0};

    write_file("a\nbb\n");
    (void)read_all(LOG_TAIL_WAIT, at, out, &at, &err);
    CHECK_INT(at.offset, 5);
    write_file("a\nbb\nccc\n");
    (void)read_all(LOG_TAIL_WAIT, at, out, &at, &err);
    CHECK_STR(out, "ccc|");
    CHECK_INT(at.offset, 9);
}

static void
test_growing_file_gives_more_after_its_end(void)
{
    struct log_reader *r = NULL;
    struct log_chunk *c = NULL;
    struct log_line line;
    struct error err;
    FILE *f;

    write_file("a\nb");
    CHECK_INT(log_chunk_new(&c, RECORD_MAX, &err), STATUS_OK);
    CHECK_INT(log_reader_open(&r, path, LOG_TAIL_WAIT, RECORD_MAX,
                              (struct log_position){0}, &err),
              STATUS_OK);
    CHECK_INT(log_reader_read(r, c, &err), STATUS_OK);
    CHECK_INT(log_reader_read(r, c, &err), STATUS_END);
    f = fopen(path, "ab");
    (void)fputs("b\nc\n", f);
    (void)fclose(f);
    CHECK_INT(log_reader_read(r, c, &err), STATUS_OK);
    CHECK(log_chunk_next(c, &line) && line.bytes == 2 && line.offset == 2);
    CHECK(log_chunk_next(c, &line) && line.bytes == 1 && line.offset == 5);
    log_reader_close(&r);
    log_chunk_free(&c);
}

static void
test_gzip_reads_alike_and_truncation_is_named(void)
{
    char out[256];
    struct error err;
    struct log_position at = {0};
    gzFile gz = gzopen(path, "wb");

    for (int i = 0; i < 20; i++)
        (void)gzprintf(gz, "%d\n", i);
    (void)gzclose(gz);
    CHECK_INT(read_all(LOG_TAIL_TAKE, at, out, &at, &err), STATUS_END);
    CHECK_HAS(out, "|18|19|");
    at.offset = 2;
    (void)read_all(LOG_TAIL_TAKE, at, out, NULL, &err);
    CHECK(strncmp(out, "1|2|", 4) == 0);
    CHECK(truncate(path, 30) == 0);
    CHECK_INT(
        read_all(LOG_TAIL_TAKE, (struct log_position){0}, out, NULL, &err),
        STATUS_BADDATA);
    CHECK_HAS(err.text, "truncated gzip");
}

static void
test_position_outside_the_log_is_refused(void)
{
    char out[256];
    struct error err;

    write_file("a\nbb\n");
    CHECK_INT(read_all(LOG_TAIL_WAIT, (struct log_position){.offset = 99}, out,
                       NULL, &err),
              STATUS_BADDATA);
    CHECK_HAS(err.text, "--accept-reset");
    CHECK_INT(read_all(LOG_TAIL_WAIT, (struct log_position){.offset = 3}, out,
                       NULL, &err),
              STATUS_BADDATA);
}

static void
test_line_over_the_chunk_is_cut_and_the_next_one_is_whole(void)
{
    struct log_reader *r = NULL;
    struct log_chunk *c = NULL;
    struct log_line line;
    struct error err;
    char hex[DIGEST_HEX_SIZE];
    size_t n = 600000;
    char *big = malloc(n + 3);

    (void)memset(big, 'x', n);
    (void)memcpy(big + n, "\ny", 3);
    write_file(big);
    digest_once(big, n, hex);
    CHECK_INT(log_chunk_new(&c, RECORD_MAX, &err), STATUS_OK);
    CHECK_INT(log_reader_open(&r, path, LOG_TAIL_TAKE, RECORD_MAX,
                              (struct log_position){0}, &err),
              STATUS_OK);
    CHECK_INT(log_reader_read(r, c, &err), STATUS_OK);
    CHECK(c->is_cut);
    CHECK_INT(c->whole_bytes, n);
    CHECK_STR(c->sha256, hex);
    CHECK(log_chunk_next(c, &line));
    CHECK_INT(line.next_offset, n + 1);
    CHECK_INT(log_reader_read(r, c, &err), STATUS_OK);
    CHECK(log_chunk_next(c, &line) && line.bytes == 1 && line.data[0] == 'y');
    CHECK_INT(line.offset, n + 1);
    log_reader_close(&r);
    log_chunk_free(&c);
    free(big);
}

static void
test_writer_cuts_a_torn_line_and_tells_the_last_one(void)
{
    struct log_writer *w = NULL;
    struct log_writer *second = NULL;
    struct bytes last;
    struct error err;
    char out[256];

    bytes_init(&last, 1 << 20);
    write_file("a\nbb\nto");
    CHECK_INT(log_writer_open(&w, path, &last, &err), STATUS_OK);
    CHECK(last.used == 2 && memcmp(last.data, "bb", 2) == 0);
    CHECK_INT(log_writer_append(w, "c\nd\n", 4, &err), STATUS_OK);
    CHECK_INT(log_writer_open(&second, path, &last, &err), STATUS_LOCKED);
    log_writer_close(&w);
    (void)read_all(LOG_TAIL_WAIT, (struct log_position){0}, out, NULL, &err);
    CHECK_STR(out, "a|bb|c|d|");
    bytes_fini(&last);
}

static void
test_directory_is_read_partition_after_partition(void)
{
    struct log_position at = {0};
    struct error err;
    char out[256];
    char dir[64];

    (void)snprintf(dir, sizeof(dir), "%s/parts", folder);
    CHECK_INT(directory_make(dir, &err), STATUS_OK);
    (void)snprintf(path, sizeof(path), "%s/b", dir);
    write_file("3\n");
    (void)snprintf(path, sizeof(path), "%s/a", dir);
    write_file("1\n2\n");
    (void)snprintf(path, sizeof(path), "%s", dir);
    (void)read_all(LOG_TAIL_TAKE, at, out, &at, &err);
    CHECK_STR(out, "1|2|3|");
    CHECK_INT(at.partition, 1);
    CHECK_INT(at.offset, 2);
}

int
main(void)
{
    struct error err;

    if (mkdtemp(folder) == NULL)
        return 1;
    (void)snprintf(path, sizeof(path), "%s/log", folder);
    RUN(test_reader_gives_whole_lines_and_skips_blank_ones);
    RUN(test_torn_line_waits_or_is_taken);
    RUN(test_reader_goes_on_where_it_was);
    RUN(test_growing_file_gives_more_after_its_end);
    RUN(test_gzip_reads_alike_and_truncation_is_named);
    RUN(test_position_outside_the_log_is_refused);
    RUN(test_line_over_the_chunk_is_cut_and_the_next_one_is_whole);
    RUN(test_writer_cuts_a_torn_line_and_tells_the_last_one);
    RUN(test_directory_is_read_partition_after_partition);
    CHECK_INT(directory_remove(folder, &err), STATUS_OK);
    return check_report();
}

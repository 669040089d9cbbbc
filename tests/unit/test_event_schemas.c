/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder agrees with the examples beside the schemas, which
 * tests/support/validate_schemas.py holds against the schemas themselves. Runs
 * in the root of the repository.
 */
#include "stages/event/batch_columns.h"
#include "stages/event/decoder.h"

#include "daemon/base/json.h"

#include "tests/support/check.h"

#include <dirent.h>
#include <stdlib.h>

#define EXAMPLES "schemas/examples/"

static const struct event_feature features[] = {
    {.name = "user", .kind = FEATURE_CATEGORICAL, .path = "user_id"},
    {.name = "shown", .kind = FEATURE_BAG, .path = "impression"},
    {.name = "emb",
     .kind = FEATURE_VECTOR,
     .path = "context.embedding",
     .width = 3},
};

static const struct event_task tasks[] = {
    {.name = "click", .kind = TASK_BINARY, .path = "event_value"},
};

static const struct event_spec spec = {.features = features,
                                       .feature_count = 3,
                                       .tasks = tasks,
                                       .task_count = 1,
                                       .time_path = "timestamp"};

/* The status that a reader has for some bytes. */
typedef enum status (*read_fn)(const char *bytes, size_t len,
                               struct error *err);

static enum status
decode(const char *bytes, size_t len, struct error *err)
{
    struct decoder *d = NULL;
    struct columns *c = NULL;
    enum status st;

    CHECK_INT(decoder_new(&d, &spec, err), STATUS_OK);
    CHECK_INT(columns_new(&c, &spec, 1, err), STATUS_OK);
    st = decoder_decode(d, bytes, len, c, 0, NULL, err);
    columns_free(&c);
    decoder_free(&d);
    return st;
}

static enum status
parse(const char *bytes, size_t len, struct error *err)
{
    struct json_limits limits = {.bytes_max = 1 << 20, .depth_max = 32};

    return json_check(bytes, len, &limits, NULL, err);
}

static void
check_file(const char *path, read_fn read, enum status want)
{
    static char bytes[1 << 20];
    FILE *f = fopen(path, "rb");
    struct error err;
    enum status st;
    size_t len;

    CHECK(f != NULL);
    if (f == NULL)
        return;
    len = fread(bytes, 1, sizeof(bytes), f);
    (void)fclose(f);
    error_clear(&err);
    st = read(bytes, len, &err);
    CHECK_INT(st, want);
    if (st != want)
        (void)printf("  %s: %s\n", path, err.text);
}

/* Every example of a folder ends with the same status; at least `least`. */
static void
check_folder(const char *folder, read_fn read, enum status want, int least)
{
    char path[512];
    DIR *d = opendir(folder);
    int count = 0;

    CHECK(d != NULL);
    for (struct dirent *e = NULL; d != NULL && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        check_file(path, read, want);
        count++;
    }
    CHECK(count >= least);
    if (d != NULL)
        (void)closedir(d);
}

static void
test_decoder_accepts_the_good_examples(void)
{
    check_folder(EXAMPLES "event/ok", decode, STATUS_OK, 5);
    check_folder(EXAMPLES "label/ok", decode, STATUS_OK, 4);
}

static void
test_decoder_refuses_the_bad_examples(void)
{
    check_folder(EXAMPLES "event/bad", decode, STATUS_MALFORMED, 15);
    check_folder(EXAMPLES "label/bad", decode, STATUS_MALFORMED, 10);
}

static void
test_dead_letters_are_json_but_no_events(void)
{
    check_folder(EXAMPLES "dead_letter/ok", parse, STATUS_OK, 3);
    check_folder(EXAMPLES "dead_letter/ok", decode, STATUS_MALFORMED, 3);
}

int
main(void)
{
    RUN(test_decoder_accepts_the_good_examples);
    RUN(test_decoder_refuses_the_bad_examples);
    RUN(test_dead_letters_are_json_but_no_events);
    return check_report();
}

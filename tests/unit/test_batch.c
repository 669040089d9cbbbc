/* SPDX-License-Identifier: Apache-2.0 */
/* What travels with a batch: watermarks, positions, which log it is of. */
#include "stages/batch.h"
#include "stages/progress.h"

#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

static struct watermarks seen;
static struct progress before;
static struct progress after;

static bool
passes(int32_t partition, uint32_t generation, int64_t offset)
{
    const struct row_source source = {partition, generation, offset};
    struct error err;
    bool is_new = false;

    CHECK_INT(watermarks_pass(&seen, &source, &is_new, &err), STATUS_OK);
    return is_new;
}

static void
test_each_source_passes_once(void)
{
    seen.count = 0;
    CHECK(passes(3, 0, 10));
    CHECK(!passes(3, 0, 10));
    CHECK(!passes(3, 0, 9));
    CHECK(passes(3, 0, 12));
    CHECK(!passes(3, 0, 11)); /* holes do not come back */
    CHECK(passes(0, 0, 0));
    CHECK(passes(SOURCES_MAX - 1, 0, 5));
    CHECK(!passes(3, 0, 12));
}

static void
test_generation_begins_anew(void)
{
    seen.count = 0;
    CHECK(passes(1, 0, 100));
    CHECK(passes(1, 2, 0));
    CHECK(!passes(1, 1, 101));
    CHECK(!passes(1, 2, 0));
    CHECK(passes(1, 2, 1));
}

static void
test_partition_out_of_range_is_refused(void)
{
    const struct row_source high = {SOURCES_MAX, 0, 0};
    const struct row_source low = {-1, 0, 0};
    struct error err;
    bool is_new;

    seen.count = 0;
    CHECK_INT(watermarks_pass(&seen, &high, &is_new, &err), STATUS_TOOBIG);
    CHECK_INT(watermarks_pass(&seen, &low, &is_new, &err), STATUS_TOOBIG);
}

static void
test_what_is_not_known_of_a_log_does_not_differ(void)
{
    struct log_identity a = {"events", "cluster", "id"};
    struct log_identity b = a;

    CHECK(!log_identity_differs(&a, &b));
    b.topic_id[0] = '\0';
    CHECK(!log_identity_differs(&a, &b));
    (void)snprintf(b.topic_id, sizeof(b.topic_id), "other");
    CHECK(log_identity_differs(&a, &b));
    b = a;
    (void)snprintf(b.cluster, sizeof(b.cluster), "other");
    CHECK(log_identity_differs(&a, &b));
    b = (struct log_identity){0};
    CHECK(!log_identity_differs(&a, &b));
}

/* Writes and reads progress; true: it came back. */
static bool
comes_back(void)
{
    struct curve *curve = NULL;
    struct bytes text;
    struct error err;
    bool is_good;

    bytes_init(&text, (size_t)1 << 20);
    CHECK_INT(progress_encode(&before, NULL, &text, &err), STATUS_OK);
    memset(&after, 0xff, sizeof(after));
    is_good = progress_decode(&after, &curve, text.data, text.used, &err) ==
              STATUS_OK;
    bytes_fini(&text);
    return is_good && curve == NULL;
}

static void
test_progress_comes_back(void)
{
    memset(&before, 0, sizeof(before));
    before.examples = 7;
    before.position.count = 2;
    before.position.at[0] = (struct log_position){0, 12};
    before.position.at[1] = (struct log_position){5, 9007199254740991};
    (void)snprintf(before.input.topic, sizeof(before.input.topic), "labels");
    (void)snprintf(before.source.cluster, sizeof(before.source.cluster), "c");
    watermarks_copy(&before.seen, &seen);
    CHECK(comes_back());
    CHECK_INT(after.examples, 7);
    CHECK_INT(after.position.count, 2);
    CHECK_INT(after.position.at[1].partition, 5);
    CHECK_INT(after.position.at[1].offset, 9007199254740991);
    CHECK_STR(after.input.topic, "labels");
    CHECK_STR(after.input.cluster, "");
    CHECK_STR(after.source.cluster, "c");
}

static void
test_progress_keeps_each_source(void)
{
    memset(&before, 0, sizeof(before));
    seen.count = 0;
    CHECK(passes(900, 3, 77));
    CHECK(passes(2, 0, 5));
    watermarks_copy(&before.seen, &seen);
    CHECK(comes_back());
    seen = after.seen;
    CHECK(!passes(900, 3, 77));
    CHECK(passes(900, 3, 78));
    CHECK(!passes(2, 0, 5));
    CHECK(passes(3, 0, 0));
}

static void
test_progress_keeps_ages_of_labels(void)
{
    memset(&before, 0, sizeof(before));
    CHECK(comes_back());
    CHECK_INT(after.ages.clock_ms, 0);
    CHECK_INT(after.ages.count, 0);
    before.ages.clock_ms = 1700000000000;
    before.ages.last_ms = 12;
    before.ages.refused = 34;
    before.ages.count = LABEL_AGES_MAX;
    for (size_t i = 0; i < LABEL_AGES_MAX; i++)
        before.ages.known[i] = (struct label_age){
            9007199254740991 - i, 1600000000000 + (int64_t)i, 1700000000000};
    CHECK(comes_back());
    CHECK(memcmp(&before.ages, &after.ages, sizeof(before.ages)) == 0);
    before.ages.known[5].first_ms = before.ages.clock_ms + 1;
    CHECK(!comes_back());
}

int
main(void)
{
    RUN(test_each_source_passes_once);
    RUN(test_generation_begins_anew);
    RUN(test_partition_out_of_range_is_refused);
    RUN(test_what_is_not_known_of_a_log_does_not_differ);
    RUN(test_progress_comes_back);
    RUN(test_progress_keeps_each_source);
    RUN(test_progress_keeps_ages_of_labels);
    return check_report();
}

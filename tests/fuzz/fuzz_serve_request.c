/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the body of an inference request, of which the first two say
 * how much is JSON. Rows that are accepted lie within the columns and are
 * whole; what is refused leaves none.
 */
#include "stages/event/batch_columns.h"
#include "stages/event/feature_id.h"
#include "stages/serve/request.h"

#include "daemon/base/macros.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 8
#define BODY_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const double boundaries[] = {0, 1};
static const struct event_feature features[] = {
    {.name = "user", .kind = FEATURE_CATEGORICAL, .path = "u"},
    {.name = "tags",
     .kind = FEATURE_BAG,
     .path = "t",
     .ids_max = 3,
     .separator = '|'},
    {.name = "age",
     .kind = FEATURE_NUMBER,
     .path = "a",
     .boundaries = boundaries,
     .boundary_count = 2},
    {.name = "price", .kind = FEATURE_NUMBER, .path = "p", .has_log = true},
    {.name = "emb", .kind = FEATURE_VECTOR, .path = "e", .width = 2},
};
static const struct event_task tasks[] = {{.name = "like"}};
static const struct event_spec spec = {.features = features,
                                       .feature_count = COUNT(features),
                                       .tasks = tasks,
                                       .task_count = 1};
static const char *const outputs[] = {"like", "like_logit"};

static struct request_reader *reader;
static struct columns *columns;

static void
check_rows(const struct request *r)
{
    const struct column *tags = &columns->features[1];

    assert(r->row_count > 0 && r->row_first + r->row_count <= ROWS_MAX);
    assert(columns->row_count == r->row_first + r->row_count);
    assert(r->output_count >= 1 && r->output_count <= COUNT(outputs));
    for (size_t row = r->row_first; row < columns->row_count; row++) {
        const float *emb = &columns->features[4].values[row * 2];

        assert(columns->features[0].ids[row] <= FEATURE_ID_MASK);
        assert(columns->features[2].ids[row] <= FEATURE_ID_MASK);
        assert(isfinite(columns->features[3].values[row]));
        assert(columns->features[3].present[row] <= 1);
        assert(isfinite(emb[0]) && isfinite(emb[1]));
        assert(tags->offsets[row] <= tags->offsets[row + 1]);
        assert(tags->offsets[row + 1] - tags->offsets[row] <= 3);
        for (uint32_t i = tags->offsets[row]; i < tags->offsets[row + 1]; i++)
            assert(tags->ids[i] != ID_MISSING);
    }
}

/* The body stands alone, so that a step beyond its end is seen. Twice: the
 * second time behind the first one's rows. */
static void
check_body(const uint8_t *data, size_t size, size_t json_len)
{
    char *body = malloc(size + 1);
    struct request request;
    struct error err = {.status = STATUS_OK};

    assert(body != NULL);
    memcpy(body + 1, data, size);
    columns_clear(columns);
    for (int i = 0; i < 2; i++) {
        size_t before = columns->row_count;
        enum status st = request_read(reader, body + 1, size, json_len, columns,
                                      &request, &err);

        if (st == STATUS_OK) {
            check_rows(&request);
            continue;
        }
        assert(st == STATUS_MALFORMED || st == STATUS_TOOBIG ||
               (st == STATUS_AGAIN && i > 0));
        assert(err.text[0] != '\0' && columns->row_count == before);
    }
    assert(request_peek_rows(body + 1, size) > 0);
    free(body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request_spec r = {.events = &spec,
                             .outputs = outputs,
                             .output_count = COUNT(outputs),
                             .body_bytes_max = BODY_MAX};
    struct error err;
    size_t json_len;
    enum status st;

    if (reader == NULL) {
        st = columns_new(&columns, &spec, ROWS_MAX, &err);
        assert(st == STATUS_OK);
        st = request_reader_new(&reader, &r, &err);
        assert(st == STATUS_OK);
    }
    if (size < 2 || size - 2 > BODY_MAX)
        return 0;
    json_len = (size_t)data[0] | (size_t)data[1] << 8;
    size -= 2;
    check_body(data + 2, size, json_len < size ? json_len : size);
    return 0;
}

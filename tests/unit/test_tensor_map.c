/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a model server is told of events, and what its answer means.
 */
#include "stages/annotate/tensor_rows.h"
#include "stages/event/decoder.h"
#include "stages/shape.h"

#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

static const char yaml[] =
    "roles: [annotate]\n"
    "events.path: e\n"
    "labels.path: l\n"
    "features:\n"
    "  user: {kind: categorical, path: who.id}\n"
    "  tags: {kind: bag, ids_max: 3}\n"
    "  price: {kind: number}\n"
    "  shape: {kind: vector, width: 2}\n"
    "tasks:\n"
    "  clicked: {kind: binary}\n"
    "  sort: {kind: class, classes: 3}\n"
    "  stars: {kind: regression}\n"
    "teacher:\n"
    "  kind: http\n"
    "  url: http://h:1\n"
    "  model_name: m\n"
    "  inputs:\n"
    "    user: BYTES user default nobody at all\n"
    "    words: BYTES[3] words default -\n"
    "    hour: INT64[] ctx.hour default -1\n"
    "    small: UINT8 ctx.small\n"
    "    big: INT64 ctx.big\n"
    "    vec: FP32[3] vec default 0.5\n"
    "    half: FP16 ctx.half\n"
    "    flag: BOOL ctx.flag default true\n"
    "    ids: INT64[4] column tags\n"
    "    id: UINT64 column user\n"
    "    price: FP64 column price default -9\n"
    "    shape: FP32[2] column shape\n"
    "  outputs:\n"
    "    clicked: probability p columns 1 temperature 2\n"
    "    sort: logit q columns 2 0 1\n"
    "    stars: logit s\n";

static struct settings *settings;
static struct event_shape *events;
static struct tensor_map *map;

static void
open_all(void)
{
    struct settings_problems problems = {0};
    struct error err;

    if (settings_parse(&settings, "test", yaml, sizeof(yaml) - 1, &problems,
                       &err) != STATUS_OK) {
        settings_problems_print(&problems, "test", stdout);
        exit(1);
    }
    if (event_shape_new(&events, settings, &err) != STATUS_OK ||
        tensor_map_new(&map, settings, &settings->teacher.inputs,
                       &settings->teacher.outputs, &err) != STATUS_OK) {
        (void)printf("%s\n", err.text);
        exit(1);
    }
}

/* A batch with one row for each event. */
static struct batch *
make_batch(struct batch_pool *pool, const char *const *lines, size_t count)
{
    struct batch *b = batch_pool_take(pool);
    struct decoder *d = NULL;
    struct error err;
    enum status st = decoder_new(&d, event_shape_spec(events), &err);

    for (size_t i = 0; i < count && st == STATUS_OK; i++) {
        size_t len = strlen(lines[i]);

        b->rows[i].start = b->raw.used;
        b->rows[i].bytes = len;
        st = bytes_append(&b->raw, lines[i], len, &err);
        if (st == STATUS_OK)
            st = decoder_decode(d, lines[i], len, b->columns, i, NULL, &err);
    }
    CHECK_INT(st, STATUS_OK);
    decoder_free(&d);
    return b;
}

static const char *
cells(const struct tensor_rows *rows, size_t row, const char *name,
      size_t *bytes)
{
    for (size_t i = 0; i < map->input_count; i++) {
        if (strcmp(map->inputs[i].tensor.name, name) == 0)
            return tensor_rows_cells(rows, row, i, bytes);
    }
    *bytes = 0;
    return NULL;
}

/* The elements of a number's input as text. */
static void
check_numbers(const struct tensor_rows *rows, size_t row, const char *name,
              enum oip_datatype type, const char *want)
{
    char text[256] = "";
    size_t bytes;
    const char *at = cells(rows, row, name, &bytes);

    for (size_t i = 0; i < bytes; i += oip_datatype_bytes(type))
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%g ",
                       oip_number_read(type, at + i));
    CHECK_STR(text, want);
}

static void
check_bytes(const struct tensor_rows *rows, size_t row, const char *name,
            const char *want)
{
    char text[256] = "";
    size_t bytes;
    const char *at = cells(rows, row, name, &bytes);

    for (size_t i = 0; i < bytes;) {
        size_t len = oip_length_read(at + i);

        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
                       "%.*s|", (int)len, at + i + OIP_LENGTH_BYTES);
        i += OIP_LENGTH_BYTES + len;
    }
    CHECK_STR(text, want);
}

static const char *const lines[] = {
    "{\"who\":{\"id\":\"u-7\"},\"words\":[\"a\\n\",3.5,true,\"d\"],"
    "\"ctx\":{\"hour\":\"13\",\"small\":255,\"big\":9007199254740993,"
    "\"half\":0.5,\"flag\":false},\"vec\":[1,2.5,3],\"tags\":[\"x\",\"y\"],"
    "\"price\":2.5,\"shape\":[1,-1]}",
    "{\"who\":{\"id\":7},\"words\":[null,{\"a\":1}],"
    "\"ctx\":{\"hour\":1.5,\"small\":256,\"big\":\"x\",\"half\":1e6,"
    "\"flag\":2},\"vec\":[null,\"7\",1e39],\"tags\":[],\"price\":null}",
    "{}",
};

static void
test_rows(void)
{
    struct tensor_source *source = NULL;
    struct tensor_rows *rows = NULL;
    struct batch_pool *pool = NULL;
    struct batch *b;
    struct error err;

    CHECK_INT(batch_pool_new(&pool, 1, event_shape_spec(events), 4, &err),
              STATUS_OK);
    CHECK_INT(tensor_source_new(&source, map, 65536, &err), STATUS_OK);
    CHECK_INT(tensor_rows_new(&rows, source, 4, &err), STATUS_OK);
    b = make_batch(pool, lines, COUNT(lines));
    for (int pass = 0; pass < 2; pass++) {
        tensor_rows_clear(rows);
        for (size_t i = COUNT(lines); i > 0; i--)
            CHECK_INT(tensor_rows_add(rows, b, i - 1, &err), STATUS_OK);
    }
    check_bytes(rows, 0, "user", "u-7|");
    check_bytes(rows, 0, "words", "a\n|3.5|true|");
    check_numbers(rows, 0, "hour", OIP_INT64, "13 ");
    check_numbers(rows, 0, "small", OIP_UINT8, "255 ");
    check_numbers(rows, 0, "vec", OIP_FP32, "1 2.5 3 ");
    check_numbers(rows, 0, "half", OIP_FP16, "0.5 ");
    check_numbers(rows, 0, "flag", OIP_BOOL, "0 ");
    check_numbers(rows, 0, "price", OIP_FP64, "2.5 ");
    check_numbers(rows, 0, "shape", OIP_FP32, "1 -1 ");
    check_bytes(rows, 1, "user", "7|");
    check_bytes(rows, 1, "words", "-|-|-|");
    check_numbers(rows, 1, "hour", OIP_INT64, "-1 ");
    check_numbers(rows, 1, "small", OIP_UINT8, "0 ");
    check_numbers(rows, 1, "big", OIP_INT64, "0 ");
    check_numbers(rows, 1, "vec", OIP_FP32, "0.5 0.5 0.5 ");
    check_numbers(rows, 1, "half", OIP_FP16, "0 ");
    check_numbers(rows, 1, "flag", OIP_BOOL, "1 ");
    check_numbers(rows, 1, "ids", OIP_INT64, "0 0 0 0 ");
    check_numbers(rows, 1, "price", OIP_FP64, "-9 ");
    check_bytes(rows, 2, "user", "nobody at all|");
    check_bytes(rows, 2, "words", "-|-|-|");
    check_numbers(rows, 2, "flag", OIP_BOOL, "1 ");
    check_numbers(rows, 2, "id", OIP_UINT64, "0 ");
    batch_release(&b);
    tensor_rows_free(&rows);
    tensor_source_free(&source);
    batch_pool_free(&pool);
}

/* Ids and large integers lose no bit. */
static void
test_exact_integers(void)
{
    struct tensor_source *source = NULL;
    struct tensor_rows *rows = NULL;
    struct batch_pool *pool = NULL;
    struct batch *b;
    struct error err;
    const char *at;
    size_t n;

    CHECK_INT(batch_pool_new(&pool, 1, event_shape_spec(events), 4, &err),
              STATUS_OK);
    CHECK_INT(tensor_source_new(&source, map, 65536, &err), STATUS_OK);
    CHECK_INT(tensor_rows_new(&rows, source, 4, &err), STATUS_OK);
    b = make_batch(pool, lines, 1);
    CHECK_INT(tensor_rows_add(rows, b, 0, &err), STATUS_OK);
    at = cells(rows, 0, "big", &n);
    CHECK(n == 8 && oip_int64_read(at) == 9007199254740993LL);
    at = cells(rows, 0, "id", &n);
    CHECK((uint64_t)oip_int64_read(at) == b->columns->features[0].ids[0]);
    at = cells(rows, 0, "ids", &n);
    CHECK_INT(n, 32);
    CHECK((uint64_t)oip_int64_read(at + 8) == b->columns->features[1].ids[1]);
    CHECK(oip_int64_read(at + 16) == 0);
    batch_release(&b);
    tensor_rows_free(&rows);
    tensor_source_free(&source);
    batch_pool_free(&pool);
}

static void
test_logits(void)
{
    float p[] = {0.9f, 0.5f, 0, 1, 0, 1.5f, 0, NAN};
    float q[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, INFINITY, 1};
    float s[] = {4.5f, -1, 0, 0};
    struct oip_output outputs[] = {
        {"p", p, 8, 2}, {"q", q, 12, 3}, {"s", s, 4, 1}};
    float logits[5];
    struct error err;

    CHECK_INT(map->output_count, 3);
    CHECK_INT(tensor_map_check_widths(map, settings, outputs, &err), STATUS_OK);
    CHECK_INT(tensor_map_logits(map, settings, outputs, 0, logits, &err),
              STATUS_OK);
    CHECK_NEAR(logits[0], 0, 1e-6);
    CHECK(logits[1] == 3 && logits[2] == 1 && logits[3] == 2);
    CHECK(logits[4] == 4.5f);
    CHECK_INT(tensor_map_logits(map, settings, outputs, 1, logits, &err),
              STATUS_OK);
    CHECK_NEAR(logits[0], log((1 - 1e-7) / 1e-7) / 2, 1e-3);
    CHECK_INT(tensor_map_logits(map, settings, outputs, 2, logits, &err),
              STATUS_MALFORMED);
    CHECK(strstr(err.text, "probability") != NULL);
    p[5] = 0.5f;
    CHECK_INT(tensor_map_logits(map, settings, outputs, 2, logits, &err),
              STATUS_OK);
    CHECK_INT(tensor_map_logits(map, settings, outputs, 3, logits, &err),
              STATUS_MALFORMED);
    p[7] = 0.5f;
    CHECK_INT(tensor_map_logits(map, settings, outputs, 3, logits, &err),
              STATUS_MALFORMED);
    outputs[2].width = 2;
    CHECK_INT(tensor_map_check_widths(map, settings, outputs, &err),
              STATUS_MALFORMED);
    outputs[2].width = 1;
    outputs[1].width = 2;
    CHECK_INT(tensor_map_check_widths(map, settings, outputs, &err),
              STATUS_MALFORMED);
}

static void
check_input(const char *value, const char *want)
{
    struct setting_property p = {.name = "x", .value = value};
    struct tensor_input in;
    struct error err;

    error_clear(&err);
    CHECK_INT(tensor_input_read(&in, settings, &p, &err),
              *want == '\0' ? STATUS_OK : STATUS_CONFIG);
    if (strstr(err.text, want) == NULL)
        CHECK_STR(err.text, want);
}

static void
test_inputs_that_make_no_sense(void)
{
    check_input("BYTES \"odd key\".x default", "");
    check_input("FP64[65536] a.b", "");
    check_input("", "incomplete");
    check_input("FP32", "incomplete");
    check_input("fp32 a", "no datatype");
    check_input("FP32[ a", "no ]");
    check_input("FP32[0] a", "no width");
    check_input("FP32[65537] a", "no width");
    check_input("FP32[+1] a", "no width");
    check_input("FP32 a..b", "path");
    check_input("FP32 a default x", "no FP32");
    check_input("INT8 a default 128", "no INT8");
    check_input("INT8 a default 1.5", "no INT8");
    check_input("FP32 a default nan", "no FP32");
    check_input("BOOL a default 1", "true or false");
    check_input("FP32 a b", "one word too many");
    check_input("INT64 column a", "no feature");
    check_input("INT64 column", "incomplete");
    check_input("INT32 column user", "expected INT64");
    check_input("INT64 column price", "expected FP32");
}

static void
check_output(const char *task, const char *value, const char *want)
{
    struct setting_property in = {.name = "x", .value = "FP32 x"};
    struct setting_property out = {.name = task, .value = value};
    struct setting_properties inputs = {&in, 1};
    struct setting_properties outputs = {&out, 1};
    struct tensor_map *m = NULL;
    struct error err;

    error_clear(&err);
    CHECK_INT(tensor_map_new(&m, settings, &inputs, &outputs, &err),
              *want == '\0' ? STATUS_OK : STATUS_CONFIG);
    if (strstr(err.text, want) == NULL)
        CHECK_STR(err.text, want);
    tensor_map_free(&m);
}

static void
test_outputs_that_make_no_sense(void)
{
    check_output("clicked", "logit *", "");
    check_output("sort", "probability y temperature 0.5", "");
    check_output("clicked", "", "expected 'logit'");
    check_output("clicked", "logit", "expected 'logit'");
    check_output("clicked", "score y", "expected 'logit'");
    check_output("nothing", "logit y", "no task");
    check_output("stars", "probability y", "regression");
    check_output("sort", "logit y columns 0 1", "2 columns");
    check_output("sort", "logit y columns 0 1 2 3", "more columns");
    check_output("clicked", "logit y column 1", "not understood");
    check_output("clicked", "logit y temperature", "not understood");
    check_output("clicked", "logit y temperature 0", "no temperature");
    check_output("clicked", "logit y temperature 1 2", "too many");
}

int
main(void)
{
    open_all();
    RUN(test_rows);
    RUN(test_exact_integers);
    RUN(test_logits);
    RUN(test_inputs_that_make_no_sense);
    RUN(test_outputs_that_make_no_sense);
    tensor_map_free(&map);
    event_shape_free(&events);
    settings_free(&settings);
    return check_report();
}

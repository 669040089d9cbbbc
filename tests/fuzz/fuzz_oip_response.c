/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a model server answers: the first says which form is
 * expected, the next two how long the head is. What is accepted has a width,
 * within its room, and every value was written.
 */
#include "stages/oip/response.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 2
#define ROOM 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct oip_reader *reader;

static void
check_body(unsigned form, size_t head, const char *body, size_t len)
{
    float values[2][ROOM];
    struct oip_output outputs[2] = {
        {.name = (form & 4) != 0 ? "" : "y", .values = values[0], .max = ROOM},
        {.name = "z", .values = values[1], .max = ROOM}};
    struct oip_response response = {
        .id = "b",
        .model = "m",
        .row_count = ROWS,
        .outputs = outputs,
        .output_count = (form & 4) != 0 ? 1 : 1 + (form >> 3 & 1)};
    char text[40];
    struct error err;
    bool is_not_finite;
    enum status st;

    if ((form & 2) != 0)
        st = tfs_response_read(reader, &response, body, len, &is_not_finite,
                               &err);
    else
        st = oip_response_read(reader, &response, body, len,
                               (form & 1) != 0 ? head : SIZE_MAX, &err);
    if (st == STATUS_OK) {
        for (size_t i = 0; i < response.output_count; i++)
            assert(outputs[i].width > 0 && outputs[i].width * ROWS <= ROOM);
        assert(strlen(response.version) <= OIP_VERSION_MAX);
    } else {
        assert(st == STATUS_MALFORMED && err.text[0] != '\0');
    }
    oip_error_text(body, len, text, sizeof(text));
    assert(strlen(text) < sizeof(text));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    char *body;

    if (size < 3 || size > 65536)
        return 0;
    if (reader == NULL && oip_reader_new(&reader, 65536, &err) != STATUS_OK)
        abort();
    /* Alone, so that a step beyond its end is seen. */
    body = malloc(size - 3 + (size == 3));
    memcpy(body, data + 3, size - 3);
    check_body(data[0], data[1] | (size_t)data[2] << 8, body, size - 3);
    free(body);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVE_REQUEST_PRIV_H
#define SERVE_REQUEST_PRIV_H

#include "stages/event/scan.h"
#include "stages/serve/inputs.h"
#include "stages/serve/request.h"

/*
 * What request.c (the walk) and tensor.c (values) share. Functions that say
 * false leave the problem in r->scan or, by request_refuse, in *r->err.
 */

enum flag {
    FLAG_UNSET,
    FLAG_ON,
    FLAG_OFF,
};

/* An output as it was asked for. */
struct wanted_output {
    size_t index;
    enum flag is_binary;
};

/* An input while it is being read. */
struct tensor_head {
    struct input_head head; /* name NULL, rank 0: not said yet */
    char name[INPUT_NAME_MAX + 1];
    bool has_datatype;
    bool has_data;
    bool is_binary;
    size_t binary_bytes;
    const char *data_at; /* its data that was passed over, or NULL */
    struct sink sink;
};

struct request_reader {
    unsigned magic;
    const char *const *outputs;
    size_t output_count;
    struct inputs *inputs;
    struct scan scan;

    /* The request that is being read. */
    enum status st;
    struct error *err;
    struct columns *columns;
    size_t rows; /* 0: no input yet */
    size_t wanted_count;
    struct wanted_output wanted[REQUEST_OUTPUTS_MAX];
    enum flag all_binary;
    const char *binary_at; /* of the next binary tensor */
    const char *body_end;
};

/* request_refuse notes that *r->err says why, and says false. */
bool request_refuse(struct request_reader *r, enum status st);

/* tensor_open makes t->sink ready; the first one tells the number of rows,
 * which has to fit into the columns. */
must_check bool tensor_open(struct request_reader *r, struct tensor_head *t);

/* tensor_read_json reads the data at the scanner. */
must_check bool tensor_read_json(struct request_reader *r,
                                 struct tensor_head *t);

/* tensor_read_binary reads the next t->binary_bytes behind the JSON. */
must_check bool tensor_read_binary(struct request_reader *r,
                                   struct tensor_head *t);

#endif

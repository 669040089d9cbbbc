/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_MATRIX_H
#define MODEL_MATRIX_H

#include <assert.h>
#include <stddef.h>

/*
 * A view of floats in rows: what the layers take and give. Row r begins at
 * data + r * stride; columns <= stride. A view owns nothing. data NULL means
 * "not wanted" where a function allows it.
 */
struct matrix {
    float *data;
    size_t rows;
    size_t columns;
    size_t stride;
};

/* matrix_view makes the view of a dense block (rows, columns). */
static inline struct matrix
matrix_view(float *data, size_t rows, size_t columns)
{
    struct matrix m = {data, rows, columns, columns};

    return m;
}

/* matrix_row lends row r. */
static inline float *
matrix_row(struct matrix m, size_t r)
{
    return m.data + r * m.stride;
}

/* matrix_rows is the view of count rows from the first one on. */
static inline struct matrix
matrix_rows(struct matrix m, size_t first, size_t count)
{
    assert(first + count <= m.rows);
    if (m.data != NULL)
        m.data += first * m.stride;
    m.rows = count;
    return m;
}

/* matrix_columns is the view of count columns from the first one on. */
static inline struct matrix
matrix_columns(struct matrix m, size_t first, size_t count)
{
    assert(first + count <= m.columns);
    m.data += first;
    m.columns = count;
    return m;
}

#endif

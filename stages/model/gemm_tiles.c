/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tile of c, TILE_ROWS by TILE_COLUMNS, is summed up in registers over up to
 * DEPTH terms (Goto and van de Geijn 2008, without the copy of a): each term
 * multiplies one line of b's strip, which stays in the first-level cache, by
 * one number of each of a's rows.
 */
#include "stages/model/gemm_tiles.h"

#include <string.h>

/* What is in registers: the tile's sums, a line of b and a number of a. */
#if defined(__AVX512F__)
#define LANES     ((size_t)16)
#define TILE_ROWS ((size_t)8)
#elif defined(__AVX2__)
#define LANES     ((size_t)8)
#define TILE_ROWS ((size_t)4)
#else
#define LANES     ((size_t)4)
#define TILE_ROWS ((size_t)4)
#endif

#define TILE_COLUMNS (2 * LANES)
#define DEPTH        ((size_t)128)

typedef float vector __attribute__((vector_size(LANES * sizeof(float))));
typedef float eight __attribute__((vector_size(8 * sizeof(float))));

/* Terms of b. */
struct strip {
    const float *b; /* (K, TILE_COLUMNS) */
    size_t K;
    bool adds; /* to what is there */
};

/* Number k of row r of what is multiplied is at data[r * row + k * step]. */
struct factor {
    const float *data;
    size_t row;
    size_t step;
};

static inline vector
load(const float *from)
{
    vector v;

    memcpy(&v, from, sizeof(v));
    return v;
}

static inline void
store(float *to, vector v)
{
    memcpy(to, &v, sizeof(v));
}

/* Adds K terms to M rows of c, TILE_COLUMNS wide, or writes them; M is a
 * constant where this is inlined, and so is one of row and step. */
static inline __attribute__((always_inline)) void
sum_terms(struct matrix c, size_t M, const float *a, size_t row, size_t step,
          const struct strip *s)
{
    const float *b = s->b;
    vector sum[TILE_ROWS][2] = {{{0.0F}}};

    if (s->adds) {
#pragma GCC unroll 8
        for (size_t r = 0; r < M; r++) {
            sum[r][0] = load(c.data + r * c.stride);
            sum[r][1] = load(c.data + r * c.stride + LANES);
        }
    }
    for (size_t k = 0; k < s->K; k++) {
        vector b0 = load(b);
        vector b1 = load(b + LANES);

#pragma GCC unroll 8
        for (size_t r = 0; r < M; r++) {
            sum[r][0] += a[r * row] * b0;
            sum[r][1] += a[r * row] * b1;
        }
        a += step;
        b += TILE_COLUMNS;
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < M; r++) {
        store(c.data + r * c.stride, sum[r][0]);
        store(c.data + r * c.stride + LANES, sum[r][1]);
    }
}

/* The same for c.rows rows, at most a tile's. Not inlined, so that its loops
 * have all registers to themselves. */
static __attribute__((noinline)) void
sum_tile(struct matrix c, struct factor a, const struct strip *s)
{
    if (c.rows == TILE_ROWS && a.step == 1) {
        sum_terms(c, TILE_ROWS, a.data, a.row, 1, s);
        return;
    }
    if (c.rows == TILE_ROWS && a.row == 1) {
        sum_terms(c, TILE_ROWS, a.data, 1, a.step, s);
        return;
    }
    for (size_t r = 0; r < c.rows; r++)
        sum_terms(matrix_rows(c, r, 1), 1, a.data + r * a.row, 1, a.step, s);
}

/* The same for fewer columns than a tile has, of which memory beside c holds
 * no more. */
static void
sum_part(struct matrix c, struct factor a, const struct strip *s)
{
    float whole[TILE_ROWS * TILE_COLUMNS] = {0.0F};
    struct matrix w = matrix_view(whole, c.rows, TILE_COLUMNS);

    for (size_t r = 0; r < c.rows && s->adds; r++)
        memcpy(matrix_row(w, r), matrix_row(c, r), c.columns * sizeof(float));
    sum_tile(w, a, s);
    for (size_t r = 0; r < c.rows; r++)
        memcpy(matrix_row(c, r), matrix_row(w, r), c.columns * sizeof(float));
}

/* Two vectors, number by number, in two vectors. */
static inline void
mix(eight to[2], const eight *a, const eight *b)
{
    to[0] = __builtin_shufflevector(*a, *b, 0, 8, 1, 9, 2, 10, 3, 11);
    to[1] = __builtin_shufflevector(*a, *b, 4, 12, 5, 13, 6, 14, 7, 15);
}

/* Transposes 8 by 8 numbers: a perfect shuffle of all 64, three times over. */
static inline void
transpose(eight *v)
{
#pragma GCC unroll 3
    for (size_t round = 0; round < 3; round++) {
        eight w[8];

#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++)
            mix(&w[2 * i], &v[i], &v[i + 4]);
#pragma GCC unroll 8
        for (size_t i = 0; i < 8; i++)
            v[i] = w[i];
    }
}

static void
transpose_block(float *restrict to, const float *restrict from, size_t stride)
{
    eight v[8];

#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++)
        memcpy(&v[i], from + i * stride, sizeof(v[i]));
    transpose(v);
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++)
        memcpy(to + i * TILE_COLUMNS, &v[i], sizeof(v[i]));
}

/* Copies K terms of n columns of what lies transposed. */
static void
transpose_strip(float *restrict strip, const float *restrict b, size_t stride,
                size_t n, size_t K)
{
    size_t k = 0;

    for (; k + 8 <= K && n % 8 == 0; k += 8) {
        for (size_t i = 0; i < n; i += 8)
            transpose_block(strip + k * TILE_COLUMNS + i, b + i * stride + k,
                            stride);
    }
    for (; k < K; k++) {
        for (size_t i = 0; i < n; i++)
            strip[k * TILE_COLUMNS + i] = b[i * stride + k];
    }
}

/* The same of what lies as it is wanted. */
static void
copy_lines(float *restrict strip, const float *restrict b, size_t stride,
           size_t n, size_t K)
{
    if (n == TILE_COLUMNS) {
        for (size_t k = 0; k < K; k++)
            memcpy(strip + k * TILE_COLUMNS, b + k * stride,
                   TILE_COLUMNS * sizeof(*strip));
        return;
    }
    for (size_t k = 0; k < K; k++)
        memcpy(strip + k * TILE_COLUMNS, b + k * stride, n * sizeof(*strip));
}

/* Copies K terms of n columns of b, and zeros behind them. */
static void
copy_strip(float *restrict strip, struct factor b, size_t n, size_t K)
{
    if (n < TILE_COLUMNS)
        memset(strip, 0, K * TILE_COLUMNS * sizeof(*strip));
    if (b.row == 1)
        copy_lines(strip, b.data, b.step, n, K);
    else
        transpose_strip(strip, b.data, b.row, n, K);
}

static struct factor
make_factor(struct matrix m, bool has_rows)
{
    struct factor f = {m.data, has_rows ? m.stride : 1,
                       has_rows ? 1 : m.stride};

    return f;
}

static size_t
at_most(size_t n, size_t most)
{
    return n < most ? n : most;
}

/* Multiplies all rows of c, no wider than a tile. */
static void
sum_strip(struct matrix c, struct factor a, const struct strip *s)
{
    size_t n;

    for (size_t r = 0; r < c.rows; r += n) {
        struct matrix tile;

        n = at_most(c.rows - r, TILE_ROWS);
        tile = matrix_rows(c, r, n);
        if (c.columns == TILE_COLUMNS)
            sum_tile(tile, a, s);
        else
            sum_part(tile, a, s);
        a.data += n * a.row;
    }
}

/* Multiplies 8 rows of w with x: 8 sums a row, then those of each row. */
static inline void
sum_rows(float out[8], const float *w, size_t stride, const float *x, size_t K)
{
    eight sum[8] = {{0.0F}};
    eight total;
    size_t k = 0;

    for (; k + 8 <= K; k += 8) {
        eight part;

        memcpy(&part, x + k, sizeof(part));
#pragma GCC unroll 8
        for (size_t r = 0; r < 8; r++) {
            eight row;

            memcpy(&row, w + r * stride + k, sizeof(row));
            sum[r] += row * part;
        }
    }
    transpose(sum);
    total = ((sum[0] + sum[1]) + (sum[2] + sum[3])) +
            ((sum[4] + sum[5]) + (sum[6] + sum[7]));
    memcpy(out, &total, sizeof(total));
    for (; k < K; k++) {
        for (size_t r = 0; r < 8; r++)
            out[r] += w[r * stride + k] * x[k];
    }
}

/* The same for one row. */
static inline float
sum_row(const float *w, const float *x, size_t K)
{
    eight sum = {0.0F};
    float lanes[8];
    float total = 0.0F;
    size_t k = 0;

    for (; k + 8 <= K; k += 8) {
        eight part;
        eight row;

        memcpy(&part, x + k, sizeof(part));
        memcpy(&row, w + k, sizeof(row));
        sum += row * part;
    }
    memcpy(lanes, &sum, sizeof(sum));
    for (; k < K; k++)
        total += w[k] * x[k];
    return total + (((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
                    ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7])));
}

void
gemm_dots(float *y, size_t y_step, struct matrix w, const float *x, float beta)
{
    for (size_t r = 0; r < w.rows; r += 8) {
        float sums[8];
        size_t n = at_most(w.rows - r, 8);

        if (n == 8) {
            sum_rows(sums, matrix_row(w, r), w.stride, x, w.columns);
        } else {
            for (size_t i = 0; i < n; i++)
                sums[i] = sum_row(matrix_row(w, r + i), x, w.columns);
        }
        for (size_t i = 0; i < n; i++) {
            float *to = y + (r + i) * y_step;

            *to = beta == 0.0F ? sums[i] : *to + sums[i];
        }
    }
}

bool
gemm_tiles_fit(size_t M, size_t N, size_t K)
{
    return M >= TILE_ROWS && N >= TILE_COLUMNS && K >= TILE_ROWS;
}

size_t
gemm_strips_floats(size_t N, size_t K)
{
    return (N + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS * K;
}

void
gemm_copy_strips(float *strips, struct matrix b, enum gemm_side side)
{
    struct factor from = make_factor(b, side == GEMM_TRANSPOSED);
    size_t K = side == GEMM_PLAIN ? b.rows : b.columns;
    size_t N = side == GEMM_PLAIN ? b.columns : b.rows;

    for (size_t column = 0; column < N; column += TILE_COLUMNS) {
        copy_strip(strips + column * K, from, at_most(N - column, TILE_COLUMNS),
                   K);
        from.data += TILE_COLUMNS * from.row;
    }
}

void
gemm_strips(struct matrix c, struct matrix a, const float *strips, float beta)
{
    struct factor from = make_factor(a, true);
    size_t K = a.columns;

    for (size_t column = 0; column < c.columns; column += TILE_COLUMNS) {
        size_t n = at_most(c.columns - column, TILE_COLUMNS);

        for (size_t k = 0; k < K; k += DEPTH) {
            struct strip s = {strips + column * K + k * TILE_COLUMNS,
                              at_most(K - k, DEPTH), k > 0 || beta != 0.0F};
            struct factor part = from;

            part.data += k * from.step;
            sum_strip(matrix_columns(c, column, n), part, &s);
        }
    }
}

void
gemm_tiles(struct matrix c, struct matrix a, enum gemm_side a_side,
           struct matrix b, enum gemm_side b_side, float beta)
{
    _Alignas(64) float terms[DEPTH * TILE_COLUMNS];
    struct factor from_a = make_factor(a, a_side == GEMM_PLAIN);
    struct factor from_b = make_factor(b, b_side == GEMM_TRANSPOSED);
    size_t K = a_side == GEMM_PLAIN ? a.columns : a.rows;

    for (size_t column = 0; column < c.columns; column += TILE_COLUMNS) {
        size_t n = at_most(c.columns - column, TILE_COLUMNS);

        for (size_t k = 0; k < K; k += DEPTH) {
            struct strip s = {terms, at_most(K - k, DEPTH),
                              k > 0 || beta != 0.0F};
            struct factor part_a = from_a;
            struct factor part_b = from_b;

            part_a.data += k * from_a.step;
            part_b.data += column * from_b.row + k * from_b.step;
            copy_strip(terms, part_b, n, s.K);
            sum_strip(matrix_columns(c, column, n), part_a, &s);
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix products, row-major: through OpenBLAS where one side is short, and
 * else by tiles. The shapes of a recommender are small, so one thread a call is
 * the fastest and keeps sums in one order.
 */
#include "stages/model/gemm.h"

#include "stages/model/gemm_tiles.h"

#include <cblas.h>
#include <limits.h>
#include <stdint.h>

static int
blas_int(size_t n)
{
    assert(n <= INT_MAX);
    return (int)n;
}

const char *
gemm_library(void)
{
    return openblas_get_config();
}

enum status
gemm_start(struct error *err)
{
    openblas_set_num_threads(1);
    if (openblas_get_num_threads() != 1)
        return error_set(err, STATUS_CONFIG,
                         "OpenBLAS (%s) insists on %d threads, expected 1: "
                         "start with OMP_NUM_THREADS=1",
                         openblas_get_parallel() == 2 ? "OpenMP" : "threads",
                         openblas_get_num_threads());
    return STATUS_OK;
}

void
gemm_nt(struct matrix c, struct matrix a, struct matrix b, float beta)
{
    size_t M = c.rows;
    size_t N = c.columns;
    size_t K = a.columns;

    assert(a.rows == M && b.rows == N && b.columns == K);
    if (gemm_tiles_fit(M, N, K))
        gemm_tiles(c, a, GEMM_PLAIN, b, GEMM_TRANSPOSED, beta);
    else if (M == 1)
        gemm_dots(c.data, 1, b, a.data, beta);
    else if (N == 1)
        gemm_dots(c.data, c.stride, a, b.data, beta);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, blas_int(M),
                    blas_int(N), blas_int(K), 1.0F, a.data, blas_int(a.stride),
                    b.data, blas_int(b.stride), beta, c.data,
                    blas_int(c.stride));
}

/* Adds or writes the outer product of column a and row b: BLAS can only add,
 * and reads c for it. */
static void
outer(struct matrix c, struct matrix a, struct matrix b, float beta)
{
    for (size_t r = 0; r < c.rows; r++) {
        float *restrict to = matrix_row(c, r);
        const float *restrict from = b.data;
        float scale = *matrix_row(a, r);

        if (beta == 0.0F) {
            for (size_t i = 0; i < c.columns; i++)
                to[i] = scale * from[i];
        } else {
            for (size_t i = 0; i < c.columns; i++)
                to[i] += scale * from[i];
        }
    }
}

void
gemm_nn(struct matrix c, struct matrix a, struct matrix b, float beta)
{
    size_t M = c.rows;
    size_t N = c.columns;
    size_t K = a.columns;

    assert(a.rows == M && b.rows == K && b.columns == N);
    assert(beta == 0.0F || beta == 1.0F);
    if (gemm_tiles_fit(M, N, K))
        gemm_tiles(c, a, GEMM_PLAIN, b, GEMM_PLAIN, beta);
    else if (K == 1)
        outer(c, a, b, beta);
    else if (M == 1)
        cblas_sgemv(CblasRowMajor, CblasTrans, blas_int(K), blas_int(N), 1.0F,
                    b.data, blas_int(b.stride), a.data, 1, beta, c.data, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas_int(M),
                    blas_int(N), blas_int(K), 1.0F, a.data, blas_int(a.stride),
                    b.data, blas_int(b.stride), beta, c.data,
                    blas_int(c.stride));
}

void
gemm_tn(struct matrix c, struct matrix a, struct matrix b, float beta)
{
    size_t M = c.rows;
    size_t N = c.columns;
    size_t K = a.rows;

    assert(a.columns == M && b.rows == K && b.columns == N);
    if (gemm_tiles_fit(M, N, K))
        gemm_tiles(c, a, GEMM_TRANSPOSED, b, GEMM_PLAIN, beta);
    else if (M == 1)
        cblas_sgemv(CblasRowMajor, CblasTrans, blas_int(K), blas_int(N), 1.0F,
                    b.data, blas_int(b.stride), a.data, blas_int(a.stride),
                    beta, c.data, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, blas_int(M),
                    blas_int(N), blas_int(K), 1.0F, a.data, blas_int(a.stride),
                    b.data, blas_int(b.stride), beta, c.data,
                    blas_int(c.stride));
}

/* ---- Weights ---- */

static bool
fits_packed(size_t out, size_t in)
{
    return gemm_tiles_fit(SIZE_MAX, out, in) &&
           gemm_tiles_fit(SIZE_MAX, in, out);
}

size_t
gemm_packed_floats(size_t out, size_t in)
{
    return fits_packed(out, in)
               ? gemm_strips_floats(out, in) + gemm_strips_floats(in, out)
               : 0;
}

bool
gemm_reads_packed(size_t B)
{
    return gemm_tiles_fit(B, SIZE_MAX, SIZE_MAX);
}

void
gemm_pack(float *packed, struct matrix w)
{
    if (!fits_packed(w.rows, w.columns))
        return;
    gemm_copy_strips(packed, w, GEMM_TRANSPOSED);
    gemm_copy_strips(packed + gemm_strips_floats(w.rows, w.columns), w,
                     GEMM_PLAIN);
}

static bool
reads_packed(const struct gemm_weights *w, size_t B)
{
    return w->packed != NULL && gemm_reads_packed(B) &&
           fits_packed(w->w.rows, w->w.columns);
}

void
gemm_forth(struct matrix y, struct matrix x, const struct gemm_weights *w,
           float beta)
{
    assert(x.rows == y.rows && x.columns == w->w.columns);
    assert(y.columns == w->w.rows);
    if (reads_packed(w, y.rows))
        gemm_strips(y, x, w->packed, beta);
    else
        gemm_nt(y, x, w->w, beta);
}

void
gemm_back(struct matrix dx, struct matrix dy, const struct gemm_weights *w,
          float beta)
{
    assert(dx.rows == dy.rows && dx.columns == w->w.columns);
    assert(dy.columns == w->w.rows);
    if (reads_packed(w, dy.rows))
        gemm_strips(dx, dy,
                    w->packed + gemm_strips_floats(w->w.rows, w->w.columns),
                    beta);
    else
        gemm_nn(dx, dy, w->w, beta);
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_GEMM_H
#define MODEL_GEMM_H

#include "stages/model/matrix.h"

#include "daemon/base/error.h"

#include <stdbool.h>

/*
 * Matrix products: the only place that knows BLAS. Each call runs on the
 * calling thread alone, so that sums have one order. One row or one column
 * takes the matrix-vector product instead.
 *
 * beta is 0 (c is written) or 1 (c is accumulated). Shapes are asserted; c
 * overlaps neither a nor b. Thread: any. Allocates: nothing here.
 */

/*
 * gemm_start makes BLAS use one thread. CONFIG when this build of OpenBLAS
 * does not obey (OpenMP builds want OMP_NUM_THREADS=1). Thread: any, before
 * the first product.
 */
must_check enum status gemm_start(struct error *err);

/* gemm_library lends what BLAS calls itself. Thread: any. */
const char *gemm_library(void);

/* gemm_nt: c (M, N) = beta c + a (M, K) . b (N, K)^T */
void gemm_nt(struct matrix c, struct matrix a, struct matrix b, float beta);

/* gemm_nn: c (M, N) = beta c + a (M, K) . b (K, N) */
void gemm_nn(struct matrix c, struct matrix a, struct matrix b, float beta);

/* gemm_tn: c (M, N) = beta c + a (K, M)^T . b (K, N) */
void gemm_tn(struct matrix c, struct matrix a, struct matrix b, float beta);

/* The weights w (O, I) of a layer, which many products share, and copies of
 * them that lie as those read them: gemm_pack's since w last changed, or NULL
 * for none. They need not be newer for fewer rows than gemm_reads_packed
 * says. */
struct gemm_weights {
    struct matrix w;
    const float *packed;
};

/* gemm_packed_floats is the room that they take, 0 for a layer too narrow. */
size_t gemm_packed_floats(size_t O, size_t I);

/* gemm_reads_packed says whether products of B rows read the copies. */
bool gemm_reads_packed(size_t B);

/*
 * gemm_pack copies weights.
 *
 * packed (gemm_packed_floats) written, on a cache line of its own
 * w      (O, I) read
 */
void gemm_pack(float *packed, struct matrix w);

/* gemm_forth: y (B, O) = beta y + x (B, I) . w (O, I)^T, to the bit as
 * gemm_nt. */
void gemm_forth(struct matrix y, struct matrix x, const struct gemm_weights *w,
                float beta);

/* gemm_back: dx (B, I) = beta dx + dy (B, O) . w (O, I), to the bit as
 * gemm_nn. */
void gemm_back(struct matrix dx, struct matrix dy, const struct gemm_weights *w,
               float beta);

#endif

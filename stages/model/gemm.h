/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_GEMM_H
#define MODEL_GEMM_H

#include "stages/model/matrix.h"

#include "daemon/base/error.h"

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

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_GEMM_TILES_H
#define MODEL_GEMM_TILES_H

#include "stages/model/matrix.h"

#include <stdbool.h>

/*
 * Matrix products of a recommender's layers, some dozens to hundreds wide, for
 * which copying both operands costs BLAS a good part of its time: here only b
 * is copied, a strip of it at a time, and a is read where it lies; a b of many
 * products, like the weights of a layer, is copied once for all of them. The
 * sums have one order, which depends on the shapes alone.
 *
 * Thread: any. Allocates: nothing (a strip is on the stack).
 */

/* A factor of a product; T: the transposed of what lies in memory. */
enum gemm_side {
    GEMM_PLAIN,
    GEMM_TRANSPOSED,
};

/* gemm_tiles_fit says whether c (M, N) over K terms is worth it. */
bool gemm_tiles_fit(size_t M, size_t N, size_t K);

/*
 * gemm_tiles: c (M, N) = beta c + a (M, K) . b (K, N), beta 0 or 1
 *
 * a  (M, K), or when transposed (K, M) in memory
 * b  (K, N), or when transposed (N, K) in memory
 *
 * c overlaps neither.
 */
void gemm_tiles(struct matrix c, struct matrix a, enum gemm_side a_side,
                struct matrix b, enum gemm_side b_side, float beta);

/* gemm_strips_floats is the room that the strips of b (K, N) take. */
size_t gemm_strips_floats(size_t N, size_t K);

/*
 * gemm_copy_strips writes the strips of b (K, N).
 *
 * strips (gemm_strips_floats) on a cache line of its own
 * b      (K, N), or when transposed (N, K) in memory
 */
void gemm_copy_strips(float *strips, struct matrix b, enum gemm_side side);

/*
 * gemm_strips is gemm_tiles with a plain a and a b that has been copied, to
 * the bit.
 */
void gemm_strips(struct matrix c, struct matrix a, const float *strips,
                 float beta);

/*
 * gemm_dots: y (M) = beta y + w (M, K) . x (K), beta 0 or 1
 *
 * y  number m is at y[m * y_step]; overlaps neither
 */
void gemm_dots(float *y, size_t y_step, struct matrix w, const float *x,
               float beta);

#endif

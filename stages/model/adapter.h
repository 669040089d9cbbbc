/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_ADAPTER_H
#define MODEL_ADAPTER_H

#include <stddef.h>

/*
 * The student adapter (ExFM): a small network on a teacher's logits that
 * learns the true outcomes, and whose answer is what the student is taught.
 *
 *   h   = tanh(W0 z_t + b0)     (H)
 *   z_a = z_t + W1 h + b1       (K)
 *
 * W1 and b1 begin at 0, so that it begins as the teacher itself and learns
 * where the teacher as such is wrong: too sure, of another base rate, of
 * another time.
 */
struct adapter {
    size_t K;
    size_t H;
    float *w0; /* (H, K) */
    float *b0; /* (H) */
    float *w1; /* (K, H) */
    float *b1; /* (K) */
};

/*
 * adapter_forward answers for one row.
 *
 * z_a     (K) written
 * hidden  (H) written, for adapter_backward
 * teacher (K) read
 *
 * No two may overlap. Thread: any. Allocates: nothing.
 */
void adapter_forward(const struct adapter *a, float *restrict z_a,
                     float *restrict hidden, const float *restrict teacher);

/*
 * adapter_backward adds the gradients of one row's loss to d, which has the
 * shapes of a; none goes on to the teacher.
 *
 * dz_a    (K) read: the loss's gradient by z_a
 * hidden  (H) as adapter_forward left it
 * teacher (K) read
 *
 * Thread: any. Allocates: nothing.
 */
void adapter_backward(const struct adapter *d, const struct adapter *a,
                      const float *restrict dz_a, const float *restrict hidden,
                      const float *restrict teacher);

#endif

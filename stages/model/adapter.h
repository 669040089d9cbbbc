/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_ADAPTER_H
#define MODEL_ADAPTER_H

#include <stddef.h>

/*
 * The student adapter (ExFM): a small network on a teacher's logits that
 * learns the true outcomes, and whose answer is what the student is taught.
 *
 *   x   = z_t, or z_t and the student's own logits z_s behind it   (I)
 *   h   = tanh(W0 x + b0)                                          (H)
 *   z_a = W1 h + b1 + the last K of x                              (K)
 *
 * W1 and b1 begin at 0. One that sees the teacher alone begins as the teacher
 * and learns where it is wrong as such: too sure, of another base rate, of
 * another time. One that sees the student, too, begins as the student, whose
 * own answer teaches it nothing, and learns what the teacher knows beside it:
 * so a teacher is listened to as far as it has proved right, and a useless
 * one, from the first batch on, is not.
 */
struct adapter {
    size_t I; /* K or 2 K */
    size_t K;
    size_t H;
    float *w0; /* (H, I) */
    float *b0; /* (H) */
    float *w1; /* (K, H) */
    float *b1; /* (K) */
};

/*
 * adapter_forward answers for one row.
 *
 * z_a     (K) written
 * hidden  (H) written, for adapter_backward
 * x       (I) read
 *
 * No two may overlap. Thread: any. Allocates: nothing.
 */
void adapter_forward(const struct adapter *a, float *restrict z_a,
                     float *restrict hidden, const float *restrict x);

/*
 * adapter_backward adds the gradients of one row's loss to d, which has the
 * shapes of a; none goes on to its inputs.
 *
 * dz_a    (K) read: the loss's gradient by z_a
 * hidden  (H) as adapter_forward left it
 * x       (I) read
 *
 * Thread: any. Allocates: nothing.
 */
void adapter_backward(const struct adapter *d, const struct adapter *a,
                      const float *restrict dz_a, const float *restrict hidden,
                      const float *restrict x);

#endif

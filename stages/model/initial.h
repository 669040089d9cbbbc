/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_INITIAL_H
#define MODEL_INITIAL_H

#include <stddef.h>
#include <stdint.h>

/*
 * initial_uniform writes n values, uniform in [-bound, bound), that depend on
 * seed and name alone: a tensor starts the same whatever others the model has.
 * Thread: any. Allocates: nothing.
 */
void initial_uniform(float *w, size_t n, double bound, uint64_t seed,
                     const char *name);

#endif

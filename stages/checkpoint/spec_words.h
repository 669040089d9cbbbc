/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHECKPOINT_SPEC_WORDS_H
#define CHECKPOINT_SPEC_WORDS_H

/*
 * The words for the model's enums in a specification, each list in the order
 * of its enum and ended by NULL. For spec.c and spec_parse.c only.
 */
extern const char *const spec_feature_kinds[];
extern const char *const spec_task_kinds[];
extern const char *const spec_activations[];
extern const char *const spec_optimizers[];
extern const char *const spec_schedules[];

#endif

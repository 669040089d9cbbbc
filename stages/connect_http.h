/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_CONNECT_HTTP_H
#define STAGES_CONNECT_HTTP_H

#include "stages/settings.h"

#include <stdio.h>

/*
 * connect_http_teacher asks a model server whether the model is ready, and
 * whether inputs and outputs are as it describes them, where it does; writes
 * what it found to out. The first thing that is wrong is in *err, as REFUSED,
 * DENIED or TIMEOUT, or CONFIG for tensors that do not fit. Blocks; thread: the
 * process's first.
 */
must_check enum status
connect_http_teacher(const struct settings *s,
                     const struct teacher_settings *teacher, FILE *out,
                     struct error *err);

#endif

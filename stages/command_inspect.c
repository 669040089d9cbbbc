/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `distilld inspect`.
 */
#include "stages/checkpoint/inspect.h"
#include "stages/commands.h"

enum status
inspect_command(const struct inspect_options *options, FILE *out,
                struct error *err)
{
    if (options->ids != NULL)
        return inspect_ids(out, options->path, options->ids, err);
    if (options->verifies)
        return inspect_verify(out, options->path, err);
    return inspect_print(out, options->path, err);
}

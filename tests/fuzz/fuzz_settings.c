/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a settings file: problems or settings, and what is accepted
 * must be written so that it is accepted again.
 */
#include "stages/settings.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_again(const struct settings *s)
{
    struct settings_problems problems = {0};
    struct settings *again = NULL;
    char *text = NULL;
    size_t bytes = 0;
    struct error err;
    FILE *f = open_memstream(&text, &bytes);

    assert(f != NULL);
    settings_write_effective(s, f);
    (void)fclose(f);
    if (settings_parse(&again, "again", text, bytes, &problems, &err) !=
        STATUS_OK) {
        settings_problems_print(&problems, "again", stderr);
        abort();
    }
    settings_problems_fini(&problems);
    settings_free(&again);
    free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings_problems problems = {0};
    struct settings *s = NULL;
    struct error err;
    enum status st;

    if (size > SETTINGS_FILE_BYTES_MAX)
        return 0;
    st = settings_parse(&s, "fuzz", (const char *)data, size, &problems, &err);
    assert((st == STATUS_OK) == (problems.count == 0));
    if (s != NULL)
        check_again(s);
    settings_problems_fini(&problems);
    settings_free(&s);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The version that the build passes in arrives in the program. */
#include "daemon/version.h"

#include "tests/support/check.h"

static void
test_version_starts_with_release(void)
{
    FILE *f = fopen("VERSION", "r");
    char release[64] = "?";

    CHECK(f != NULL);
    if (f == NULL)
        return;
    CHECK(fscanf(f, "%63s", release) == 1);
    (void)fclose(f);
    CHECK(strncmp(version_text(), release, strlen(release)) == 0);
}

int
main(void)
{
    RUN(test_version_starts_with_release);
    return check_report();
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPPORT_CHECK_H
#define SUPPORT_CHECK_H

#include <math.h>
#include <stdio.h>
#include <string.h>

/*
 * The whole unit test framework: a test file has test functions, a main that
 * calls RUN for each and ends with `return check_report();`. A failed check
 * prints both values and the place, fails its test, and goes on.
 */

static int check_failed_now; /* in the running test */
static int check_passed;
static int check_failed;

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            check_failed_now = 1;                                              \
            (void)printf("%s:%d: not true: %s\n", __FILE__, __LINE__,          \
                         #condition);                                          \
        }                                                                      \
    } while (0)

#define CHECK_INT(got, want)                                                   \
    do {                                                                       \
        long long check_g = (long long)(got);                                  \
        long long check_w = (long long)(want);                                 \
        if (check_g != check_w) {                                              \
            check_failed_now = 1;                                              \
            (void)printf("%s:%d: %s: got %lld, expected %lld\n", __FILE__,     \
                         __LINE__, #got, check_g, check_w);                    \
        }                                                                      \
    } while (0)

#define CHECK_NEAR(got, want, tolerance)                                       \
    do {                                                                       \
        double check_g = (double)(got);                                        \
        double check_w = (double)(want);                                       \
        if (!(fabs(check_g - check_w) <= (tolerance))) {                       \
            check_failed_now = 1;                                              \
            (void)printf("%s:%d: %s: got %.9g, expected %.9g\n", __FILE__,     \
                         __LINE__, #got, check_g, check_w);                    \
        }                                                                      \
    } while (0)

#define CHECK_STR(got, want)                                                   \
    do {                                                                       \
        const char *check_g = (got);                                           \
        const char *check_w = (want);                                          \
        if (strcmp(check_g, check_w) != 0) {                                   \
            check_failed_now = 1;                                              \
            (void)printf("%s:%d: %s: got \"%s\", expected \"%s\"\n", __FILE__, \
                         __LINE__, #got, check_g, check_w);                    \
        }                                                                      \
    } while (0)

#define CHECK_HAS(text, part)                                                  \
    do {                                                                       \
        const char *check_t = (text);                                          \
        const char *check_p = (part);                                          \
        if (strstr(check_t, check_p) == NULL) {                                \
            check_failed_now = 1;                                              \
            (void)printf("%s:%d: %s: \"%s\" does not contain \"%s\"\n",        \
                         __FILE__, __LINE__, #text, check_t, check_p);         \
        }                                                                      \
    } while (0)

#define RUN(test)                                                              \
    do {                                                                       \
        check_failed_now = 0;                                                  \
        test();                                                                \
        check_failed_now ? check_failed++ : check_passed++;                    \
        if (check_failed_now)                                                  \
            (void)printf("FAILED %s\n", #test);                                \
    } while (0)

static int
check_report(void)
{
    (void)printf("%d passed, %d failed\n", check_passed, check_failed);
    return check_failed == 0 ? 0 : 1;
}

#endif

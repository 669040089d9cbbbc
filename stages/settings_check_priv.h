/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_SETTINGS_CHECK_PRIV_H
#define STAGES_SETTINGS_CHECK_PRIV_H

#include "stages/settings.h"

/* What the files of the checks share. */

#define KEY_MAX 256

struct check {
    const struct settings *s;
    struct settings_problems *problems;
    size_t first; /* problem of these checks; the others were there before */
    char key[KEY_MAX];
};

/*
 * check_is_doubtful says whether something was already wrong near this key: in
 * the same entry of a section, or in the same group. What is said about the
 * rest of it would be about defaults that stand in.
 */
bool check_is_doubtful(const struct check *c, const char *key);

/* check_complain adds a problem about a key, unless that is doubtful. */
print_like(3, 4) void check_complain(struct check *c, const char *key,
                                     const char *format, ...);

/* check_key lends the key of a setting of an entry (name "": of the section
 * itself) until the next call. */
const char *check_key(struct check *c, const char *section, const char *name,
                      const char *setting);

/* check_is_given says whether the file gives this key. */
bool check_is_given(const struct check *c, const char *key);

/* check_teachers checks what becomes of events without an answer, and how
 * several teachers work together. */
void check_teachers(struct check *c);

/* check_kafka checks the kinds of logs against each other, topics, and the
 * properties of kafka. */
void check_kafka(struct check *c);

/* check_http_teacher checks a teacher that is a model server; section is where
 * its settings are. */
void check_http_teacher(struct check *c, const char *section,
                        const struct teacher_settings *t);

/* check_budget checks which events, real and imagined, the teacher is asked
 * about. */
void check_budget(struct check *c);

#endif

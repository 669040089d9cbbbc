/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_OBJECT_H
#define BASE_OBJECT_H

#include <assert.h>
#include <stddef.h>

/*
 * Objects that travel defend themselves: their first member is `unsigned
 * magic`, set on creation, checked on entry, cleared on release. Asserts stay
 * on in release builds.
 */

#define OBJ_CHECK(o, m)                                                        \
    do {                                                                       \
        assert((o) != NULL);                                                   \
        assert((o)->magic == (m));                                             \
    } while (0)

/* Move *from into to and leave *from NULL: there is one owner, and it shows. */
#define OBJ_TAKE(to, from, m)                                                  \
    do {                                                                       \
        assert((from) != NULL);                                                \
        (to) = *(from);                                                        \
        *(from) = NULL;                                                        \
        OBJ_CHECK((to), (m));                                                  \
    } while (0)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of statuses, looked up.
 */
#include "daemon/base/status.h"

#include "daemon/base/macros.h"

#include <assert.h>
#include <stddef.h>

struct row {
    const char *name;
    const char *text;
    enum status_class class;
    int exit_code;
};

static const struct row rows[] = {
#define STATUS(name, class, exit_code, text)                                   \
    {#name, text, CLASS_##class, exit_code},
#include "daemon/base/status.def"
#undef STATUS
};

static const struct row *
find_row(enum status st)
{
    assert((size_t)st < COUNT(rows));
    return &rows[st];
}

const char *
status_name(enum status st)
{
    return find_row(st)->name;
}

const char *
status_text(enum status st)
{
    return find_row(st)->text;
}

enum status_class
status_class(enum status st)
{
    return find_row(st)->class;
}

int
status_exit_code(enum status st)
{
    return find_row(st)->exit_code;
}

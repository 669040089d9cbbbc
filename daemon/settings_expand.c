/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ${env:NAME}, ${env:NAME:-default} and ${file:PATH} in values.
 */
#include "daemon/base/bytes.h"
#include "daemon/io/file.h"
#include "daemon/settings_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define REFERENCED_BYTES_MAX ((size_t)64 * 1024)
#define EXPANDED_BYTES_MAX   ((size_t)256 * 1024)
#define NAME_BYTES_MAX       4096u

static bool
is_variable_name(const char *name)
{
    const char *p = name;

    if (*p >= '0' && *p <= '9')
        return false;
    while ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
           (*p >= '0' && *p <= '9') || *p == '_')
        p++;
    return p > name && *p == '\0';
}

static enum status
append_variable(struct bytes *to, char *name, struct error *err)
{
    char *fallback = strstr(name, ":-");
    const char *value;

    if (fallback != NULL) {
        *fallback = '\0';
        fallback += 2;
    }
    if (!is_variable_name(name))
        return error_set(err, STATUS_CONFIG,
                         "'%.60s' is not the name of an environment variable, "
                         "expected ${env:NAME} or ${env:NAME:-default}",
                         name);
    value = getenv(name);
    if ((value == NULL || *value == '\0') && fallback != NULL)
        value = fallback;
    if (value == NULL)
        return error_set(err, STATUS_CONFIG,
                         "the environment variable %.60s is not set, expected "
                         "it or a default, as in ${env:%.60s:-default}",
                         name, name);
    return bytes_append(to, value, strlen(value), err);
}

static enum status
append_file(struct bytes *to, const char *path, struct error *err)
{
    struct error why;
    char *text = NULL;
    size_t bytes = 0;
    enum status st;

    st = file_read_all(path, REFERENCED_BYTES_MAX, &text, &bytes, &why);
    if (st != STATUS_OK)
        return error_set(err, st == STATUS_NOMEM ? st : STATUS_CONFIG,
                         "%.400s, expected a file with the value", why.text);
    if (strlen(text) != bytes) {
        free(text);
        return error_set(err, STATUS_CONFIG,
                         "%.400s has a NUL character, expected text", path);
    }
    while (bytes > 0 && (text[bytes - 1] == '\n' || text[bytes - 1] == '\r'))
        bytes--;
    st = bytes_append(to, text, bytes, err);
    free(text);
    return st;
}

/* Replaces the reference at p ("${"); gives where it ends. */
static enum status
append_reference(struct bytes *to, struct settings_expansion *out,
                 const char *p, const char **end, struct error *err)
{
    const char *close = strchr(p, '}');
    char name[NAME_BYTES_MAX];
    size_t n;

    if (close == NULL)
        return error_set(err, STATUS_CONFIG,
                         "'${' without its '}', expected ${env:NAME}, "
                         "${env:NAME:-default} or ${file:PATH} ($${ stands "
                         "for ${ itself)");
    n = (size_t)(close - p) - 2;
    if (n >= sizeof(name))
        return error_set(err, STATUS_CONFIG, "a reference that is too long");
    memcpy(name, p + 2, n);
    name[n] = '\0';
    *end = close + 1;
    out->is_expanded = true;
    if (strncmp(name, "env:", 4) == 0)
        return append_variable(to, name + 4, err);
    if (strncmp(name, "file:", 5) == 0) {
        out->is_from_file = true;
        return append_file(to, name + 5, err);
    }
    return error_set(err, STATUS_CONFIG,
                     "'${%.60s}' is no reference, expected ${env:NAME}, "
                     "${env:NAME:-default} or ${file:PATH} ($${ stands for ${ "
                     "itself)",
                     name);
}

enum status
settings_expand(struct settings_expansion *out, struct settings_pool *pool,
                const char *text, struct error *err)
{
    struct bytes to;
    enum status st = STATUS_OK;
    const char *p = text;

    assert(out != NULL && text != NULL);
    *out = (struct settings_expansion){.text = text};
    bytes_init(&to, EXPANDED_BYTES_MAX);
    if (strstr(text, "${") == NULL)
        return STATUS_OK;
    while (*p != '\0' && st == STATUS_OK) {
        if (strncmp(p, "$${", 3) == 0) {
            st = bytes_append(&to, "${", 2, err);
            p += 3;
        } else if (strncmp(p, "${", 2) == 0) {
            st = append_reference(&to, out, p, &p, err);
        } else {
            st = bytes_append(&to, p, 1, err);
            p++;
        }
    }
    if (st == STATUS_TOOBIG)
        st = error_set(err, STATUS_CONFIG,
                       "is too long, expected at most %zu "
                       "bytes with every reference replaced",
                       EXPANDED_BYTES_MAX);
    if (st != STATUS_OK)
        goto out;
    out->text = settings_pool_text(pool, to.used == 0 ? "" : to.data, to.used);
    if (out->text == NULL)
        st = error_set(err, STATUS_NOMEM, "no memory for a setting");

out:
    bytes_fini(&to);
    return st;
}

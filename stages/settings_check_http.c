/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a teacher that is a model server needs.
 */
#include "stages/annotate/tensor_map.h"
#include "stages/settings_check_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lends the key of a teacher's setting. */
static const char *
key_of(struct check *c, const char *section, const char *setting)
{
    (void)snprintf(c->key, sizeof(c->key), "%s.%s", section, setting);
    return c->key;
}

/* At a line of inputs or outputs. */
static void
complain_line(struct check *c, const char *section, const char *setting,
              const char *name, const char *text)
{
    char key[KEY_MAX];

    (void)snprintf(key, sizeof(key), "%.80s.%s.%.127s", section, setting, name);
    settings_file_complain(c->s->file, c->problems, key, "%s", text);
}

/* What goes into an address as it is. */
static bool
is_plain(const char *text, const char *more)
{
    for (; *text != '\0'; text++) {
        if ((*text < '0' || *text > '9') && (*text < 'A' || *text > 'Z') &&
            (*text < 'a' || *text > 'z') && strchr(more, *text) == NULL)
            return false;
    }
    return true;
}

static void
check_url(struct check *c, const char *section,
          const struct teacher_settings *t)
{
    const char *key = key_of(c, section, "url");
    const char *host = strstr(t->url, "://");

    if (*t->url == '\0') {
        check_complain(c, key,
                       "is missing, expected the model server, such as "
                       "http://triton:8000");
        return;
    }
    if (host == NULL ||
        (strncmp(t->url, "http://", 7) != 0 &&
         strncmp(t->url, "https://", 8) != 0) ||
        host[3] == '\0' || !is_plain(host + 3, "-._~:/[]%"))
        check_complain(c, key,
                       "is no address of a server, expected http:// or "
                       "https:// with a host, without user and query");
}

static void
check_names(struct check *c, const char *section,
            const struct teacher_settings *t)
{
    if (*t->model_name == '\0')
        check_complain(c, key_of(c, section, "model_name"),
                       "is missing, expected the model's name at the server");
    else if (!is_plain(t->model_name, "-._~"))
        check_complain(c, key_of(c, section, "model_name"),
                       "cannot stand in an address, expected letters, digits, "
                       "'-', '.', '_' or '~'");
    if (!is_plain(t->model_version, "-._~"))
        check_complain(c, key_of(c, section, "model_version"),
                       "cannot stand in an address, expected letters, digits, "
                       "'-', '.', '_' or '~'");
}

static void
check_inputs(struct check *c, const char *section,
             const struct teacher_settings *t)
{
    struct tensor_input *in = calloc(1, sizeof(*in));
    struct error err;

    if (in == NULL)
        return; /* opening the teacher says so */
    if (t->inputs.count == 0)
        check_complain(c, key_of(c, section, "inputs"),
                       "is missing, expected what the model is told, such as "
                       "user_id: BYTES user_id");
    for (size_t i = 0; i < t->inputs.count; i++) {
        const struct setting_property *p = &t->inputs.items[i];

        if (tensor_input_read(in, c->s, p, &err) != STATUS_OK)
            complain_line(c, section, "inputs", p->name, err.text);
    }
    free(in);
}

/* All lines are understood one by one, so that each is named; then together. */
static void
check_outputs(struct check *c, const char *section,
              const struct teacher_settings *t)
{
    struct setting_property given = {.name = "x", .value = "FP32 x"};
    struct setting_properties some = {.items = &given, .count = 1};
    struct tensor_map *map = NULL;
    struct error err;
    bool is_fine = true;

    for (size_t i = 0; i < t->outputs.count; i++) {
        struct setting_properties one = {.items = &t->outputs.items[i],
                                         .count = 1};

        if (tensor_map_new(&map, c->s, &some, &one, &err) != STATUS_OK) {
            const char *text = strstr(err.text, ": ");

            complain_line(c, section, "outputs", one.items[0].name,
                          text == NULL ? err.text : text + 2);
            is_fine = false;
        }
        tensor_map_free(&map);
    }
    if (is_fine &&
        tensor_map_new(&map, c->s, &some, &t->outputs, &err) != STATUS_OK) {
        const char *text = strstr(err.text, ": ");

        check_complain(c, key_of(c, section, "outputs"), "%s",
                       text == NULL ? err.text : text + 2);
    }
    tensor_map_free(&map);
}

static void
check_access(struct check *c, const char *section,
             const struct teacher_settings *t)
{
    if (*t->token != '\0' && *t->user != '\0')
        check_complain(c, key_of(c, section, "user"),
                       "is given beside token, expected one of them");
    if (*t->password != '\0' && *t->user == '\0')
        check_complain(c, key_of(c, section, "password"),
                       "has no effect, expected user with it");
    if (*t->key != '\0' && *t->certificate == '\0')
        check_complain(c, key_of(c, section, "key"),
                       "has no effect, expected certificate with it");
    if (t->retry_max < t->retry_min)
        check_complain(c, key_of(c, section, "retry_max"),
                       "is less than retry_min, expected at least as much");
}

void
check_http_teacher(struct check *c, const char *section,
                   const struct teacher_settings *t)
{
    if (t->kind != TEACHER_KIND_HTTP) {
        if (*t->url != '\0')
            check_complain(c, key_of(c, section, "url"),
                           "has no effect, expected kind: http with it");
        return;
    }
    check_url(c, section, t);
    check_names(c, section, t);
    if (c->s->feature_count > 0 && c->s->task_count > 0) {
        check_inputs(c, section, t);
        check_outputs(c, section, t);
    }
    check_access(c, section, t);
}

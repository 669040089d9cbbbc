/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties in the settings engine, on a table of its own: how they may be
 * written, what is refused and where, what is never printed.
 */
#include "daemon/base/macros.h"
#include "daemon/settings.h"

#include "tests/support/check.h"

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

struct values {
    struct setting_properties all;
    struct setting_properties reader;
    uint64_t count;
};

#define FIELD(f) offsetof(struct values, f)

static const struct setting_row rows[] = {
    {"bus", SETTING_PROPERTIES, SETTING_EXAMPLE, FIELD(all), "", 0, 16,
     "servers: here", NULL, 4, "Of all."},
    {"bus.reader", SETTING_PROPERTIES, 0, FIELD(reader), "", 0, 16, "", NULL, 4,
     "Of readers."},
    {"other.count", SETTING_COUNT, SETTING_LINEAGE, FIELD(count), "", 0, 9, "1",
     NULL, 0, "A count."},
};

static const struct settings_table table = {"A title.", rows, COUNT(rows), NULL,
                                            0};

static struct values values;
static struct settings_file *file;
static char *printed; /* the problems of the last text */
static char *written; /* by the last writer */

static void
forget(void)
{
    settings_file_free(&file);
    free(printed);
    free(written);
    printed = NULL;
    written = NULL;
}

/* Reads text into values; lends the problems as they are printed. */
static const char *
read_text(const char *text)
{
    struct settings_problems problems = {0};
    struct error err;
    size_t n = 0;
    FILE *f;

    forget();
    memset(&values, 0, sizeof(values));
    CHECK_INT(settings_file_parse(&file, &table, &values, text, strlen(text),
                                  &problems, &err),
              STATUS_OK);
    f = open_memstream(&printed, &n);
    settings_problems_print(&problems, "x.yaml", f);
    (void)fclose(f);
    settings_problems_fini(&problems);
    return printed;
}

static const char *
write_values(unsigned wanted)
{
    size_t n = 0;
    FILE *f;

    free(written);
    f = open_memstream(&written, &n);
    settings_table_write_values(&table, &values, wanted, f);
    (void)fclose(f);
    return written;
}

static const char *
value_of(const struct setting_properties *p, const char *name)
{
    const struct setting_property *found = setting_properties_find(p, name);

    return found == NULL ? "(none)" : found->value;
}

static void
there_are_none_by_default(void)
{
    CHECK_STR(read_text(""), "");
    CHECK_INT(values.all.count, 0);
    CHECK_INT(values.reader.count, 0);
    CHECK(setting_properties_find(&values.all, "servers") == NULL);
    CHECK_STR(read_text("bus:\n"), "");
    CHECK_STR(read_text("bus: {reader: }\n"), "");
    CHECK_INT(values.all.count, 0);
}

static void
names_have_dots_and_values_are_text(void)
{
    CHECK_STR(read_text("bus:\n"
                        "  b.servers: a:1,b:2\n"
                        "  wait.ms: 5\n"
                        "  is_on: true\n"
                        "  empty: \"\"\n"),
              "");
    CHECK_INT(values.all.count, 4);
    CHECK_STR(values.all.items[0].name, "b.servers");
    CHECK_STR(value_of(&values.all, "b.servers"), "a:1,b:2");
    CHECK_STR(value_of(&values.all, "wait.ms"), "5");
    CHECK_STR(value_of(&values.all, "is_on"), "true");
    CHECK_STR(value_of(&values.all, "empty"), "");
}

static void
rows_below_win_however_they_are_written(void)
{
    static const char *const texts[] = {
        "bus: {a.b: 1, reader: {c.d: 2}}\n",
        "bus: {a.b: 1, reader.c.d: 2}\n",
        "bus.a.b: 1\nbus.reader.c.d: 2\n",
        "bus.a.b: 1\nbus.reader: {c.d: 2}\n",
    };

    for (size_t i = 0; i < COUNT(texts); i++) {
        CHECK_STR(read_text(texts[i]), "");
        CHECK_INT(values.all.count, 1);
        CHECK_INT(values.reader.count, 1);
        CHECK_STR(value_of(&values.all, "a.b"), "1");
        CHECK_STR(value_of(&values.reader, "c.d"), "2");
    }
}

static void
each_keeps_its_place(void)
{
    struct settings_problems problems = {0};
    const struct setting_property *p;

    CHECK_STR(read_text("bus:\n  a.b: 1\n  reader: {x: 1,\n    c.d: 2}\n"), "");
    p = setting_properties_find(&values.all, "a.b");
    CHECK(p != NULL && p->mark.line == 2 && p->mark.column == 3);
    p = setting_properties_find(&values.reader, "c.d");
    CHECK(p != NULL && p->mark.line == 4 && p->mark.column == 5);
    settings_file_complain(file, &problems, "bus.reader.c.d", "is odd");
    CHECK_INT(problems.count, 1);
    CHECK_INT(problems.items[0].mark.line, 4);
    CHECK_STR(problems.items[0].text, "bus.reader.c.d: is odd");
    settings_problems_fini(&problems);
}

static void
what_is_wrong_is_told_with_its_place(void)
{
    CHECK_STR(read_text("bus: [a]\n"),
              "x.yaml:1:6: bus: is a list, expected a mapping of 'key: value' "
              "lines\n");
    CHECK_STR(read_text("bus: {a: [b, c]}\n"),
              "x.yaml:1:10: bus.a: is a list, expected one text, such as "
              "\"a,b\"\n");
    CHECK_STR(read_text("bus: {a: {b: c}}\n"),
              "x.yaml:1:10: bus.a: is a mapping, expected one text, and dots "
              "in names\n");
    CHECK_STR(read_text("bus: {a: }\n"),
              "x.yaml:1:10: bus.a: has no value, expected one text\n");
    CHECK_STR(read_text("bus: {a: 12345678901234567}\n"),
              "x.yaml:1:10: bus.a: is too long, expected at most 16 bytes\n");
    CHECK_STR(read_text("bus: {a: 1, b: 2}\nbus.a: 3\n"),
              "x.yaml:2:1: bus.a: given twice, expected it once (first at "
              "line 1, column 7)\n");
    CHECK_STR(read_text("bus: {\"a b\": 1, \"\": 2}\n"),
              "x.yaml:1:7: bus: 'a b' cannot be a property, expected 1 to 127 "
              "letters, digits, '.', '_', ':' or '-'\n"
              "x.yaml:1:17: bus: '' cannot be a property, expected 1 to 127 "
              "letters, digits, '.', '_', ':' or '-'\n");
    CHECK_STR(read_text("bus: {a: 1, b: 2, c: 3, d: 4, e: 5}\n"),
              "x.yaml:1:34: bus.e: one too many, expected at most 4 "
              "properties\n");
    CHECK_STR(read_text("bus: {a: '${env:NO_SUCH_THING_9}'}\n"),
              "x.yaml:1:10: bus.a: the environment variable NO_SUCH_THING_9 "
              "is not set, expected it or a default, as in "
              "${env:NO_SUCH_THING_9:-default}\n");
    CHECK_STR(read_text("bus: {a: *b}\n"),
              "x.yaml:1:10: an alias (*b), expected the value itself: anchors "
              "and aliases are not supported\n");
}

static void
references_are_resolved(void)
{
    (void)setenv("BUS_SERVERS", "x:1", 1);
    CHECK_STR(read_text("bus: {servers: '${env:BUS_SERVERS},y:2', "
                        "raw: '$${env:A}'}\n"),
              "");
    CHECK_STR(value_of(&values.all, "servers"), "x:1,y:2");
    CHECK_STR(value_of(&values.all, "raw"), "${env:A}");
    CHECK_STR(write_values(0), "bus:\n"
                               "  servers: \"x:1,y:2\"\n"
                               "  raw: \"$${env:A}\"\n"
                               "  reader: {}\n"
                               "other:\n  count: 1\n");
}

static void
secrets_are_never_printed(void)
{
    static const char *const names[] = {
        "sasl.password",           "SSL.Key.Pem",   "ssl.keystore.location",
        "sasl.oauthbearer.config", "client.secret", "an.access-token",
        "sasl.jaas.config"};

    for (size_t i = 0; i < COUNT(names); i++) {
        char text[128];

        (void)snprintf(text, sizeof(text), "bus: {reader: {%s: hush}}\n",
                       names[i]);
        CHECK_STR(read_text(text), "");
        CHECK_STR(value_of(&values.reader, names[i]), "hush");
        CHECK(values.reader.items[0].is_secret);
        CHECK(strstr(write_values(0), "hush") == NULL);
        CHECK_HAS(written, ": \"***\"\n");
    }
    CHECK_STR(read_text("bus: {proxy: 'http://u:hush@h'}\n"), "");
    CHECK(values.all.items[0].is_secret);
    CHECK_STR(read_text("bus: {url: 'http://h/a@b', mode: hush}\n"), "");
    CHECK(!values.all.items[0].is_secret);
    CHECK_HAS(write_values(0), "  mode: hush\n");
}

static void
what_comes_from_a_file_is_a_secret(void)
{
    char path[] = "/tmp/properties.XXXXXX";
    int fd = mkstemp(path);
    char text[128];

    CHECK(fd >= 0 && write(fd, "hush\n", 5) == 5);
    (void)close(fd);
    (void)snprintf(text, sizeof(text), "bus: {user: 'a${file:%s}'}\n", path);
    CHECK_STR(read_text(text), "");
    CHECK_STR(value_of(&values.all, "user"), "ahush");
    CHECK(strstr(write_values(0), "hush") == NULL);
    /* Not in a message either. */
    (void)snprintf(text, sizeof(text),
                   "bus: {user: 'hushhushhushhush${file:%s}'}\n", path);
    CHECK_HAS(read_text(text), "bus.user: is too long, expected at most 16");
    CHECK(strstr(printed, "hush") == NULL);
    (void)unlink(path);
}

static void
the_reference_is_itself_valid(void)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);

    settings_table_write_reference(&table, f);
    (void)fclose(f);
    CHECK_STR(text, "# A title.\n"
                    "\n"
                    "# Of all.\n"
                    "# At most 4 lines of 'property: text'. Empty by default; "
                    "this is an example.\n"
                    "bus:\n"
                    "  servers: here\n"
                    "\n"
                    "  # Of readers.\n"
                    "  # At most 4 lines of 'property: text'.\n"
                    "  reader: {}\n"
                    "\n"
                    "other:\n"
                    "  # A count.\n"
                    "  # A whole number from 0 to 9. Default: 1.\n"
                    "  count: 1\n");
    CHECK_STR(read_text(text), "");
    CHECK_STR(value_of(&values.all, "servers"), "here");
    free(text);
}

static void
groups_without_a_wanted_setting_leave_no_trace(void)
{
    CHECK_STR(read_text("bus: {a: 1, reader: {b: 2}}\n"), "");
    CHECK_STR(write_values(SETTING_LINEAGE), "other:\n  count: 1\n");
    CHECK_STR(write_values(SETTING_RELOAD), "");
}

int
main(void)
{
    RUN(there_are_none_by_default);
    RUN(names_have_dots_and_values_are_text);
    RUN(rows_below_win_however_they_are_written);
    RUN(each_keeps_its_place);
    RUN(what_is_wrong_is_told_with_its_place);
    RUN(references_are_resolved);
    RUN(secrets_are_never_printed);
    RUN(what_comes_from_a_file_is_a_secret);
    RUN(the_reference_is_itself_valid);
    RUN(groups_without_a_wanted_setting_leave_no_trace);
    forget();
    return check_report();
}

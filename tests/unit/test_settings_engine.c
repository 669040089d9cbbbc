/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings engine on a small table of its own: every kind at its limits,
 * every form of message, all problems at once.
 */
#include "daemon/base/macros.h"
#include "daemon/settings.h"

#include "tests/support/check.h"

#include <stdlib.h>
#include <unistd.h>

enum color { COLOR_RED, COLOR_GREEN, COLOR_BLUE };

static const char *const colors[] = {"red", "green", "blue", NULL};
static const char *const starts[] = {"earliest", "latest", NULL};

struct entry {
    const char *name;
    enum color color;
    uint64_t width;
};

struct values {
    bool flag;
    uint64_t count;
    uint64_t bytes;
    uint64_t wait;
    double rate;
    double limit;
    const char *text;
    const char *name;
    const char *secret;
    enum color color;
    int64_t start;
    struct setting_counts widths;
    struct setting_numbers marks;
    struct setting_strings words;
    struct setting_enums colors;
    uint64_t other;
    struct entry *things;
    size_t thing_count;
};

#define FIELD(f) offsetof(struct values, f)

static const struct setting_row rows[] = {
    {"flag", SETTING_BOOL, 0, FIELD(flag), "", 0, 1, "true", NULL, 0,
     "A flag."},
    {"a.count", SETTING_COUNT, 0, FIELD(count), "things", 1, 1000, "7", NULL, 0,
     "A count."},
    {"a.count_other", SETTING_COUNT, 0, FIELD(other), "things", 1, 1000,
     "=a.count", NULL, 0, "Another."},
    {"a.bytes", SETTING_BYTES, 0, FIELD(bytes), "", 1024, 1073741824, "64KiB",
     NULL, 0, "A size."},
    {"a.b.wait", SETTING_DURATION, SETTING_RELOAD, FIELD(wait), "", 0,
     604800000, "30s", NULL, 0, "A duration."},
    {"a.b.rate", SETTING_NUMBER, SETTING_LINEAGE, FIELD(rate), "", 0, 1, "0.05",
     NULL, 0, "A rate."},
    {"limit", SETTING_NUMBER, 0, FIELD(limit), "", -10, 10, "", NULL, 0,
     "A limit."},
    {"text", SETTING_STRING, 0, FIELD(text), "", 0, 16, "", NULL, 0,
     "A text, with \"quotes\" in its help, which is so long that it has to be "
     "written on two lines."},
    {"name", SETTING_NAME, 0, FIELD(name), "", 1, 8, "x", NULL, 0, "A name."},
    {"password", SETTING_STRING, SETTING_SECRET, FIELD(secret), "", 0, 8, "",
     NULL, 0, "A secret."},
    {"color", SETTING_ENUM, 0, FIELD(color), "", 0, 0, "green", colors, 0,
     "A color."},
    {"start", SETTING_TIME, 0, FIELD(start), "", 0, 0, "earliest", starts, 0,
     "A time."},
    {"widths", SETTING_COUNTS, 0, FIELD(widths), "", 1, 100, "[8, 4]", NULL, 3,
     "Widths."},
    {"marks", SETTING_NUMBERS, 0, FIELD(marks), "", -1, 1, "[]", NULL, 4,
     "Marks."},
    {"words", SETTING_STRINGS, 0, FIELD(words), "", 1, 10, "[]", NULL, 4,
     "Words."},
    {"colors", SETTING_ENUMS, 0, FIELD(colors), "", 0, 0, "[red, blue]", colors,
     3, "Colors."},
};

static const struct setting_row thing_rows[] = {
    {"color", SETTING_ENUM, SETTING_REQUIRED, offsetof(struct entry, color), "",
     0, 0, "red", colors, 0, "Its color."},
    {"width", SETTING_COUNT, 0, offsetof(struct entry, width), "", 1, 9, "3",
     NULL, 0, "Its width."},
};

static const struct setting_section sections[] = {
    {"things", thing_rows, COUNT(thing_rows), sizeof(struct entry), 3,
     FIELD(things), FIELD(thing_count), "one", "Things.", false},
};

static const struct settings_table table = {"A title.", rows, COUNT(rows),
                                            sections, COUNT(sections)};

static struct values values;
static struct settings_file *file;
static char *printed; /* the problems of the last text */

static void
forget(void)
{
    settings_file_free(&file);
    free(printed);
    printed = NULL;
}

/* Reads text into values; lends the problems as they are printed. */
static const char *
read_bytes(const char *text, size_t bytes)
{
    struct settings_problems problems = {0};
    struct error err;
    size_t n = 0;
    FILE *f;

    forget();
    memset(&values, 0, sizeof(values));
    CHECK_INT(settings_file_parse(&file, &table, &values, text, bytes,
                                  &problems, &err),
              STATUS_OK);
    f = open_memstream(&printed, &n);
    settings_problems_print(&problems, "x.yaml", f);
    (void)fclose(f);
    settings_problems_fini(&problems);
    return printed;
}

static const char *
read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

/* Lends what a writer writes, until the next call. */
static const char *
written(void (*write)(FILE *f))
{
    static char *text;
    size_t n = 0;
    FILE *f;

    free(text);
    text = NULL;
    f = open_memstream(&text, &n);
    write(f);
    (void)fclose(f);
    return text;
}

static void
write_values(FILE *f)
{
    settings_table_write_values(&table, &values, 0, f);
}

static void
write_lineage(FILE *f)
{
    settings_table_write_values(&table, &values, SETTING_LINEAGE, f);
}

static void
write_reference(FILE *f)
{
    settings_table_write_reference(&table, f);
}

static void
an_empty_file_gives_the_defaults(void)
{
    CHECK_STR(read_text(""), "");
    CHECK(values.flag);
    CHECK_INT(values.count, 7);
    CHECK_INT(values.other, 7);
    CHECK_INT(values.bytes, 65536);
    CHECK_INT(values.wait, 30000);
    CHECK_NEAR(values.rate, 0.05, 0);
    CHECK(isnan(values.limit));
    CHECK_STR(values.text, "");
    CHECK_STR(values.name, "x");
    CHECK_INT(values.color, COLOR_GREEN);
    CHECK(values.start == SETTING_EARLIEST);
    CHECK_INT(values.widths.count, 2);
    CHECK_INT(values.widths.items[1], 4);
    CHECK_INT(values.marks.count, 0);
    CHECK_INT(values.colors.count, 2);
    CHECK_INT(values.colors.items[1], COLOR_BLUE);
    CHECK_INT(values.thing_count, 0);
}

static void
nested_and_dotted_keys_mean_the_same(void)
{
    CHECK_STR(read_text("a:\n  count: 3\n  b.wait: 5ms\na.b: {rate: 0.5}\n"
                        "things.one.color: blue\n"
                        "things:\n  one.width: 2\n  two: {color: red}\n"),
              "");
    CHECK_INT(values.count, 3);
    CHECK_INT(values.other, 3);
    CHECK_INT(values.wait, 5);
    CHECK_NEAR(values.rate, 0.5, 0);
    CHECK_INT(values.thing_count, 2);
    CHECK_STR(values.things[0].name, "one");
    CHECK_INT(values.things[0].color, COLOR_BLUE);
    CHECK_INT(values.things[0].width, 2);
    CHECK_STR(values.things[1].name, "two");
    CHECK_INT(values.things[1].width, 3);
}

static void
counts_are_whole_and_in_range(void)
{
    CHECK_STR(read_text("a.count: 1"), "");
    CHECK_STR(read_text("a.count: 1e3"), "");
    CHECK_INT(values.count, 1000);
    CHECK_STR(read_text("a.count: 1_000"), "");
    CHECK_INT(values.count, 1000);
    CHECK_STR(read_text("a.count: \"2.5e1\""), "");
    CHECK_INT(values.count, 25);
    CHECK_STR(read_text("a.count: 0"),
              "x.yaml:1:10: a.count: '0' is too small, expected a whole number "
              "of things from 1 to 1000\n");
    CHECK_HAS(read_text("a.count: 1001"), "'1001' is too large, expected");
    CHECK_HAS(read_text("a.count: -1"), "'-1' is too small, expected");
    CHECK_HAS(read_text("a.count: 1.5"), "'1.5' is not a whole number");
    CHECK_HAS(read_text("a.count: 0x10"), "'0x10' is not a whole number");
    CHECK_HAS(read_text("a.count: 1__0"), "'1__0' is not a whole number");
    CHECK_HAS(read_text("a.count: 10k"), "'10k' is not a whole number");
    CHECK_HAS(read_text("a.count: nan"), "'nan' is not a whole number");
    CHECK_HAS(read_text("a.count: ''"), "'' is not a whole number");
    CHECK_HAS(read_text("a.count: 1e400"), "'1e400' is not a whole number");
    CHECK_INT(values.count, 7);
}

static void
sizes_and_durations_have_units(void)
{
    CHECK_STR(read_text("a.bytes: 1KiB\na.b.wait: 7d"), "");
    CHECK_INT(values.bytes, 1024);
    CHECK_INT(values.wait, 604800000);
    CHECK_STR(read_text("a.bytes: 1.5 MB\na.b.wait: 0"), "");
    CHECK_INT(values.bytes, 1500000);
    CHECK_INT(values.wait, 0);
    CHECK_STR(read_text("a.bytes: 4096\na.b.wait: 1.5m"), "");
    CHECK_INT(values.bytes, 4096);
    CHECK_INT(values.wait, 90000);
    CHECK_STR(read_text("a.bytes: 1GiB"), "");
    CHECK_HAS(read_text("a.bytes: 1023"),
              "'1023' is too small, expected a size such as 64KiB from 1KiB to "
              "1GiB");
    CHECK_HAS(read_text("a.bytes: 2GiB"), "'2GiB' is too large");
    CHECK_HAS(read_text("a.bytes: 64kb"), "'64kb' is not a size");
    CHECK_HAS(read_text("a.bytes: 1024.5"), "is not whole");
    CHECK_HAS(read_text("a.b.wait: 30"),
              "'30' has no unit, expected a duration such as 5ms, 30s or 7d "
              "from 0ms to 7d");
    CHECK_HAS(read_text("a.b.wait: 8d"), "'8d' is too large");
    CHECK_HAS(read_text("a.b.wait: soon"), "'soon' is not a duration");
}

static void
numbers_are_in_range(void)
{
    CHECK_STR(read_text("a.b.rate: 1e-3\nlimit: -10"), "");
    CHECK_NEAR(values.rate, 1e-3, 0);
    CHECK_NEAR(values.limit, -10, 0);
    CHECK_HAS(read_text("a.b.rate: 1.01"),
              "'1.01' is too large, expected a number from 0 to 1");
    CHECK_HAS(read_text("limit: .inf"), "'.inf' is not a number");
    CHECK_HAS(read_text("limit: 3x"), "'3x' is not a number");
}

static void
words_and_flags_are_named(void)
{
    CHECK_STR(read_text("color: blue\nflag: false"), "");
    CHECK_INT(values.color, COLOR_BLUE);
    CHECK(!values.flag);
    CHECK_STR(read_text("color: gren"),
              "x.yaml:1:8: color: 'gren' is not known, expected red, green or "
              "blue, did you mean 'green'?\n");
    CHECK_STR(read_text("color: mauve"),
              "x.yaml:1:8: color: 'mauve' is not known, expected red, green or "
              "blue\n");
    CHECK_STR(read_text("flag: yes"),
              "x.yaml:1:7: flag: 'yes' is neither, expected true or false, did "
              "you mean 'true'?\n");
    CHECK_HAS(read_text("flag: maybe"), "expected true or false\n");
}

static void
texts_have_lengths(void)
{
    CHECK_STR(read_text("text: 0123456789abcdef\nname: a-b_c.d"), "");
    CHECK_STR(values.text, "0123456789abcdef");
    CHECK_HAS(read_text("text: 0123456789abcdefg"),
              "is too long, expected text of 0 to 16 bytes");
    CHECK_HAS(read_text("name: a b"), "'a b' has other characters, expected a "
                                      "name of 1 to 8 letters");
    CHECK_HAS(read_text("name: ''"), "'' is empty, expected a name");
    CHECK_HAS(read_text("text: \"a\\0b\""), "a NUL character");
    CHECK_HAS(read_text("text: \"\\e[1m\\n01234567890123456\""),
              "'\\x1b[1m\\x0a0");
}

static void
times_are_dates_or_seconds(void)
{
    CHECK_STR(read_text("start: latest"), "");
    CHECK(values.start == SETTING_LATEST);
    CHECK_STR(read_text("start: 1362062307"), "");
    CHECK_INT(values.start, 1362062307000);
    CHECK_STR(read_text("start: 2013-02-28T14:38:27Z"), "");
    CHECK_INT(values.start, 1362062307000);
    CHECK_STR(read_text("start: 2013-02-28 15:38:27.25+01:00"), "");
    CHECK_INT(values.start, 1362062307250);
    CHECK_STR(read_text("start: 2024-02-29"), "");
    CHECK_INT(values.start, 1709164800000);
    CHECK_STR(read_text("start: 1969-12-31T23:59:59.5Z"), "");
    CHECK_INT(values.start, -500);
    CHECK_HAS(read_text("start: 2023-02-29"), "is not a time");
    CHECK_HAS(read_text("start: 2023-02-28T14:38:27"), "is not a time");
    CHECK_HAS(read_text("start: 1362062307000"), "looks like milliseconds");
    CHECK_HAS(read_text("start: never"),
              "'never' is not a time, expected earliest, latest, a time such "
              "as 2026-11-23T12:00:00Z, or seconds since 1970");
}

static void
lists_have_items_of_a_kind(void)
{
    CHECK_STR(read_text("widths: [1, 2e1, 100]\nmarks: [-1, 0.5]\n"
                        "words:\n- a\n- 'b, c'\ncolors: []"),
              "");
    CHECK_INT(values.widths.count, 3);
    CHECK_INT(values.widths.items[1], 20);
    CHECK_NEAR(values.marks.items[1], 0.5, 0);
    CHECK_STR(values.words.items[1], "b, c");
    CHECK_INT(values.colors.count, 0);
    CHECK_HAS(read_text("widths: [1, 2,\n  3, 4]"),
              "x.yaml:2:6: widths: too many values, expected a list such as "
              "[a, b] of at most 3, each a whole number from 1 to 100\n");
    CHECK_HAS(read_text("widths: [1, x]"), "1:13: widths: 'x' is not a whole");
    CHECK_HAS(read_text("widths: 5"), "a single value, expected a list");
    CHECK_HAS(read_text("widths: [[1]]"), "an item that is not a value");
    CHECK_HAS(read_text("colors: [red, red]"), "'red' comes twice");
    CHECK_HAS(read_text("colors: [rde]"), "did you mean 'red'?");
}

static void
every_problem_is_found_at_once(void)
{
    CHECK_STR(
        read_text("flag: maybe\n"
                  "a:\n"
                  "  cuont: 3\n"
                  "  bytes: many\n"
                  "things:\n"
                  "  one: {width: 3}\n"
                  "  two words: {color: red}\n"
                  "color:\n"
                  "zebra: 1\n"),
        "x.yaml:1:7: flag: 'maybe' is neither, expected true or false\n"
        "x.yaml:3:3: a.cuont: no such setting, did you mean 'count'?\n"
        "x.yaml:4:10: a.bytes: 'many' is not a size, expected a size such "
        "as 64KiB from 1KiB to 1GiB\n"
        "x.yaml:6:3: things.one.color: is missing, expected red, green or "
        "blue\n"
        "x.yaml:7:3: things: 'two words' cannot be a name, expected 1 to "
        "63 letters, digits, '_' or '-'\n"
        "x.yaml:8:7: color: has no value, expected red, green or blue\n"
        "x.yaml:9:1: zebra: no such setting, expected one of flag, a, "
        "limit, text, name, password, color, start, widths, marks, words, "
        "colors, things\n");
}

static void
unknown_keys_get_the_nearest(void)
{
    CHECK_HAS(read_text("a: {b: {wiat: 1s}}"), "did you mean 'wait'?");
    CHECK_HAS(read_text("a.b.wiat: 1s"), "did you mean 'a.b.wait'?");
    CHECK_HAS(read_text("thigns: {}"), "did you mean 'things'?");
    CHECK_HAS(read_text("wait: 1s"), "did you mean 'a.b.wait'?");
    CHECK_HAS(read_text("things: {one: {color: red, widht: 1}}"),
              "things.one.widht: no such setting, did you mean 'width'?");
    CHECK_HAS(read_text("a: {zebra: 1}"),
              "a.zebra: no such setting, expected one of count, count_other, "
              "bytes, b\n");
    CHECK_HAS(read_text("<<: {flag: true}"), "no such setting");
}

static void
keys_come_once(void)
{
    CHECK_STR(read_text("flag: true\nflag: true"),
              "x.yaml:2:1: flag: given twice, expected it once (first at line "
              "1, column 1)\n");
    CHECK_HAS(read_text("a: {count: 1}\na.count: 2"),
              "2:1: a.count: given twice");
    CHECK_HAS(read_text("a: {}\na: {}"), "2:1: a: given twice");
    CHECK_HAS(read_text("things: {one: {color: red}, one: {color: red}}"),
              "1:29: things.one: given twice");
}

static void
shapes_are_checked(void)
{
    CHECK_HAS(read_text("- a"), "1:1: not a mapping, expected 'key: value'");
    CHECK_HAS(read_text("a: 1"), "1:4: a: is a single value, expected a "
                                 "mapping of 'key: value' lines");
    CHECK_HAS(read_text("a: [1]"), "a: is a list, expected a mapping");
    CHECK_HAS(read_text("things: 1"), "things: is a single value");
    CHECK_HAS(read_text("flag: [1]"), "flag: is a list, expected true");
    CHECK_HAS(read_text("flag: {a: 1}"), "flag: is a mapping, expected true");
    CHECK_STR(read_text("a:\nthings: ~\n"), "");
    CHECK_HAS(read_text("things: {a: {color: red}, b: {color: red},\n"
                        "c: {color: red}, d: {color: red}}"),
              "2:18: things.d: one too many, expected at most 3");
}

static void
yaml_that_is_too_much_is_refused(void)
{
    CHECK_HAS(read_text("a: {count: &x 3}\ntext: *x"),
              "1:12: an anchor (&x), expected plain values");
    CHECK_HAS(printed, "2:7: an alias (*x), expected the value itself");
    CHECK_HAS(read_text("flag: !!bool true"), "1:7: a tag (tag:yaml.org,2002");
    CHECK_HAS(read_text("flag: true\n---\nflag: true"),
              "2:1: a second document, expected one a file");
    CHECK_HAS(read_text("? [a]\n: 1"), "1:3: a key that is a list");
    CHECK_HAS(read_text("a: [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]"),
              "1:19: nested too deeply, expected at most 16 levels");
    CHECK_STR(read_text("flag: true\n bad: [\n"),
              "x.yaml:2:5: not YAML: mapping values are not allowed in this "
              "context, expected 'key: value' lines, two spaces a level\n");
    CHECK_HAS(read_bytes("flag: \xff", 7), "not readable as text");
}

static void
references_take_the_settings_type(void)
{
    (void)setenv("SETTINGS_TEST", "42", 1);
    (void)unsetenv("SETTINGS_UNSET");
    CHECK_STR(read_text("a.count: ${env:SETTINGS_TEST}\n"
                        "a.b.wait: ${env:SETTINGS_TEST}ms\n"
                        "text: $${a} ${env:SETTINGS_UNSET:-x y}\n"
                        "widths: ${env:SETTINGS_UNSET:-[3, 2]}\n"
                        "marks: ['${env:SETTINGS_UNSET:-0.5}']\n"),
              "");
    CHECK_INT(values.count, 42);
    CHECK_INT(values.wait, 42);
    CHECK_STR(values.text, "${a} x y");
    CHECK_INT(values.widths.items[0], 3);
    CHECK_NEAR(values.marks.items[0], 0.5, 0);
    CHECK_STR(
        read_text("a.count: ${env:SETTINGS_UNSET}"),
        "x.yaml:1:10: a.count: the environment variable SETTINGS_UNSET is "
        "not set, expected it or a default, as in "
        "${env:SETTINGS_UNSET:-default}\n");
    CHECK_STR(
        read_text("flag: ${env:SETTINGS_TEST}"),
        "x.yaml:1:7: flag: '42' (from '${env:SETTINGS_TEST}') is neither, "
        "expected true or false\n");
    CHECK_HAS(read_text("text: ${home}"), "'${home}' is no reference, expected "
                                          "${env:NAME}");
    CHECK_HAS(read_text("text: ${env:A"), "'${' without its '}'");
    CHECK_HAS(read_text("text: ${env:A B}"), "'A B' is not the name of an");
    CHECK_HAS(read_text("text: ${file:/nowhere/at all}"),
              "/nowhere/at all: No such file or directory, expected a file");
    CHECK_HAS(read_text("text: ${file:/dev/null}"), "not a regular file");
}

static void
secrets_are_never_printed(void)
{
    char path[] = "/tmp/distilld-settings-XXXXXX";
    int fd = mkstemp(path);
    char text[128];

    CHECK(fd >= 0 && write(fd, "hush\n", 5) == 5);
    (void)close(fd);
    (void)snprintf(text, sizeof(text), "password: ${file:%s}\n", path);
    CHECK_STR(read_text(text), "");
    CHECK_STR(values.secret, "hush");
    CHECK_HAS(written(write_values), "password: \"***\"\n");
    CHECK(strstr(written(write_values), "hush") == NULL);
    (void)snprintf(text, sizeof(text), "color: ${file:%s}\n", path);
    CHECK_HAS(read_text(text), "the value of '${file:/tmp/distilld-");
    CHECK(strstr(printed, "hush") == NULL);
    CHECK_STR(read_text("password: hush hush hush"),
              "x.yaml:1:11: password: the secret is too long, expected text of "
              "0 to 8 bytes\n");
    (void)unlink(path);
}

static void
written_values_read_back_the_same(void)
{
    char *first;

    CHECK_STR(read_text("text: \"q\\\" \\\\ ${env:NO:-$}${env:NO:-{}\"\n"
                        "a: {count: 1e2, bytes: 1536, b: {rate: 0.1}}\n"
                        "start: 1969-12-31T23:59:59.5Z\nlimit: -0.3\n"
                        "words: ['true', '12', \"a\\tb\", é]\n"
                        "things: {z: {color: blue}, a: {color: red}}"),
              "");
    CHECK_STR(values.text, "q\" \\ ${");
    first = strdup(written(write_values));
    CHECK_HAS(first, "  bytes: 1536\n  b:\n    wait: 30s\n    rate: 0.1\n");
    CHECK_HAS(first, "start: \"1969-12-31T23:59:59.500Z\"\n");
    CHECK_HAS(first, "words: [\"true\", \"12\", \"a\\x09b\", \"é\"]\n");
    CHECK_HAS(first, "things:\n  z:\n    color: blue\n    width: 3\n  a:\n");
    CHECK_STR(read_text(first), "");
    CHECK_STR(written(write_values), first);
    CHECK_STR(written(write_lineage), "a:\n  b:\n    rate: 0.1\nthings:\n"
                                      "  z:\n  a:\n");
    free(first);
}

static void
the_reference_has_every_setting_and_is_valid(void)
{
    char *reference = strdup(written(write_reference));

    CHECK_HAS(reference, "# A title.\n\n# A flag.\n# True or false. Default: "
                         "true.\nflag: true\n\na:\n  # A count.\n  # A whole "
                         "number of things from 1 to 1000. Default: 7.\n"
                         "  count: 7\n");
    CHECK_HAS(reference, "Default: as a.count.\n  # count_other: 7\n");
    CHECK_HAS(reference, "  b:\n    # A duration.\n    # A duration such as "
                         "5ms, 30s or 7d from 0ms to 7d. Default: 30s. A reload"
                         "\n    # changes it.\n    wait: 30s\n");
    CHECK_HAS(reference, "Unset by default.\n# limit: 0\n");
    CHECK_HAS(reference, "# A text, with \"quotes\" in its help, which is so "
                         "long that it has to be written\n# on two lines.\n");
    CHECK_HAS(reference, "\n# Things.\nthings:\n  one:\n    # Its color.\n"
                         "    # One of red, green or blue. Must be given.\n"
                         "    color: red\n");
    CHECK_STR(read_text(reference), "");
    CHECK_INT(values.thing_count, 1);
    CHECK_INT(values.count, 7);
    free(reference);
}

static void
many_problems_are_cut(void)
{
    char text[8192];
    size_t n = 0;

    for (int i = 0; i < 300; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "zebra%d: 1\n", i);
    CHECK_HAS(read_text(text), "x.yaml: and 100 more\n");
}

int
main(void)
{
    RUN(an_empty_file_gives_the_defaults);
    RUN(nested_and_dotted_keys_mean_the_same);
    RUN(counts_are_whole_and_in_range);
    RUN(sizes_and_durations_have_units);
    RUN(numbers_are_in_range);
    RUN(words_and_flags_are_named);
    RUN(texts_have_lengths);
    RUN(times_are_dates_or_seconds);
    RUN(lists_have_items_of_a_kind);
    RUN(every_problem_is_found_at_once);
    RUN(unknown_keys_get_the_nearest);
    RUN(keys_come_once);
    RUN(shapes_are_checked);
    RUN(yaml_that_is_too_much_is_refused);
    RUN(references_take_the_settings_type);
    RUN(secrets_are_never_printed);
    RUN(written_values_read_back_the_same);
    RUN(the_reference_has_every_setting_and_is_valid);
    RUN(many_problems_are_cut);
    forget();
    return check_report();
}

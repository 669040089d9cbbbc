/* SPDX-License-Identifier: Apache-2.0 */
/*
 * distilld's own settings: defaults, the reference in conf/, and what settings
 * must hold together.
 */
#include "stages/settings.h"

#include "daemon/base/macros.h"

#include "tests/support/check.h"

#include <stdlib.h>
#include <unistd.h>

/* The least that is valid: both together. */
#define HEAD                                                                   \
    "events.path: e\nlabels.path: l\ncheckpoint.path: c\n"                     \
    "features: {u: {kind: categorical}}\n"
#define TASKS "tasks: {t: {kind: binary}}\n"

static struct settings *s;
static char *printed;
static struct error err;

static void
forget(void)
{
    settings_free(&s);
    free(printed);
    printed = NULL;
}

/* Reads settings into s; lends the problems as they are printed. */
static const char *
read_text(const char *text)
{
    struct settings_problems problems = {0};
    size_t n = 0;
    enum status st;
    FILE *f;

    forget();
    st = settings_parse(&s, "x.yaml", text, strlen(text), &problems, &err);
    CHECK_INT(st, problems.count == 0 ? STATUS_OK : STATUS_CONFIG);
    CHECK((s != NULL) == (problems.count == 0));
    f = open_memstream(&printed, &n);
    settings_problems_print(&problems, "x.yaml", f);
    (void)fclose(f);
    settings_problems_fini(&problems);
    return printed;
}

/* Gives the whole of a small file, or of what a writer writes. */
static char *
slurp(FILE *f)
{
    char *text = calloc(1, 1u << 20);

    if (text != NULL)
        (void)fread(text, 1, (1u << 20) - 1, f);
    return text;
}

static char *
write_reference(void)
{
    FILE *f = tmpfile();
    char *text;

    settings_write_reference(f);
    rewind(f);
    text = slurp(f);
    (void)fclose(f);
    return text;
}

static char *
write_effective(void)
{
    FILE *f = tmpfile();
    char *text;

    settings_write_effective(s, f);
    rewind(f);
    text = slurp(f);
    (void)fclose(f);
    return text;
}

static void
the_reference_is_valid_and_committed(void)
{
    char *reference = write_reference();
    FILE *f = fopen("conf/distilld.yaml", "r");
    char *committed = f == NULL ? NULL : slurp(f);

    CHECK(committed != NULL); /* run from the root of the tree */
    /* When it is old, `make conf` writes it anew. */
    CHECK(committed == NULL || strcmp(committed, reference) == 0);
    CHECK_STR(read_text(reference), "");
    if (f != NULL)
        (void)fclose(f);
    free(committed);
    free(reference);
}

static void
the_shortest_file_has_sensible_defaults(void)
{
    CHECK_STR(read_text(HEAD TASKS), "");
    CHECK_STR(s->name, "distilld");
    CHECK(settings_has_role(s, ROLE_ANNOTATE));
    CHECK(settings_has_role(s, ROLE_TRAIN));
    CHECK_STR(s->features[0].path, "u");
    CHECK_STR(s->tasks[0].path, "t");
    CHECK(isnan(s->tasks[0].threshold));
    CHECK_INT(s->train_batch, 256);
    CHECK_INT(s->events_record_bytes_max, 65536);
    CHECK_INT(s->shutdown_timeout, 30000);
    CHECK_INT(s->student.embedding_width, 4);
    CHECK_INT(s->student.hidden.items[0], 16);
    CHECK_INT(s->teacher_model.embedding_width, 16);
    CHECK_INT(s->teacher_model.hidden.count, 2);
    CHECK_INT(s->student.optimizer.kind, OPTIMIZER_ADAGRAD);
    CHECK_INT(s->log_level, LOG_LEVEL_INFO);
    CHECK(s->train_start == SETTING_EARLIEST);
    CHECK_STR(s->publish_path, "");
}

static void
tables_learn_like_the_rest_unless_told(void)
{
    CHECK_STR(read_text(HEAD TASKS
                        "student.optimizer: {kind: adam, rate: 0.5}\n"
                        "student.tables.kind: rowwise_adagrad\n"),
              "");
    CHECK_INT(s->student.tables.kind, OPTIMIZER_ROWWISE_ADAGRAD);
    CHECK_NEAR(s->student.tables.rate, 0.5, 0);
    CHECK_NEAR(s->teacher_model.tables.rate, 0.05, 0);
}

static void
a_whole_configuration_is_read(void)
{
    CHECK_STR(
        read_text(
            "name: demo\nroles: [train]\n"
            "labels: {path: l, generation: 2}\n"
            "checkpoint: {path: c, every: 1e4}\n"
            "features:\n"
            "  genres: {kind: bag, path: 'items[].genre', separator: '|'}\n"
            "  year: {kind: number, transform: [log, bucketize],\n"
            "         boundaries: [1, 2.5], range: [0, 2100]}\n"
            "  emb: {kind: vector, width: 100, transform: [standardize],\n"
            "        seen_by: teacher}\n"
            "tasks:\n"
            "  liked: {kind: binary, path: rating, threshold: 8}\n"
            "  next: {kind: class, labels: [a, b, c]}\n"
            "  stars: {kind: regression, weight: 0.5}\n"
            "objective: {hard_weight: 0.2, soft_weight: 0.8, head: auxiliary}\n"
            "train: {passes: 5, start: 2013-03-01}\n"),
        "");
    CHECK_INT(s->feature_count, 3);
    CHECK_STR(s->features[0].separator, "|");
    CHECK_STR(s->features[0].path, "items[].genre");
    CHECK(settings_has_transform(&s->features[1], TRANSFORM_BUCKETIZE));
    CHECK(!settings_has_transform(&s->features[1], TRANSFORM_STANDARDIZE));
    CHECK_NEAR(s->features[1].boundaries.items[1], 2.5, 0);
    CHECK_INT(s->features[2].width, 100);
    CHECK_INT(s->features[2].seen_by, SEEN_BY_TEACHER);
    CHECK_NEAR(s->tasks[0].threshold, 8, 0);
    CHECK_INT(s->tasks[1].classes, 3);
    CHECK_INT(s->objective_head, HEAD_AUXILIARY);
    CHECK_INT(s->train_start, 1362096000000);
}

/* Expects one problem, of these words, when lines are added to what is valid
 * without them. */
static void
refuses(const char *lines, const char *problem)
{
    char text[2048];

    (void)snprintf(text, sizeof(text), "%s", lines);
    CHECK_STR(read_text(text), problem);
}

static void
features_must_make_sense(void)
{
    const char *head = "events.path: e\nlabels.path: l\ncheckpoint.path: c\n"
                       "tasks: {t: {kind: binary}}\nfeatures:\n"
                       "  u: {kind: categorical}\n  f: ";
    static const struct {
        const char *feature;
        const char *problem;
    } cases[] = {
        {"{kind: vector}", "7:3: features.f.width: is missing, expected how "
                           "many numbers the vector has\n"},
        {"{kind: number, width: 3}", "7:21: features.f.width: has no effect "
                                     "here, expected it only for vectors\n"},
        {"{kind: number, transform: [bucketize]}",
         "7:3: features.f.boundaries: is missing, expected the boundaries for "
         "bucketize, such as [1, 10, 100]\n"},
        {"{kind: number, boundaries: [1]}", "has no effect, expected "
                                            "transform: [bucketize] with it"},
        {"{kind: number, transform: [bucketize], boundaries: [1, 3, 3]}",
         "7:45: features.f.boundaries: 3 after 3, expected ascending numbers"},
        {"{kind: vector, width: 2, transform: [bucketize], boundaries: [1]}",
         "features.f.transform: bucketize of a vector, expected it for kind "
         "number only"},
        {"{kind: number, transform: [standardize, log]}",
         "log is not the first, expected it before the others"},
        {"{kind: number, transform: [standardize, bucketize], boundaries: [1]}",
         "standardize and bucketize, expected one of them"},
        {"{kind: number, range: [3, 1]}", "is no range, expected [lowest, "},
        {"{kind: bag, range: [1, 3]}", "expected it only for numbers and "},
        {"{kind: categorical, separator: '|'}", "expected it only for bags"},
        {"{kind: bag, embedding_width: 8}",
         "7:18: features.f.embedding_width: is 8, but student.fm needs one "
         "width for all, expected 4 or student.fm: false\n"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[512];

        (void)snprintf(text, sizeof(text), "%s%s", head, cases[i].feature);
        CHECK_HAS(read_text(text), cases[i].problem);
        CHECK(strchr(printed, '\n') == strrchr(printed, '\n'));
    }
    CHECK_HAS(read_text("events.path: e\nlabels.path: l\ncheckpoint.path: c\n"
                        "features: {f: {kind: bag, seen_by: teacher}}\n" TASKS),
              "4:1: features: none is visible to the student, expected one "
              "with seen_by: both or student\n");
    CHECK_STR(read_text("events.path: e\nlabels.path: l\nroles: [annotate]\n"
                        "features: {f: {kind: bag, seen_by: teacher}}\n" TASKS),
              "");
}

static void
tasks_must_make_sense(void)
{
    CHECK_HAS(read_text(HEAD "tasks: {t: {kind: class}}"),
              "5:9: tasks.t.classes: is missing, expected how many classes");
    CHECK_HAS(read_text(HEAD "tasks: {t: {kind: class, classes: 1}}"),
              "tasks.t.classes: is too small, expected");
    CHECK_HAS(read_text(HEAD "tasks: {t: {kind: class, classes: 3, labels: "
                             "[a, b]}}"),
              "tasks.t.labels: 2 names for 3 classes, expected one each");
    CHECK_HAS(read_text(HEAD "tasks: {t: {kind: class, labels: [a, a]}}"),
              "'a' comes twice, expected different names");
    CHECK_HAS(read_text(HEAD "tasks: {t: {kind: regression, threshold: 2}}"),
              "tasks.t.threshold: has no effect here, expected it only for");
    CHECK_HAS(read_text(HEAD "tasks: {t: {kind: binary, classes: 2}}"),
              "tasks.t.classes: has no effect here, expected it only for");
    refuses(HEAD, "x.yaml:1:1: tasks: is missing, expected one task at "
                  "least\n");
    refuses(TASKS "roles: [train]\nlabels.path: l\ncheckpoint.path: c",
            "x.yaml:1:1: features: is missing, expected one feature at "
            "least\n");
}

static void
teachers_must_make_sense(void)
{
    refuses(HEAD TASKS "teacher.kind: field",
            "x.yaml:6:1: teacher.kind: is field, but no task has a "
            "teacher_path, expected it where the teacher's answer is in an "
            "event\n");
    refuses(HEAD "tasks: {t: {kind: binary, teacher_path: z}}\n"
                 "teacher: {kind: field, learn: true}",
            "x.yaml:6:24: teacher.learn: needs a model to teach, expected "
            "teacher.kind: checkpoint\n");
    refuses(HEAD TASKS "teacher: {kind: checkpoint}",
            "x.yaml:6:1: teacher.path: is missing, expected the checkpoint to "
            "ask, or teacher.learn: true for a teacher that begins anew\n");
    refuses(HEAD TASKS "teacher: {kind: checkpoint, learn: true}",
            "x.yaml:6:1: teacher.checkpoint.path: is missing, expected where a "
            "teacher that learns keeps its checkpoints\n");
    refuses(HEAD TASKS "teacher: {kind: checkpoint, learn: true,\n"
                       "  checkpoint.path: c}",
            "x.yaml:7:3: teacher.checkpoint.path: is the same as "
            "checkpoint.path, expected another place\n");
}

/* Two teachers, of which only what matters to a case is written. */
#define TWO(first, second)                                                     \
    HEAD TASKS "teachers: {a: {kind: checkpoint, path: x" first                \
               "}, b: {kind: checkpoint, path: y" second "}}\n"

static void
several_teachers_must_make_sense(void)
{
    static const struct {
        const char *text;
        const char *problem;
    } cases[] = {
        {TWO("", ""), "teachers.b.kind: is never asked, expected another"},
        {TWO(", on_failure: fallback", ""),
         "teachers.a.fallback: is missing, expected the name of another"},
        {TWO(", on_failure: fallback, fallback: c", ""),
         "teachers.a.fallback: 'c' is no other teacher, expected"},
        {TWO(", on_failure: fallback, fallback: b",
             ", on_failure: fallback, fallback: a"),
         "teachers.a.fallback: 'b' falls back on a teacher itself, expected"},
        {TWO(", fallback: b", "") "teacher.combine: mean",
         "teachers.a.fallback: has no effect, expected on_failure: fallback"},
        {TWO(", on_failure: fallback, fallback: b", ", weight: 2"),
         "teachers.b.weight: has no effect, expected teacher.combine: mean"},
        {TWO(", on_failure: fallback, fallback: b", "") "teacher.combine: mean",
         "teacher.combine: is mean, but all teachers save 1 are there to fall"},
        {TWO(", weights: [1, 2]", "") "teacher.combine: mean",
         "teachers.a.weights: 2 numbers for 1 tasks, expected one each"},
        {TWO(", weight: 1, weights: [1]", "") "teacher.combine: mean",
         "teachers.a.weight: stands beside weights, expected one of them"},
        {TWO(", weight: 0", ", weights: [0]") "teacher.combine: mean",
         "teachers: all weigh 0 for task t, expected one above 0"},
        {TWO(", when: [x]", "") "teacher.combine: mean",
         "teachers.a.when: has no effect, expected teacher.combine: gate"},
        {TWO(", when: [x]", "") "teacher.combine: gate",
         "teacher.gate: is missing, expected the name of a categorical"},
        {TWO(", when: [x]", "") "teacher: {combine: gate, gate: w}",
         "teacher.gate: 'w' is no feature, expected the name of one"},
        {TWO(", when: [x]",
             ", when: [y, x]") "teacher: {combine: gate, gate: u}",
         "teachers.b.when: 'x' comes twice, expected each value once"},
        {TWO("", "") "teacher: {combine: gate, gate: u}",
         "teachers.b.when: is missing as for another teacher, expected one"},
        {TWO(", when: [x]", "") "teacher: {gate: u, combine: mean}",
         "teacher.gate: has no effect, expected teacher.combine: gate"},
        {TWO("", "") "teacher: {combine: mean, kind: none}",
         "teacher.kind: stands beside teachers, expected it in each of them"},
        {TWO("", "") "teacher: {combine: mean, name: n}",
         "teacher.name: stands beside teachers, which have names"},
        {HEAD TASKS "teacher.combine: mean",
         "teacher.combine: needs several, expected them under teachers"},
        {HEAD TASKS "teacher: {kind: checkpoint, path: x, on_failure: "
                    "fallback}",
         "teacher.on_failure: is fallback, expected two under teachers"},
        {HEAD TASKS "teachers: {a: {kind: none}, b: {kind: checkpoint}}\n"
                    "teacher.combine: mean",
         "teachers.a.kind: is none, expected a teacher that answers"},
        {HEAD TASKS "teachers: {a: {kind: checkpoint}, b: {kind: checkpoint, "
                    "path: y}}\nteacher.combine: mean",
         "teachers.a.path: is missing, expected the checkpoint to ask"},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_HAS(read_text(cases[i].text), cases[i].problem);
    CHECK_STR(read_text(TWO(", on_failure: fallback, fallback: b", "")), "");
    CHECK_INT(settings_teacher_count(s), 2);
    CHECK_STR(settings_teacher(s, 1)->path, "y");
    CHECK_STR(read_text(TWO(", weight: 2", "") "teacher.combine: mean"), "");
    CHECK_STR(
        read_text(TWO(", when: [x]", "") "teacher: {combine: gate, gate: u}"),
        "");
}

static void
objectives_must_make_sense(void)
{
    refuses(HEAD TASKS "events.time: ''\nobjective.teacher_age_max: 30d",
            "x.yaml:7:1: objective.teacher_age_max: needs the time of events, "
            "expected events.time\n");
    refuses(HEAD TASKS "objective.old_labels: fade",
            "x.yaml:6:1: objective.old_labels: has no effect, expected "
            "objective.teacher_age_max with it\n");
    refuses(HEAD TASKS "objective.adapter_sees_student: true",
            "x.yaml:6:1: objective.adapter_sees_student: has no effect, "
            "expected objective.adapter with it\n");
    refuses(HEAD TASKS "objective.cross_debias: true",
            "x.yaml:6:1: objective.cross_debias: needs the rate at which "
            "negatives were kept, expected events.sample_rate\n");
    refuses(HEAD TASKS
            "events.sample_rate: r\nobjective: {cross_debias: true,\n"
            "  old_labels: fade, teacher_age_max: 30d,\n"
            "  adapter: 8, teacher_negative_rate: 0.1}",
            "");
}

static void
roles_must_have_their_paths(void)
{
    refuses("features: {u: {kind: bag}}\n" TASKS,
            "x.yaml:1:1: events.path: is missing, expected the events: role "
            "annotate and train.input: events read them\n"
            "x.yaml:1:1: labels.path: is missing, expected the labels: role "
            "annotate writes and role train reads them\n"
            "x.yaml:1:1: checkpoint.path: is missing, expected a directory for "
            "the trainer's checkpoints\n");
    CHECK_STR(read_text("features: {u: {kind: bag}}\nroles: [train]\n"
                        "train.input: events\nevents.path: e\n"
                        "checkpoint.path: c\n" TASKS),
              "");
    CHECK_STR(read_text("features: {u: {kind: bag}}\nroles: [annotate]\n"
                        "events.path: e\nlabels.path: l\n" TASKS),
              "");
    refuses(HEAD TASKS "events.time: a[",
            "x.yaml:6:1: events.time: path \"a[\": expected a number below "
            "1000000 and ] at character 3\n");
    refuses(HEAD TASKS "publish.path: c",
            "x.yaml:6:1: publish.path: is the same as checkpoint.path, "
            "expected another place\n");
    refuses(HEAD TASKS "labels: {generation: 1}\ndead_letters.path: l",
            "x.yaml:7:1: dead_letters.path: is the same as labels.path, "
            "expected another place\n");
    refuses(HEAD TASKS "train.passes: 2",
            "x.yaml:6:1: train.passes: more than one beside role annotate, "
            "expected 1, or roles: [train] on labels that are complete\n");
    refuses(HEAD TASKS "roles: []",
            "x.yaml:6:1: roles: is empty, expected annotate, train or both\n");
}

static void
optimizers_must_make_sense(void)
{
    refuses(HEAD TASKS "student.optimizer.kind: rowwise_adagrad",
            "x.yaml:6:1: student.optimizer.kind: is rowwise_adagrad, expected "
            "it under tables only, did you mean 'adagrad'?\n");
    refuses(HEAD TASKS "student.tables.schedule: linear",
            "x.yaml:6:1: student.tables.decay: is 0, expected the length of "
            "the schedule in examples\n");
    refuses(HEAD TASKS "student:\n  tables.rate: 0",
            "x.yaml:7:3: student.tables.rate: is 0, expected a learning rate "
            "above it\n");
}

static void
one_slip_gives_one_message(void)
{
    /* Neither that events.path is missing nor that width has no effect. */
    CHECK_STR(read_text("events.pth: e\nlabels.path: l\ncheckpoint.path: c\n"
                        "features: {u: {kind: vectr, width: 3}}\n" TASKS),
              "x.yaml:1:1: events.pth: no such setting, did you mean "
              "'events.path'?\n"
              "x.yaml:4:22: features.u.kind: 'vectr' is not known, expected "
              "categorical, bag, number or vector, did you mean 'vector'?\n");
    CHECK_STR(err.text, "x.yaml: 2 problems");
}

static void
both_kinds_of_problems_come_together(void)
{
    CHECK_STR(read_text(HEAD "tasks: {t: {kind: class}}\ntrain.batch: 0\n"),
              "x.yaml:5:9: tasks.t.classes: is missing, expected how many "
              "classes there are, 2 or more\n"
              "x.yaml:6:14: train.batch: '0' is too small, expected a whole "
              "number of examples from 1 to 65536\n");
}

static void
a_syntax_error_stands_alone(void)
{
    CHECK_HAS(read_text("events: [\n"), "not YAML");
    CHECK(strchr(printed, '\n') == strrchr(printed, '\n'));
}

static void
effective_settings_read_back_the_same(void)
{
    char *first;
    char *second;

    CHECK_STR(read_text(HEAD "tasks: {t: {kind: binary, threshold: 0.1}}\n"
                             "student.tables.rate: 0.125"),
              "");
    first = write_effective();
    CHECK_HAS(first, "student:\n  embedding_width: 4\n");
    CHECK_HAS(first, "    rate: 0.125\n");
    CHECK_STR(read_text(first), "");
    second = write_effective();
    CHECK_STR(second, first);
    free(first);
    free(second);
}

static void
the_digest_is_of_what_is_learned(void)
{
    char first[DIGEST_HEX_SIZE];
    char hex[DIGEST_HEX_SIZE];

    CHECK_STR(read_text(HEAD TASKS), "");
    CHECK_INT(settings_digest(s, first, &err), STATUS_OK);
    CHECK_STR(read_text(HEAD TASKS "train: {batch: 256, threads: 4}\n"
                                   "log.level: debug\npublish.path: p"),
              "");
    CHECK_INT(settings_digest(s, hex, &err), STATUS_OK);
    CHECK_STR(hex, first);
    CHECK_STR(read_text(HEAD TASKS "student.optimizer.rate: 0.051"), "");
    CHECK_INT(settings_digest(s, hex, &err), STATUS_OK);
    CHECK(strcmp(hex, first) != 0);
    CHECK_STR(read_text("features: {v: {kind: categorical}}\nevents.path: e\n"
                        "labels.path: l\ncheckpoint.path: c\n" TASKS),
              "");
    CHECK_INT(settings_digest(s, hex, &err), STATUS_OK);
    CHECK(strcmp(hex, first) != 0);
}

static void
a_file_that_is_too_large_is_refused(void)
{
    struct settings_problems problems = {0};
    char path[] = "/tmp/distilld-settings-XXXXXX";
    int fd = mkstemp(path);

    forget();
    CHECK(fd >= 0 && ftruncate(fd, (off_t)SETTINGS_FILE_BYTES_MAX + 1) == 0);
    (void)close(fd);
    CHECK_INT(settings_load(&s, path, &problems, &err), STATUS_CONFIG);
    CHECK_HAS(err.text, "1048577 bytes, at most 1048576 are read");
    (void)unlink(path);
}

static void
a_file_that_cannot_be_read_is_named(void)
{
    struct settings_problems problems = {0};

    forget();
    CHECK_INT(settings_load(&s, "/nowhere/x.yaml", &problems, &err),
              STATUS_NOTFOUND);
    CHECK_HAS(err.text, "/nowhere/x.yaml: No such file");
    CHECK_INT(settings_load(&s, "/tmp", &problems, &err), STATUS_NOTFOUND);
    CHECK_HAS(err.text, "/tmp: not a regular file");
    CHECK_INT(settings_load(&s, "conf/distilld.yaml", &problems, &err),
              STATUS_OK);
    CHECK_INT(problems.count, 0);
    settings_problems_fini(&problems);
}

int
main(void)
{
    RUN(the_reference_is_valid_and_committed);
    RUN(the_shortest_file_has_sensible_defaults);
    RUN(tables_learn_like_the_rest_unless_told);
    RUN(a_whole_configuration_is_read);
    RUN(features_must_make_sense);
    RUN(tasks_must_make_sense);
    RUN(teachers_must_make_sense);
    RUN(several_teachers_must_make_sense);
    RUN(objectives_must_make_sense);
    RUN(roles_must_have_their_paths);
    RUN(optimizers_must_make_sense);
    RUN(one_slip_gives_one_message);
    RUN(both_kinds_of_problems_come_together);
    RUN(a_syntax_error_stands_alone);
    RUN(effective_settings_read_back_the_same);
    RUN(the_digest_is_of_what_is_learned);
    RUN(a_file_that_is_too_large_is_refused);
    RUN(a_file_that_cannot_be_read_is_named);
    forget();
    return check_report();
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: one function a subcommand, boot order top to bottom. The
 * only file in daemon/ that names the pipeline.
 */
#include "stages/commands.h"
#include "stages/replay/replay.h"
#include "stages/run.h"
#include "stages/settings.h"

#include "daemon/base/logging.h"
#include "daemon/base/macros.h"
#include "daemon/version.h"

#include <getopt.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct command {
    const char *name;
    const char *summary;
    const char *help; /* the whole of `distilld NAME --help` */
    int (*run)(const struct command *c, int argc, char **argv);
};

/* Prints an error where a person looks for it, and gives its exit code. */
static int
complain(const struct error *err)
{
    (void)fprintf(stderr, "distilld: %s\n", err->text);
    return status_exit_code(err->status);
}

static int
complain_usage(const struct command *c, const char *what)
{
    (void)fprintf(stderr, "distilld %s: %s\nTry: distilld %s --help\n", c->name,
                  what, c->name);
    return status_exit_code(STATUS_USAGE);
}

/* Loads a configuration or says everything that is wrong with it. */
static int
load_settings(const char *path, struct settings **out)
{
    struct settings_problems problems = {0};
    struct error err;
    enum status st = settings_load(out, path, &problems, &err);

    if (st == STATUS_OK)
        return 0;
    settings_problems_print(&problems, path, stderr);
    if (problems.count == 0)
        (void)fprintf(stderr, "distilld: %s\n", err.text);
    else
        (void)fprintf(stderr, "distilld: %zu problem%s in %s\n", problems.count,
                      problems.count == 1 ? "" : "s", path);
    settings_problems_fini(&problems);
    return status_exit_code(st);
}

static void
give_up(int exit_code)
{
    _exit(exit_code);
}

static int
command_run(const struct command *c, int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"accept-reset", no_argument, NULL, 'r'},
        {"migrate", no_argument, NULL, 'm'},
        {NULL, 0, NULL, 0},
    };
    struct run_options run = {.give_up = give_up};
    const char *path = NULL;
    struct settings *settings = NULL;
    struct error err;
    int opt;
    int rc;

    while ((opt = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        if (opt == 'c')
            path = optarg;
        else if (opt == 'r')
            run.accepts_reset = true;
        else if (opt == 'm')
            run.migrates = true;
        else
            return complain_usage(c, "unknown option");
    }
    if (path == NULL)
        return complain_usage(c, "-c FILE is missing");
    rc = load_settings(path, &settings);
    if (rc != 0)
        return rc;
    log_open(settings->log_level, settings->log_format);
    run.config_path = path;
    if (run_service(settings, &run, &err) != STATUS_OK)
        rc = complain(&err);
    settings_free(&settings);
    return rc;
}

static int
command_validate(const struct command *c, int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"connect", no_argument, NULL, 'n'},
        {NULL, 0, NULL, 0},
    };
    const char *path = NULL;
    struct settings *settings = NULL;
    struct error err;
    bool connects = false;
    int opt;
    int rc;

    while ((opt = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        if (opt == 'c')
            path = optarg;
        else if (opt == 'n')
            connects = true;
        else
            return complain_usage(c, "unknown option");
    }
    if (path == NULL)
        return complain_usage(c, "-c FILE is missing");
    rc = load_settings(path, &settings);
    if (rc == 0)
        (void)printf("%s: good\n", path);
    if (rc == 0 && connects &&
        connect_command(settings, stdout, &err) != STATUS_OK)
        rc = status_exit_code(err.status);
    settings_free(&settings);
    return rc;
}

static int
command_config(const struct command *c, int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    const char *what = argc > 1 ? argv[1] : "";
    const char *path = NULL;
    struct settings *settings = NULL;
    int opt;
    int rc;

    if (strcmp(what, "reference") == 0) {
        settings_write_reference(stdout);
        return 0;
    }
    if (strcmp(what, "schema") == 0) {
        settings_write_schema(stdout);
        return 0;
    }
    if (strcmp(what, "show") != 0)
        return complain_usage(c, "expected reference, schema or show");
    while ((opt = getopt_long(argc - 1, argv + 1, "c:", options, NULL)) != -1) {
        if (opt != 'c')
            return complain_usage(c, "unknown option");
        path = optarg;
    }
    if (path == NULL)
        return complain_usage(c, "-c FILE is missing");
    rc = load_settings(path, &settings);
    if (rc == 0)
        settings_write_effective(settings, stdout);
    settings_free(&settings);
    return rc;
}

static int
command_eval(const struct command *c, int argc, char **argv)
{
    static const struct option options[] = {
        {"model", required_argument, NULL, 'm'},
        {"input", required_argument, NULL, 'i'},
        {"config", required_argument, NULL, 'c'},
        {"json", no_argument, NULL, 'j'},
        {NULL, 0, NULL, 0},
    };
    struct eval_options eval = {0};
    struct error err;
    int opt;

    while ((opt = getopt_long(argc, argv, "m:i:c:", options, NULL)) != -1) {
        if (opt == 'm' && eval.model_count < EVAL_MODELS_MAX)
            eval.models[eval.model_count++] = optarg;
        else if (opt == 'm')
            return complain_usage(c, "too many models");
        else if (opt == 'i')
            eval.input = optarg;
        else if (opt == 'c')
            eval.config = optarg;
        else if (opt == 'j')
            eval.is_json = true;
        else
            return complain_usage(c, "unknown option");
    }
    if (eval.model_count == 0)
        return complain_usage(c, "-m CHECKPOINT is missing");
    if (eval.input == NULL)
        return complain_usage(c, "-i EVENTS is missing");
    if (eval.config == NULL)
        return complain_usage(c, "-c FILE is missing");
    eval.has_color = isatty(STDOUT_FILENO) == 1;
    if (eval_command(&eval, stdout, &err) != STATUS_OK)
        return complain(&err);
    return 0;
}

static int
command_inspect(const struct command *c, int argc, char **argv)
{
    static const struct option options[] = {
        {"verify", no_argument, NULL, 'v'},
        {"ids", required_argument, NULL, 'i'},
        {NULL, 0, NULL, 0},
    };
    struct inspect_options inspect = {0};
    struct error err;
    int opt;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == 'v')
            inspect.verifies = true;
        else if (opt == 'i')
            inspect.ids = optarg;
        else
            return complain_usage(c, "unknown option");
    }
    if (optind + 1 != argc)
        return complain_usage(c, "expected one CHECKPOINT");
    inspect.path = argv[optind];
    if (inspect_command(&inspect, stdout, &err) != STATUS_OK)
        return complain(&err);
    return 0;
}

static int
command_report(const struct command *c, int argc, char **argv)
{
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'},
        {NULL, 0, NULL, 0},
    };
    struct report_options report = {0};
    struct error err;
    int opt;

    while ((opt = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
        if (opt != 'o')
            return complain_usage(c, "unknown option");
        report.output = optarg;
    }
    for (int i = optind; i < argc; i++) {
        if (report.config_count == REPORT_RUNS_MAX)
            return complain_usage(c, "too many configurations");
        report.configs[report.config_count++] = argv[i];
    }
    if (report.config_count == 0)
        return complain_usage(c, "expected the CONFIG of one run or more");
    report.has_color = isatty(STDOUT_FILENO) == 1;
    if (report_command(&report, stdout, &err) != STATUS_OK)
        return complain(&err);
    return 0;
}

/* A whole number within bounds, or false. */
static bool
parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
    char *end;

    if (*text < '0' || *text > '9' || strlen(text) > 15)
        return false;
    *value = strtoull(text, &end, 10);
    return *end == '\0' && *value >= min && *value <= max;
}

static int
command_top(const struct command *c, int argc, char **argv)
{
    static const struct option options[] = {
        {"once", no_argument, NULL, 'o'},
        {"interval", required_argument, NULL, 'i'},
        {NULL, 0, NULL, 0},
    };
    struct top_options top = {.url = ADMIN_URL_DEFAULT};
    uint64_t seconds = 1;
    struct error err;
    int opt;

    while ((opt = getopt_long(argc, argv, "1i:", options, NULL)) != -1) {
        if (opt == 'o' || opt == '1')
            top.is_once = true;
        else if (opt != 'i')
            return complain_usage(c, "unknown option");
        else if (!parse_count(optarg, 1, 3600, &seconds))
            return complain_usage(c, "expected 1 to 3600 seconds");
    }
    if (optind + 1 < argc)
        return complain_usage(c, "expected one URL at most");
    if (optind < argc)
        top.url = argv[optind];
    top.interval_ms = 1000 * seconds;
    top.has_color = isatty(STDOUT_FILENO) == 1;
    top.is_once = top.is_once || !top.has_color;
    if (top_command(&top, stdout, &err) != STATUS_OK)
        return complain(&err);
    return 0;
}

static int
command_tap(const struct command *c, int argc, char **argv)
{
    static const struct option options[] = {
        {"rate", required_argument, NULL, 'r'},
        {"limit", required_argument, NULL, 'n'},
        {NULL, 0, NULL, 0},
    };
    const char *token = getenv("DISTILLD_ADMIN_TOKEN");
    struct tap_options tap = {
        .url = ADMIN_URL_DEFAULT,
        .token = token != NULL ? token : "",
        .rate = 10,
    };
    struct error err;
    int opt;

    while ((opt = getopt_long(argc, argv, "r:n:", options, NULL)) != -1) {
        if (opt == 'r' && !parse_count(optarg, 1, 1000, &tap.rate))
            return complain_usage(c, "expected 1 to 1000 records a second");
        if (opt == 'n' && !parse_count(optarg, 1, UINT32_MAX, &tap.limit))
            return complain_usage(c, "expected a count of records");
        if (opt != 'r' && opt != 'n')
            return complain_usage(c, "unknown option");
    }
    if (optind == argc || optind + 2 < argc)
        return complain_usage(c, "expected events, labels or dead-letters, and "
                                 "one URL at most");
    tap.what = argv[optind];
    if (optind + 1 < argc)
        tap.url = argv[optind + 1];
    if (tap_command(&tap, stdout, &err) != STATUS_OK)
        return complain(&err);
    return 0;
}

/* A number above 0, or false. */
static bool
read_positive(const char *text, double *out)
{
    char *end = NULL;

    *out = strtod(text, &end);
    return end != text && *end == '\0' && *out > 0 && *out <= 1e12;
}

static const char *
read_replay_option(struct replay_options *replay, int opt, const char *arg)
{
    switch (opt) {
    case 'k':
        replay->key = arg;
        return NULL;
    case 'r':
        return read_positive(arg, &replay->rate) ? NULL : "--rate: not above 0";
    case 's':
        return read_positive(arg, &replay->speed) ? NULL
                                                  : "--speed: not above 0";
    case 'f':
        return parse_count(arg, 1, UINT64_MAX, &replay->from_line)
                   ? NULL
                   : "--from-line: not the number of a line, from 1";
    case 'l':
        replay->loops = true;
        return NULL;
    case 'e':
        replay->resumes = true;
        return NULL;
    default:
        return "unknown option";
    }
}

static int
command_replay(const struct command *c, int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"from-line", required_argument, NULL, 'f'},
        {"key", required_argument, NULL, 'k'},
        {"loop", no_argument, NULL, 'l'},
        {"rate", required_argument, NULL, 'r'},
        {"resume", no_argument, NULL, 'e'},
        {"speed", required_argument, NULL, 's'},
        {NULL, 0, NULL, 0},
    };
    struct replay_options replay = {.give_up = give_up};
    const char *path = NULL;
    struct settings *settings = NULL;
    struct error err;
    int opt;
    int rc;

    while ((opt = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        const char *wrong = NULL;

        if (opt == 'c')
            path = optarg;
        else
            wrong = read_replay_option(&replay, opt, optarg);
        if (wrong != NULL)
            return complain_usage(c, wrong);
    }
    if (path == NULL)
        return complain_usage(c, "-c FILE is missing");
    if (replay.rate > 0 && replay.speed > 0)
        return complain_usage(c, "--rate and --speed, expected one of them");
    if (optind + 1 != argc)
        return complain_usage(c, "expected one FILE");
    replay.input = argv[optind];
    replay.shows_progress = isatty(STDERR_FILENO) == 1;
    rc = load_settings(path, &settings);
    if (rc != 0)
        return rc;
    log_open(settings->log_level, settings->log_format);
    if (replay_command(settings, &replay, stdout, &err) != STATUS_OK)
        rc = complain(&err);
    settings_free(&settings);
    return rc;
}

/* Reads one option; NULL, or what is wrong with it. */
static const char *
read_serve_option(struct serve_options *serve, int opt, const char *arg)
{
    switch (opt) {
    case 'm':
        if (serve->model_count == SERVE_OPTIONS_MODELS_MAX)
            return "too many models, expected 32 at most";
        serve->models[serve->model_count++] = arg;
        return NULL;
    case 'l':
        serve->listen = arg;
        return NULL;
    case 'b':
        return parse_count(arg, 1, 65536, &serve->batch_max)
                   ? NULL
                   : "--batch-max: expected 1 to 65536 rows";
    case 'd':
        return parse_count(arg, 0, 10000, &serve->batch_delay)
                   ? NULL
                   : "--batch-delay: expected 0 to 10000 milliseconds";
    case 't':
        return parse_count(arg, 1, 64, &serve->threads)
                   ? NULL
                   : "--threads: expected 1 to 64";
    case 's':
        return parse_count(arg, 1024, UINT64_C(1) << 30, &serve->body_max)
                   ? NULL
                   : "--body-max: expected 1024 to 1073741824 bytes";
    case 'n':
        return parse_count(arg, 1, 65536, &serve->connections)
                   ? NULL
                   : "--connections: expected 1 to 65536";
    case 'w':
        return parse_count(arg, 1, 65536, &serve->waiting_max)
                   ? NULL
                   : "--waiting-max: expected 1 to 65536 requests";
    default:
        return "unknown option";
    }
}

static int
command_serve(const struct command *c, int argc, char **argv)
{
    static const struct option options[] = {
        {"model", required_argument, NULL, 'm'},
        {"listen", required_argument, NULL, 'l'},
        {"batch-max", required_argument, NULL, 'b'},
        {"batch-delay", required_argument, NULL, 'd'},
        {"threads", required_argument, NULL, 't'},
        {"body-max", required_argument, NULL, 's'},
        {"connections", required_argument, NULL, 'n'},
        {"waiting-max", required_argument, NULL, 'w'},
        {NULL, 0, NULL, 0},
    };
    struct serve_options serve = {
        .listen = "127.0.0.1:8080",
        .batch_max = 1024,
        .threads = 1,
        .body_max = 16u << 20,
        .connections = 512,
        .waiting_max = 256,
        .give_up = give_up,
    };
    struct error err;
    int opt;

    while ((opt = getopt_long(argc, argv, "m:l:", options, NULL)) != -1) {
        const char *wrong = read_serve_option(&serve, opt, optarg);

        if (wrong != NULL)
            return complain_usage(c, wrong);
    }
    if (serve.model_count == 0)
        return complain_usage(c, "-m CHECKPOINT is missing");
    if (optind < argc)
        return complain_usage(c, "expected options alone");
    log_open(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
    if (serve_command(&serve, &err) != STATUS_OK)
        return complain(&err);
    return 0;
}

static const struct command commands[] = {
    {"run", "distil continuously, as the configuration says",
     "Usage: distilld run -c FILE [--accept-reset] [--migrate]\n"
     "\n"
     "Runs the roles of the configuration: annotate (events -> teacher ->\n"
     "labels log) and train (labels log -> student -> checkpoints). With file\n"
     "logs it ends at the end of the input and prints a summary; started\n"
     "again, it goes on where its checkpoint is. SIGTERM drains, writes a\n"
     "last checkpoint and exits 0; a second one exits at once.\n"
     "\n"
     "  -c, --config FILE   the configuration (YAML)\n"
     "  --accept-reset      when a log was replaced and the position in the\n"
     "                      checkpoint is gone: start at its beginning\n"
     "  --migrate           when the configuration changed the model's shape:\n"
     "                      keep the tensors that match by name and shape\n"
     "\n"
     "Example: distilld run -c conf/demo/steady.yaml\n",
     command_run},
    {"validate", "check a configuration, all problems at once",
     "Usage: distilld validate -c FILE [--connect]\n"
     "\n"
     "Exits 0, or 78 after printing every problem as\n"
     "file:line:column: what, what was expected, did you mean.\n"
     "\n"
     "  --connect   also reaches the brokers, topics and the teacher's\n"
     "              checkpoint, and says what it found; 69 when one is away\n"
     "\n"
     "Example: distilld validate -c conf/distilld.yaml\n",
     command_validate},
    {"config", "print the reference, the JSON Schema, or what is in force",
     "Usage: distilld config reference     every setting, commented (YAML)\n"
     "       distilld config schema        JSON Schema, for editors\n"
     "       distilld config show -c FILE  all settings in force\n"
     "\n"
     "Example: distilld config reference > distilld.yaml\n",
     command_config},
    {"eval", "compare checkpoints on an event file",
     "Usage: distilld eval -m CHECKPOINT [-m CHECKPOINT ...] -c FILE\n"
     "                     -i EVENTS [--json]\n"
     "\n"
     "AUC, log-loss, normalized entropy and calibration of each model on the\n"
     "events, with 95 % bootstrap intervals, and the paired difference of\n"
     "each to the first model.\n"
     "\n"
     "  -m, --model CHECKPOINT   a version's directory, or one with `latest`;\n"
     "                           CHECKPOINT:baseline is the baseline in it\n"
     "  -c, --config FILE        how to read events: its features and tasks\n"
     "  -i, --input EVENTS       events or label records, plain or gzip\n"
     "  --json                   print JSON instead of a table\n"
     "\n"
     "Example: distilld eval -m build/demo/steady/published \\\n"
     "                       -c conf/demo/steady.yaml \\\n"
     "                       -i build/demo/steady/labels.ndjson\n",
     command_eval},
    {"serve", "answer for checkpoints over HTTP",
     "Usage: distilld serve -m [NAME=]CHECKPOINT [-m ...] [OPTIONS]\n"
     "\n"
     "Serves models over the Open Inference Protocol (version 2): JSON, and\n"
     "the binary tensor data extension. Inputs are a model's features, by\n"
     "name, as they are in an event; outputs are its tasks. Where CHECKPOINT\n"
     "has a `latest`, newer versions take over as they appear. SIGTERM "
     "answers\n"
     "what has come, and exits 0.\n"
     "\n"
     "  -m, --model [NAME=]CHECKPOINT  a version's directory, or one with\n"
     "                        `latest`; NAME in place of its own name\n"
     "  -l, --listen ADDRESS  address and port (127.0.0.1:8080)\n"
     "  --batch-max N         rows of a request, and of a call of the model\n"
     "                        (1024)\n"
     "  --batch-delay MS      gathers requests for so long (0: while the "
     "model\n"
     "                        is busy)\n"
     "  --threads N           of a call of the model (1)\n"
     "  --body-max BYTES      of a request (16777216)\n"
     "  --connections N       clients at a time (512)\n"
     "  --waiting-max N       requests that wait for a model; more are "
     "answered\n"
     "                        503 (256)\n"
     "\n"
     "Example: distilld serve -m build/demo/steady/published\n",
     command_serve},
    {"inspect", "show what is in a checkpoint, or verify it",
     "Usage: distilld inspect CHECKPOINT [--verify] [--ids FEATURE]\n"
     "\n"
     "  --verify        recompute the SHA-256 of every file; exit 65 when one\n"
     "                  does not match\n"
     "  --ids FEATURE   list the ids of a feature's table, their rows and\n"
     "                  sightings, tab separated\n"
     "\n"
     "Example: distilld inspect build/demo/steady/checkpoints --verify\n",
     command_inspect},
    {"report", "tables, JSON and a page about finished runs",
     "Usage: distilld report [-o DIR] CONFIG [CONFIG ...]\n"
     "\n"
     "Reads the last checkpoints of the runs of these configurations, "
     "measures\n"
     "their models' speed, and prints one table a run: teacher, student and\n"
     "baseline, each with its ratio to the teacher. With -o it also writes\n"
     "DIR/report.json and DIR/report.html.\n"
     "\n"
     "Example: distilld report -o build/demo conf/demo/steady.yaml\n",
     command_report},
    {"top", "watch a running daemon",
     "Usage: distilld top [--once] [--interval SECONDS] [URL]\n"
     "\n"
     "Shows what the daemon at URL does (its admin.listen; without one\n"
     "http://127.0.0.1:8642): rates, lag, how long teacher and training take,\n"
     "the quality of student, teacher and baseline, the checkpoint's age. The\n"
     "key q or Ctrl-C ends it. Where the output is no terminal it prints one\n"
     "page, and exits 69 when there is no daemon.\n"
     "\n"
     "  -1, --once              print one page\n"
     "  -i, --interval SECONDS  between two looks (1)\n"
     "\n"
     "Example: distilld top 10.0.0.7:8642\n",
     command_top},
    {"tap", "print a live sample of events, labels or dead letters",
     "Usage: distilld tap [--rate N] [--limit N] WHAT [URL]\n"
     "\n"
     "WHAT is events, labels or dead-letters. Prints, one JSON object a line,\n"
     "some of what goes through the daemon at URL (without one\n"
     "http://127.0.0.1:8642), payloads and all: the daemon allows it with\n"
     "admin.tap: true. Where it has an admin.token, that is expected in the\n"
     "environment as DISTILLD_ADMIN_TOKEN. Ends with the daemon, on Ctrl-C, "
     "or\n"
     "when nobody reads the output any more.\n"
     "\n"
     "  -r, --rate N    at most so many a second, up to 1000 (10)\n"
     "  -n, --limit N   end after so many\n"
     "\n"
     "Example: distilld tap -n 3 labels | jq .soft_label\n",
     command_tap},
    {"replay", "send events of a file to the topic, as if they happened now",
     "Usage: distilld replay -c FILE [--rate N | --speed X] [--key PATH]\n"
     "                       [--from-line N] [--resume] [--loop] EVENTS\n"
     "\n"
     "Sends every line of EVENTS to events.topic of the configuration, waits\n"
     "until all are acknowledged, and prints the counts. Without --rate and\n"
     "--speed as fast as the broker takes them. SIGTERM and SIGINT stop it as\n"
     "soon as what was sent is acknowledged; then it tells the next line.\n"
     "\n"
     "  EVENTS             NDJSON, plain or gzip; a directory of such files; "
     "-\n"
     "                     for standard input, plain\n"
     "  -c, --config FILE  events.topic, kafka: and create_topics are used\n"
     "  --rate N           so many events a second\n"
     "  --speed X          X times as fast as they happened, by events.time\n"
     "  --key PATH         the value at this JSON path is the key; the same\n"
     "                     key always goes to the same partition. Without it\n"
     "                     lines go to one partition after the other\n"
     "  --from-line N      begins with line N, from 1; blank ones do not "
     "count\n"
     "  --resume           leaves out what the topic has already, going by "
     "the\n"
     "                     last record of every partition: all must come from\n"
     "                     this replay (same EVENTS, same --key)\n"
     "  --loop             begins again at the end\n"
     "\n"
     "Example: distilld replay -c conf/compose/annotate.yaml --rate 500 \\\n"
     "             --key user "
     "tests/data/movietweetings/movietweetings.ndjson.gz\n",
     command_replay},
};

static int
print_help(FILE *f)
{
    (void)fputs(
        "distilld keeps a small recommender model (the student) continuously\n"
        "distilled from a large one (the teacher), on live interaction "
        "events.\n"
        "\n"
        "Usage: distilld COMMAND [OPTIONS]\n"
        "\n",
        f);
    for (size_t i = 0; i < COUNT(commands); i++)
        (void)fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].summary);
    (void)fputs(
        "\n"
        "distilld COMMAND --help tells more. distilld --version names the\n"
        "build. Exit codes follow sysexits.h: 0 ok, 64 usage, 65 bad data,\n"
        "66 no input, 69 unavailable, 70 a bug, 74 I/O, 78 configuration.\n",
        f);
    return 0;
}

static bool
asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

int
main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    (void)signal(SIGPIPE, SIG_IGN);
    if (strcmp(name, "--version") == 0) {
        (void)printf("distilld %s\n", version_text());
        return 0;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        strcmp(name, "help") == 0)
        return print_help(stdout);
    for (size_t i = 0; i < COUNT(commands); i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        if (asks_for_help(argc - 1, argv + 1)) {
            (void)fputs(commands[i].help, stdout);
            return 0;
        }
        return commands[i].run(&commands[i], argc - 1, argv + 1);
    }
    if (argc > 1)
        (void)fprintf(stderr, "distilld: unknown command '%s'\n\n", name);
    (void)print_help(stderr);
    return status_exit_code(STATUS_USAGE);
}

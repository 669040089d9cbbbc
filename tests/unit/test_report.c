/* SPDX-License-Identifier: Apache-2.0 */
#include "stages/report/format.h"
#include "stages/report/html.h"
#include "stages/report/report.h"

#include "daemon/base/json.h"
#include "daemon/base/text_table.h"

#include "tests/support/check.h"

#include <stdlib.h>

static struct report report;

/* A curve whose student lies between baseline and teacher. */
static struct curve *
make_curve(int64_t judge_from_ms, bool has_baseline)
{
    enum { ROWS = 12000, BATCH = 200 };
    static float values[5][BATCH];
    static uint8_t there[BATCH];
    static int64_t times[BATCH];
    struct outcome_column column = {TASK_BINARY, 1,         values[0],
                                    there,       values[1], there};
    struct columns columns = {.row_count = BATCH,
                              .task_count = 1,
                              .tasks = &column,
                              .weight = values[4],
                              .sample_rate = values[4],
                              .ask_weight = values[4],
                              .time_ms = times};
    struct curve_spec spec = {
        .tasks = {{"liked", TASK_BINARY, 1, 0, true}},
        .task_count = 1,
        .has_baseline = has_baseline,
        .window = 1000,
        .point_every = 500,
        .judge_from_ms = judge_from_ms,
    };
    struct curve *c = NULL;
    struct error err;
    uint32_t state = 1;

    CHECK_INT(curve_new(&c, &spec, &err), STATUS_OK);
    for (size_t r = 0; r < ROWS; r++) {
        size_t i = r % BATCH;
        float noise;

        state = state * 1664525u + 1013904223u;
        values[0][i] = (float)(state >> 31);
        noise = (float)(state >> 8 & 0xffff) / 65536.0f - 0.5f;
        values[1][i] = values[0][i] - 0.5f + 1.2f * noise;
        values[2][i] = values[0][i] - 0.5f + 2.5f * noise;
        values[3][i] = values[0][i] - 0.5f + 4.0f * noise;
        values[4][i] = 1.0f;
        there[i] = 1;
        times[i] = (int64_t)r;
        if (i + 1 == BATCH)
            curve_add(c, &columns, values[2], has_baseline ? values[3] : NULL);
    }
    return c;
}

static struct report_setting *
start_report(const char *title, const char *name)
{
    report_init(&report, title);
    return report_add_setting(&report, name);
}

/* The report in one of its forms, as a text that the caller frees. */
static char *encode(enum status (*form)(const struct report *, struct bytes *,
                                        struct error *))
{
    struct bytes b;
    struct error err;

    bytes_init(&b, 16u << 20);
    CHECK_INT(form(&report, &b, &err), STATUS_OK);
    CHECK_INT(bytes_append(&b, "", 1, &err), STATUS_OK);
    return b.data;
}

static char *
print(bool has_color)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    report_print(&report, f, has_color);
    (void)fclose(f);
    return text;
}

static struct cJSON *
parse(const char *text)
{
    struct json_limits limits = {.bytes_max = 16u << 20, .depth_max = 16};
    struct cJSON *root = NULL;
    struct error err;

    CHECK_INT(json_parse(&root, text, strlen(text), &limits, NULL, &err),
              STATUS_OK);
    return root;
}

static double
number_at(const struct cJSON *root, const char *path)
{
    const struct cJSON *value = json_find(root, path);
    double out = nan("");

    CHECK(value != NULL && json_number(value, &out));
    return out;
}

static void
json_has_what_the_curve_says(void)
{
    struct report_setting *s = start_report("demo", "new_student");
    struct curve *c = make_curve(0, true);
    struct model_size size = {.parameters = 1000, .dense_parameters = 100};
    struct curve_summary summary;
    struct cJSON *root;
    char *text;

    report_take_curve(s, c, 0);
    report_take_size(&s->models[CURVE_STUDENT], &size);
    s->models[CURVE_STUDENT].us_per_event_batch_1 = 1.25;
    report.seconds = 12.5;
    curve_summarize(c, 0, &summary);
    text = encode(report_encode_json);
    root = parse(text);
    CHECK_NEAR(number_at(root, "new_student.models.student.auc"),
               summary.models[CURVE_STUDENT].score, 0.0);
    CHECK_NEAR(number_at(root, "new_student.models.teacher.log_loss"),
               summary.models[CURVE_TEACHER].loss, 0.0);
    CHECK_NEAR(number_at(root, "new_student.models.student.dense_parameters"),
               100.0, 0.0);
    CHECK_NEAR(
        number_at(root, "new_student.models.student.us_per_event_batch_1"),
        1.25, 0.0);
    CHECK(json_is_null(
        json_find(root, "new_student.models.teacher.us_per_event_batch_1")));
    CHECK_NEAR(number_at(root, "new_student.transfer_ratio.auc"),
               summary.eta_score, 0.0);
    CHECK_NEAR(number_at(root, "new_student.events"), 12000.0, 0.0);
    CHECK_NEAR(number_at(root, "seconds"), 12.5, 0.0);
    CHECK_INT(json_count(json_find(root, "new_student.curve")), 24);
    CHECK(json_find(root, "new_student.as_good_as.10000") != NULL);
    json_free(&root);
    free(text);
    curve_free(&c);
}

static void
a_run_that_is_judged_late_has_no_marks(void)
{
    struct report_setting *s = start_report("demo", "steady");
    struct curve *c = make_curve(6000, true);
    struct cJSON *root;
    char *text;

    report_take_curve(s, c, 0);
    text = encode(report_encode_json);
    root = parse(text);
    CHECK_NEAR(number_at(root, "steady.events"), 6000.0, 0.0);
    CHECK(json_find(root, "steady.as_good_as") == NULL);
    CHECK_HAS(s->description, "judged after 6,000 events");
    json_free(&root);
    free(text);
    curve_free(&c);
}

static void
what_is_not_known_is_said_so_everywhere(void)
{
    char *text;

    (void)start_report("nothing", "empty");
    text = encode(report_encode_json);
    CHECK_HAS(text, "\"auc\": null");
    CHECK(strstr(text, "nan") == NULL && strstr(text, "inf") == NULL);
    free(text);
    text = encode(report_encode_html);
    CHECK_HAS(text, "n/a");
    CHECK_HAS(text, "nothing to judge the student by");
    CHECK(strstr(text, ">nan") == NULL && strstr(text, "\"nan") == NULL);
    free(text);
    text = print(false);
    CHECK_HAS(text, "n/a");
    CHECK(strstr(text, "nan") == NULL);
    free(text);
}

static void
the_page_escapes_names_and_asks_for_nothing_else(void)
{
    struct report_setting *s =
        start_report("<script>alert('1')</script> & \"co\"", "a<b");
    struct curve *c = make_curve(0, true);
    char *text;

    report_take_curve(s, c, 0);
    text = encode(report_encode_html);
    CHECK(strstr(text, "<script") == NULL);
    CHECK_HAS(text, "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; "
                    "&quot;co&quot;");
    CHECK_HAS(text, "a&lt;b");
    CHECK(strstr(text, "http") == NULL && strstr(text, "url(") == NULL);
    CHECK(strstr(text, "src=") == NULL && strstr(text, "href") == NULL);
    CHECK_HAS(text, "</html>\n");
    free(text);
    curve_free(&c);
}

static void
the_table_is_narrow_and_colored_only_when_told(void)
{
    struct report_setting *s = start_report("demo", "new_student");
    struct curve *c = make_curve(0, true);
    char *text;
    size_t wide = 0;
    size_t widest = 0;

    report_take_curve(s, c, 0);
    s->models[CURVE_TEACHER].parameters = 1234567890.0;
    s->models[CURVE_STUDENT].parameters = 12345678.0;
    s->models[CURVE_BASELINE].parameters = 12345678.0;
    text = print(true);
    CHECK_HAS(text, "\033[");
    free(text);
    text = print(false);
    CHECK(strstr(text, "\033[") == NULL);
    CHECK_HAS(text, "100× smaller");
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\n')
            wide = 0;
        else
            wide += ((unsigned char)*at & 0xc0) != 0x80;
        widest = wide > widest ? wide : widest;
    }
    CHECK(widest <= 100);
    free(text);
    curve_free(&c);
}

static void
what_soft_weight_auto_chose_is_said_everywhere(void)
{
    struct report_setting *s = start_report("demo", "run");
    struct cJSON *root;
    char *text;

    s->arms = (struct arms_report){
        .arms = {{"untaught", 1.0, 0.0, 0.51},
                 {"1 hard + 4 soft", 1.0, 4.0, 0.48764},
                 {"silent", 1.0, 1.0, nan("")}},
        .count = 3,
        .ahead = 1,
        .switches = 1234,
    };
    text = encode(report_encode_json);
    root = parse(text);
    CHECK_STR(json_string(json_find(root, "run.soft_weight.in_force")),
              "untaught");
    CHECK_STR(json_string(json_find(root, "run.soft_weight.ahead")),
              "1 hard + 4 soft");
    CHECK_NEAR(number_at(root, "run.soft_weight.switches"), 1234.0, 0.0);
    CHECK_INT(json_count(json_find(root, "run.soft_weight.arms")), 3);
    CHECK_HAS(text, "\"loss\": 0.48764");
    json_free(&root);
    free(text);
    text = print(false);
    CHECK_HAS(text, "the student is \"untaught\", while \"1 hard + 4 soft\" "
                    "is ahead; 1,234 switches so");
    CHECK_HAS(text, "0.4876");
    free(text);
    text = encode(report_encode_html);
    CHECK_HAS(text, ">ahead</td><td class=\"\">0.4876</td>");
    CHECK_HAS(text, ">in force</td><td class=\"\">0.5100</td>");
    CHECK_HAS(text, "></td><td class=\"\">n/a</td>");
    free(text);
    s->arms.in_force = 1;
    s->arms.switches = 1;
    text = print(false);
    CHECK_HAS(text, "in force and ahead");
    CHECK_HAS(text, "the student is \"1 hard + 4 soft\", which is ahead; 1 "
                    "switch so far.");
    free(text);
    s->arms = (struct arms_report){0};
    text = print(false);
    CHECK(strstr(text, "soft_weight") == NULL);
    free(text);
    text = encode(report_encode_json);
    CHECK(strstr(text, "soft_weight") == NULL);
    free(text);
}

static void
sentences_call_harm_harm_and_little_little(void)
{
    struct report_setting *s = start_report("demo", "x");
    char text[REPORT_TEXT_MAX];

    s->models[CURVE_TEACHER].auc = 0.80;
    s->models[CURVE_BASELINE].auc = 0.76;
    s->models[CURVE_STUDENT].auc = 0.77;
    report_sentence(s, text, sizeof(text));
    CHECK_HAS(text, "is better than");
    CHECK_HAS(text, "25.0 % of its lead");
    s->models[CURVE_STUDENT].auc = 0.7602;
    report_sentence(s, text, sizeof(text));
    CHECK_HAS(text, "no difference worth a claim");
    s->models[CURVE_STUDENT].auc = 0.75;
    report_sentence(s, text, sizeof(text));
    CHECK_HAS(text, "did harm");
    CHECK_HAS(text, "none of its lead");
    s->models[CURVE_TEACHER].auc = 0.74;
    report_sentence(s, text, sizeof(text));
    CHECK_HAS(text, "no better than the baseline");
    s->models[CURVE_BASELINE].auc = nan("");
    report_sentence(s, text, sizeof(text));
    CHECK_HAS(text, "no baseline");
}

static void
numbers_read_well(void)
{
    CHECK_STR(format_count(141695.0).text, "141,695");
    CHECK_STR(format_count(-1000.0).text, "-1,000");
    CHECK_STR(format_count(999.0).text, "999");
    CHECK_STR(format_count(nan("")).text, "n/a");
    CHECK_STR(format_bytes(912.0).text, "912 B");
    CHECK_STR(format_bytes(3214567.0).text, "3.2 MB");
    CHECK_STR(format_bytes(165000.0).text, "165 KB");
    CHECK_STR(format_change(0.0135, 4).text, "+0.0135");
    CHECK_STR(format_change(-0.0135, 4).text, "−0.0135");
    CHECK_STR(format_change(0.00001, 4).text, "±0.0000");
    CHECK_STR(format_times(132.4).text, "132×");
    CHECK_STR(format_times(4.2).text, "4.2×");
    CHECK_STR(format_times(0.83).text, "0.83×");
    CHECK_STR(format_percent(0.2451).text, "24.5 %");
    CHECK_STR(format_seconds(185.0).text, "3 min 5 s");
}

static void
settings_beyond_the_maximum_are_refused(void)
{
    report_init(&report, "many");
    for (int i = 0; i < REPORT_SETTINGS_MAX; i++)
        CHECK(report_add_setting(&report, "x") != NULL);
    CHECK(report_add_setting(&report, "x") == NULL);
}

static void
table_columns_fit_their_widest_cell(void)
{
    static struct text_table t;
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    text_table_init(&t, 2);
    text_table_add(&t, "a");
    text_table_add(&t, "µs");
    text_table_rule(&t);
    text_table_add(&t, "long");
    text_table_add(&t, "1");
    text_table_print(&t, f, false);
    (void)fclose(f);
    CHECK_STR(text, "a     µs\n────────\nlong   1\n");
    free(text);
}

int
main(void)
{
    RUN(json_has_what_the_curve_says);
    RUN(a_run_that_is_judged_late_has_no_marks);
    RUN(what_is_not_known_is_said_so_everywhere);
    RUN(the_page_escapes_names_and_asks_for_nothing_else);
    RUN(the_table_is_narrow_and_colored_only_when_told);
    RUN(what_soft_weight_auto_chose_is_said_everywhere);
    RUN(sentences_call_harm_harm_and_little_little);
    RUN(numbers_read_well);
    RUN(settings_beyond_the_maximum_are_refused);
    RUN(table_columns_fit_their_widest_cell);
    return check_report();
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gathering what a report says, and what its numbers mean in words.
 */
#include "stages/report/report.h"

#include "stages/report/format.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* A smaller change of AUC is not worth a claim. */
#define LEAD_MIN 0.0005

static void
forget_model(struct report_model *m)
{
    *m = (struct report_model){
        .auc = nan(""),
        .log_loss = nan(""),
        .normalized_entropy = nan(""),
        .calibration = nan(""),
        .parameters = nan(""),
        .dense_parameters = nan(""),
        .row_width = nan(""),
        .bytes = nan(""),
        .us_per_event_batch_1 = nan(""),
        .us_per_event_batch_256 = nan(""),
        .distance = nan(""),
    };
}

void
report_init(struct report *r, const char *title)
{
    assert(r != NULL && title != NULL);
    memset(r, 0, sizeof(*r));
    (void)snprintf(r->title, sizeof(r->title), "%s", title);
    r->seconds = nan("");
}

struct report_setting *
report_add_setting(struct report *r, const char *name)
{
    struct report_setting *s;

    assert(r != NULL && name != NULL);
    if (r->setting_count == REPORT_SETTINGS_MAX)
        return NULL;
    s = &r->settings[r->setting_count++];
    memset(s, 0, sizeof(*s));
    (void)snprintf(s->name, sizeof(s->name), "%s", name);
    for (size_t m = 0; m < CURVE_MODELS; m++)
        forget_model(&s->models[m]);
    s->events = nan("");
    s->seconds = nan("");
    return s;
}

static void
describe(struct report_setting *s)
{
    if (s->has_marks)
        (void)snprintf(s->description, sizeof(s->description),
                       "Student and baseline start new, with the teacher as "
                       "it is by then; judged from their first event on.");
    else
        (void)snprintf(s->description, sizeof(s->description),
                       "Teacher, student and baseline learn from the first "
                       "event on; judged after %s events.",
                       format_count((double)s->judged_from).text);
}

void
report_take_curve(struct report_setting *s, const struct curve *c, size_t task)
{
    const struct curve_spec *spec = curve_spec(c);
    struct curve_summary summary;

    assert(s != NULL && task < spec->task_count);
    assert(spec->tasks[task].kind == TASK_BINARY);
    curve_summarize(c, task, &summary);
    for (size_t i = 0; i < CURVE_MODELS; i++) {
        const struct curve_quality *q = &summary.models[i];
        struct report_model *m = &s->models[i];

        m->auc = q->score;
        m->log_loss = q->loss;
        m->normalized_entropy = q->normalized_entropy;
        m->calibration = q->calibration;
        m->distance = q->distance;
        m->bin_count = quality_reliability(
            curve_gauge(c, task, (enum curve_model)i), m->bins, REPORT_BINS);
    }
    s->events = (double)summary.judged;
    s->judged_from = summary.examples - summary.judged;
    s->window = spec->window;
    s->points = curve_points(c, task, &s->point_count);
    s->has_marks = s->judged_from == 0 && spec->has_baseline;
    memcpy(s->marks, curve_marks(c, task), sizeof(s->marks));
    if (s->description[0] == '\0')
        describe(s);
}

void
report_take_size(struct report_model *m, const struct model_size *size)
{
    assert(m != NULL && size != NULL);
    m->parameters = (double)size->parameters;
    m->dense_parameters = (double)size->dense_parameters;
    m->row_width = (double)size->row_width;
    m->bytes = (double)size->bytes;
}

const char *
report_model_name(enum curve_model model)
{
    static const char *const names[CURVE_MODELS] = {
        [CURVE_TEACHER] = "teacher",
        [CURVE_STUDENT] = "student",
        [CURVE_BASELINE] = "baseline",
    };

    assert(model < CURVE_MODELS);
    return names[model];
}

double
report_lead_auc(const struct report_setting *s)
{
    return s->models[CURVE_STUDENT].auc - s->models[CURVE_BASELINE].auc;
}

double
report_lead_loss(const struct report_setting *s)
{
    return s->models[CURVE_STUDENT].log_loss -
           s->models[CURVE_BASELINE].log_loss;
}

double
report_eta_auc(const struct report_setting *s)
{
    return curve_eta(s->models[CURVE_TEACHER].auc, s->models[CURVE_STUDENT].auc,
                     s->models[CURVE_BASELINE].auc);
}

double
report_eta_loss(const struct report_setting *s)
{
    return curve_eta(s->models[CURVE_TEACHER].log_loss,
                     s->models[CURVE_STUDENT].log_loss,
                     s->models[CURVE_BASELINE].log_loss);
}

double
report_ratio(double model, double teacher)
{
    double ratio = model / teacher;

    return isfinite(ratio) ? ratio : nan("");
}

/* Appends to a text; what does not fit is cut. */
print_like(3, 4) static void append(char *out, size_t out_max,
                                    const char *format, ...)
{
    size_t used = strlen(out);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(out + used, out_max - used, format, args);
    va_end(args);
}

static void
append_transfer(const struct report_setting *s, char *out, size_t out_max)
{
    const struct report_model *teacher = &s->models[CURVE_TEACHER];
    const struct report_model *student = &s->models[CURVE_STUDENT];
    double eta = report_eta_auc(s);
    double times =
        report_ratio(teacher->dense_parameters, student->dense_parameters);

    if (!isfinite(eta))
        return;
    if (!(teacher->auc > s->models[CURVE_BASELINE].auc)) {
        append(out, out_max,
               " The teacher itself (AUC %.4f) is no better than the "
               "baseline.",
               teacher->auc);
        return;
    }
    append(out, out_max, " The teacher reaches %.4f", teacher->auc);
    if (isfinite(times))
        append(out, out_max, " with %s the dense parameters",
               format_times(times).text);
    if (eta >= 1.0)
        append(out, out_max, ": the student has all of its lead.");
    else if (eta > 0.0)
        append(out, out_max,
               ": %s of its lead over the baseline reached the student, the "
               "rest did not.",
               format_percent(eta).text);
    else
        append(out, out_max, ": none of its lead reached the student.");
}

void
report_sentence(const struct report_setting *s, char *out, size_t out_max)
{
    const struct report_model *student = &s->models[CURVE_STUDENT];
    const struct report_model *baseline = &s->models[CURVE_BASELINE];
    double lead = report_lead_auc(s);

    assert(out != NULL && out_max > 0);
    out[0] = '\0';
    if (!isfinite(student->auc)) {
        append(out, out_max,
               "There is nothing to judge the student by: AUC needs both "
               "positive and negative outcomes.");
        return;
    }
    if (!isfinite(lead)) {
        append(out, out_max,
               "The student's AUC is %.4f; there is no baseline "
               "to compare it with.",
               student->auc);
        return;
    }
    if (fabs(lead) < LEAD_MIN)
        append(out, out_max,
               "The teacher's answers make no difference worth a claim: ");
    else if (lead > 0.0)
        append(out, out_max,
               "The student that also learned the teacher's answers is better "
               "than the same model without them: ");
    else
        append(out, out_max,
               "The teacher's answers did harm: the student is worse than the "
               "same model without them: ");
    append(out, out_max,
           "AUC %.4f instead of %.4f, log-loss %.4f instead of "
           "%.4f.",
           student->auc, baseline->auc, student->log_loss, baseline->log_loss);
    append_transfer(s, out, out_max);
}

static void
append_reached(char *out, size_t out_max, const char *lead, uint64_t examples)
{
    if (examples == 0)
        append(out, out_max, "%s not within the stream", lead);
    else
        append(out, out_max, "%s after %s", lead,
               format_count((double)examples).text);
}

void
report_mark_sentence(const struct report_setting *s, size_t i, char *out,
                     size_t out_max)
{
    const struct curve_mark *mark;

    assert(i < CURVE_MARKS && out != NULL && out_max > 0);
    mark = &s->marks[i];
    out[0] = '\0';
    if (!s->has_marks || !isfinite(mark->score))
        return;
    append(out, out_max,
           "Where the taught student was after %s events, the "
           "untaught one is",
           format_count((double)mark->examples).text);
    if (isfinite(mark->score_gap)) {
        append_reached(out, out_max, "", mark->as_close_score);
        append(out, out_max, ", by its AUC's distance to the teacher's (%.4f);",
               mark->score_gap);
    }
    append_reached(out, out_max, "", mark->as_good_score);
    append(out, out_max, " by the AUC itself (%.4f).", mark->score);
}

const char *
report_arm_place(const struct arms_report *a, size_t arm)
{
    assert(arm < a->count);
    if (arm == a->in_force)
        return arm == a->ahead ? "in force and ahead" : "in force";
    return arm == a->ahead ? "ahead" : "";
}

void
report_arms_sentence(const struct arms_report *a, char *out, size_t out_max)
{
    assert(out != NULL && out_max > 0);
    out[0] = '\0';
    if (a->count == 0)
        return;
    append(out, out_max, "soft_weight auto: the student is \"%s\"",
           a->arms[a->in_force].name);
    if (a->ahead == a->in_force)
        append(out, out_max, ", which is ahead");
    else
        append(out, out_max, ", while \"%s\" is ahead", a->arms[a->ahead].name);
    append(out, out_max, "; %s %s so far.",
           format_count((double)a->switches).text,
           a->switches == 1 ? "switch" : "switches");
}

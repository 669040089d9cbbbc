/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of `inputs` and `outputs` understood, and logits made of values.
 */
#include "stages/annotate/tensor_map.h"

#include "daemon/base/json_path.h"
#include "daemon/base/object.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAP_MAGIC       0x544d4150u
#define PROBABILITY_MIN 1e-7 /* as for answers that are in the event */

/* ---- Words ---- */

/* Takes the next word, of which quoted parts may have spaces, off *text. */
static bool
next_word(const char **text, char *out, size_t capacity)
{
    const char *p = *text + strspn(*text, " ");
    bool is_quoted = false;
    size_t n = 0;

    while (p[n] != '\0' && (is_quoted || p[n] != ' ')) {
        if (p[n] == '"')
            is_quoted = !is_quoted;
        else if (p[n] == '\\' && is_quoted && p[n + 1] != '\0')
            n++;
        n++;
    }
    *text = p + n;
    if (n == 0 || n >= capacity)
        return false;
    memcpy(out, p, n);
    out[n] = '\0';
    return true;
}

static bool
read_number(const char *text, double *out)
{
    char *end;

    *out = strtod(text, &end);
    return end != text && *end == '\0';
}

static bool
read_index(const char *text, size_t max, size_t *out)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != '\0' || n > max)
        return false;
    *out = (size_t)n;
    return true;
}

/* ---- Inputs ---- */

/* FP32, FP32[3], or FP32[] for one value in a tensor of rank 1. */
static enum status
read_type(struct oip_input *out, char *word, struct error *err)
{
    size_t n = strcspn(word, "[");
    size_t len = strlen(word);

    if (!oip_datatype_parse(&out->datatype, word, n))
        return error_set(err, STATUS_CONFIG,
                         "'%.60s' is no datatype, expected BOOL, BYTES, or "
                         "such as INT64, UINT8 or FP32",
                         word);
    out->width = 1;
    if (word[n] == '\0')
        return STATUS_OK;
    if (word[len - 1] != ']')
        return error_set(err, STATUS_CONFIG, "'%.60s' has no ]", word);
    word[len - 1] = '\0';
    out->width = 0;
    if (word[n + 1] == '\0')
        return STATUS_OK;
    if (!read_index(word + n + 1, TENSOR_WIDTH_MAX, &out->width) ||
        out->width == 0)
        return error_set(err, STATUS_CONFIG,
                         "'%.60s' is no width, expected 1 to %d values",
                         word + n + 1, TENSOR_WIDTH_MAX);
    return STATUS_OK;
}

static size_t
find_feature(const struct settings *s, const char *name)
{
    for (size_t i = 0; i < s->feature_count; i++) {
        if (strcmp(s->features[i].name, name) == 0)
            return i;
    }
    return NO_FEATURE;
}

/* Ids go into INT64 and UINT64, which alone have room for them. */
static enum status
check_column(const struct tensor_input *in, const struct settings *s,
             const char *name, struct error *err)
{
    const struct feature_settings *f;
    bool has_ids;

    if (in->feature == NO_FEATURE)
        return error_set(err, STATUS_CONFIG, "'%.60s' is no feature", name);
    f = &s->features[in->feature];
    has_ids = f->kind == FEATURE_CATEGORICAL || f->kind == FEATURE_BAG ||
              settings_has_transform(f, TRANSFORM_BUCKETIZE);
    if (has_ids && in->tensor.datatype != OIP_INT64 &&
        in->tensor.datatype != OIP_UINT64)
        return error_set(err, STATUS_CONFIG,
                         "the column of '%.60s' has ids, expected INT64", name);
    if (!has_ids && in->tensor.datatype != OIP_FP32 &&
        in->tensor.datatype != OIP_FP64)
        return error_set(err, STATUS_CONFIG,
                         "the column of '%.60s' has numbers, expected FP32 or "
                         "FP64",
                         name);
    return STATUS_OK;
}

static enum status
read_missing(struct tensor_input *in, const char *text, struct error *err)
{
    double number;
    double min;
    double max;
    bool is_integer = oip_datatype_is_integer(in->tensor.datatype, &min, &max);

    text += strspn(text, " ");
    if (strlen(text) >= sizeof(in->missing))
        return error_set(err, STATUS_CONFIG, "its default is too long");
    (void)snprintf(in->missing, sizeof(in->missing), "%s", text);
    in->has_missing = true;
    if (in->tensor.datatype == OIP_BYTES)
        return STATUS_OK;
    if (in->tensor.datatype == OIP_BOOL) {
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return error_set(err, STATUS_CONFIG,
                             "its default is '%.60s', expected true or false",
                             text);
        return STATUS_OK;
    }
    if (!read_number(text, &number) || !isfinite(number) ||
        (is_integer &&
         (number != floor(number) || number < min || number > max)))
        return error_set(err, STATUS_CONFIG, "its default '%.60s' is no %s",
                         text, oip_datatype_name(in->tensor.datatype));
    return STATUS_OK;
}

static enum status
read_source(struct tensor_input *in, const struct settings *s,
            const char **text, struct error *err)
{
    char word[JSON_PATH_BYTES_MAX + 1];
    struct json_path path;
    const char *from = word;

    if (!next_word(text, word, sizeof(word)))
        return error_set(err, STATUS_CONFIG,
                         "is incomplete, expected a feature or a path behind "
                         "its datatype");
    in->feature = NO_FEATURE;
    if (strcmp(word, "column") == 0) {
        if (!next_word(text, word, sizeof(word)))
            return error_set(err, STATUS_CONFIG,
                             "is incomplete, expected a feature behind "
                             "'column'");
        in->feature = find_feature(s, word);
        return check_column(in, s, word, err);
    }
    if (find_feature(s, word) != NO_FEATURE) {
        const char *own = s->features[find_feature(s, word)].path;

        from = *own != '\0' ? own : word;
    }
    (void)snprintf(in->path, sizeof(in->path), "%s", from);
    return json_path_parse(&path, in->path, err);
}

enum status
tensor_input_read(struct tensor_input *out, const struct settings *s,
                  const struct setting_property *p, struct error *err)
{
    const char *text = p->value;
    char word[JSON_PATH_BYTES_MAX + 1];
    enum status st;

    memset(out, 0, sizeof(*out));
    out->tensor.name = p->name;
    if (!next_word(&text, word, sizeof(word)))
        return error_set(err, STATUS_CONFIG,
                         "is incomplete, expected DATATYPE[WIDTH] and a "
                         "feature or a path");
    st = read_type(&out->tensor, word, err);
    if (st == STATUS_OK)
        st = read_source(out, s, &text, err);
    if (st != STATUS_OK || !next_word(&text, word, sizeof(word)))
        return st;
    if (strcmp(word, "default") != 0)
        return error_set(err, STATUS_CONFIG,
                         "'%.60s' is one word too many, expected 'default'",
                         word);
    return read_missing(out, text, err);
}

/* ---- Outputs ---- */

static size_t
task_width(const struct settings *s, size_t task)
{
    const struct task_settings *t = &s->tasks[task];

    if (t->kind != TASK_CLASS)
        return 1;
    return t->classes > 0 ? (size_t)t->classes : t->labels.count;
}

static size_t
add_output(struct tensor_map *m, const char *name)
{
    for (size_t i = 0; i < m->output_count; i++) {
        if (strcmp(m->outputs[i].name, name) == 0)
            return i;
    }
    assert(m->output_count < TASKS_MAX);
    (void)snprintf(m->names[m->output_count], sizeof(m->names[0]), "%s", name);
    m->outputs[m->output_count].name = m->names[m->output_count];
    m->output_names[m->output_count] = m->names[m->output_count];
    return m->output_count++;
}

/* The numbers behind `columns`; the word behind them stays in word, "" at the
 * end. */
static enum status
read_columns(struct tensor_map *m, size_t task, size_t width, const char **text,
             char *word, size_t capacity, struct error *err)
{
    struct task_source *source = &m->tasks[task];
    uint32_t *columns = calloc(width, sizeof(*columns));
    size_t column;

    free(m->columns[task]);
    m->columns[task] = columns;
    if (columns == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for columns");
    source->has_columns = true;
    source->columns = columns;
    source->column_count = 0;
    for (;;) {
        if (!next_word(text, word, capacity))
            *word = '\0';
        if (!read_index(word, TENSOR_WIDTH_MAX - 1, &column))
            break;
        if (source->column_count == width)
            return error_set(err, STATUS_CONFIG,
                             "has more columns than the task has classes, "
                             "expected %zu",
                             width);
        columns[source->column_count++] = (uint32_t)column;
    }
    if (source->column_count != width)
        return error_set(err, STATUS_CONFIG,
                         "has %zu columns, expected %zu, one a class",
                         source->column_count, width);
    return STATUS_OK;
}

static enum status
read_options(struct tensor_map *m, const struct settings *s, size_t task,
             const char *text, struct error *err)
{
    struct task_source *source = &m->tasks[task];
    char word[256];
    enum status st = STATUS_OK;

    if (!next_word(&text, word, sizeof(word)))
        return STATUS_OK;
    if (strcmp(word, "columns") == 0)
        st = read_columns(m, task, task_width(s, task), &text, word,
                          sizeof(word), err);
    if (st != STATUS_OK || word[0] == '\0')
        return st;
    if (strcmp(word, "temperature") != 0 ||
        !next_word(&text, word, sizeof(word)))
        return error_set(err, STATUS_CONFIG,
                         "'%.60s' is not understood, expected 'columns 0 1 "
                         "..' or 'temperature T'",
                         word);
    if (!read_number(word, &source->temperature) ||
        !(source->temperature >= 0.001 && source->temperature <= 1000))
        return error_set(err, STATUS_CONFIG,
                         "'%.60s' is no temperature, expected 0.001 to 1000",
                         word);
    if (next_word(&text, word, sizeof(word)))
        return error_set(err, STATUS_CONFIG, "'%.60s' is one word too many",
                         word);
    return STATUS_OK;
}

static enum status
read_output(struct tensor_map *m, const struct settings *s, size_t task,
            const char *text, struct error *err)
{
    struct task_source *source = &m->tasks[task];
    char kind[32];
    char name[256];
    struct tensor_output *o;
    enum status st;

    source->is_used = true;
    source->temperature = 1;
    source->column_count = task_width(s, task);
    if (!next_word(&text, kind, sizeof(kind)) ||
        (strcmp(kind, "logit") != 0 && strcmp(kind, "probability") != 0) ||
        !next_word(&text, name, sizeof(name)))
        return error_set(err, STATUS_CONFIG,
                         "is not understood, expected 'logit' or 'probability' "
                         "and the name of an output, or * for the only one");
    source->is_probability = strcmp(kind, "probability") == 0;
    if (source->is_probability && s->tasks[task].kind == TASK_REGRESSION)
        return error_set(err, STATUS_CONFIG,
                         "is a probability, expected 'logit', which is the "
                         "value itself, for a regression");
    source->output = add_output(m, strcmp(name, "*") == 0 ? "" : name);
    st = read_options(m, s, task, text, err);
    if (st != STATUS_OK)
        return st;
    o = &m->outputs[source->output];
    for (size_t i = 0; i < source->column_count; i++) {
        size_t column = source->has_columns ? source->columns[i] : i;

        if (column + 1 > o->width_max)
            o->width_max = column + 1;
    }
    return STATUS_OK;
}

enum status
tensor_map_add_output(struct tensor_map *m, const struct settings *s,
                      const struct setting_property *p, struct error *err)
{
    OBJ_CHECK(m, MAP_MAGIC);
    for (size_t i = 0; i < s->task_count; i++) {
        if (strcmp(s->tasks[i].name, p->name) == 0)
            return read_output(m, s, i, p->value, err);
    }
    return error_set(err, STATUS_CONFIG, "is no task");
}

/* ---- The map ---- */

static enum status
fill_inputs(struct tensor_map *m, const struct settings *s,
            const struct setting_properties *inputs, struct error *err)
{
    struct error why;

    if (inputs->count == 0 || inputs->count > TENSORS_MAX)
        return error_set(err, STATUS_CONFIG,
                         "inputs: %zu tensors, expected 1 to %d", inputs->count,
                         TENSORS_MAX);
    for (size_t i = 0; i < inputs->count; i++) {
        if (tensor_input_read(&m->inputs[i], s, &inputs->items[i], &why) !=
            STATUS_OK)
            return error_set(err, why.status, "inputs.%.100s: %.500s",
                             inputs->items[i].name, why.text);
        m->tensors[i] = m->inputs[i].tensor;
    }
    m->input_count = inputs->count;
    return STATUS_OK;
}

static enum status
fill_outputs(struct tensor_map *m, const struct settings *s,
             const struct setting_properties *outputs, struct error *err)
{
    struct setting_property only = {.value = "logit *"};
    struct error why;

    if (outputs->count == 0 && s->task_count == 1) {
        only.name = s->tasks[0].name;
        return tensor_map_add_output(m, s, &only, err);
    }
    if (outputs->count == 0)
        return error_set(err, STATUS_CONFIG,
                         "outputs: is missing, expected a line a task");
    for (size_t i = 0; i < outputs->count; i++) {
        if (tensor_map_add_output(m, s, &outputs->items[i], &why) != STATUS_OK)
            return error_set(err, why.status, "outputs.%.100s: %.500s",
                             outputs->items[i].name, why.text);
    }
    for (size_t i = 0; i < m->output_count; i++) {
        if (m->outputs[i].name[0] == '\0' && m->output_count > 1)
            return error_set(err, STATUS_CONFIG,
                             "outputs: * beside another output, expected the "
                             "names of both");
    }
    return STATUS_OK;
}

enum status
tensor_map_new(struct tensor_map **out, const struct settings *s,
               const struct setting_properties *inputs,
               const struct setting_properties *outputs, struct error *err)
{
    struct tensor_map *m = calloc(1, sizeof(*m));
    enum status st;

    if (m == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a map");
    m->magic = MAP_MAGIC;
    st = fill_inputs(m, s, inputs, err);
    if (st == STATUS_OK)
        st = fill_outputs(m, s, outputs, err);
    if (st != STATUS_OK)
        tensor_map_free(&m);
    *out = m;
    return st;
}

void
tensor_map_free(struct tensor_map **self)
{
    if (*self == NULL)
        return;
    OBJ_CHECK(*self, MAP_MAGIC);
    for (size_t i = 0; i < TASKS_MAX; i++)
        free((*self)->columns[i]);
    (*self)->magic = 0;
    free(*self);
    *self = NULL;
}

/* ---- Logits ---- */

enum status
tensor_map_check_widths(const struct tensor_map *m, const struct settings *s,
                        const struct oip_output *outputs, struct error *err)
{
    OBJ_CHECK(m, MAP_MAGIC);
    for (size_t i = 0; i < s->task_count; i++) {
        const struct task_source *source = &m->tasks[i];
        size_t width = outputs[source->output].width;
        size_t needed = m->outputs[source->output].width_max;

        if (source->is_used &&
            (width < needed ||
             (!source->has_columns && width != source->column_count)))
            return error_set(
                err, STATUS_MALFORMED,
                "output '%.60s' has %zu values a row, expected %zu for task "
                "'%.60s': name them with 'columns'",
                m->outputs[source->output].name, width, source->column_count,
                s->tasks[i].name);
    }
    return STATUS_OK;
}

static enum status
make_logit(const struct task_source *source, enum task_kind kind, float value,
           float *out)
{
    double p = (double)value;

    if (!isfinite(value))
        return STATUS_MALFORMED;
    if (source->is_probability) {
        if (p < 0 || p > 1 + 1e-6)
            return STATUS_MALFORMED;
        p = fmax(p, PROBABILITY_MIN);
        if (kind == TASK_BINARY)
            p = fmin(p, 1 - PROBABILITY_MIN);
        p = kind == TASK_CLASS ? log(p) : log(p / (1 - p));
    }
    *out = (float)(p / source->temperature);
    return isfinite(*out) ? STATUS_OK : STATUS_MALFORMED;
}

enum status
tensor_map_logits(const struct tensor_map *m, const struct settings *s,
                  const struct oip_output *outputs, size_t row, float *logits,
                  struct error *err)
{
    size_t at = 0;

    OBJ_CHECK(m, MAP_MAGIC);
    for (size_t i = 0; i < s->task_count; i++) {
        const struct task_source *source = &m->tasks[i];
        const struct oip_output *o = &outputs[source->output];
        size_t width = task_width(s, i);

        for (size_t k = 0; k < width; k++, at++) {
            size_t column = source->has_columns ? source->columns[k] : k;

            logits[at] = NAN;
            if (source->is_used &&
                make_logit(source, s->tasks[i].kind,
                           o->values[row * o->width + column],
                           &logits[at]) != STATUS_OK)
                return error_set(
                    err, STATUS_MALFORMED,
                    "the teacher's answer for task '%.60s' is %g, which is no "
                    "%s",
                    s->tasks[i].name,
                    (double)o->values[row * o->width + column],
                    source->is_probability ? "probability" : "finite number");
        }
    }
    return STATUS_OK;
}

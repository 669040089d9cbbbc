/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints in print.
 */
#include "stages/checkpoint/inspect.h"

#include "stages/checkpoint/checkpoint.h"
#include "stages/checkpoint/spec_words.h"

#include "daemon/base/object.h"
#include "daemon/io/directory.h"
#include "daemon/io/file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_TEXT 32

/* "1.5 MiB" for people. */
static const char *
size_text(char text[SIZE_TEXT], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1024 && unit + 1 < COUNT(units)) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(text, SIZE_TEXT, unit == 0 ? "%.0f %s" : "%.1f %s", value,
                   units[unit]);
    return text;
}

static uint64_t
bytes_of(const struct tensor *t)
{
    return safetensors_type_bytes(t->type) * t->shape[0] *
           (t->rank == 2 ? t->shape[1] : 1);
}

static void
print_line(FILE *out, const char *what, const char *value)
{
    if (value != NULL && value[0] != '\0')
        (void)fprintf(out, "%-12s %s\n", what, value);
}

static void
print_head(FILE *out, const struct checkpoint *ck)
{
    static const struct {
        const char *name;
        enum manifest_part part;
    } parts[] = {
        {"producer", MANIFEST_PRODUCER}, {"teacher", MANIFEST_TEACHER},
        {"data", MANIFEST_DATA},         {"training", MANIFEST_TRAINING},
        {"metrics", MANIFEST_METRICS},
    };
    const struct manifest *m = checkpoint_manifest(ck);
    size_t progress;

    print_line(out, "path", checkpoint_path(ck));
    print_line(out, "model", m->model);
    (void)fprintf(out, "%-12s %" PRIu64 "\n", "version", m->version);
    if (m->parent_version > 0)
        (void)fprintf(out, "%-12s %" PRIu64 "\n", "parent", m->parent_version);
    print_line(out, "created", m->created_at);
    print_line(out, "config", m->config_sha256);
    for (size_t i = 0; i < COUNT(parts); i++)
        print_line(out, parts[i].name, m->parts[parts[i].part]);
    print_line(out, "in force", checkpoint_alias(ck));
    for (size_t i = 0; checkpoint_prefix(ck, i) != NULL; i++)
        print_line(out, "also holds", checkpoint_prefix(ck, i));
    if (checkpoint_progress(ck, &progress) != NULL)
        (void)fprintf(out, "%-12s %zu bytes\n", "progress", progress);
    (void)fprintf(out, "\n%-20s %12s  %s\n", "file", "bytes", "sha256");
    for (size_t i = 0; i < m->file_count; i++)
        (void)fprintf(out, "%-20s %12" PRIu64 "  %s\n", m->files[i].path,
                      m->files[i].bytes, m->files[i].sha256);
}

/* Finds "<feature>/<suffix>" in one of the files. */
static const struct tensor *
find_tensor(const struct checkpoint *ck, const char *feature,
            const char *suffix)
{
    const struct safetensors *state = checkpoint_state(ck);
    const struct tensor *t;
    char name[2 * MODEL_NAME_MAX];
    int n = snprintf(name, sizeof(name), "%s/%s", feature, suffix);

    if (n < 0 || (size_t)n >= sizeof(name))
        return NULL;
    t = safetensors_find(checkpoint_model(ck), name);
    if (t == NULL && state != NULL)
        t = safetensors_find(state, name);
    return t;
}

static void
print_spec(FILE *out, const struct checkpoint *ck)
{
    const struct model_spec *spec = checkpoint_spec(ck);

    if (spec == NULL)
        return;
    (void)fprintf(out, "\n%-24s %-12s %6s %12s %12s\n", "feature", "kind",
                  "width", "rows", "rows_max");
    for (size_t i = 0; i < spec->feature_count; i++) {
        const struct model_feature *f = &spec->features[i];
        const struct tensor *ids = find_tensor(ck, f->name, "ids");
        char rows[32] = "-";
        char rows_max[32] = "-";

        if (ids != NULL) {
            (void)snprintf(rows, sizeof(rows), "%" PRIu64, ids->shape[0]);
            (void)snprintf(rows_max, sizeof(rows_max), "%" PRIu64, f->rows_max);
        }
        (void)fprintf(out, "%-24s %-12s %6zu %12s %12s\n", f->name,
                      spec_feature_kinds[f->kind], f->width, rows, rows_max);
    }
    (void)fprintf(out, "\n%-24s %-12s %6s\n", "task", "kind", "logits");
    for (size_t i = 0; i < spec->task_count; i++) {
        const struct model_task *t = &spec->tasks[i];

        (void)fprintf(out, "%-24s %-12s %6zu%s", t->name,
                      spec_task_kinds[t->kind], t->classes,
                      t->auxiliary ? "  auxiliary head" : "");
        if (t->adapter > 0)
            (void)fprintf(out, "  adapter of %zu units%s", t->adapter,
                          t->adapter_sees_student ? ", sees the student" : "");
        (void)fputc('\n', out);
    }
    (void)fprintf(out, "\nlayers       linear %s, fm %s, cross %zu, hidden",
                  spec->has_linear ? "on" : "off", spec->has_fm ? "on" : "off",
                  spec->cross_layers);
    for (size_t i = 0; i < spec->hidden_count; i++)
        (void)fprintf(out, "%s%zu", i == 0 ? " " : "-", spec->hidden[i]);
    (void)fprintf(out, "%s, %s\n", spec->hidden_count == 0 ? " none" : "",
                  spec_activations[spec->activation]);
}

static void
print_tensors(FILE *out, const char *file, const struct safetensors *s)
{
    uint64_t total = 0;
    char size[SIZE_TEXT];

    (void)fprintf(out, "\n%-40s %-4s %-20s %10s\n", file, "type", "shape",
                  "size");
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const struct tensor *t = &safetensors_tensors(s)[i];
        char shape[64];

        if (t->rank == 2)
            (void)snprintf(shape, sizeof(shape), "%" PRIu64 " x %" PRIu64,
                           t->shape[0], t->shape[1]);
        else
            (void)snprintf(shape, sizeof(shape), "%" PRIu64, t->shape[0]);
        (void)fprintf(out, "%-40s %-4s %-20s %10s\n", t->name,
                      safetensors_type_name(t->type), shape,
                      size_text(size, bytes_of(t)));
        total += bytes_of(t);
    }
    (void)fprintf(out, "%zu tensors, %s\n", safetensors_count(s),
                  size_text(size, total));
}

/* A full disk or a closed pipe shows when the stream is flushed. */
static enum status
flush(FILE *out, struct error *err)
{
    if (fflush(out) != 0 || ferror(out) != 0)
        return error_set(err, STATUS_IO, "cannot write the output");
    return STATUS_OK;
}

enum status
inspect_print(FILE *out, const char *path, struct error *err)
{
    struct checkpoint *ck = NULL;
    enum status st = checkpoint_open(&ck, path, CHECKPOINT_QUICK, err);

    if (st != STATUS_OK)
        return st;
    print_head(out, ck);
    print_spec(out, ck);
    print_tensors(out, CHECKPOINT_MODEL_FILE, checkpoint_model(ck));
    if (checkpoint_state(ck) != NULL)
        print_tensors(out, CHECKPOINT_STATE_FILE, checkpoint_state(ck));
    checkpoint_free(&ck);
    return flush(out, err);
}

/* Compares one file with its entry. */
static enum status
verify_one(const char *dir, const struct manifest_file *f, struct error *err)
{
    char path[PATH_TEXT_MAX];
    char hex[DIGEST_HEX_SIZE];
    uint64_t bytes = 0;
    enum status st = path_join(path, dir, f->path, err);

    if (st == STATUS_OK)
        st = file_digest(path, hex, &bytes, err);
    if (st != STATUS_OK)
        return st;
    if (bytes != f->bytes)
        return error_set(err, STATUS_BADDATA,
                         "%s: %" PRIu64 " bytes, the manifest says %" PRIu64,
                         path, bytes, f->bytes);
    if (strcmp(hex, f->sha256) != 0)
        return error_set(err, STATUS_BADDATA,
                         "%s: SHA-256 is %s, the manifest says %s", path, hex,
                         f->sha256);
    return STATUS_OK;
}

/* Verifies the files that a manifest lists; goes on after a wrong one. */
static enum status
verify_files(FILE *out, const char *dir, const struct manifest *m,
             struct error *err)
{
    enum status first = STATUS_OK;

    for (size_t i = 0; i < m->file_count; i++) {
        struct error why;
        enum status st = verify_one(dir, &m->files[i], &why);

        (void)fprintf(out, "%-20s %s\n", m->files[i].path,
                      st == STATUS_OK ? "ok" : "WRONG");
        if (first == STATUS_OK && st != STATUS_OK)
            first = error_set(err, STATUS_BADDATA, "%s", why.text);
    }
    return first;
}

enum status
inspect_verify(FILE *out, const char *path, struct error *err)
{
    char dir[PATH_TEXT_MAX];
    struct checkpoint *ck = NULL;
    struct manifest m = {0};
    enum status st = checkpoint_find(dir, path, err);

    if (st != STATUS_OK)
        return st;
    st = manifest_read(&m, dir, err);
    if (st == STATUS_OK)
        st = verify_files(out, dir, &m, err);
    manifest_fini(&m);
    if (st == STATUS_OK) /* headers and specification as well */
        st = checkpoint_open(&ck, dir, CHECKPOINT_QUICK, err);
    checkpoint_free(&ck);
    return st == STATUS_OK ? flush(out, err) : st;
}

/* One column of a table's state; may be absent. */
struct column_view {
    const unsigned char *data; /* any alignment */
    uint64_t count;
};

static struct column_view
view(const struct checkpoint *ck, const char *feature, const char *suffix,
     enum tensor_type type)
{
    const struct tensor *t = find_tensor(ck, feature, suffix);
    struct column_view v = {0};

    if (t != NULL && t->type == type && t->rank == 1) {
        v.data = t->data;
        v.count = t->shape[0];
    }
    return v;
}

/* Writes the i-th entry's line; "-" for what the columns do not hold. */
static void
print_id(FILE *out, uint64_t id, uint64_t row, struct column_view sightings,
         struct column_view last_seen, uint64_t i)
{
    uint32_t seen;
    int64_t when;

    (void)fprintf(out, "%" PRIu64 "\t%" PRIu64, id, row);
    if (i < sightings.count) {
        memcpy(&seen, sightings.data + i * sizeof(seen), sizeof(seen));
        (void)fprintf(out, "\t%" PRIu32, seen);
    } else {
        (void)fputs("\t-", out);
    }
    if (i < last_seen.count) {
        memcpy(&when, last_seen.data + i * sizeof(when), sizeof(when));
        (void)fprintf(out, "\t%" PRId64 "\n", when);
    } else {
        (void)fputs("\t-\n", out);
    }
}

static void
print_ids(FILE *out, struct column_view ids, struct column_view sightings,
          struct column_view last_seen, bool have_rows)
{
    for (uint64_t i = 0; i < ids.count; i++) {
        uint64_t id;

        memcpy(&id, ids.data + i * sizeof(id), sizeof(id));
        if (id != ID_MISSING) /* row 0, and free rows */
            print_id(out, id, have_rows ? i : 0, sightings, last_seen, i);
    }
}

enum status
inspect_ids(FILE *out, const char *path, const char *feature, struct error *err)
{
    struct checkpoint *ck = NULL;
    struct column_view ids;
    enum status st = checkpoint_open(&ck, path, CHECKPOINT_QUICK, err);

    if (st != STATUS_OK)
        return st;
    ids = view(ck, feature, "ids", TENSOR_U64);
    if (ids.data == NULL) {
        st = error_set(err, STATUS_NOTFOUND,
                       "%s: no feature \"%s\" with a table in it",
                       checkpoint_path(ck), feature);
        goto out;
    }
    (void)fputs("id\trow\tsightings\tlast_seen\n", out);
    print_ids(out, ids, view(ck, feature, "sightings", TENSOR_U32),
              view(ck, feature, "last_seen", TENSOR_I64), true);
    print_ids(out, view(ck, feature, "candidates", TENSOR_U64),
              view(ck, feature, "candidate_sightings", TENSOR_U32),
              view(ck, feature, "candidate_last_seen", TENSOR_I64), false);
    st = flush(out, err);
out:
    checkpoint_free(&ck);
    return st;
}

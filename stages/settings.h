/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_SETTINGS_H
#define STAGES_SETTINGS_H

#include "stages/event/spec.h"
#include "stages/model/model.h"

#include "daemon/base/digest.h"
#include "daemon/base/logging.h"
#include "daemon/settings.h"

/*
 * distilld's settings, typed. The rows stand in settings.def; a field's name
 * is its key with underscores for dots. Durations are milliseconds, sizes
 * bytes, times milliseconds since 1970 (SETTING_EARLIEST, SETTING_LATEST).
 * Texts are never NULL: "" is none.
 */

#define FEATURES_MAX 256
#define TASKS_MAX    16
#define TEACHERS_MAX 8

enum role {
    ROLE_ANNOTATE,
    ROLE_TRAIN,
};

enum log_kind {
    LOG_KIND_FILE,
    LOG_KIND_KAFKA,
};

/* Where a consumer group begins that has no offsets yet. */
enum log_start {
    LOG_START_EARLIEST,
    LOG_START_LATEST,
};

enum determinism {
    DETERMINISM_AUTO, /* as the log is: of files, not of Kafka */
    DETERMINISM_ON,
    DETERMINISM_OFF,
};

enum seen_by {
    SEEN_BY_BOTH,
    SEEN_BY_TEACHER,
    SEEN_BY_STUDENT,
};

/* The most values with a rate of their own. */
#define SAMPLE_SEGMENTS_MAX 256

/* How it is decided whether the teacher is asked about an event. */
enum sample_by {
    SAMPLE_BY_NONE, /* about all */
    SAMPLE_BY_RATE,
    SAMPLE_BY_SEGMENT,
    SAMPLE_BY_NOVELTY,
    SAMPLE_BY_UNCERTAINTY,
};

enum transform {
    TRANSFORM_LOG,
    TRANSFORM_STANDARDIZE,
    TRANSFORM_BUCKETIZE,
};

enum teacher_kind {
    TEACHER_KIND_NONE,
    TEACHER_KIND_CHECKPOINT,
    TEACHER_KIND_FIELD,
    TEACHER_KIND_HTTP,
};

/* How a model server is asked. */
enum teacher_protocol {
    PROTOCOL_AUTO, /* as OIP_BINARY where the server can, else as OIP */
    PROTOCOL_OIP,
    PROTOCOL_OIP_BINARY,
    PROTOCOL_TFSERVING_ROW,
    PROTOCOL_TFSERVING_COLUMN,
};

/* What becomes of rows that a teacher does not answer. */
enum on_failure {
    ON_FAILURE_WAIT,
    ON_FAILURE_EMIT_UNLABELLED,
    ON_FAILURE_FALLBACK,
};

/* Which of several teachers are asked. */
enum teacher_combine {
    TEACHER_COMBINE_FIRST,
    TEACHER_COMBINE_MEAN,
    TEACHER_COMBINE_GATE,
};

enum head {
    HEAD_SHARED,
    HEAD_AUXILIARY,
};

/* What becomes of a label older than teacher_age_max, and of those on the way
 * there. */
enum old_labels {
    OLD_LABELS_REFUSE,
    OLD_LABELS_FADE,
};

enum train_input {
    TRAIN_INPUT_LABELS,
    TRAIN_INPUT_EVENTS,
};

/* The type of a field, by its kind in settings.def. */
#define SETTINGS_TYPE_BOOL          bool
#define SETTINGS_TYPE_COUNT         uint64_t
#define SETTINGS_TYPE_BYTES         uint64_t
#define SETTINGS_TYPE_DURATION      uint64_t
#define SETTINGS_TYPE_NUMBER        double
#define SETTINGS_TYPE_NUMBER_OR(w)  double
#define SETTINGS_TYPE_STRING        const char *
#define SETTINGS_TYPE_NAME          const char *
#define SETTINGS_TYPE_PATH          const char *
#define SETTINGS_TYPE_TIME          int64_t
#define SETTINGS_TYPE_ENUM(tag)     SETTINGS_ENUM_##tag
#define SETTINGS_TYPE_ENUMS(tag, n) struct setting_enums
#define SETTINGS_TYPE_COUNTS(n)     struct setting_counts
#define SETTINGS_TYPE_NUMBERS(n)    struct setting_numbers
#define SETTINGS_TYPE_STRINGS(n)    struct setting_strings
#define SETTINGS_TYPE_PROPERTIES(n) struct setting_properties
#define SETTINGS_FIELD(kind, field) SETTINGS_TYPE_##kind field;

#define SETTINGS_ENUM_log_kind         enum log_kind
#define SETTINGS_ENUM_log_start        enum log_start
#define SETTINGS_ENUM_event_format     enum event_format
#define SETTINGS_ENUM_determinism      enum determinism
#define SETTINGS_ENUM_time_unit        enum time_unit
#define SETTINGS_ENUM_feature_kind     enum feature_kind
#define SETTINGS_ENUM_seen_by          enum seen_by
#define SETTINGS_ENUM_event_side       enum event_side
#define SETTINGS_ENUM_sample_by        enum sample_by
#define SETTINGS_ENUM_task_kind        enum task_kind
#define SETTINGS_ENUM_teacher_kind     enum teacher_kind
#define SETTINGS_ENUM_teacher_output   enum teacher_output
#define SETTINGS_ENUM_on_failure       enum on_failure
#define SETTINGS_ENUM_teacher_combine  enum teacher_combine
#define SETTINGS_ENUM_teacher_protocol enum teacher_protocol
#define SETTINGS_ENUM_activation       enum activation
#define SETTINGS_ENUM_optimizer_kind   enum optimizer_kind
#define SETTINGS_ENUM_schedule_kind    enum schedule_kind
#define SETTINGS_ENUM_distill_kind     enum distill_kind
#define SETTINGS_ENUM_head             enum head
#define SETTINGS_ENUM_old_labels       enum old_labels
#define SETTINGS_ENUM_train_input      enum train_input
#define SETTINGS_ENUM_log_level        enum log_level
#define SETTINGS_ENUM_log_format       enum log_format

/* A feature; its path is filled in where it is not given. */
struct feature_settings {
    const char *name;
#define FEATURE(field, key, kind, unit, min, max, initial, flags, help)        \
    SETTINGS_FIELD(kind, field)
#include "stages/settings.def"
};

/* A task; path is filled in, and classes where labels are given. */
struct task_settings {
    const char *name;
#define TASK(field, key, kind, unit, min, max, initial, flags, help)           \
    SETTINGS_FIELD(kind, field)
#include "stages/settings.def"
};

/* A teacher; name is filled in where there is only one, which has no more than
 * the defaults of a seat. */
struct teacher_settings {
    const char *name;
#define SEAT(field, key, kind, unit, min, max, initial, flags, help)           \
    SETTINGS_FIELD(kind, field)
#define TEACHER(field, key, kind, unit, min, max, initial, flags, help)        \
    SETTINGS_FIELD(kind, field)
#include "stages/settings.def"
};

struct optimizer_settings {
#define OPTIMIZER(field, key, kind, unit, min, max, initial, flags, help)      \
    SETTINGS_FIELD(kind, field)
#include "stages/settings.def"
};

struct model_settings {
#define MODEL(field, key, kind, unit, min, max, teachers, students, flags,     \
              help)                                                            \
    SETTINGS_FIELD(kind, field)
#include "stages/settings.def"
    struct optimizer_settings optimizer;
    struct optimizer_settings tables; /* as optimizer where not given */
};

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): as the rows are */
struct settings {
    unsigned magic;
    struct settings_file *file;
    struct feature_settings *features; /* in the order of the file */
    size_t feature_count;
    struct task_settings *tasks;
    size_t task_count;
    struct teacher_settings teacher;   /* where there is one */
    struct teacher_settings *teachers; /* where there are several */
    size_t teachers_count;
    struct model_settings teacher_model;
    struct model_settings student;
#define SETTING(field, key, kind, unit, min, max, initial, flags, help)        \
    SETTINGS_FIELD(kind, field)
#include "stages/settings.def"
};

/*
 * settings_load reads and checks a file. Problems of its content are added to
 * *problems (all of them, with their places) and give CONFIG; NOTFOUND, DENIED
 * or IO when it cannot be read at all, NOMEM. Gives *out, to settings_free.
 * Thread: any, at start.
 */
must_check enum status settings_load(struct settings **out, const char *path,
                                     struct settings_problems *problems,
                                     struct error *err);

/* settings_parse is settings_load for text; name stands for the file in *err
 * and is borrowed until return. */
must_check enum status settings_parse(struct settings **out, const char *name,
                                      const char *text, size_t bytes,
                                      struct settings_problems *problems,
                                      struct error *err);

/* settings_free frees *self and sets it NULL; NULL is fine. */
void settings_free(struct settings **self);

/* settings_has_role says whether this process does it. */
bool settings_has_role(const struct settings *s, enum role role);

/* settings_teacher_count is how many teachers there are, and settings_teacher
 * lends one of them. */
size_t settings_teacher_count(const struct settings *s);
const struct teacher_settings *settings_teacher(const struct settings *s,
                                                size_t i);

/* settings_has_teacher says whether one of them is of this kind. */
bool settings_has_teacher(const struct settings *s, enum teacher_kind kind);

/* settings_sample_way lends the word for a way of choosing, for ever. */
const char *settings_sample_way(enum sample_by by);

/* settings_teacher_rows and settings_train_rows are the most rows of a batch of
 * role annotate and role train, with those that are imagined. */
size_t settings_teacher_rows(const struct settings *s);
size_t settings_train_rows(const struct settings *s);

/* settings_is_deterministic says whether training must give the same bytes
 * however often it is interrupted. */
bool settings_is_deterministic(const struct settings *s);

/* settings_chooses_weight says whether objective.soft_weight is auto. */
bool settings_chooses_weight(const struct settings *s);

/* settings_has_transform says whether a feature has one. */
bool settings_has_transform(const struct feature_settings *f,
                            enum transform transform);

/* settings_write_reference writes the commented reference, conf/distilld.yaml.
 */
void settings_write_reference(FILE *f);

/* settings_write_schema writes the JSON Schema. */
void settings_write_schema(FILE *f);

/* settings_write_effective writes what is in force as YAML, secrets as "***".
 */
void settings_write_effective(const struct settings *s, FILE *f);

/*
 * settings_digest writes the SHA-256 of the settings that change what is
 * learned, as hex: no path, thread count or log setting. Defaults count as if
 * they were written. NOMEM. Thread: any.
 */
must_check enum status settings_digest(const struct settings *s,
                                       char hex[DIGEST_HEX_SIZE],
                                       struct error *err);

#define SETTINGS_CHANGES_MAX 64

/* What a reload did, and could not do. Keys, each of at most 127 bytes. */
struct settings_changes {
    char applied[SETTINGS_CHANGES_MAX][128];
    size_t applied_count;
    char waiting[SETTINGS_CHANGES_MAX][128]; /* for a restart */
    size_t waiting_count;
    size_t left_off; /* beyond the maximum */
};

/*
 * settings_reload makes live what fresh says, where that may change in a
 * running process, and names what it did and what needs a restart. NOMEM may
 * leave some of it undone. Thread: loop; other threads read no setting that
 * may be reloaded.
 */
must_check enum status settings_reload(struct settings *live,
                                       const struct settings *fresh,
                                       struct settings_changes *out,
                                       struct error *err);

#endif

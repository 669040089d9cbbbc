/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `distilld replay`: the counts at its end.
 */
#include "stages/commands.h"
#include "stages/replay/replay.h"
#include "stages/report/format.h"
#include "stages/settings.h"

#include <inttypes.h>

static void
print_counts(const struct replay_counts *c, const char *topic, bool has_key,
             FILE *out)
{
    (void)fprintf(out, "%s: %s events sent, %s acknowledged in %s", topic,
                  format_count((double)c->sent).text,
                  format_count((double)c->acknowledged).text,
                  format_seconds(c->seconds).text);
    if (c->seconds > 0 && c->acknowledged > 0)
        (void)fprintf(out, ", %s/s",
                      format_count((double)c->acknowledged / c->seconds).text);
    (void)fprintf(out, "\n%s lines read, %s left out, %s too big",
                  format_count((double)c->read).text,
                  format_count((double)c->left_out).text,
                  format_count((double)c->too_big).text);
    if (has_key)
        (void)fprintf(out, ", %s without a key",
                      format_count((double)c->without_key).text);
    (void)fprintf(out, "\n");
    if (c->was_stopped && c->sent == c->acknowledged && c->sent > 0)
        (void)fprintf(out,
                      "the next line is %" PRIu64 ": --from-line %" PRIu64
                      ", or --resume\n",
                      c->last_line + 1, c->last_line + 1);
    (void)fflush(out);
}

enum status
replay_command(const struct settings *settings,
               const struct replay_options *options, FILE *out,
               struct error *err)
{
    struct replay_counts counts;
    enum status st = replay_run(settings, options, &counts, err);

    if (st == STATUS_OK || counts.read > 0)
        print_counts(&counts, settings->events_topic, options->key != NULL,
                     out);
    return st;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* How a run is told while it goes: a line per event (pipes, CI), a JSON object per event (--json), or the live display of a terminal (progress.h). */
#ifndef WF_CLI_LINES_H
#define WF_CLI_LINES_H

#include <stdbool.h>
#include <stdint.h>

struct cli;
struct event;
struct run;
struct store;
struct str;

/* One line for people about an event; nothing for events not worth one. `verbose`: also why a step ran, and reused steps' logs. */
void lines_event(const struct cli *c, struct run *r, struct store *s, const struct event *e,
                 bool verbose, struct str *out);
/* The event as one JSON object and a newline. */
void lines_json(struct run *r, const struct event *e, struct str *out);
/* The last `count` lines of a failed attempt's log, indented, and the command that shows the rest. `log`: path below the store, may be NULL. */
void lines_log_tail(const struct cli *c, struct run *r, struct store *s, const struct event *e,
                    int count, struct str *out);

#endif

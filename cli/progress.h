/* SPDX-License-Identifier: Apache-2.0 */
/* The live display of a run on a terminal: what runs, since when, how long it took last time, the counts, the last line of the longest-running step's log. Redrawn ten times a second at most, and only on
 * stderr; what is told for good (lines.h) scrolls above it. */
#ifndef WF_CLI_PROGRESS_H
#define WF_CLI_PROGRESS_H

struct cli;
struct loop;
struct progress;
struct run;
struct str;

struct progress *progress_new(const struct cli *c, struct loop *l, struct run *r);
/* Prints text above the display. */
void progress_say(struct progress *p, struct str *text);
void progress_free(struct progress *p); /* wipes the display */

#endif

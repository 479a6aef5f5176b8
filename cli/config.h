/* SPDX-License-Identifier: Apache-2.0 */
/* config.yaml: what is the machine's, not the workflow's. Read by the commands that need it alone; where there is no file it costs one failed open(). */
#ifndef WF_CLI_CONFIG_H
#define WF_CLI_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

struct cli;
struct err;
struct str;

/* Of max_size, max_entries, unused_for_ms and keep_for_ms: `none` was written. 0: nothing was said. */
#define CONFIG_NO_SIZE UINT64_MAX
#define CONFIG_NO_AGE INT64_MAX

/* Texts are owned by it. All-zero: nothing is configured. */
struct config {
    char *file;            /* the one that was read; NULL: there is none */
    char *remote;          /* cache.remote: a URL; NULL: not said */
    bool remote_readonly;  /* cache.remote_readonly */
    uint64_t max_size;     /* cache.max_size, bytes */
    uint64_t max_entries;  /* cache.max_entries */
    int64_t unused_for_ms; /* cache.unused_for */
    int64_t keep_for_ms;   /* history.keep_for */
    uint32_t keep_runs;    /* history.keep_runs */
};

/* --config, else $WF_CONFIG, else config.yaml below $XDG_CONFIG_HOME/wf, else below ~/.config/wf. Only one that was named must be there. Prints what is wrong with it, with its place;
 * returns EXIT_OK or the exit code to end with (*ret is then empty). */
int config_open(const struct cli *c, struct config *ret);
/* The same for who tells it otherwise (wf doctor): what is wrong goes to `problem` and the result is negative. `file`: as --config, may be NULL. */
int config_read(const char *file, struct config *ret, bool colour, struct str *problem);
void config_done(struct config *f);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Which shared cache is used: --remote, else $WF_REMOTE, else cache.remote in config.yaml; an empty word means none. */
#ifndef WF_CLI_SHARED_H
#define WF_CLI_SHARED_H

#include <stdbool.h>

struct args;
struct config;
struct remote_progress;
struct str;

struct shared_choice {
    const char *url;   /* NULL: none. Borrowed from the options, the environment or the config */
    const char *token; /* $WF_REMOTE_TOKEN */
    bool read_only;
};
/* `a` may be NULL: a command without these options. */
void shared_choose(const struct args *a, const struct config *f, struct shared_choice *ret);
/* "fetched 2 results (1.2 MB) from the shared cache, sent 3 (4 MB)" and a line's end; nothing where nothing was. */
void shared_report(const struct remote_progress *p, struct str *out);

#define OPT_REMOTE                                                                                 \
    {"remote", 0, OPT_TEXT, "URL", "Also asks this shared cache, and sends new results to it"},    \
    {                                                                                              \
        "remote-readonly", 0, OPT_FLAG, NULL, "Sends nothing to the shared cache"                  \
    }

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Cache entries named on the command line: KEY (the beginning of one) or RUN (all that it used or made). */
#ifndef WF_CLI_NAMED_H
#define WF_CLI_NAMED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli;
struct store;

/* All-zero: empty. */
struct named {
    int64_t *items; /* row ids, in the order found, none twice */
    size_t len, cap;
    bool every; /* set by the caller: a KEY names each entry that has it, not the newest alone */
};

/* What `word` names is added. Prints what is wrong; returns EXIT_OK or the exit code to end with. `runs`: a RUN may stand there too. */
int named_add(const struct cli *c, struct store *s, const char *word, bool runs, struct named *n);
/* What a run used or made; `word`: an id, the beginning of one, `latest`. */
int named_add_run(const struct cli *c, struct store *s, const char *word, struct named *n);
void named_done(struct named *n);

#endif

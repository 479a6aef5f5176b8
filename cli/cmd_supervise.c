/* SPDX-License-Identifier: Apache-2.0 */
/* wf supervise: the supervisor of a store's services. Started by whoever needs it (serve/client.h); nobody types it. */
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "engine/undo.h"
#include "serve/client.h"

#include <unistd.h>

static int run(struct cli *c, const struct args *a)
{
    (void)a;
    /* We outlive who started us: nothing of theirs is held open, no folder of theirs kept busy. */
    close_range(STDERR_FILENO + 1, ~0U, 0);
    struct loop *l = loop_new();
    struct store_options o = {.dir = c->store_dir, .loop = l};
    struct store *s = NULL;
    struct err err = {0};
    if (store_open(&o, &s, &err) < 0) {
        loop_free(l);
        return cli_fail_store(c, &err);
    }
    struct supervise_options so = {.store = s, .loop = l, .on_canary = undo_canary};
    int code = chdir("/") == 0 ? supervise(&so) : EXIT_SYSTEM;
    store_close(s);
    loop_free(l);
    return code;
}

const struct command cmd_supervise = {.name = "supervise",
                                      .synopsis = "",
                                      .summary = "Keeps a store's services as they are wanted",
                                      .text =
                                          "Started by wf itself when something is to be served, "
                                          "and gone when nothing is.",
                                      .example = "  wf supervise --store DIR",
                                      .max_args = 0,
                                      .hidden = true,
                                      .run = run};

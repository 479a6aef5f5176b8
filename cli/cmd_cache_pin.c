/* SPDX-License-Identifier: Apache-2.0 */
/* wf cache pin | unpin */
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/pins.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/named.h"
#include "cli/out.h"

#include <inttypes.h>
#include <string.h>

enum { REASON_MAX = 1000 };

static void report(bool json, const char *what, size_t changed, size_t named, struct str *out)
{
    if (json) {
        struct jsonw w;
        jw_init(&w, out, true);
        jw_object(&w);
        jw_kv_i64(&w, what, (int64_t)changed);
        jw_kv_i64(&w, "named", (int64_t)named);
        jw_end_object(&w);
        sb_putc(out, '\n');
        return;
    }
    sb_printf(out, "%s %zu %s", what, changed, changed == 1 ? "entry" : "entries");
    if (changed < named) {
        sb_printf(out, " (of %zu named)", named);
    }
    sb_putc(out, '\n');
}

static int change(struct cli *c, const struct args *a, const char *why)
{
    struct store_options o = {.dir = c->store_dir};
    struct store *store;
    struct err err = {0};
    struct named named = {.every = !why}; /* what was pinned may have been made again since */
    size_t changed = 0;

    if (store_open(&o, &store, &err) < 0) {
        return cli_fail_store(c, &err);
    }
    int code = EXIT_OK;
    for (size_t i = 0; i < a->n_positional && code == EXIT_OK; i++) {
        code = named_add(c, store, a->positional[i], true, &named);
    }
    int rc = code != EXIT_OK ? 0
             : why           ? pins_set(store, named.items, named.len, why, &changed, &err)
                             : pins_clear(store, named.items, named.len, &changed, &err);
    if (rc < 0) {
        code = cli_fail_store(c, &err);
    } else if (code == EXIT_OK) {
        CLEANUP(sb_done) struct str out = {0};
        report(opt_given(a, "json"), why ? "pinned" : "unpinned", changed, named.len, &out);
        out_str(&out);
    }
    named_done(&named);
    store_close(store);
    return code;
}

static int pin(struct cli *c, const struct args *a)
{
    const char *why = opt_text(a, "reason");

    if (why && (strlen(why) > REASON_MAX || !utf8_valid(why, strlen(why), NULL))) {
        return cli_usage(c, "option '--reason' takes at most %d bytes of UTF-8 text", REASON_MAX);
    }
    return change(c, a, why ? why : "");
}

static int unpin(struct cli *c, const struct args *a)
{
    return change(c, a, NULL);
}

static const struct opt pin_opts[] = {
    {"reason", 0, OPT_TEXT, "TEXT", "Why; `wf cache ls` shows it"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};
static const struct opt unpin_opts[] = {{"json", 0, OPT_FLAG, NULL, "Prints a JSON document"}};

const struct command cmd_cache_pin = {
    .name = "cache pin",
    .synopsis = "KEY|RUN…",
    .summary = "Keeps entries from being removed",
    .text = "KEY is the beginning of an entry's key; RUN a run (all it used or made): its id, the "
            "beginning of it, or latest.\n"
            "Pinned entries and their objects stay, whatever bounds hold, until they are unpinned.",
    .example = "  wf cache pin latest --reason 'the model of March'",
    .opts = pin_opts,
    .n_opts = ARRAY_LEN(pin_opts),
    .min_args = 1,
    .max_args = SIZE_MAX,
    .run = pin};
const struct command cmd_cache_unpin = {.name = "cache unpin",
                                        .synopsis = "KEY|RUN…",
                                        .summary = "Lets pinned entries go again",
                                        .text =
                                            "They are removed when housekeeping finds them unused.",
                                        .example = "  wf cache unpin 9f03ab",
                                        .opts = unpin_opts,
                                        .n_opts = ARRAY_LEN(unpin_opts),
                                        .min_args = 1,
                                        .max_args = SIZE_MAX,
                                        .run = unpin};

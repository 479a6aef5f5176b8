/* SPDX-License-Identifier: Apache-2.0 */
/* wf logs [RUN] [STEP]: what steps wrote; one step's bytes as they were, or several with the step's name before each line. A reused step's log is that of the run that made it. */
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/objects.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/out.h"
#include "cli/past.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct logging {
    const struct cli *cli;
    struct store *store;
    bool prefixed;
    size_t missing;
    struct str out;
};

static char *log_path(struct logging *l, const struct past_step *s)
{
    if (s->log_file) {
        return xstrdup(s->log_file);
    }
    return s->result && s->result->has_log ? objects_path(l->store, &s->result->log) : NULL;
}

static void put(struct logging *l, const char *name, const char *data, size_t len, bool *at_start)
{
    if (!l->prefixed) {
        out_write(data, len);
        return;
    }
    for (size_t i = 0; i < len;) {
        if (*at_start) {
            sb_printf(&l->out, "%s%s%s | ", tone_on(l->cli->colour, TONE_DIM), name,
                      tone_off(l->cli->colour));
        }
        const char *nl = memchr(data + i, '\n', len - i);
        size_t n = nl ? (size_t)(nl - (data + i)) + 1 : len - i;
        sb_add(&l->out, data + i, n);
        *at_start = nl != NULL;
        i += n;
    }
    out_str(&l->out);
}

static void print_log(const struct past_step *s, void *arg)
{
    struct logging *l = arg;
    CLEANUP(cleanup_free) char *path = log_path(l, s);
    CLEANUP(cleanup_close) int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        l->missing += path != NULL;
        if (!path && !l->prefixed) {
            fprintf(stderr, "wf: %s wrote nothing (%s)\n", s->name,
                    instance_state_names[s->status.state]);
        }
        return;
    }
    char buf[65536];
    bool at_start = true;
    ssize_t n;
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        put(l, s->name, buf, (size_t)n, &at_start);
    }
    if (l->prefixed && !at_start) {
        out_write("\n", 1);
    }
}

static int run(struct cli *c, const struct args *a)
{
    struct past p;
    size_t rest;
    int code = past_open_args(c, a, &p, &rest);
    if (code != EXIT_OK) {
        return code;
    }
    const char *word = rest < a->n_positional ? a->positional[rest] : NULL;
    if (a->n_positional > rest + 1) {
        past_close(&p);
        return cli_usage(c, "usage: wf logs [RUN] [STEP]");
    }
    struct logging l = {.cli = c, .store = p.store};
    size_t n = word ? past_match(&p.run, word, NULL, NULL) : p.run.n;
    l.prefixed = n > 1;
    if (word && n == 0) {
        code = past_unknown_step(c, &p.run, word);
    } else if (opt_given(a, "follow")) {
        code = follow_logs(c, &p, word);
    } else if (word) {
        past_match(&p.run, word, print_log, &l);
    } else {
        for (uint32_t i = 0; i < p.run.n; i++) {
            print_log(&p.run.steps[i], &l);
        }
    }
    if (l.missing > 0) {
        code = EXIT_SYSTEM;
        cli_usage(c,
                  "%zu log%s of this run no longer exist%s in the store (removed by `wf cache gc`)",
                  l.missing, l.missing == 1 ? "" : "s", l.missing == 1 ? "s" : "");
    }
    sb_done(&l.out);
    past_close(&p);
    return code;
}

static const struct opt opts[] = {
    {"follow", 'f', OPT_FLAG, NULL, "Prints what a running run writes until it ended"},
};

const struct command cmd_logs = {
    .name = "logs",
    .synopsis = "[RUN] [STEP]",
    .summary = "Prints what steps wrote",
    .text = "Without STEP: all steps, each line with its step's name. With one step: its bytes as "
            "they were.\n"
            "RUN is an id, the beginning of one, or 'latest' (the default).",
    .example = "  wf logs train\n  wf logs 01JA2 'train[model=mlp]'\n  wf logs -f",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .min_args = 0,
    .max_args = 2,
    .run = run};

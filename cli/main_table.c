/* SPDX-License-Identifier: Apache-2.0 */
/* `wf COMMAND …`: finds the command, parses its options and the global ones, runs it. */
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/suggest.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/out.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

const struct command *const commands[] = {
    &cmd_run,          &cmd_plan,         &cmd_explain,       &cmd_check,
    &cmd_graph,        &cmd_runs,         &cmd_show,          &cmd_diff,
    &cmd_logs,         &cmd_outputs,      &cmd_cache_ls,      &cmd_cache_show,
    &cmd_cache_stats,  &cmd_cache_gc,     &cmd_cache_pin,     &cmd_cache_unpin,
    &cmd_cache_rm,     &cmd_cache_verify, &cmd_cache_adopt,   &cmd_cache_export,
    &cmd_cache_import, &cmd_models,       &cmd_models_show,   &cmd_models_rollback,
    &cmd_models_allow, &cmd_services,     &cmd_services_stop, &cmd_supervise,
    &cmd_schema,       &cmd_doctor,       &cmd_gateway,       &cmd_version,
};
const size_t command_count = ARRAY_LEN(commands);

const struct opt global_opts[] = {
    {"store", 0, OPT_TEXT, "DIR", "The store to use (default: $WF_STORE, else ~/.local/state/wf)"},
    {"config", 0, OPT_TEXT, "FILE",
     "The configuration to read (default: $WF_CONFIG, else ~/.config/wf/config.yaml)"},
    {"log-level", 0, OPT_TEXT, "LEVEL",
     "error, warn (default), info or debug: wf's own diagnostics on stderr"},
    {"color", 0, OPT_TEXT, "WHEN", "auto (default), always or never"},
    {"help", 'h', OPT_FLAG, NULL, "Shows this help"},
};
const size_t global_opt_count = ARRAY_LEN(global_opts);

/* The command named by the first one or two words; *ret_words: how many. */
static const struct command *find_command(int argc, char **argv, int *ret_words)
{
    for (int words = 2; words >= 1; words--) {
        if (argc < words) {
            continue;
        }
        CLEANUP(cleanup_free)
        char *name = words == 2 ? xasprintf("%s %s", argv[0], argv[1]) : xstrdup(argv[0]);
        for (size_t i = 0; i < command_count; i++) {
            if (text_eq(commands[i]->name, name)) {
                *ret_words = words;
                return commands[i];
            }
        }
    }
    return NULL;
}

static int unknown_cache_command(const struct cli *c, const char *word)
{
    CLEANUP(sb_done) struct str all = {0};
    const char *words[32];
    size_t n = 0;
    for (size_t i = 0; i < command_count && n < ARRAY_LEN(words); i++) {
        if (text_starts(commands[i]->name, "cache ")) {
            words[n] = commands[i]->name + 6;
            sb_printf(&all, "%s%s", n ? ", " : "", words[n]);
            n++;
        }
    }
    const char *near = word ? suggest_nearest(word, words, n) : NULL;
    if (near) {
        return cli_usage(c, "wf cache has no command '%s' (did you mean '%s'?)", word, near);
    }
    return cli_usage(c, "wf cache needs one of: %s%s%s", sb_text(&all), word ? "; not " : "",
                     word ? word : "");
}

static int unknown_command(const struct cli *c, int argc, char **argv)
{
    if (text_eq(argv[0], "cache") && argc > 1 &&
        (text_eq(argv[1], "--help") || text_eq(argv[1], "-h"))) {
        help_all(c);
        return EXIT_OK;
    }
    if (text_eq(argv[0], "cache")) {
        return unknown_cache_command(c, argc > 1 ? argv[1] : NULL);
    }
    if (argv[0][0] == '-') {
        return cli_usage(
            c,
            "a command stands before the options (wf COMMAND %s …); `wf --help` lists the commands",
            argv[0]);
    }
    for (size_t i = 0; i < command_count; i++) {
        if (text_starts(commands[i]->name, "cache ") && text_eq(commands[i]->name + 6, argv[0])) {
            return cli_usage(c, "'%s' is not a command of wf (did you mean '%s'?)", argv[0],
                             commands[i]->name);
        }
    }
    const char *words[64];
    size_t n = 0;
    for (size_t i = 0; i < command_count; i++) {
        if (!commands[i]->hidden && n < ARRAY_LEN(words)) {
            words[n++] = commands[i]->name;
        }
    }
    const char *near = suggest_nearest(argv[0], words, n);
    if (near) {
        return cli_usage(c, "'%s' is not a command of wf (did you mean '%s'?)", argv[0], near);
    }
    return cli_usage(c, "'%s' is not a command of wf; `wf --help` lists them", argv[0]);
}

static bool want_colour(const char *when, int fd)
{
    if (text_eq(when, "always")) {
        return true;
    }
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return !text_eq(when, "never") && !(no_color && *no_color) && !text_eq(term, "dumb") &&
           isatty(fd);
}

static int set_up(struct cli *c, const struct args *a)
{
    c->store_dir = opt_text(a, "store");
    c->config_file = opt_text(a, "config");
    const char *when = opt_text(a, "color");
    if (when && !text_eq(when, "auto") && !text_eq(when, "always") && !text_eq(when, "never")) {
        return cli_usage(c, "option '--color' is auto, always or never, not '%s'", when);
    }
    c->colour = want_colour(when, STDOUT_FILENO);
    c->err_colour = want_colour(when, STDERR_FILENO);
    const char *level = opt_text(a, "log-level");
    enum log_level parsed;
    if (level && log_level_parse(level, &parsed) != 0) {
        return cli_usage(c, "option '--log-level' is error, warn, info or debug, not '%s'", level);
    }
    if (level) {
        log_set_level(parsed);
    }
    return EXIT_OK;
}

static void look_at_terminal(struct cli *c)
{
    const char *ci = getenv("CI");
    bool in_ci = ci && *ci && !text_eq(ci, "false");
    c->out_tty = isatty(STDOUT_FILENO) && !in_ci;
    c->err_tty = isatty(STDERR_FILENO) && !in_ci;
    struct winsize ws;
    c->width =
        c->out_tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 20 ? ws.ws_col : 80;
}

static int run_command(struct cli *c, const struct command *cmd, const struct args *a)
{
    if (opt_given(a, "help")) {
        help_command(c, cmd);
        return EXIT_OK;
    }
    if (a->n_positional < cmd->min_args || a->n_positional > cmd->max_args) {
        return cli_usage(c, "usage: wf %s %s (`wf %s --help` shows more)", cmd->name, cmd->synopsis,
                         cmd->name);
    }
    return cmd->run(c, a);
}

int cli_main(int argc, char **argv)
{
    struct cli c = {0};
    char version[] = "version";
    signal(SIGPIPE, SIG_IGN);
    mallopt(M_ARENA_MAX, 1); /* heaps of other threads grow by a page and a call each time */
    look_at_terminal(&c);
    c.colour = want_colour(NULL, STDOUT_FILENO);
    c.err_colour = want_colour(NULL, STDERR_FILENO);
    if (argc < 2 || text_eq(argv[1], "--help") || text_eq(argv[1], "-h") ||
        text_eq(argv[1], "help")) {
        int words;
        const struct command *about = argc > 2 ? find_command(argc - 2, argv + 2, &words) : NULL;
        if (about) {
            help_command(&c, about);
        } else {
            help_all(&c);
        }
        return argc < 2 ? EXIT_USAGE : EXIT_OK;
    }
    if (text_eq(argv[1], "--version")) {
        argv[1] = version;
    }
    int words = 0;
    const struct command *cmd = find_command(argc - 1, argv + 1, &words);
    if (!cmd) {
        return unknown_command(&c, argc - 1, argv + 1);
    }
    struct args a;
    struct err err = {0};
    if (opt_parse(argc - 1 - words, argv + 1 + words, cmd->opts, cmd->n_opts, global_opts,
                  global_opt_count, &a, &err) < 0) {
        return cli_usage(&c, "%s (`wf %s --help` lists the options)", err.msg, cmd->name);
    }
    int code = set_up(&c, &a);
    if (code == EXIT_OK) {
        code = run_command(&c, cmd, &a);
    }
    args_done(&a);
    return code;
}

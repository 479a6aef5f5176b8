/* SPDX-License-Identifier: Apache-2.0 */
/* What every command of `wf` is made of: a table entry, parsed options, a context, exit codes. One file per command (cmd_NAME.c) with one const struct command. */
#ifndef WF_CLI_COMMAND_H
#define WF_CLI_COMMAND_H

#include "cli/opt.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

enum exit_code {
    EXIT_OK = 0,
    EXIT_RUN_FAILED = 1, /* a step, a selection, a service */
    EXIT_USAGE = 2,
    EXIT_WORKFLOW = 3, /* the workflow is invalid */
    EXIT_SYSTEM = 4,   /* the store, the disk, an engine */
    EXIT_INTERRUPTED = 130,
    EXIT_TERMINATED = 143
};

/* The context of one invocation. */
struct cli {
    const char *store_dir;   /* --store, NULL: the default */
    const char *config_file; /* --config, NULL: the default (config.h) */
    bool colour, err_colour; /* of stdout, of stderr */
    bool out_tty, err_tty;
    int width; /* columns of the terminal, 80 when unknown */
};

struct command {
    const char *name;     /* "run", "cache ls" */
    const char *synopsis; /* "FILE [STEP]" */
    const char *summary;  /* one line for `wf --help` */
    const char *text;     /* a paragraph for `wf NAME --help`; NULL: none */
    const char *example;  /* lines for `wf NAME --help` */
    const struct opt *opts;
    size_t n_opts;
    size_t min_args, max_args;
    bool hidden;                                     /* wf's own: in no list of commands */
    int (*run)(struct cli *c, const struct args *a); /* returns the exit code */
};

extern const struct command *const commands[];
extern const size_t command_count;

/* Runs `wf` with these arguments; returns the exit code. */
int cli_main(int argc, char **argv);
/* Prints "wf: message" and maps the error to an exit code. */
int cli_fail(const struct cli *c, const struct err *err);
/* As cli_fail(), of a store that cannot be used: EXIT_SYSTEM whatever the cause. */
int cli_fail_store(const struct cli *c, const struct err *err);
int cli_usage(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void help_command(const struct cli *c, const struct command *cmd);
void help_all(const struct cli *c);

#endif

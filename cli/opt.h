/* SPDX-License-Identifier: Apache-2.0 */
/* Options by table: the one source of parsing, --help and the man page's synopsis. GNU conventions: long options, options before or after arguments, `--` ends them. */
#ifndef WF_CLI_OPT_H
#define WF_CLI_OPT_H

#include <stdbool.h>
#include <stddef.h>

struct err;

enum opt_kind {
    OPT_FLAG,
    OPT_TEXT,    /* --name VALUE or --name=VALUE; the last one holds */
    OPT_LIST,    /* the same, repeatable */
    OPT_OPTIONAL /* --name or --name=VALUE, repeatable; without a value the value is "" */
};
struct opt {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    enum opt_kind kind;
    const char *arg; /* what stands for the value in the help */
    const char *help;
};
struct opt_value {
    const struct opt *opt;
    const char *text;
};
struct args {
    const char **positional;
    size_t n_positional;
    struct opt_value *values;
    size_t n_values; /* in the order given */
};
/* Parses argv[0…argc) against `opts`, then against `globals`. Strings are borrowed from argv. */
int opt_parse(int argc, char **argv, const struct opt *opts, size_t n_opts,
              const struct opt *globals, size_t n_globals, struct args *ret, struct err *err);
void args_done(struct args *a);
bool opt_given(const struct args *a, const char *name);
const char *opt_text(const struct args *a, const char *name); /* the last one; NULL: not given */
/* All values of a repeatable option; returns how many; ret may be NULL. */
size_t opt_all(const struct args *a, const char *name, const char **ret, size_t max);
/* A whole number >= min. */
int opt_number(const struct args *a, const char *name, long min, long fallback, long *ret,
               struct err *err);

#endif

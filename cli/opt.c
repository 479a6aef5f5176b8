/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/opt.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/suggest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct opt *find_letter(const struct opt *opts, size_t n, char letter)
{
    for (size_t i = 0; i < n; i++) {
        if (opts[i].letter == letter) {
            return &opts[i];
        }
    }
    return NULL;
}

static const struct opt *find_name(const struct opt *opts, size_t n, const char *name, size_t len)
{
    for (size_t i = 0; i < n; i++) {
        if (strlen(opts[i].name) == len && memcmp(opts[i].name, name, len) == 0) {
            return &opts[i];
        }
    }
    return NULL;
}

struct parser {
    int argc, at;
    char **argv;
    const struct opt *opts, *globals;
    size_t n_opts, n_globals;
    struct args *args;
};

static void add_value(struct args *a, const struct opt *o, const char *text)
{
    a->values[a->n_values++] = (struct opt_value){o, text};
}

static int unknown_long(const struct parser *p, const char *name, size_t len, struct err *err)
{
    const char *words[128];
    size_t n = 0;
    for (size_t i = 0; i < p->n_opts && n < ARRAY_LEN(words); i++) {
        words[n++] = p->opts[i].name;
    }
    for (size_t i = 0; i < p->n_globals && n < ARRAY_LEN(words); i++) {
        words[n++] = p->globals[i].name;
    }
    CLEANUP(cleanup_free) char *word = xstrndup(name, len);
    const char *near = suggest_nearest(word, words, n);
    if (near) {
        return err_set(err, ERR_USAGE, 0, "unknown option '--%s' (did you mean '--%s'?)", word,
                       near);
    }
    return err_set(err, ERR_USAGE, 0, "unknown option '--%s'", word);
}

static int parse_long(struct parser *p, struct err *err)
{
    const char *name = p->argv[p->at] + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct opt *o = find_name(p->opts, p->n_opts, name, len);
    if (!o) {
        o = find_name(p->globals, p->n_globals, name, len);
    }
    if (!o) {
        return unknown_long(p, name, len, err);
    }
    const char *value = equals ? equals + 1 : NULL;
    switch (o->kind) {
    case OPT_FLAG:
        if (value) {
            return err_set(err, ERR_USAGE, 0, "option '--%s' takes no value", o->name);
        }
        value = "";
        break;
    case OPT_OPTIONAL:
        value = value ? value : "";
        break;
    case OPT_TEXT:
    case OPT_LIST:
        if (!value && p->at + 1 >= p->argc) {
            return err_set(err, ERR_USAGE, 0, "option '--%s' needs a value: --%s %s", o->name,
                           o->name, o->arg);
        }
        if (!value) {
            value = p->argv[++p->at];
        }
        break;
    }
    add_value(p->args, o, value);
    return 0;
}

static int parse_short(struct parser *p, struct err *err)
{
    for (const char *c = p->argv[p->at] + 1; *c; c++) {
        const struct opt *o = find_letter(p->opts, p->n_opts, *c);
        if (!o) {
            o = find_letter(p->globals, p->n_globals, *c);
        }
        if (!o) {
            return err_set(err, ERR_USAGE, 0, "unknown option '-%c'", *c);
        }
        if (o->kind == OPT_FLAG || o->kind == OPT_OPTIONAL) {
            add_value(p->args, o, "");
            continue;
        }
        const char *value = c[1] ? c + 1 : NULL;
        if (!value && p->at + 1 >= p->argc) {
            return err_set(err, ERR_USAGE, 0, "option '-%c' needs a value: -%c %s", *c, *c, o->arg);
        }
        add_value(p->args, o, value ? value : p->argv[++p->at]);
        return 0;
    }
    return 0;
}

int opt_parse(int argc, char **argv, const struct opt *opts, size_t n_opts,
              const struct opt *globals, size_t n_globals, struct args *ret, struct err *err)
{
    size_t letters = 1; /* -qv is two values: no more than all the characters */
    for (int i = 0; i < argc; i++) {
        letters += strlen(argv[i]) + 1;
    }
    *ret = (struct args){.positional = xcalloc((size_t)argc + 1, sizeof(char *)),
                         .values = xcalloc(letters, sizeof(struct opt_value))};
    struct parser p = {.argc = argc,
                       .argv = argv,
                       .opts = opts,
                       .n_opts = n_opts,
                       .globals = globals,
                       .n_globals = n_globals,
                       .args = ret};
    bool ended = false;
    int r = 0;
    for (p.at = 0; p.at < argc && r == 0; p.at++) {
        const char *word = argv[p.at];
        if (ended || word[0] != '-' || !word[1]) {
            ret->positional[ret->n_positional++] = word;
        } else if (text_eq(word, "--")) {
            ended = true;
        } else {
            r = word[1] == '-' ? parse_long(&p, err) : parse_short(&p, err);
        }
    }
    if (r < 0) {
        args_done(ret);
    }
    return r;
}

void args_done(struct args *a)
{
    free(a->positional);
    free(a->values);
    *a = (struct args){0};
}

bool opt_given(const struct args *a, const char *name)
{
    return opt_text(a, name) != NULL;
}

const char *opt_text(const struct args *a, const char *name)
{
    for (size_t i = a->n_values; i-- > 0;) {
        if (text_eq(a->values[i].opt->name, name)) {
            return a->values[i].text;
        }
    }
    return NULL;
}

size_t opt_all(const struct args *a, const char *name, const char **ret, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_values; i++) {
        if (!text_eq(a->values[i].opt->name, name)) {
            continue;
        }
        if (ret && n < max) {
            ret[n] = a->values[i].text;
        }
        n++;
    }
    return n;
}

int opt_number(const struct args *a, const char *name, long min, long fallback, long *ret,
               struct err *err)
{
    const char *text = opt_text(a, name);
    if (!text) {
        *ret = fallback;
        return 0;
    }
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (errno || end == text || *end || v < min) {
        return err_set(err, ERR_USAGE, 0,
                       "option '--%s' needs a whole number from %ld on, not '%s'", name, min, text);
    }
    *ret = v;
    return 0;
}

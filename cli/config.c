/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/suggest.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/out.h"
#include "workflows/yaml.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGEST = 1 << 20, KEEP_RUNS_MAX = 1000000 };

struct reader {
    struct config *config;
    struct diags *d;
};

/* A key and how its value is read; without a reader it is a word kept for later. */
struct key {
    const char *name;
    void (*read)(struct reader *r, const struct node_pair *p);
};

static void read_keys(struct reader *r, const struct node *map, const struct key *keys,
                      size_t count, const char *what)
{
    for (uint32_t i = 0; i < map->len; i++) {
        const struct node_pair *p = &map->pairs[i];
        const char *words[16];
        const struct key *found = NULL;
        for (size_t k = 0; k < count; k++) {
            words[k] = keys[k].name;
            found = text_eq(keys[k].name, p->key) ? &keys[k] : found;
        }
        if (!found) {
            diag_error(r->d, p->key_span, "unknown-key", "'%.60s' is not a key of %s", p->key,
                       what);
            diag_did_you_mean(r->d, suggest_nearest(p->key, words, count));
        } else if (!found->read) {
            diag_error(r->d, p->key_span, "not-supported", "'%s' is not supported yet", p->key);
        } else {
            found->read(r, p);
        }
    }
}

/* NULL, and it is said: not a text of its own. */
static const char *scalar(struct reader *r, const struct node_pair *p, const char *expected)
{
    const struct node *v = p->value;

    if (v->kind != NODE_SCALAR || v->type == SCALAR_NULL || v->len == 0) {
        diag_error(r->d, v->span, "wrong-type", "'%s' needs %s", p->key, expected);
        return NULL;
    }
    return v->text;
}

static void read_remote(struct reader *r, const struct node_pair *p)
{
    static const char expected[] = "a URL such as https://cache.example.org/wf or s3://bucket/wf";
    const char *text = scalar(r, p, expected);

    /* It may hold a password, and so does its line: neither is shown. */
    if (text && strchr(text, '@') && !strstr(text, "://")) {
        diag_error(r->d, (struct span){0}, "wrong-value", "line %u: '%s' needs %s",
                   p->value->span.line, p->key, expected);
    } else if (text && !strstr(text, "://")) {
        diag_error(r->d, p->value->span, "wrong-value", "'%s' needs %s, not '%.200s'", p->key,
                   expected, text);
    } else if (text) {
        free(r->config->remote);
        r->config->remote = xstrdup(text);
    }
}

static void read_readonly(struct reader *r, const struct node_pair *p)
{
    const struct node *v = p->value;

    if (v->kind != NODE_SCALAR || v->type != SCALAR_BOOL) {
        diag_error(r->d, v->span, "wrong-type", "'%s' needs true or false", p->key);
        return;
    }
    r->config->remote_readonly = v->text[0] == 't' || v->text[0] == 'T';
}

static void read_size(struct reader *r, const struct node_pair *p)
{
    const char *text = scalar(r, p, "a size such as 20GB, or none");
    struct err err = {0};
    uint64_t bytes = CONFIG_NO_SIZE;

    if (!text) {
        return;
    }
    if (!text_eq(text, "none") && parse_size(text, &bytes, &err) < 0) {
        diag_error(r->d, p->value->span, "wrong-value", "'%s': %s", p->key, err.msg);
    } else if (bytes == 0) {
        diag_error(r->d, p->value->span, "wrong-value", "'%s' needs more than nothing", p->key);
    } else {
        r->config->max_size = bytes;
    }
}

static void read_entries(struct reader *r, const struct node_pair *p)
{
    static const char expected[] = "a whole number from 1 on, or none";
    const char *text = scalar(r, p, expected);
    char *end = NULL;

    if (!text) {
        return;
    }
    if (text_eq(text, "none")) {
        r->config->max_entries = CONFIG_NO_SIZE;
        return;
    }
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno || end == text || *end || n < 1) {
        diag_error(r->d, p->value->span, "wrong-value", "'%s' needs %s, not '%.60s'", p->key,
                   expected, text);
        return;
    }
    r->config->max_entries = (uint64_t)n;
}

static void read_age(struct reader *r, const struct node_pair *p, int64_t *ret)
{
    const char *text = scalar(r, p, "a duration such as 30d, or none");
    struct err err = {0};
    int64_t ms = CONFIG_NO_AGE;

    if (!text) {
        return;
    }
    if (!text_eq(text, "none") && parse_duration(text, &ms, &err) < 0) {
        diag_error(r->d, p->value->span, "wrong-value", "'%s': %s", p->key, err.msg);
    } else if (ms == 0) {
        diag_error(r->d, p->value->span, "wrong-value", "'%s' needs more than nothing", p->key);
    } else {
        *ret = ms;
    }
}

static void read_unused(struct reader *r, const struct node_pair *p)
{
    read_age(r, p, &r->config->unused_for_ms);
}

static void read_keep_for(struct reader *r, const struct node_pair *p)
{
    read_age(r, p, &r->config->keep_for_ms);
}

static void read_keep_runs(struct reader *r, const struct node_pair *p)
{
    static const char expected[] = "a whole number from 1 to 1000000";
    const char *text = scalar(r, p, expected);
    char *end = NULL;

    if (!text) {
        return;
    }
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno || end == text || *end || n < 1 || n > KEEP_RUNS_MAX) {
        diag_error(r->d, p->value->span, "wrong-value", "'%s' needs %s, not '%.60s'", p->key,
                   expected, text);
        return;
    }
    r->config->keep_runs = (uint32_t)n;
}

static void read_cache(struct reader *r, const struct node_pair *p)
{
    static const struct key keys[] = {{"remote", read_remote},
                                      {"remote_readonly", read_readonly},
                                      {"max_size", read_size},
                                      {"max_entries", read_entries},
                                      {"unused_for", read_unused}};

    if (p->value->kind != NODE_MAP) {
        diag_error(r->d, p->value->span, "wrong-type",
                   "'cache' needs a mapping such as {max_size: 20GB}");
        return;
    }
    read_keys(r, p->value, keys, ARRAY_LEN(keys), "cache");
}

static void read_history(struct reader *r, const struct node_pair *p)
{
    static const struct key keys[] = {{"keep_for", read_keep_for}, {"keep_runs", read_keep_runs}};

    if (p->value->kind != NODE_MAP) {
        diag_error(r->d, p->value->span, "wrong-type",
                   "'history' needs a mapping such as {keep_for: 90d}");
        return;
    }
    read_keys(r, p->value, keys, ARRAY_LEN(keys), "history");
}

static void read_top(struct reader *r, const char *text, size_t len)
{
    static const struct key keys[] = {{"cache", read_cache}, {"history", read_history},
                                      {"container", NULL},   {"executor", NULL},
                                      {"listen", NULL},      {"notifications", NULL}};
    struct arena *a = arena_new();
    const struct node *top = yaml_parse_partial(text, len, a, r->d);

    if (top && top->kind != NODE_MAP) {
        diag_error(r->d, top->span, "wrong-type",
                   "config.yaml holds a mapping such as {cache: {max_size: 20GB}}");
    } else if (top) {
        read_keys(r, top, keys, ARRAY_LEN(keys), "config.yaml");
    }
    arena_free(a);
}

/* The place of the default file; NULL: this user has none. Owned by the caller. */
static char *default_file(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

    if (config && config[0] == '/') { /* by the standard a relative one is ignored */
        return xasprintf("%s/wf/config.yaml", config);
    }
    return home && *home ? xasprintf("%s/.config/wf/config.yaml", home) : NULL;
}

/* Nothing but white space and comments: nothing is configured. */
static bool blank(const char *text)
{
    while (*text) {
        text += strspn(text, " \t\r\n");
        if (*text != '#') {
            return *text == '\0';
        }
        text += strcspn(text, "\n");
    }
    return true;
}

int config_read(const char *file, struct config *ret, bool colour, struct str *problem)
{
    const char *env = getenv("WF_CONFIG");
    const char *named = file ? file : env && *env ? env : NULL;
    CLEANUP(cleanup_free) char *path = named ? xstrdup(named) : default_file();
    CLEANUP(sb_done) struct str text = {0};
    struct config config = {0};
    struct diags d;
    struct err err = {0};

    *ret = (struct config){0};
    if (!path || (!named && access(path, F_OK) != 0)) {
        return 0;
    }
    int rc = fs_read_file(path, LARGEST, &text, &err);
    if (rc < 0) {
        sb_printf(problem, "the configuration: %s", err.msg);
        return -(int)ERR_USAGE;
    }
    diags_init(&d, path);
    diags_set_text(&d, sb_text(&text), text.len);
    struct reader r = {&config, &d};
    if (!blank(sb_text(&text))) {
        read_top(&r, sb_text(&text), text.len);
    }
    if (d.errors > 0) {
        diags_render(&d, colour, problem);
        config_done(&config);
        rc = -(int)ERR_USAGE;
    } else {
        config.file = take_ptr(path);
        *ret = config;
    }
    diags_done(&d);
    return rc;
}

int config_open(const struct cli *c, struct config *ret)
{
    CLEANUP(sb_done) struct str problem = {0};

    if (config_read(c->config_file, ret, c->err_colour, &problem) == 0) {
        return EXIT_OK;
    }
    if (text_ends(sb_text(&problem), "\n")) {
        fputs(sb_text(&problem), stderr);
        return EXIT_USAGE;
    }
    return cli_usage(c, "%s", sb_text(&problem));
}

void config_done(struct config *f)
{
    free(f->file);
    free(f->remote);
    *f = (struct config){0};
}

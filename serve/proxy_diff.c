/* SPDX-License-Identifier: Apache-2.0 */
/* What a running HAProxy has, and the commands that bring it to what is wanted. Pure.
 * Order: servers are added before a map names their backend anew, maps switch, then servers drain and go. */
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "serve/proxy_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* HAProxy's srv_admin_state: forced or inherited, by command, configuration or DNS. */
enum { ADMIN_MAINT = 0x01 | 0x02 | 0x04 | 0x20, ADMIN_DRAIN = 0x08 | 0x10 };

struct live_server {
    char *key; /* "backend/rID" */
    unsigned admin;
    bool wanted;
};
struct live {
    VEC(struct live_server) servers;
    struct map server_index;                      /* key -> index + 1, as a pointer */
    VEC(struct text_entry) maps[PROXY_MAP_COUNT]; /* words in `words` */
    VEC(char *) words;
};

static void live_done(struct live *l)
{
    for (size_t i = 0; i < l->servers.len; i++) {
        free(l->servers.items[i].key);
    }
    vec_done(&l->servers);
    map_done(&l->server_index);
    for (int i = 0; i < PROXY_MAP_COUNT; i++) {
        vec_done(&l->maps[i]);
    }
    for (size_t i = 0; i < l->words.len; i++) {
        free(l->words.items[i]);
    }
    vec_done(&l->words);
}

void proxy_diff_question(const struct proxy_text *t, struct str *out)
{
    sb_puts(out, "show servers state");
    for (int i = 0; i < PROXY_MAP_COUNT; i++) {
        if (t->map_used[i]) {
            sb_printf(out, ";show map %s", proxy_map_names[i]);
        }
    }
}

/* Reading. Each answer ends with an empty line. */

static bool next_line(const char **text, struct slice *ret)
{
    if (**text == '\0') {
        return false;
    }
    size_t n = strcspn(*text, "\n");
    *ret = slice_of(*text, n);
    *text += n + ((*text)[n] == '\n');
    return true;
}

enum { WORDS_MAX = 8 };
static size_t split(struct slice line, struct slice words[WORDS_MAX])
{
    size_t n = 0, at = 0;
    while (n < WORDS_MAX && at < line.len) {
        const char *blank = memchr(line.data + at, ' ', line.len - at);
        size_t end = blank ? (size_t)(blank - line.data) : line.len;
        if (end > at) {
            words[n++] = slice_of(line.data + at, end - at);
        }
        at = end + 1;
    }
    return n;
}

/* "be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state …" */
static int read_servers(const char **text, struct live *l, struct err *err)
{
    struct slice line, w[WORDS_MAX];
    if (!text_starts(*text,
                     "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_")) {
        return err_set(err, ERR_INVALID, 0, "HAProxy's list of servers begins with '%.60s'", *text);
    }
    while (next_line(text, &line) && line.len > 0) {
        if (line.data[0] == '#' || split(line, w) < 7) {
            continue; /* the version's line, the columns' names */
        }
        if (w[3].data[0] != 'r' || memchr(w[1].data, '.', w[1].len)) {
            continue; /* an activator */
        }
        struct live_server s = {
            .key = xasprintf("%.*s/%.*s", (int)w[1].len, w[1].data, (int)w[3].len, w[3].data),
            .admin = (unsigned)strtoul(w[6].data, NULL, 10),
        };
        *vec_push(&l->servers) = s;
    }
    for (size_t i = 0; i < l->servers.len; i++) {
        (void)map_put_text(&l->server_index, l->servers.items[i].key,
                           (void *)(uintptr_t)(i + 1)); // NOLINT(performance-no-int-to-ptr)
    }
    return 0;
}

static const char *keep_word(struct live *l, struct slice w)
{
    char *copy = xstrndup(w.data, w.len);
    *vec_push(&l->words) = copy;
    return copy;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct text_entry *)a)->key, ((const struct text_entry *)b)->key);
}

/* "0x55… KEY VALUE" */
static int read_map(const char **text, struct live *l, int map, struct err *err)
{
    struct slice line, w[WORDS_MAX];
    while (next_line(text, &line) && line.len > 0) {
        if (line.len < 2 || memcmp(line.data, "0x", 2) != 0 || split(line, w) != 3) {
            return err_set(err, ERR_INVALID, 0, "HAProxy's map %s: '%.*s'", proxy_map_names[map],
                           (int)(line.len < 200 ? line.len : 200), line.data);
        }
        struct text_entry e = {keep_word(l, w[1]), keep_word(l, w[2])};
        *vec_push(&l->maps[map]) = e;
    }
    if (l->maps[map].len > 1) {
        qsort(l->maps[map].items, l->maps[map].len, sizeof(struct text_entry), by_key);
    }
    return 0;
}

static int read_live(const struct proxy_text *t, const char *answers, struct live *l,
                     struct err *err)
{
    int rc = read_servers(&answers, l, err);
    for (int i = 0; rc == 0 && i < PROXY_MAP_COUNT; i++) {
        if (t->map_used[i]) {
            rc = read_map(&answers, l, i, err);
        }
    }
    return rc;
}

/* Commands */

static void command(struct proxy_diff *d, const char *fmt, ...) WF_PRINTF(2, 3);
static void command(struct proxy_diff *d, const char *fmt, ...)
{
    struct str s = {0};
    va_list ap;
    va_start(ap, fmt);
    sb_vprintf(&s, fmt, ap);
    va_end(ap);
    *vec_push(&d->commands) = sb_take(&s);
}

static struct live_server *find_server(struct live *l, const struct text_server *s)
{
    char key[64];
    int n = snprintf(key, sizeof(key), "%s/r%u", s->backend, s->id);
    uintptr_t i = (uintptr_t)map_get(&l->server_index, key, (size_t)n);
    return i ? &l->servers.items[i - 1] : NULL;
}

/* A server in maintenance is one of ours that was to go, or one whose `enable` was never sent. */
static void make_ready(struct proxy_diff *d, const struct text_server *s,
                       const struct live_server *have)
{
    if (!have) {
        command(d, "add server %s/r%u %s id %u %s", s->backend, s->id, s->address, s->id,
                s->options);
    }
    if (!have || (have->admin & ADMIN_MAINT)) {
        command(d, "enable health %s/r%u", s->backend, s->id);
    }
    if (!have || (have->admin & (ADMIN_MAINT | ADMIN_DRAIN))) {
        command(d, "set server %s/r%u state ready", s->backend, s->id);
    }
}

static void diff_map(struct proxy_diff *d, const struct proxy_text *t, struct live *l, int map)
{
    size_t i = 0, j = 0;
    const char *name = proxy_map_names[map];
    CLEANUP(proxy_diff_done) struct proxy_diff late = {0};
    while (i < t->maps[map].len || j < l->maps[map].len) {
        const struct text_entry *want = i < t->maps[map].len ? &t->maps[map].items[i] : NULL;
        const struct text_entry *have = j < l->maps[map].len ? &l->maps[map].items[j] : NULL;
        int order = !want ? 1 : !have ? -1 : strcmp(want->key, have->key);
        if (want && order < 0) {
            command(d, "add map %s %s %s", name, want->key, want->value);
            i++;
        } else if (have && order > 0) {
            command(&late, "del map %s %s", name, have->key);
            j++;
            while (j < l->maps[map].len && strcmp(l->maps[map].items[j].key, have->key) == 0) {
                j++; /* `del` takes all of one key */
            }
        } else if (want && have) {
            if (strcmp(want->value, have->value) != 0) {
                command(d, "set map %s %s %s", name, want->key, want->value);
            }
            i++, j++;
            while (j < l->maps[map].len && strcmp(l->maps[map].items[j].key, have->key) == 0) {
                j++;
            }
        }
    }
    for (size_t k = 0; k < late.commands.len; k++) {
        *vec_push(&d->commands) = late.commands.items[k];
    }
    late.commands.len = 0;
}

static void diff_all(struct proxy_diff *d, const struct proxy_text *t, struct live *l)
{
    for (size_t i = 0; i < t->servers.len; i++) {
        const struct text_server *s = &t->servers.items[i];
        struct live_server *have = find_server(l, s);
        if (have) {
            have->wanted = true;
        }
        if (!s->drain) {
            make_ready(d, s, have);
        }
    }
    for (int i = 0; i < PROXY_MAP_COUNT; i++) {
        if (t->map_used[i]) {
            diff_map(d, t, l, i);
        }
    }
    for (size_t i = 0; i < t->servers.len; i++) {
        const struct text_server *s = &t->servers.items[i];
        const struct live_server *have = s->drain ? find_server(l, s) : NULL;
        if (have && (have->admin & ADMIN_MAINT) == 0 && (have->admin & ADMIN_DRAIN) == 0) {
            command(d, "set server %s state drain", have->key);
        }
    }
    for (size_t i = 0; i < l->servers.len; i++) {
        const struct live_server *s = &l->servers.items[i];
        if (s->wanted) {
            continue;
        }
        if (s->admin & ADMIN_MAINT) {
            /* It still has connections, or `del` came too soon after `maint`. */
            *vec_push(&d->sweep) = xasprintf("del server %s", s->key);
        } else {
            command(d, "set server %s state maint", s->key);
            command(d, "disable health %s", s->key);
            command(d, "del server %s", s->key);
        }
    }
}

int proxy_diff(const struct proxy_text *t, const char *answers, struct proxy_diff *ret,
               struct err *err)
{
    CLEANUP(live_done) struct live l = {0};
    struct proxy_diff d = {0};
    int rc = read_live(t, answers, &l, err);
    if (rc < 0) {
        return rc;
    }
    diff_all(&d, t, &l);
    *ret = d;
    return 0;
}

void proxy_lines_done(struct proxy_lines *l)
{
    for (size_t i = 0; i < l->len; i++) {
        free(l->items[i]);
    }
    vec_done(l);
}

void proxy_diff_done(struct proxy_diff *d)
{
    proxy_lines_done(&d->commands);
    proxy_lines_done(&d->sweep);
}

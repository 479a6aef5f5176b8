/* SPDX-License-Identifier: Apache-2.0 */
/* Globs walk only the folders that the pattern's fixed parts allow; each component is one step down. */
#include "steps/inputs.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Folders deeper than this are a loop, or no data of a workflow. */
#define MAX_DEPTH 256
#define MAX_COMPONENTS 128

bool glob_is_pattern(const char *text)
{
    return strpbrk(text, "*?[") != NULL;
}

/* `p` is behind the '['. Sets *ret_end behind the ']'; false in *ret_closed: there is none. */
static bool in_class(const char *p, unsigned char c, const char **ret_end, bool *ret_closed)
{
    bool negate = *p == '!' || *p == '^', found = false;

    p += negate;
    for (const char *start = p; *p && (*p != ']' || p == start); p++) {
        unsigned char from = (unsigned char)*p, to = from;
        if (p[1] == '-' && p[2] && p[2] != ']') {
            to = (unsigned char)p[2];
            p += 2;
        }
        found = found || (c >= from && c <= to);
    }
    *ret_closed = *p == ']';
    *ret_end = *ret_closed ? p + 1 : p;
    return found != negate;
}

/* Matches one pattern element at *p against c; moves *p behind it. */
static bool match_one(const char **p, char c)
{
    if (**p == '[') {
        const char *end = NULL;
        bool closed = false, in = in_class(*p + 1, (unsigned char)c, &end, &closed);
        if (closed) {
            *p = end;
            return in;
        }
    }
    bool equal = **p == '?' || **p == c;
    (*p)++;
    return equal;
}

bool glob_match(const char *pattern, const char *name)
{
    const char *star = NULL, *resume = NULL;

    if (*name == '.' && *pattern != '.') {
        return false;
    }
    while (*name) {
        const char *next = pattern;
        if (*pattern == '*') {
            star = ++pattern;
            resume = name;
        } else if (*pattern && match_one(&next, *name)) {
            pattern = next;
            name++;
        } else if (star) {
            pattern = star;
            name = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

struct glob {
    struct arena *a;
    struct paths *ret;
    char *parts[MAX_COMPONENTS];
    size_t n_parts;
    struct str path; /* the folder now, as opened */
    size_t shown;    /* where the reported path begins in it */
    int depth;
    struct err *err;
};

static int descend(struct glob *g, size_t part);

static void report(struct glob *g)
{
    *vec_push(&g->ret->v) = arena_strndup(g->a, g->path.data + g->shown, g->path.len - g->shown);
}

/* With g->path at an existing thing that matched part-1: goes on with `part`, or reports it. */
static int matched(struct glob *g, size_t part, bool files_only)
{
    struct stat st;

    if (part < g->n_parts) {
        return descend(g, part);
    }
    if (stat(g->path.data, &st) == 0 && !(files_only && S_ISDIR(st.st_mode))) {
        report(g);
    }
    return 0;
}

static int enter(struct glob *g, const char *name, size_t part, bool files_only)
{
    size_t len = g->path.len;
    int rc = 0;

    if (len > 0 && g->path.data[len - 1] != '/') {
        sb_putc(&g->path, '/');
    }
    sb_puts(&g->path, name);
    rc = matched(g, part, files_only);
    sb_truncate(&g->path, len);
    return rc;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names in the folder at g->path, sorted; empty where there is none. */
static int list(struct glob *g, struct paths *ret)
{
    DIR *dir = opendir(g->path.len ? g->path.data : ".");
    struct dirent *e;

    if (!dir) {
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : err_set(g->err, ERR_IO, errno, "cannot read the folder '%s'",
                             sb_text(&g->path));
    }
    while ((e = readdir(dir))) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            strcmp(e->d_name, ".git") != 0) {
            *vec_push(&ret->v) = xstrdup(e->d_name);
        }
    }
    closedir(dir);
    if (ret->v.len > 1) {
        qsort(ret->v.items, ret->v.len, sizeof(*ret->v.items), compare);
    }
    return 0;
}

static bool is_folder(struct glob *g, const char *name)
{
    CLEANUP(cleanup_free) char *path = xasprintf("%s/%s", sb_text(&g->path), name);
    struct stat st;

    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode); /* links are not followed by ** */
}

static int each_name(struct glob *g, size_t part)
{
    struct paths names = {0};
    bool any = strcmp(g->parts[part], "**") == 0;
    bool last = part + 1 == g->n_parts;
    int rc = list(g, &names);

    for (size_t k = 0; k < names.v.len && rc == 0; k++) {
        const char *name = names.v.items[k];
        if (!any) {
            rc = glob_match(g->parts[part], name) ? enter(g, name, part + 1, false) : 0;
            continue;
        }
        if (name[0] == '.') {
            continue;
        }
        if (is_folder(g, name)) {
            rc = enter(g, name, part, false);
        } else if (last) {
            rc = enter(g, name, part + 1, true);
        }
    }
    for (size_t k = 0; k < names.v.len; k++) {
        free((void *)(uintptr_t)names.v.items[k]);
    }
    vec_done(&names.v);
    return rc;
}

static int descend(struct glob *g, size_t part)
{
    int rc = 0;

    if (++g->depth > MAX_DEPTH) {
        return err_set(g->err, ERR_INVALID, 0, "the folders below '%s' are nested too deeply",
                       sb_text(&g->path));
    }
    if (strcmp(g->parts[part], "**") == 0) {
        rc = part + 1 < g->n_parts ? descend(g, part + 1) : 0; /* no folder at all */
        rc = rc == 0 ? each_name(g, part) : rc;
    } else if (glob_is_pattern(g->parts[part])) {
        rc = each_name(g, part);
    } else if (strcmp(g->parts[part], ".git") != 0) {
        rc = enter(g, g->parts[part], part + 1, false);
    }
    g->depth--;
    return rc;
}

int glob_expand(const char *root, const char *pattern, struct arena *a, struct paths *ret,
                struct err *err)
{
    struct glob g = {.a = a, .ret = ret, .err = err};
    CLEANUP(cleanup_free) char *copy = xstrdup(pattern);
    char *rest = copy, *part;
    size_t before = ret->v.len;

    while ((part = strsep(&rest, "/"))) {
        bool again =
            g.n_parts > 0 && strcmp(part, "**") == 0 && strcmp(g.parts[g.n_parts - 1], "**") == 0;
        if (*part == '\0' || strcmp(part, ".") == 0 || again) {
            continue;
        }
        if (g.n_parts == MAX_COMPONENTS) {
            return err_set(err, ERR_INVALID, 0, "the pattern '%s' has too many parts", pattern);
        }
        g.parts[g.n_parts++] = part;
    }
    if (g.n_parts == 0) {
        return 0;
    }
    if (*pattern == '/') {
        sb_putc(&g.path, '/');
    } else {
        sb_puts(&g.path, root);
        g.shown = g.path.len + (root[0] && root[strlen(root) - 1] != '/');
    }
    int rc = descend(&g, 0);
    sb_done(&g.path);
    /* Several ways lead to one file where ** is followed by more. */
    const char **items = ret->v.items;
    if (rc == 0 && ret->v.len > before + 1) {
        qsort(items + before, ret->v.len - before, sizeof(*items), compare);
        size_t kept = before + 1;
        for (size_t k = before + 1; k < ret->v.len; k++) {
            if (strcmp(items[k], items[kept - 1]) != 0) {
                items[kept++] = items[k];
            }
        }
        ret->v.len = kept;
    }
    return rc;
}

/* --- words --- */

/* Asked of each byte of each script: a switch, which becomes a test of one bit. */
static bool ends_word(char c)
{
    switch (c) {
    case '\0':
    case ' ':
    case '\t':
    case '\r':
    case '\n':
    case ';':
    case '&':
    case '|':
    case '<':
    case '>':
    case '(':
    case ')':
    case '`':
    case '\'':
    case '"':
    case '{':
    case '}':
    case '$':
    case '\\':
    case ',':
        return true;
    default:
        return false;
    }
}

static void give(const char *word, size_t len, void (*fn)(const char *, size_t, void *), void *arg)
{
    if (len == 0 || len >= 4096 || memchr(word, 1, len)) {
        return;
    }
    if (word[0] != '-') {
        fn(word, len, arg);
    }
    const char *equals = memchr(word, '=', len);
    if (equals && equals + 1 < word + len) {
        fn(equals + 1, len - (size_t)(equals + 1 - word), arg);
    }
}

/* A quoted text on one line with a blank in it: a file's name may hold one. */
static void give_quoted(const char *text, size_t len, size_t at,
                        void (*fn)(const char *, size_t, void *), void *arg)
{
    char quote = text[at];
    bool blank = false;

    for (size_t k = at + 1; k < len && text[k] != '\n'; k++) {
        if (text[k] == quote) {
            if (blank) {
                give(text + at + 1, k - at - 1, fn, arg);
            }
            return;
        }
        blank = blank || text[k] == ' ';
    }
}

void words_each(const char *text, size_t len, void (*fn)(const char *word, size_t len, void *arg),
                void *arg)
{
    size_t start = 0;

    for (size_t k = 0; k <= len; k++) {
        if (k < len && !ends_word(text[k])) {
            continue;
        }
        /* $NAME/x is no file's name; behind the name nothing new begins. */
        if (!(start > 0 && (text[start - 1] == '$' || text[start - 1] == '}'))) {
            give(text + start, k - start, fn, arg);
        }
        if (k < len && (text[k] == '"' || text[k] == '\'')) {
            give_quoted(text, len, k, fn, arg);
        }
        start = k + 1;
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/named.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "cache/id_map.h"
#include "cache/pick.h"
#include "cli/command.h"
#include "engine/history.h"

#include <string.h>

/* Adds the ids of `from` that are not there yet. */
static void merge(struct named *n, const int64_t *from, size_t count)
{
    struct id_map seen = {0};

    for (size_t i = 0; i < n->len; i++) {
        *id_map_put(&seen, n->items[i]) = 1;
    }
    for (size_t i = 0; i < count; i++) {
        if (from[i] > 0 && !id_map_get(&seen, from[i])) {
            *id_map_put(&seen, from[i]) = 1;
            *vec_push(n) = from[i];
        }
    }
    id_map_done(&seen);
}

int named_add_run(const struct cli *c, struct store *s, const char *word, struct named *n)
{
    struct err err = {0};
    char id[32];

    if (history_resolve(s, word, id, &err) < 0) {
        return cli_fail(c, &err);
    }
    struct arena *a = arena_new();
    struct past_run run;
    int code = EXIT_OK;
    if (history_load_bare(s, id, a, &run, &err) < 0) {
        code = cli_fail(c, &err);
    } else {
        int64_t *ids = xcalloc((size_t)run.n + 1, sizeof(*ids));
        for (uint32_t i = 0; i < run.n; i++) {
            ids[i] = run.steps[i].status.entry;
        }
        merge(n, ids, run.n);
        cleanup_free(&ids);
    }
    arena_free(a);
    return code;
}

struct ids {
    int64_t *items;
    size_t len, cap;
};

static bool collect(const struct picked *e, void *arg)
{
    struct ids *ids = arg;

    *vec_push(ids) = e->id;
    return true;
}

static int add_key(const struct cli *c, struct store *s, const struct digest *key, int64_t newest,
                   struct named *n)
{
    char hex[DIGEST_HEX + 1];
    struct err err = {0};

    if (!n->every) {
        merge(n, &newest, 1);
        return EXIT_OK;
    }
    digest_hex(key, hex);
    struct pick pick = {.key = hex};
    struct ids ids = {0};
    int rc = cache_pick(s, &pick, collect, &ids, &err);
    merge(n, ids.items, ids.len);
    vec_done(&ids);
    return rc < 0 ? cli_fail(c, &err) : EXIT_OK;
}

static int none(const struct cli *c, const char *word, bool runs)
{
    return runs ? cli_usage(c,
                            "no entry's key and no run's id begins with '%s'; `wf cache ls` and "
                            "`wf runs` list them",
                            word)
                : cli_usage(c, "no entry's key begins with '%s'; `wf cache ls` lists them", word);
}

int named_add(const struct cli *c, struct store *s, const char *word, bool runs, struct named *n)
{
    const char *hex = text_starts(word, "sha256:") ? word + 7 : word;
    struct digest key;
    struct err err = {0};
    int64_t id = 0;
    /* Runs' ids are written in capitals, keys are not; what is only digits is looked for as both, keys first. */
    bool is_key = *hex && strspn(hex, "0123456789abcdef") == strlen(hex);
    int rc = is_key ? cache_pick_key(s, hex, &id, &key, &err) : 1;

    if (rc < 0) {
        return cli_fail(c, &err);
    }
    if (rc == 2) {
        return cli_usage(c, "several entries' keys begin with '%s': give more of it", hex);
    }
    if (rc == 0) {
        return add_key(c, s, &key, id, n);
    }
    if (!runs || hex != word) {
        return none(c, hex, runs);
    }
    char run[32];
    if (history_resolve(s, word, run, &err) < 0) {
        return err.code == ERR_NOT_FOUND && !text_eq(word, "latest") ? none(c, word, true)
                                                                     : cli_fail(c, &err);
    }
    return named_add_run(c, s, run, n);
}

void named_done(struct named *n)
{
    vec_done(n);
}

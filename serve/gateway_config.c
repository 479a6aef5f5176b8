/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's configuration as JSON: written by the supervisor, read by the gateway. What cannot be right is refused here, so that the rest needs not look. */
#include "serve/gateway_config.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>
#include <sys/un.h>

enum { FILE_MAX = 16 << 20 };

static void put_texts(struct jsonw *w, const char *key, const char *const *texts)
{
    jw_key(w, key);
    jw_array(w);
    for (; texts && *texts; texts++) {
        jw_text(w, *texts);
    }
    jw_end_array(w);
}

static void put_member(struct jsonw *w, const struct gateway_member *m)
{
    jw_object(w);
    jw_kv_text(w, "slug", m->slug);
    jw_kv_text(w, "name", m->name);
    jw_key(w, "metric");
    jw_real(w, m->metric);
    jw_key(w, "replicas");
    jw_array(w);
    for (uint32_t i = 0; i < m->n_replicas; i++) {
        jw_object(w);
        if (m->replicas[i].socket) {
            jw_kv_text(w, "socket", m->replicas[i].socket);
        } else {
            jw_kv_i64(w, "port", m->replicas[i].port);
        }
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_end_object(w);
}

int gateway_write(const char *path, const struct gateway_config *c, struct err *err)
{
    CLEANUP(sb_done) struct str out = {0};
    struct jsonw w;

    jw_init(&w, &out, true);
    jw_object(&w);
    jw_kv_i64(&w, "generation", c->generation);
    jw_kv_text(&w, "socket", c->socket);
    jw_kv_text(&w, "name", c->name);
    jw_kv_text(&w, "method", method_names[c->method]);
    jw_kv_i64(&w, "quorum", c->quorum);
    jw_kv_i64(&w, "split", c->split);
    jw_kv_i64(&w, "max_body", (int64_t)c->max_body);
    jw_kv_i64(&w, "timeout_ms", c->timeout_ms);
    put_texts(&w, "command", c->command);
    put_texts(&w, "env", c->env);
    jw_key(&w, "members");
    jw_array(&w);
    for (uint32_t i = 0; i < c->n_members; i++) {
        put_member(&w, &c->members[i]);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    sb_putc(&out, '\n');
    return fs_write_file(path, out.data, out.len, 0600, false, err);
}

struct reader {
    struct arena *arena;
    struct err *err;
};

static int no(struct reader *r, const char *key, const char *what)
{
    return err_set(r->err, ERR_INVALID, 0, "\"%s\" is not %s", key, what);
}

static int read_text(struct reader *r, const json_t *o, const char *key, const char **ret)
{
    const json_t *v = json_object_get(o, key);

    if (!json_is_string(v) || json_string_length(v) == 0 ||
        strlen(json_string_value(v)) != json_string_length(v)) {
        return no(r, key, "a text");
    }
    *ret = arena_strdup(r->arena, json_string_value(v));
    return 0;
}

/* Absent: *ret stays. */
static int read_number(struct reader *r, const json_t *o, const char *key, int64_t max,
                       int64_t *ret)
{
    const json_t *v = json_object_get(o, key);

    if (!v) {
        return 0;
    }
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max) {
        return no(r, key, "a whole number in its range");
    }
    *ret = json_integer_value(v);
    return 0;
}

static int read_texts(struct reader *r, const json_t *o, const char *key, const char *const **ret)
{
    const json_t *list = json_object_get(o, key);

    if (list && !json_is_array(list)) {
        return no(r, key, "a list of texts");
    }
    const char **texts = arena_calloc(r->arena, json_array_size(list) + 1, sizeof(*texts));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_string(v)) {
            return no(r, key, "a list of texts");
        }
        texts[i] = arena_strdup(r->arena, json_string_value(v));
    }
    *ret = texts;
    return 0;
}

static int check_socket(struct reader *r, const char *path)
{
    if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        return err_set(r->err, ERR_INVALID, 0, "the path of the socket %s is too long", path);
    }
    return 0;
}

static int read_replica(struct reader *r, const json_t *o, struct gateway_replica *ret)
{
    int64_t port = 0;

    if (json_object_get(o, "socket")) {
        int rc = read_text(r, o, "socket", &ret->socket);
        return rc ? rc : check_socket(r, ret->socket);
    }
    int rc = read_number(r, o, "port", UINT16_MAX, &port);
    ret->port = (uint16_t)port;
    return rc ? rc : port ? 0 : no(r, "replicas", "a list of sockets and ports");
}

/* They stand in paths and headers as they are. */
static bool is_slug(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && len <= 64 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

static int read_member(struct reader *r, const json_t *o, struct gateway_member *ret)
{
    const json_t *list = json_object_get(o, "replicas");
    int rc = read_text(r, o, "slug", &ret->slug);

    rc = rc ? rc : read_text(r, o, "name", &ret->name);
    if (rc) {
        return rc;
    }
    if (!is_slug(ret->slug)) {
        return no(r, "slug", "made of 1 to 64 letters, digits and ._-");
    }
    if (!json_is_array(list)) {
        return no(r, "replicas", "a list of sockets and ports");
    }
    ret->metric = json_number_value(json_object_get(o, "metric"));
    ret->n_replicas = (uint32_t)json_array_size(list);
    struct gateway_replica *replicas =
        arena_calloc(r->arena, ret->n_replicas + 1, sizeof(*replicas));
    for (uint32_t i = 0; i < ret->n_replicas && rc == 0; i++) {
        rc = read_replica(r, json_array_get(list, i), &replicas[i]);
    }
    ret->replicas = replicas;
    return rc;
}

static int read_members(struct reader *r, const json_t *o, struct gateway_config *c)
{
    const json_t *list = json_object_get(o, "members");
    int rc = 0;

    if (!json_is_array(list)) {
        return no(r, "members", "a list");
    }
    c->n_members = (uint32_t)json_array_size(list);
    struct gateway_member *members = arena_calloc(r->arena, c->n_members + 1, sizeof(*members));
    for (uint32_t i = 0; i < c->n_members && rc == 0; i++) {
        rc = read_member(r, json_array_get(list, i), &members[i]);
        for (uint32_t k = 0; k < i && rc == 0; k++) {
            if (text_eq(members[k].slug, members[i].slug)) {
                rc =
                    err_set(r->err, ERR_INVALID, 0, "two members are called '%s'", members[k].slug);
            }
        }
    }
    c->members = members;
    return rc;
}

static int read_method(struct reader *r, const json_t *o, enum method *ret)
{
    const char *name = NULL;
    int rc = read_text(r, o, "method", &name);

    for (int m = 0; m < METHOD_COUNT && rc == 0; m++) {
        if (text_eq(name, method_names[m])) {
            *ret = (enum method)m;
            return 0;
        }
    }
    return no(r, "method", "mean, vote, union, concat, best or command");
}

static int read_all(struct reader *r, const json_t *o, struct gateway_config *c)
{
    int64_t quorum = 1, split = 0, max_body = 0;
    int rc = read_number(r, o, "generation", INT64_MAX, &c->generation);

    rc = rc ? rc : read_text(r, o, "socket", &c->socket);
    rc = rc ? rc : check_socket(r, c->socket);
    rc = rc ? rc : read_text(r, o, "name", &c->name);
    rc = rc ? rc : read_method(r, o, &c->method);
    rc = rc ? rc : read_number(r, o, "quorum", UINT32_MAX, &quorum);
    rc = rc ? rc : read_number(r, o, "split", UINT32_MAX, &split);
    rc = rc ? rc : read_number(r, o, "max_body", INT64_C(1) << 40, &max_body);
    rc = rc ? rc : read_number(r, o, "timeout_ms", INT64_C(1) << 40, &c->timeout_ms);
    rc = rc ? rc : read_texts(r, o, "command", &c->command);
    rc = rc ? rc : read_texts(r, o, "env", &c->env);
    rc = rc ? rc : read_members(r, o, c);
    c->quorum = quorum ? (uint32_t)quorum : 1;
    c->split = (uint32_t)split;
    c->max_body = max_body ? (uint64_t)max_body : GATEWAY_MAX_BODY;
    c->timeout_ms = c->timeout_ms ? c->timeout_ms : GATEWAY_TIMEOUT_MS;
    if (rc == 0 && c->method == METHOD_COMMAND && !c->command[0]) {
        rc = no(r, "command", "there, which method \"command\" needs");
    }
    return rc;
}

int gateway_read(const char *path, struct arena *a, struct gateway_config *ret, struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    CLEANUP(cleanup_json) json_t *doc = NULL;
    struct reader r = {.arena = a, .err = err};
    struct gateway_config c = {0};
    int rc = fs_read_file(path, FILE_MAX, &text, err);

    if (rc) {
        return rc;
    }
    rc = json_read(sb_text(&text), text.len, FILE_MAX, &doc, err);
    if (rc == 0 && !json_is_object(doc)) {
        rc = err_set(err, ERR_INVALID, 0, "it is no JSON object");
    }
    rc = rc ? rc : read_all(&r, doc, &c);
    if (rc) {
        return err_wrap(err, "%s", path);
    }
    *ret = c;
    return 0;
}

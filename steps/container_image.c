/* SPDX-License-Identifier: Apache-2.0 */
/* Images: what a name stands for is asked once per executor and name, after a pull where the step wants
 * one. Identity is the digest of what the image does, never its tag or its engine's id: those change with
 * moves, pushes and formats. */
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/vec.h"
#include "steps/container_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_LEN = 1 << 20, LOSSES_MAX = 3 };

struct image_waiter {
    image_fn fn;
    void *arg;
};

enum image_state { IMAGE_ASKING, IMAGE_KNOWN, IMAGE_FAILED };
struct image_entry {
    struct link link;
    struct containers *c;
    char *key; /* "POLICY NAME", in image_names */
    const char *name;
    enum pull_policy pull;
    enum image_state state;
    bool pulled;
    unsigned losses;
    uint64_t epoch;
    struct waiter need;
    struct api_call *call;
    struct str line;  /* of the pull's stream */
    char *pull_error; /* what the stream said */
    struct timer *tell;
    VEC(struct image_waiter) waiters;
    struct image image;
    char *user;
    struct err err;
};

static void ask(struct image_entry *e);

/* --- the answer --- */

static void tell(void *arg)
{
    struct image_entry *e = arg;
    const struct err *err = e->state == IMAGE_FAILED ? &e->err : NULL;
    /* A callback may ask again: it is answered by the same list. */
    for (size_t i = 0; i < e->waiters.len; i++) {
        struct image_waiter w = e->waiters.items[i];
        w.fn(err ? NULL : &e->image, err, w.arg);
    }
    vec_clear(&e->waiters);
}

static void finish(struct image_entry *e, enum image_state state)
{
    e->state = state;
    tell(e);
}

static void fail(struct image_entry *e, enum err_code code, const char *message)
{
    err_set(&e->err, code, 0, "%s", message);
    finish(e, IMAGE_FAILED);
}

static const char *engine_program(const struct image_entry *e)
{
    return e->c->engine.libpod ? "podman" : "docker";
}

/* Not on this machine, and not to be had. `why` may be "". */
static void fail_missing(struct image_entry *e, const char *why)
{
    CLEANUP(sb_done) struct str text = {0};
    const char *name = e->name;
    bool local = text_starts(name, "localhost/");
    if (!why[0]) {
        sb_printf(&text, "image '%s' is not on this machine", name);
        if (!local) {
            sb_puts(&text, " and the step says pull: never");
        }
    } else {
        sb_printf(&text, "image '%s' could not be pulled: %.500s", name, why);
    }
    sb_printf(&text, "; build it with `%s build -t %s .`", engine_program(e), name);
    if (!local) {
        sb_printf(&text, ", or pull it with `%s pull %s`", engine_program(e), name);
    }
    fail(e, ERR_NOT_FOUND, sb_text(&text));
}

/* --- identity --- */

/* A list of texts of `from`; null and absent are the empty list. New reference. */
static json_t *texts_of(const json_t *from, const char *key)
{
    json_t *list = json_object_get(from, key);
    return json_is_array(list) ? json_deep_copy(list) : json_array();
}

static void digest_identity(const json_t *doc, struct digest *ret)
{
    const json_t *config = json_object_get(doc, "Config");
    const char *workdir = json_text(config, "WorkingDir");
    CLEANUP(cleanup_json) json_t *id = json_object();
    json_object_set_new(id, "os", json_string(json_text(doc, "Os")));
    json_object_set_new(id, "architecture", json_string(json_text(doc, "Architecture")));
    json_object_set_new(id, "variant", json_string(json_text(doc, "Variant")));
    json_object_set_new(id, "layers", texts_of(json_object_get(doc, "RootFS"), "Layers"));
    json_object_set_new(id, "env", texts_of(config, "Env"));
    json_object_set_new(id, "entrypoint", texts_of(config, "Entrypoint"));
    json_object_set_new(id, "command", texts_of(config, "Cmd"));
    json_object_set_new(id, "user", json_string(json_text(config, "User")));
    json_object_set_new(id, "workdir", json_string(workdir[0] ? workdir : "/"));
    CLEANUP(sb_done) struct str text = {0};
    json_write_canonical(id, &text);
    digest_of(text.data, text.len, ret);
}

static bool read_image(struct image_entry *e, const json_t *doc)
{
    const json_t *config = json_object_get(doc, "Config");
    const char *id = json_text(doc, "Id");
    if (!id[0] || strlen(id) + 8 > sizeof(e->image.id) ||
        json_array_size(json_object_get(json_object_get(doc, "RootFS"), "Layers")) == 0) {
        return false;
    }
    snprintf(e->image.id, sizeof(e->image.id), "%s%s", strchr(id, ':') ? "" : "sha256:", id);
    e->user = xstrdup(json_text(config, "User"));
    e->image.user = e->user;
    e->image.name = e->name;
    e->image.has_entrypoint = json_array_size(json_object_get(config, "Entrypoint")) > 0 ||
                              json_array_size(json_object_get(config, "Cmd")) > 0;
    digest_identity(doc, &e->image.digest);
    return true;
}

/* --- pulling --- */

/* One line of the stream: {"status":…} or {"error":…}; the last error counts. */
static void read_pull_line(struct image_entry *e, const char *line, size_t len)
{
    CLEANUP(cleanup_json) json_t *doc = api_json(line, len);
    const char *error = doc ? json_text(doc, "error") : "";
    if (doc && !error[0]) {
        error = json_text(json_object_get(doc, "errorDetail"), "message");
    }
    if (error[0]) {
        free(e->pull_error);
        e->pull_error = xstrdup(error);
    }
}

static bool on_pull_data(const void *data, size_t len, void *arg)
{
    struct image_entry *e = arg;
    const char *p = data, *end = p + len;
    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((nl ? nl : end) - p);
        if (e->line.len + n <= LINE_MAX_LEN) {
            sb_add(&e->line, p, n);
        }
        if (nl) {
            read_pull_line(e, sb_text(&e->line), e->line.len);
            sb_clear(&e->line);
        }
        p += n + (nl ? 1 : 0);
    }
    return true;
}

static void no_answer(struct image_entry *e)
{
    engine_lost(e->c, e->epoch);
    if (e->losses++ >= LOSSES_MAX) {
        fail(e, ERR_NET, "the container engine stopped answering again and again; see `wf doctor`");
    } else {
        engine_need(e->c, &e->need);
    }
}

static void on_pulled(const struct api_reply *r, void *arg)
{
    struct image_entry *e = arg;
    e->call = NULL;
    if (e->line.len > 0) {
        read_pull_line(e, e->line.data, e->line.len);
        sb_clear(&e->line);
    }
    if (r->status == 0) {
        no_answer(e);
    } else if (e->pull_error || r->status >= 400) {
        fail_missing(e, e->pull_error        ? e->pull_error
                        : r->message[0] != 0 ? r->message
                                             : "the engine gives no reason");
    } else {
        e->pulled = true;
        ask(e);
    }
}

static void pull(struct image_entry *e)
{
    CLEANUP(sb_done) struct str path = {0};
    sb_puts(&path, "/images/create?fromImage=");
    api_escape(&path, e->name, "/:@");
    /* Without a tag docker pulls all of them. */
    const char *base = strrchr(e->name, '/');
    if (!strchr(base ? base : e->name, ':') && !strchr(e->name, '@')) {
        sb_puts(&path, "&tag=latest");
    }
    struct api_request r = {.method = "POST", .path = sb_text(&path), .on_data = on_pull_data};
    log_debug("container", "pulling %s", e->name);
    free(e->pull_error);
    e->pull_error = NULL;
    e->call = api_start(e->c, &r, on_pulled, e);
}

/* --- asking --- */

static void on_image(const struct api_reply *r, void *arg)
{
    struct image_entry *e = arg;
    e->call = NULL;
    if (r->status == 0) {
        no_answer(e);
    } else if (r->status == 404) {
        bool may_pull = e->pull != PULL_NEVER && !e->pulled &&
                        !(e->pull == PULL_MISSING && text_starts(e->name, "localhost/"));
        if (may_pull) {
            pull(e);
        } else {
            fail_missing(e, e->pulled ? "the engine says it was pulled, yet does not have it" : "");
        }
    } else {
        CLEANUP(cleanup_json) json_t *doc = r->status == 200 ? api_json(r->body, r->len) : NULL;
        if (doc && read_image(e, doc)) {
            finish(e, IMAGE_KNOWN);
            return;
        }
        CLEANUP(sb_done) struct str text = {0};
        sb_printf(&text, "the container engine cannot say what image '%s' is%s%.300s", e->name,
                  r->message[0] ? ": " : "", r->message);
        fail(e, r->status == 400 ? ERR_INVALID : ERR_NET, sb_text(&text));
    }
}

static void ask(struct image_entry *e)
{
    CLEANUP(sb_done) struct str path = {0};
    sb_puts(&path, "/images/");
    api_escape(&path, e->name, "/:@");
    sb_puts(&path, "/json");
    struct api_request r = {.path = sb_text(&path)};
    e->call = api_start(e->c, &r, on_image, e);
}

static void on_engine(const struct err *err, void *arg)
{
    struct image_entry *e = arg;
    if (err) {
        e->err = *err;
        finish(e, IMAGE_FAILED);
        return;
    }
    e->epoch = e->c->epoch;
    if (e->pull == PULL_ALWAYS && !e->pulled) {
        pull(e);
    } else {
        ask(e);
    }
}

void container_image(struct executor *x, const char *name, enum pull_policy pull_when,
                     image_fn on_done, void *arg)
{
    struct containers *c = CONTAINER_OF(x, struct containers, x);
    CLEANUP(cleanup_free) char *key = xasprintf("%d %s", (int)pull_when, name);
    struct image_entry *e = map_get_text(&c->image_names, key);
    if (e) {
        *vec_push(&e->waiters) = (struct image_waiter){on_done, arg};
        if (e->state != IMAGE_ASKING) {
            timer_start(e->tell, 0, 0);
        }
        return;
    }
    e = xcalloc(1, sizeof(*e));
    e->c = c;
    e->key = take_ptr(key);
    e->name = strchr(e->key, ' ') + 1;
    e->pull = pull_when;
    e->tell = timer_new(c->loop, tell, e);
    e->need = (struct waiter){.fn = on_engine, .arg = e};
    link_init(&e->need.link);
    link_add(&c->images, &e->link);
    map_put_text(&c->image_names, e->key, e);
    *vec_push(&e->waiters) = (struct image_waiter){on_done, arg};
    engine_need(c, &e->need);
}

const char *image_name(const struct containers *c, const char *id)
{
    for (struct link *l = c->images.next; l != &c->images; l = l->next) {
        const struct image_entry *e = CONTAINER_OF(l, struct image_entry, link);
        if (strcmp(e->image.id, id) == 0) {
            return e->name;
        }
    }
    return id;
}

void image_close(struct containers *c)
{
    while (c->images.next != &c->images) {
        struct image_entry *e = CONTAINER_OF(c->images.next, struct image_entry, link);
        link_remove(&e->link);
        api_abort(e->call);
        engine_forget(&e->need);
        timer_free(e->tell);
        vec_done(&e->waiters);
        sb_done(&e->line);
        free(e->pull_error);
        free(e->user);
        free(e->key);
        free(e);
    }
    map_done(&c->image_names);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's end of the lines (wire.h). Its socket lies in our private folder: who can connect is this user. */
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "serve/line.h"
#include "serve/supervisor_impl.h"
#include "serve/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TEXT_MAX_BYTES = 4 << 20 };

struct peer {
    struct control *control;
    struct line *line;
    char *run;
    bool greeted, asking;
    struct peer *next;
};
struct control {
    struct supervisor *sup;
    char *path;
    int fd;
    struct watch *watch;
    struct peer *peers;
};

/* --- what is said --- */

static void learn_secrets(struct supervisor *u, const char *run, json_t *secrets)
{
    const char *name;
    json_t *value;
    json_object_foreach(secrets, name, value)
    {
        if (json_is_string(value)) {
            *vec_push(&u->secrets) = (struct secret_value){xstrdup(run), xstrdup(name),
                                                           xstrdup(json_string_value(value))};
        }
    }
}

static void send_state(struct peer *p, const struct service *s)
{
    CLEANUP(sb_done) struct str text = {0};
    struct service_row row = s->row;
    row.workflow = s->workflow;
    row.step = s->step;
    row.run = s->run;
    wire_state(&row, &text);
    line_send(p->line, text.data, text.len);
}

static void on_hello(struct peer *p, const json_t *hello)
{
    struct supervisor *u = p->control->sup;
    const char *run = json_string_value(json_object_get(hello, "run"));
    p->greeted = true;
    u->expected = false;
    free(p->run);
    p->run = run ? xstrdup(run) : NULL;
    if (run) {
        learn_secrets(u, run, json_object_get(hello, "secrets"));
        supervisor_hello(u, run);
    }
    for (size_t i = 0; i < u->services.len; i++) {
        if (u->services.items[i]->written) {
            send_state(p, u->services.items[i]);
        }
    }
}

static void answer(struct peer *p)
{
    const struct supervisor *u = p->control->sup;
    CLEANUP(sb_done) struct str out = {0};
    struct jsonw w;
    jw_init(&w, &out, false);
    jw_object(&w);
    jw_key(&w, "answer");
    jw_array(&w);
    for (size_t i = 0; i < u->services.len; i++) {
        service_describe(u->services.items[i], &w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    p->asking = false;
    line_send(p->line, out.data, out.len);
}

void control_answer(struct control *c)
{
    for (struct peer *p = c->peers; p; p = p->next) {
        if (p->asking) {
            answer(p);
        }
    }
}

static void on_text(const char *text, size_t len, void *arg)
{
    struct peer *p = arg;
    CLEANUP(cleanup_json) json_t *o = NULL;
    struct err err = {0};
    if (json_read(text, len, TEXT_MAX_BYTES, &o, &err) < 0) {
        log_debug("serve", "%s", err.msg);
        return;
    }
    const json_t *hello = json_object_get(o, "hello");
    if (hello) {
        on_hello(p, hello);
    }
    if (json_object_get(o, "look")) {
        supervisor_look(p->control->sup);
    }
    if (json_object_get(o, "ask")) {
        p->asking = true;
        looks_now(p->control->sup);
    }
}

/* --- connections --- */

static void peer_free(struct peer *p)
{
    struct peer **at = &p->control->peers;
    while (*at != p) {
        at = &(*at)->next;
    }
    *at = p->next;
    line_free(p->line);
    free(p->run);
    free(p);
}

static void on_end(void *arg)
{
    struct peer *p = arg;
    struct supervisor *u = p->control->sup;
    CLEANUP(cleanup_free) char *run = p->run;
    p->run = NULL;
    peer_free(p);
    if (run) {
        supervisor_bye(u, run);
    }
    supervisor_soon(u);
}

static void on_connection(int events, void *arg)
{
    struct control *c = arg;
    (void)events;
    int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        return;
    }
    struct peer *p = xcalloc(1, sizeof(*p));
    struct line_calls calls = {.on_text = on_text, .on_end = on_end, .arg = p};
    *p = (struct peer){.control = c, .next = c->peers};
    c->peers = p;
    p->line = line_new(c->sup->loop, fd, &calls);
}

int control_open(struct supervisor *u, struct control **ret, struct err *err)
{
    struct control *c = xcalloc(1, sizeof(*c));
    c->sup = u;
    c->path = xasprintf("%s/control", u->run_dir);
    unlink(c->path); /* of one that was killed: its lock was ours to take */
    c->fd = unix_listen(c->path);
    if (c->fd < 0) {
        int rc = err_set(err, ERR_IO, errno, "the supervisor's socket %s cannot be made", c->path);
        free(c->path);
        free(c);
        return rc;
    }
    c->watch = watch_new(u->loop, c->fd, WATCH_READ, on_connection, c);
    *ret = c;
    return 0;
}

void control_close(struct control *c)
{
    if (!c) {
        return;
    }
    unlink(c->path);
    watch_free(c->watch);
    close(c->fd);
    while (c->peers) {
        peer_free(c->peers);
    }
    free(c->path);
    free(c);
}

void control_tell(struct control *c, const char *text, size_t len)
{
    for (struct peer *p = c->peers; p; p = p->next) {
        if (p->greeted) {
            line_send(p->line, text, len);
        }
    }
}

bool control_has_run(const struct control *c, const char *run)
{
    for (const struct peer *p = c->peers; p; p = p->next) {
        if (text_eq(p->run, run) && run) {
            return true;
        }
    }
    return false;
}

bool control_in_use(const struct control *c)
{
    return c->peers != NULL;
}

const char *control_path(const struct control *c)
{
    return c->path;
}

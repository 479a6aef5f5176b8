/* SPDX-License-Identifier: Apache-2.0 */
/* Removing containers: of jobs that ended, and those a killed wf left behind. Nobody waits for it but
 * `drain`; what cannot be removed now is found by its label in a later run. */
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "cache/store.h"
#include "steps/container_impl.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIES_MAX = 3, LIST_MS = 60000 };

struct removal {
    struct link link;
    struct containers *c;
    struct waiter need;
    struct api_call *call;
    uint64_t epoch;
    unsigned tries;
    char name[];
};

struct reap {
    struct link link;
    struct containers *c;
    struct store *store;
    struct waiter need;
    struct api_call *call;
};

/* --- one container --- */

static void removal_free(struct removal *r)
{
    api_abort(r->call);
    engine_forget(&r->need);
    link_remove(&r->link);
    free(r);
}

/* podman's container monitors are re-parented to us where its service is our child. They are sessions of
 * their own, which our children never are; the dead are buried here, for nobody else would. */
static void bury_monitors(const struct containers *c)
{
    if (!c->service_starts) {
        return;
    }
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(cleanup_file) FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (!f) {
        return;
    }
    fd = -1;
    int pid;
    while (fscanf(f, "%d", &pid) == 1) {
        siginfo_t info;
        if (getsid(pid) == pid) {
            waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG);
        }
    }
}

static void on_removed(const struct api_reply *reply, void *arg)
{
    struct removal *r = arg;
    r->call = NULL;
    if (reply->status == 0 && ++r->tries < TRIES_MAX) {
        engine_lost(r->c, r->epoch);
        engine_need(r->c, &r->need);
        return;
    }
    if (reply->status != 204 && reply->status != 404) {
        log_debug("container", "%s was not removed: %s", r->name, reply->message);
    }
    bury_monitors(r->c);
    removal_free(r);
}

static void on_engine(const struct err *err, void *arg)
{
    struct removal *r = arg;
    if (err) {
        log_debug("container", "%s was not removed: %s", r->name, err->msg);
        removal_free(r);
        return;
    }
    CLEANUP(sb_done) struct str path = {0};
    /* t=0: podman would give a running one ten seconds. */
    sb_printf(&path, "/containers/%s?force=1&v=1&t=0", r->name);
    struct api_request request = {.method = "DELETE", .path = sb_text(&path)};
    r->epoch = r->c->epoch;
    r->call = api_start(r->c, &request, on_removed, r);
}

void reap_remove(struct containers *c, const char *name)
{
    size_t size = strlen(name) + 1;
    struct removal *r = xcalloc(1, sizeof(*r) + size);
    memcpy(r->name, name, size);
    r->c = c;
    r->need = (struct waiter){.fn = on_engine, .arg = r};
    link_init(&r->need.link);
    link_add(&c->removals, &r->link);
    engine_need(c, &r->need);
}

/* --- what a killed wf left --- */

static void reap_free(struct reap *p)
{
    api_abort(p->call);
    engine_forget(&p->need);
    link_remove(&p->link);
    free(p);
}

static void on_list(const struct api_reply *reply, void *arg)
{
    struct reap *p = arg;
    p->call = NULL;
    json_t *list = NULL;
    if (reply->status == 200) {
        json_read(reply->body, reply->len, 64 << 20, &list, NULL);
    }
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        const char *id = json_text(item, "Id");
        const char *run = json_text(json_object_get(item, "Labels"), "wf.run");
        /* Replicas of services outlive runs; their supervisor has a record of each (serve/replica.h). */
        bool serves = strcmp(run, "serve") == 0;
        if (id[0] && !serves && !store_is_live(p->store, run)) {
            log_debug("container", "removing a container left by run %s", run);
            reap_remove(p->c, id);
        }
    }
    json_decref(list);
    reap_free(p);
}

static void on_engine_for_list(const struct err *err, void *arg)
{
    struct reap *p = arg;
    if (err) {
        reap_free(p); /* no engine: nothing of ours runs there */
        return;
    }
    CLEANUP(sb_done) struct str filter = {0}, path = {0};
    sb_printf(&filter, "{\"label\":[\"wf.store=%s\"]}", store_id(p->store));
    sb_puts(&path, "/containers/json?all=1&filters=");
    api_escape(&path, sb_text(&filter), "");
    struct api_request request = {.path = sb_text(&path), .timeout_ms = LIST_MS};
    p->call = api_start(p->c, &request, on_list, p);
}

void reap_orphans(struct containers *c, struct store *s)
{
    struct reap *p = xcalloc(1, sizeof(*p));
    p->c = c;
    p->store = s;
    p->need = (struct waiter){.fn = on_engine_for_list, .arg = p};
    link_init(&p->need.link);
    link_add(&c->reaps, &p->link);
    engine_need(c, &p->need);
}

bool reap_busy(const struct containers *c)
{
    return c->removals.next != &c->removals || c->reaps.next != &c->reaps;
}

void reap_close(struct containers *c)
{
    while (c->removals.next != &c->removals) {
        removal_free(CONTAINER_OF(c->removals.next, struct removal, link));
    }
    while (c->reaps.next != &c->reaps) {
        reap_free(CONTAINER_OF(c->reaps.next, struct reap, link));
    }
    bury_monitors(c);
}

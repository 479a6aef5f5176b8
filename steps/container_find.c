/* SPDX-License-Identifier: Apache-2.0 */
/* Finding an engine: the sockets of the usual places are asked who they are; where none answers and
 * podman is installed, a `podman system service` of our own is started. It ends with us; containers do
 * not. Asking blocks and is done on the pool. */
#include "base/child.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "base/vec.h"
#include "steps/container_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum {
    PING_MS = 10000,
    PATIENCE_START_MS = 30000, /* a first start of podman may convert its store */
    PATIENCE_BACK_MS = 30000,  /* an engine that was lost is restarted by its supervisor */
    FAILED_MS = 30000,         /* how long a lost engine's failure is believed */
    RETRY_MS = 10,
    SERVICE_STARTS_MAX = 5,
    CANDIDATES_MAX = 4,
    API_MINOR_MAX = 44, /* what we know; engines of 2025 refuse anything below 1.44 */
};

/* One look, on the pool. It outlives the executor if need be. */
struct look {
    struct containers *c; /* loop thread only */
    char *candidates[CANDIDATES_MAX];
    size_t n;
    int64_t patience_ms; /* 0: each is asked once */
    atomic_bool give_up;
    bool found;
    struct engine engine;
    struct err err; /* of the last candidate that is there but does not answer */
};

static const char doctor[] = "`wf doctor` shows what was looked for";

/* --- asking a socket who it is (pool) --- */

/* A header's value in `head`, or NULL; copied to `out`. */
static bool header_value(const char *head, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);
    for (const char *line = head; (line = strchr(line, '\n'));) {
        line++;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            const char *value = line + len + 1;
            value += strspn(value, " ");
            size_t n = strcspn(value, "\r\n");
            snprintf(out, size, "%.*s", (int)n, value);
            return true;
        }
    }
    return false;
}

static int ask(const char *socket_path, struct engine *ret, struct err *err)
{
    CLEANUP(sb_done) struct str head = {0}, body = {0};
    struct engine e = {0};
    char text[64] = "";
    int status = 0;
    int rc = api_get_now(socket_path, "/_ping", PING_MS, &status, &head, &body, err);
    if (rc < 0) {
        return rc;
    }
    if (status != 200) {
        return err_set(err, ERR_NET, 0, "'%s' answers with status %d: it is no container engine",
                       socket_path, status);
    }
    unsigned major = 1, minor = 41;
    if (header_value(head.data, "Api-Version", text, sizeof(text))) {
        sscanf(text, "%u.%u", &major, &minor);
    }
    snprintf(e.compat, sizeof(e.compat), "/v1.%u", minor > API_MINOR_MAX ? API_MINOR_MAX : minor);
    if (header_value(head.data, "Libpod-Api-Version", e.version, sizeof(e.version))) {
        e.libpod = true;
        snprintf(e.native, sizeof(e.native), "/v%s/libpod", e.version);
    } else if (header_value(head.data, "Server", text, sizeof(text)) &&
               text_starts(text, "Docker/")) {
        snprintf(e.version, sizeof(e.version), "%.*s", (int)strcspn(text + 7, " "), text + 7);
    }
    snprintf(e.socket, sizeof(e.socket), "%s", socket_path);
    *ret = e;
    return 0;
}

static void look_work(void *arg)
{
    struct look *k = arg;
    int64_t until = mono_us() + k->patience_ms * 1000;
    for (;;) {
        for (size_t i = 0; i < k->n; i++) {
            struct err err = {0};
            if (ask(k->candidates[i], &k->engine, &err) == 0) {
                k->found = true;
                return;
            }
            if (err.code != ERR_NOT_FOUND) {
                k->err = err;
            }
        }
        if (atomic_load(&k->give_up) || mono_us() >= until) {
            return;
        }
        struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
}

/* --- looks (loop) --- */

static void look_done(void *arg);

static void look_start(struct containers *c, const char *const *candidates, size_t n,
                       int64_t patience_ms)
{
    struct look *k = xcalloc(1, sizeof(*k));
    k->c = c;
    for (size_t i = 0; i < n; i++) {
        k->candidates[i] = xstrdup(candidates[i]);
    }
    k->n = n;
    k->patience_ms = patience_ms;
    c->state = ENGINE_LOOKING;
    c->look = k;
    loop_work(c->loop, look_work, look_done, k);
}

static void tell_needs(struct containers *c)
{
    const struct err *err = c->state == ENGINE_FAILED ? &c->problem : NULL;
    struct link now;
    /* A callback may add needs of its own, or forget others. */
    link_init(&now);
    while (c->needs.next != &c->needs) {
        struct link *l = c->needs.next;
        link_remove(l);
        link_add(&now, l);
    }
    while (now.next != &now) {
        struct waiter *w = CONTAINER_OF(now.next, struct waiter, link);
        link_remove(&w->link);
        w->fn(err, w->arg);
    }
}

static void on_deliver(void *arg)
{
    struct containers *c = arg;
    if (c->state == ENGINE_FAILED) {
        tell_needs(c);
    }
}

static void engine_failed(struct containers *c)
{
    c->state = ENGINE_FAILED;
    c->failed_at_us = mono_us();
    if (!c->deliver) {
        c->deliver = timer_new(c->loop, on_deliver, c);
    }
    timer_start(c->deliver, 0, 0);
}

static void engine_found(struct containers *c, const struct engine *e)
{
    if (!c->http && http_open(c->loop, &c->http, &c->problem) < 0) {
        engine_failed(c);
        return;
    }
    http_bound(c->http, 0); /* each container holds a connection for as long as it lives */
    c->engine = *e;
    c->epoch++;
    c->state = ENGINE_READY;
    log_debug("container", "%s %s at %s", e->libpod ? "podman" : "docker", e->version, e->socket);
    tell_needs(c);
}

/* --- our own service --- */

/* The last line of what it wrote; owned by the caller. */
static char *service_words(const struct containers *c)
{
    CLEANUP(cleanup_free) char *path = fs_join(c->service_dir, "log");
    CLEANUP(sb_done) struct str text = {0};
    if (fs_read_file(path, 1 << 20, &text, NULL) < 0) {
        return xstrdup("");
    }
    while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == ' ')) {
        sb_truncate(&text, text.len - 1);
    }
    const char *last = text.len ? strrchr(text.data, '\n') : NULL;
    const char *words = last ? last + 1 : sb_text(&text);
    return xasprintf(" (%.300s)", words);
}

static void on_service_exit(const struct child_exit *how, void *arg)
{
    struct containers *c = arg;
    log_debug("container", "the podman service ended (exit %d, signal %d)", how->exit_code,
              how->signal);
    child_free(c->service);
    c->service = NULL;
    if (c->look) {
        atomic_store(&c->look->give_up, true);
    }
}

/* Folders of services whose wf was killed: nobody holds their lock. */
static void sweep_folders(const char *base)
{
    DIR *d = opendir(base);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        if (!text_starts(e->d_name, "wf-engine.")) {
            continue;
        }
        CLEANUP(cleanup_free) char *dir = fs_join(base, e->d_name);
        CLEANUP(cleanup_free) char *lock = fs_join(dir, "lock");
        CLEANUP(cleanup_close) int fd = open(lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        struct stat st;
        if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() &&
            flock(fd, LOCK_EX | LOCK_NB) == 0) {
            fs_remove_tree(dir, NULL);
        }
    }
    if (d) {
        closedir(d);
    }
}

/* A short private folder: a socket's path is limited to 107 bytes. */
static int make_folder(struct containers *c, struct err *err)
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    struct stat st;
    if (!base || base[0] != '/' || strlen(base) > 70 || stat(base, &st) < 0 ||
        !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || access(base, W_OK) < 0) {
        base = "/tmp";
    }
    sweep_folders(base);
    CLEANUP(cleanup_free) char *dir = xasprintf("%s/wf-engine.XXXXXX", base);
    if (!mkdtemp(dir)) {
        return err_set(err, ERR_IO, errno, "cannot make a folder for the engine's socket in '%s'",
                       base);
    }
    CLEANUP(cleanup_free) char *lock = fs_join(dir, "lock");
    int rc = fs_lock(lock, true, false, &c->service_lock, err);
    if (rc < 0) {
        fs_remove_tree(dir, NULL);
        return rc;
    }
    c->service_dir = take_ptr(dir);
    return 0;
}

static int spawn_service(struct containers *c, const char *podman, const char *socket_path,
                         struct err *err)
{
    extern char **environ;
    CLEANUP(cleanup_free) char *url = xasprintf("unix://%s", socket_path);
    CLEANUP(cleanup_free) char *log_path = fs_join(c->service_dir, "log");
    CLEANUP(cleanup_close)
    int log_fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    const char *argv[] = {podman, "system", "service", "--time=0", url, NULL};
    /* Without a token: containers' monitors are its descendants, and must outlive it. Without the variables that
     * turn podman into a client of some other service, which cannot serve itself. */
    static const char *const dropped[] = {
        "WF_TOKEN=", "CONTAINER_HOST=", "CONTAINER_CONNECTION=", "CONTAINER_SSHKEY="};
    size_t n = 0;
    while (environ[n]) {
        n++;
    }
    CLEANUP(cleanup_free) const char **env = xcalloc(n + 1, sizeof(*env));
    for (size_t i = 0, to = 0; i < n; i++) {
        bool keep = true;
        for (size_t k = 0; k < ARRAY_LEN(dropped); k++) {
            keep = keep && !text_starts(environ[i], dropped[k]);
        }
        if (keep) {
            env[to++] = environ[i];
        }
    }
    struct child_spec spec = {
        .program = podman,
        .argv = argv,
        .envp = env,
        .cwd = "/",
        .stdin_fd = -1,
        .stdout_fd = log_fd,
        .stderr_fd = log_fd,
        .extra_fd = -1,
    };
    return child_spawn(c->loop, &spec, on_service_exit, c, &c->service, err);
}

/* Negative: no engine can be had. */
static int service_start(struct containers *c, struct err *err)
{
    CLEANUP(cleanup_free) char *podman = fs_find_program("podman", "/", getenv("PATH"));
    if (!podman) {
        if (c->problem.code == ERR_DENIED) {
            return err_set(err, ERR_ENGINE, 0,
                           "%.300s: this user may not use the container engine; join its group "
                           "(usermod -aG docker) or install podman; %s",
                           c->problem.msg, doctor);
        }
        return err_set(err, ERR_ENGINE, 0,
                       "no container engine was found: install podman (apt install podman), or "
                       "start docker, or point WF_CONTAINER_HOST to an engine's socket; %s",
                       doctor);
    }
    if (c->service_starts >= SERVICE_STARTS_MAX) {
        CLEANUP(cleanup_free) char *words = service_words(c);
        return err_set(err, ERR_ENGINE, 0,
                       "podman's service ended again and again%s; see `podman info`; %s", words,
                       doctor);
    }
    int rc = c->service_dir ? 0 : make_folder(c, err);
    if (rc < 0) {
        return rc;
    }
    /* A new name for each: an old one's socket file may be left. */
    char name[32];
    snprintf(name, sizeof(name), "%u", c->service_starts++);
    CLEANUP(cleanup_free) char *socket_path = fs_join(c->service_dir, name);
    rc = spawn_service(c, podman, socket_path, err);
    if (rc < 0) {
        err_wrap(err, "podman's service could not be started");
        return rc;
    }
    const char *candidates[] = {socket_path};
    look_start(c, candidates, 1, PATIENCE_START_MS);
    return 0;
}

/* --- where to look --- */

/* "unix:///path" or "/path" -> the path; NULL: neither. Borrowed. */
static const char *socket_of(const char *host)
{
    return text_starts(host, "unix://") ? host + 7 : host[0] == '/' ? host : NULL;
}

/* The one place somebody named, and who did; NULL: nobody. */
static const char *named_host(const struct containers *c, const char **ret_by)
{
    if (c->host) {
        *ret_by = "the container host option";
        return c->host;
    }
    static const char *const names[] = {"WF_CONTAINER_HOST", "DOCKER_HOST"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *value = getenv(names[i]);
        if (value && value[0]) {
            *ret_by = names[i];
            return value;
        }
    }
    return NULL;
}

static int look_first(struct containers *c, struct err *err)
{
    const char *by = NULL;
    const char *host = named_host(c, &by);
    if (host) {
        const char *path = socket_of(host);
        if (!path) {
            return err_set(err, ERR_ENGINE, 0,
                           "'%s' (from %s) is no unix socket; steps share files with their "
                           "containers, so the engine must be on this machine: "
                           "unix:///path/of/the/socket",
                           host, by);
        }
        look_start(c, &path, 1, 0);
        return 0;
    }
    const char *candidates[CANDIDATES_MAX];
    size_t n = 0;
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    CLEANUP(cleanup_free) char *user = NULL;
    if (runtime && runtime[0] == '/') {
        user = xasprintf("%s/podman/podman.sock", runtime);
        candidates[n++] = user;
    }
    candidates[n++] = "/run/podman/podman.sock";
    candidates[n++] = "/var/run/docker.sock";
    look_start(c, candidates, n, 0);
    return 0;
}

static int look_again(struct containers *c)
{
    const char *candidates[] = {c->engine.socket};
    look_start(c, candidates, 1, c->service_starts ? 0 : PATIENCE_BACK_MS);
    return 0;
}

/* What a look that found nothing means. Negative: no engine. */
static int look_failed(struct containers *c, const struct look *k, struct err *err)
{
    const char *by = NULL;
    c->problem = k->err;
    if (c->service_starts) { /* our own: gone, or it never answered */
        bool first = c->epoch == 0;
        child_free(c->service);
        c->service = NULL;
        if (!first) {
            return service_start(c, err);
        }
        CLEANUP(cleanup_free) char *words = service_words(c);
        return err_set(err, ERR_ENGINE, 0,
                       "podman is installed but its service does not start%s; see what `podman "
                       "info` says; %s",
                       words, doctor);
    }
    const char *host = c->epoch ? c->engine.socket : named_host(c, &by);
    if (!host) {
        return service_start(c, err);
    }
    if (c->epoch) {
        return err_set(err, ERR_ENGINE, 0,
                       "the container engine at '%s' stopped answering; start it again and run "
                       "`wf doctor`",
                       host);
    }
    return err_set(err, ERR_ENGINE, 0,
                   "no container engine answers at '%s' (from %s)%s%.300s; start it, or unset %s "
                   "so that wf looks for one itself; %s",
                   host, by, k->err.code ? ": " : "", k->err.code ? k->err.msg : "", by, doctor);
}

static void look_free(struct look *k)
{
    for (size_t i = 0; i < k->n; i++) {
        free(k->candidates[i]);
    }
    free(k);
}

static void look_done(void *arg)
{
    struct look *k = arg;
    struct containers *c = k->c;
    c->look = NULL;
    struct err err = {0};
    if (c->closing) {
        c->state = ENGINE_UNKNOWN;
    } else if (k->found) {
        engine_found(c, &k->engine);
    } else if (look_failed(c, k, &err) < 0) {
        c->problem = err;
        engine_failed(c);
    }
    look_free(k);
}

/* --- for the others --- */

void engine_need(struct containers *c, struct waiter *w)
{
    if (c->state == ENGINE_READY) {
        w->fn(NULL, w->arg);
        return;
    }
    link_add(&c->needs, &w->link);
    bool believed = c->epoch == 0 || mono_us() - c->failed_at_us < FAILED_MS * 1000L;
    if (c->state == ENGINE_FAILED && !believed) {
        c->state = ENGINE_UNKNOWN;
    }
    if (c->state == ENGINE_FAILED) {
        timer_start(c->deliver, 0, 0);
    } else if (c->state == ENGINE_UNKNOWN) {
        struct err err = {0};
        if ((c->epoch ? look_again(c) : look_first(c, &err)) < 0) {
            c->problem = err;
            engine_failed(c);
        }
    }
}

void engine_forget(struct waiter *w)
{
    if (w->link.next) {
        link_remove(&w->link);
    }
}

void engine_lost(struct containers *c, uint64_t epoch)
{
    if (c->state == ENGINE_READY && c->epoch == epoch) {
        c->state = ENGINE_UNKNOWN;
    }
}

void engine_close(struct containers *c)
{
    c->closing = true;
    while (c->look) { /* it has a pool thread of ours */
        atomic_store(&c->look->give_up, true);
        uv_run(loop_uv(c->loop), UV_RUN_ONCE);
    }
    if (c->service) {
        child_free(c->service);
        c->service = NULL;
    }
    http_close(c->http);
    timer_free(c->deliver);
    if (c->service_dir) {
        fs_remove_tree(c->service_dir, NULL);
        free(c->service_dir);
        close(c->service_lock);
    }
}

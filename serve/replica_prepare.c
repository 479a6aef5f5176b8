/* SPDX-License-Identifier: Apache-2.0 */
/* What a replica is started with: its job, socket or port, script and log. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/store.h"
#include "serve/folder.h"
#include "serve/replica.h"
#include "steps/executor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_ROTATE = 16 << 20, TOKEN_END = 10, LAST_WORDS = 4096, WORDS_MAX = 200 };
#define INNER_RUN "/wf/run"
#define INNER_SCRIPT "/wf/script"

/* --- socket or port --- */

/* A port nobody listens at now. Another program may take it before ours does: then ours ends, and gets another one. */
int replica_find_port(uint16_t *ret, struct err *err)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) != 0) {
        return err_set(err, ERR_IO, errno, "no port of 127.0.0.1 can be had");
    }
    *ret = ntohs(a.sin_port);
    return 0;
}

static int make_address(struct replica *r, const struct replica_plan *p, struct err *err)
{
    if (p->address == ADDRESS_FIXED) {
        r->port = p->fixed_port;
        return 0;
    }
    if (p->address == ADDRESS_PORT) {
        return replica_find_port(&r->port, err);
    }
    r->folder = xasprintf("%s/r%s", r->ground->run_dir, r->token + ID_LEN - TOKEN_END);
    r->socket = xasprintf("%s/s", r->folder);
    return socket_folder_make(r->folder, err);
}

/* --- arguments and environment --- */

const char *replica_fill(const struct replica *r, const char *text, bool host)
{
    static const char *const marks[] = {SPEC_SOCKET, SPEC_PORT, SPEC_INDEX};
    char port[16], index[16];
    snprintf(port, sizeof(port), "%u", r->port);
    snprintf(index, sizeof(index), "%u", r->index);
    const char *inner = r->container && !host ? INNER_RUN "/s" : r->socket;
    const char *const values[] = {r->socket ? inner : "", port, index};
    CLEANUP(sb_done) struct str out = {0};
    while (*text) {
        size_t k = 0;
        while (k < ARRAY_LEN(marks) && !text_starts(text, marks[k])) {
            k++;
        }
        if (k < ARRAY_LEN(marks)) {
            sb_puts(&out, values[k]);
            text += strlen(marks[k]);
        } else {
            sb_putc(&out, *text++);
        }
    }
    return arena_strdup(r->arena, sb_text(&out));
}

static const char *fill(const struct replica *r, const char *text)
{
    return replica_fill(r, text, false);
}

static size_t count(const char *const *texts)
{
    size_t n = 0;
    while (texts && texts[n]) {
        n++;
    }
    return n;
}

static const char *const *make_argv(struct replica *r, const struct spec_program *p)
{
    if (!p->argv && !p->script) {
        return NULL;
    }
    size_t n = count(p->argv);
    const char **argv = arena_calloc(r->arena, n + 2, sizeof(*argv));
    for (size_t i = 0; i < n; i++) {
        argv[i] = fill(r, p->argv[i]);
    }
    if (p->script) {
        argv[n] = r->container ? INNER_SCRIPT : r->script_file;
    }
    return argv;
}

static const char *const *make_env(struct replica *r, const struct replica_plan *p)
{
    size_t n = count(p->program->env), secrets = count(p->secrets), at = 0;
    const char **env = arena_calloc(r->arena, n + secrets + 4, sizeof(*env));
    for (size_t i = 0; i < n; i++) {
        env[at++] = fill(r, p->program->env[i]);
    }
    for (size_t i = 0; i < secrets; i++) {
        env[at++] = arena_strdup(r->arena, p->secrets[i]);
    }
    if (r->socket) {
        env[at++] =
            arena_printf(r->arena, "WF_SOCKET=%s", r->container ? INNER_RUN "/s" : r->socket);
    } else {
        env[at++] = arena_printf(r->arena, "PORT=%u", r->port);
    }
    env[at++] = arena_printf(r->arena, "WF_TOKEN=%s", r->token);
    return env;
}

static int write_script(struct replica *r, const struct spec_program *p, struct err *err)
{
    if (!p->script) {
        return 0;
    }
    CLEANUP(cleanup_free) char *folder = serve_folder_make(r->ground->store, "scripts", err);
    if (!folder) {
        return -(int)ERR_IO;
    }
    const char *text = fill(r, p->script);
    r->script_file = fs_join(folder, r->token);
    return fs_write_file(r->script_file, text, strlen(text), 0755, false, err);
}

static void make_mounts(struct replica *r, const struct spec_program *p, struct job *job)
{
    struct mount *mounts = arena_calloc(r->arena, (size_t)p->n_mounts + 2, sizeof(*mounts));
    size_t n = 0;
    for (uint32_t i = 0; i < p->n_mounts; i++) {
        mounts[n++] = (struct mount){.host = arena_strdup(r->arena, p->mounts[i].host),
                                     .inner = arena_strdup(r->arena, p->mounts[i].inner)};
    }
    if (r->folder) {
        mounts[n++] = (struct mount){.host = r->folder, .inner = INNER_RUN, .writable = true};
    }
    if (r->script_file) {
        mounts[n++] = (struct mount){.host = r->script_file, .inner = INNER_SCRIPT};
    }
    job->mounts = mounts;
    job->n_mounts = n;
}

static const char *path_of(const char *const *env)
{
    for (; env && *env; env++) {
        if (text_starts(*env, "PATH=")) {
            return *env + strlen("PATH=");
        }
    }
    return "/usr/local/bin:/usr/bin:/bin";
}

static int find_program(struct replica *r, struct job *job, struct err *err)
{
    if (!job->argv || !job->argv[0]) {
        return err_set(err, ERR_USAGE, 0,
                       "has no command to run; give its step 'run' or 'command'");
    }
    CLEANUP(cleanup_free)
    char *path =
        fs_find_program(job->argv[0], job->workdir ? job->workdir : "/", path_of(job->env));
    if (!path) {
        return err_set(err, ERR_NOT_FOUND, 0,
                       "cannot start: program '%s' was not found; install it, correct its name, or "
                       "see that PATH leads to it",
                       job->argv[0]);
    }
    job->program = arena_strdup(r->arena, path);
    return 0;
}

int replica_prepare(struct replica *r, const struct replica_plan *p, struct err *err)
{
    const struct spec_program *program = p->program;
    int rc = make_address(r, p, err);
    rc = rc < 0 ? rc : write_script(r, program, err);
    rc = rc < 0 ? rc : replica_open_log(r, err);
    if (rc < 0) {
        return rc;
    }
    struct job *job = r->job;
    job->argv = make_argv(r, program);
    job->env = make_env(r, p);
    job->workdir = program->workdir ? arena_strdup(r->arena, program->workdir) : NULL;
    job->image = program->image ? arena_strdup(r->arena, program->image) : NULL;
    job->network = program->network;
    job->resources = program->resources;
    job->log_fd = r->log_fd;
    make_mounts(r, program, job);
    if (r->container) {
        return 0;
    }
    if (program->network == NETWORK_NONE) {
        return err_set(err, ERR_USAGE, 0,
                       "network: none needs a container; give its step an image, or remove "
                       "'network: none'");
    }
    return find_program(r, job, err);
}

/* --- the log --- */

int replica_open_log(struct replica *r, struct err *err)
{
    CLEANUP(cleanup_free) char *old = xasprintf("%s.1", r->log);
    struct stat st;
    if (!r->adopted && stat(r->log, &st) == 0 && st.st_size > LOG_ROTATE) {
        (void)rename(r->log, old);
    }
    r->log_fd = open(r->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (r->log_fd < 0 || fstat(r->log_fd, &st) != 0) {
        return err_set(err, ERR_IO, errno, "cannot start: its log %s cannot be written", r->log);
    }
    if (!r->adopted) {
        r->log_from = st.st_size;
    }
    return 0;
}

char *replica_last_words(const struct replica *r)
{
    CLEANUP(cleanup_close) int fd = open(r->log, O_RDONLY | O_CLOEXEC);
    struct stat st;
    char buf[LAST_WORDS];
    if (fd < 0 || fstat(fd, &st) != 0) {
        return NULL;
    }
    off_t from = st.st_size > LAST_WORDS ? st.st_size - LAST_WORDS : 0;
    from = from < r->log_from ? r->log_from : from;
    ssize_t n = pread(fd, buf, sizeof(buf), from);
    while (n > 0 && (unsigned char)buf[n - 1] <= ' ') {
        n--;
    }
    ssize_t start = n;
    while (start > 0 && buf[start - 1] != '\n' && n - start < WORDS_MAX) {
        start--;
    }
    if (n <= 0 || start == n) {
        return NULL;
    }
    CLEANUP(sb_done) struct str out = {0};
    for (ssize_t i = start; i < n; i++) {
        sb_putc(&out, (unsigned char)buf[i] < ' ' || buf[i] == 127 ? ' ' : buf[i]);
    }
    return sb_take(&out);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* HAProxy's folder: haproxy.cfg and the maps as they are to be at its next start, haproxy.pid, haproxy.log, and check/ where a configuration lies while it is judged. */
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "serve/proxy_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 256 << 20, LOG_MAX = 1 << 20, ALERT_TAIL = 64 << 10 };

static const char *file_name(int i)
{
    return i < PROXY_MAP_COUNT ? proxy_map_names[i] : "haproxy.cfg";
}

char *proxy_path(const struct proxy *p, const char *name)
{
    return xasprintf("%s/%s", p->dir, name);
}

int proxy_files_write(const struct proxy *p, const char *below, const struct proxy_text *t,
                      struct err *err)
{
    CLEANUP(sb_done) struct str text = {0};
    CLEANUP(cleanup_free) char *dir = proxy_path(p, below);
    int rc = fs_mkdirs(dir, 0700, err);
    for (int i = 0; rc == 0 && i < PROXY_FILE_COUNT; i++) {
        CLEANUP(cleanup_free) char *path = xasprintf("%s/%s%s", p->dir, below, file_name(i));
        sb_clear(&text);
        if (i < PROXY_MAP_COUNT) {
            proxy_map_text(t, (enum proxy_map)i, &text);
        } else {
            sb_add(&text, t->config.data, t->config.len);
        }
        rc = fs_write_file(path, sb_text(&text), text.len, 0600, false, err);
    }
    return rc;
}

void proxy_files_save(const struct proxy *p, struct proxy_files *ret)
{
    for (int i = 0; i < PROXY_FILE_COUNT; i++) {
        CLEANUP(cleanup_free) char *path = proxy_path(p, file_name(i));
        sb_done(&ret->file[i]);
        if (fs_read_file(path, FILE_MAX, &ret->file[i], NULL) == 0) {
            sb_puts(&ret->file[i], ""); /* an empty file has data too */
            sb_reserve(&ret->file[i], 1);
        } else {
            sb_done(&ret->file[i]);
        }
    }
}

int proxy_files_restore(const struct proxy *p, const struct proxy_files *f, struct err *err)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < PROXY_FILE_COUNT; i++) {
        CLEANUP(cleanup_free) char *path = proxy_path(p, file_name(i));
        if (f->file[i].data) {
            rc = fs_write_file(path, f->file[i].data, f->file[i].len, 0600, false, err);
        } else {
            (void)unlink(path);
        }
    }
    return rc;
}

void proxy_files_done(struct proxy_files *f)
{
    for (int i = 0; i < PROXY_FILE_COUNT; i++) {
        sb_done(&f->file[i]);
    }
}

void proxy_files_remove(const struct proxy *p)
{
    static const char *const more[] = {"haproxy.pid", "haproxy.log", "check"};
    for (int i = 0; i < PROXY_FILE_COUNT; i++) {
        CLEANUP(cleanup_free) char *path = proxy_path(p, file_name(i));
        (void)unlink(path);
    }
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        CLEANUP(cleanup_free) char *path = proxy_path(p, more[i]);
        (void)fs_remove_tree(path, NULL);
    }
    for (int master = 0; master < 2; master++) {
        CLEANUP(cleanup_free) char *path = proxy_socket(p, master != 0);
        (void)unlink(path);
    }
}

/* The log */

off_t proxy_log_size(const struct proxy *p)
{
    CLEANUP(cleanup_free) char *path = proxy_path(p, "haproxy.log");
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : 0;
}

/* HAProxy appends, so that it goes on at the new end. */
void proxy_log_trim(const struct proxy *p)
{
    CLEANUP(cleanup_free) char *path = proxy_path(p, "haproxy.log");
    if (proxy_log_size(p) > LOG_MAX) {
        (void)!truncate(path, 0);
    }
}

int proxy_log_open(const struct proxy *p, struct err *err)
{
    CLEANUP(cleanup_free) char *path = proxy_path(p, "haproxy.log");
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_set(err, ERR_IO, errno, "cannot write %s", path);
    }
    proxy_log_trim(p);
    return fd;
}

/* "[ALERT]    (123) : config : text" */
void proxy_alert(struct slice log, struct str *out)
{
    for (size_t at = 0; at < log.len;) {
        const char *line = log.data + at;
        const char *nl = memchr(line, '\n', log.len - at);
        size_t n = nl ? (size_t)(nl - line) : log.len - at;
        const char *text = n > 7 && memcmp(line, "[ALERT]", 7) == 0 ? memchr(line, ')', n) : NULL;
        at += n + 1;
        if (!text) {
            continue;
        }
        text++;
        while (text < line + n && (*text == ' ' || *text == ':')) {
            text++;
        }
        if (text < line + n && !memmem(text, (size_t)(line + n - text), "rror(s) found", 13)) {
            sb_clear(out);
            sb_add(out, text, (size_t)(line + n - text));
        }
    }
}

void proxy_log_alert(const struct proxy *p, off_t since, struct str *out)
{
    CLEANUP(cleanup_free) char *path = proxy_path(p, "haproxy.log");
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = proxy_log_size(p);
    if (since > size) {
        since = 0;
    }
    if (size - since > ALERT_TAIL) {
        since = size - ALERT_TAIL;
    }
    CLEANUP(cleanup_free) char *text = xmalloc(ALERT_TAIL);
    ssize_t n = fd < 0 ? -1 : pread(fd, text, ALERT_TAIL, since);
    if (n > 0) {
        proxy_alert(slice_of(text, (size_t)n), out);
    }
}

/* The process */

int proxy_pid_write(const struct proxy *p, struct err *err)
{
    CLEANUP(cleanup_free) char *path = proxy_path(p, "haproxy.pid");
    CLEANUP(sb_done) struct str text = {0};
    sb_printf(&text, "%ld %llu %s\n", (long)proxy_process_pid(p->process),
              (unsigned long long)proxy_process_started(p->process), p->run_dir);
    return fs_write_file(path, text.data, text.len, 0600, false, err);
}

int proxy_pid_read(const struct proxy *p, pid_t *ret_pid, uint64_t *ret_started, char **ret_run_dir)
{
    CLEANUP(cleanup_free) char *path = proxy_path(p, "haproxy.pid");
    CLEANUP(sb_done) struct str text = {0};
    if (fs_read_file(path, 4096, &text, NULL) < 0) {
        return 1;
    }
    char *end = NULL, *rest = NULL;
    long pid = strtol(sb_text(&text), &end, 10);
    unsigned long long started = strtoull(end, &rest, 10);
    size_t len = strcspn(rest, "\n");
    if (pid <= 1 || started == 0 || rest[0] != ' ' || len < 2) {
        return 1;
    }
    *ret_pid = (pid_t)pid;
    *ret_started = started;
    *ret_run_dir = xstrndup(rest + 1, len - 1);
    return 0;
}

/* "    bind 127.0.0.1:8080", "    bind [::1]:8080" */
void proxy_files_binds(struct proxy *p)
{
    CLEANUP(cleanup_free) char *path = proxy_path(p, "haproxy.cfg");
    CLEANUP(sb_done) struct str text = {0};
    if (fs_read_file(path, FILE_MAX, &text, NULL) < 0) {
        return;
    }
    static const char mark[] = "\n    bind ";
    for (char *at = strstr(sb_text(&text), mark); at; at = strstr(at, mark)) {
        at += sizeof(mark) - 1;
        size_t len = strcspn(at, "\n");
        const char *colon = memrchr(at, ':', len);
        if (!colon) {
            continue;
        }
        bool six = at[0] == '[';
        size_t n = (size_t)(colon - at) - (six ? 2 : 0);
        struct text_bind b = {xstrndup(at + six, n), (uint16_t)strtoul(colon + 1, NULL, 10)};
        *vec_push(&p->held) = b;
    }
}

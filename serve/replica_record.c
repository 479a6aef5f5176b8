/* SPDX-License-Identifier: Apache-2.0 */
/* Records of replicas: serve/replicas/TOKEN, JSON. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/store.h"
#include "serve/folder.h"
#include "serve/replica.h"

#include <dirent.h>
#include <string.h>

enum { RECORD_MAX = 64 << 10 };

void replica_record_write(struct replica *r)
{
    CLEANUP(sb_done) struct str out = {0};
    struct jsonw w;
    struct err err;
    char boot[40];
    boot_id(boot);
    jw_init(&w, &out, false);
    jw_object(&w);
    jw_kv_i64(&w, "service", r->service);
    jw_key(&w, "key");
    jw_digest(&w, &r->key);
    jw_kv_text(&w, "backend", r->backend);
    jw_kv_i64(&w, "server", r->server);
    jw_kv_i64(&w, "index", r->index);
    jw_kv_text(&w, "socket", r->socket);
    jw_kv_i64(&w, "port", r->port);
    jw_kv_text(&w, "folder", r->folder);
    jw_kv_text(&w, "log", r->log);
    jw_kv_i64(&w, "log_from", r->log_from);
    jw_kv_bool(&w, "container", r->container);
    jw_kv_bool(&w, "ready", r->was_ready);
    jw_kv_i64(&w, "pid", r->pid);
    jw_kv_i64(&w, "start_time", (int64_t)r->start_time);
    jw_kv_text(&w, "boot", boot);
    jw_end_object(&w);
    if (fs_write_file(r->record, out.data, out.len, 0600, false, &err) < 0) {
        log_write(LOG_WARN, "serve", "%s", err.msg);
    }
}

static const char *get(const json_t *o, const char *key, struct arena *a)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? arena_strdup(a, text) : NULL;
}

static bool read_record(const char *path, const char *token, struct arena *a,
                        struct replica_record *ret)
{
    CLEANUP(sb_done) struct str text = {0};
    CLEANUP(cleanup_json) json_t *o = NULL;
    static const char prefix[] = "sha256:";
    if (fs_read_file(path, RECORD_MAX, &text, NULL) < 0 ||
        json_read(text.data, text.len, RECORD_MAX, &o, NULL) < 0) {
        return false;
    }
    const char *key = json_string_value(json_object_get(o, "key"));
    *ret = (struct replica_record){
        .service = json_integer_value(json_object_get(o, "service")),
        .backend = get(o, "backend", a),
        .server = (uint32_t)json_integer_value(json_object_get(o, "server")),
        .index = (uint32_t)json_integer_value(json_object_get(o, "index")),
        .socket = get(o, "socket", a),
        .port = (uint16_t)json_integer_value(json_object_get(o, "port")),
        .folder = get(o, "folder", a),
        .log = get(o, "log", a),
        .log_from = json_integer_value(json_object_get(o, "log_from")),
        .container = json_is_true(json_object_get(o, "container")),
        .ready = json_is_true(json_object_get(o, "ready")),
        .pid = json_integer_value(json_object_get(o, "pid")),
        .start_time = (uint64_t)json_integer_value(json_object_get(o, "start_time")),
        .boot = get(o, "boot", a),
    };
    memcpy(ret->token, token, ID_LEN + 1);
    return ret->backend && ret->log && ret->boot && key && text_starts(key, prefix) &&
           digest_parse(key + sizeof(prefix) - 1, strlen(key) - (sizeof(prefix) - 1), &ret->key);
}

int replica_records_each(struct store *s, struct arena *a,
                         int (*fn)(const struct replica_record *rec, void *arg), void *arg,
                         struct err *err)
{
    CLEANUP(cleanup_free) char *dir = serve_folder_make(s, "replicas", err);
    DIR *d = dir ? opendir(dir) : NULL;
    int rc = dir ? 0 : -(int)ERR_IO;
    const struct dirent *e;
    while (d && rc == 0 && (e = readdir(d))) {
        struct replica_record rec;
        CLEANUP(cleanup_free) char *path = fs_join(dir, e->d_name);
        if (strlen(e->d_name) == ID_LEN && id_time_ms(e->d_name) >= 0 &&
            read_record(path, e->d_name, a, &rec)) {
            rc = fn(&rec, arg);
        }
    }
    if (d) {
        closedir(d);
    }
    return rc;
}

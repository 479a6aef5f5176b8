/* SPDX-License-Identifier: Apache-2.0 */
/* One start of one model server: a process of this machine or a container, from its start over readiness to its end. Nothing is started again here (group.h does that).
 * Each has a record below the store's serve/replicas/, written before it starts, so that a later supervisor takes it up: it outlives us. Loop thread only; callbacks come from the loop. */
#ifndef WF_SERVE_REPLICA_H
#define WF_SERVE_REPLICA_H

#include "base/id.h"
#include "base/str.h"
#include "serve/spec.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct arena;
struct child;
struct err;
struct executor;
struct http;
struct http_call;
struct job;
struct job_handle;
struct loop;
struct replica;
struct store;
struct timer;
struct watch;

/* What all replicas stand on. */
struct replica_ground {
    struct loop *loop;
    struct store *store;
    const char *run_dir; /* short, 0700 */
    struct http *http;
    struct executor *containers; /* opened at first use */
};

/* What is to run. Borrowed for the call of replica_start() or replica_adopt(). */
struct replica_plan {
    const struct spec_program *program;
    const char *const *secrets; /* NAME=value, NULL-terminated; or NULL */
    enum address_mode address;
    uint16_t fixed_port;
    const char *ready_path, *ready_script;
    int64_t ready_timeout_ms, grace_ms;
    const char *name; /* of the model, for messages and labels */
    const char *slug;
    /* Whose it is, for its record. */
    int64_t service;
    struct digest key;
    const char *backend;
    uint32_t server, index;
    /* Its socket or port is known, it is about to start; arg is on_change's. NULL: nobody is interested. */
    void (*on_prepared)(struct replica *r, void *arg);
};

enum replica_state {
    REPLICA_STARTING,
    REPLICA_READY,
    REPLICA_STOPPING,
    REPLICA_GONE,
};

struct replica {
    /* For the owner to read. */
    enum replica_state state;
    char token[ID_LEN + 1];
    char *socket; /* as we see it; NULL: port of 127.0.0.1 */
    uint16_t port;
    char *backend;
    uint32_t server, index;
    int64_t service;
    struct digest key;
    bool was_ready;
    int64_t ready_at_us;
    char *
        problem; /* STARTING: it will not get ready; READY: it does not answer; GONE: how it ended. One sentence without its name; NULL */
    char *log;
    /* The owner's. */
    bool drain; /* gets nothing new */
    int64_t drain_since_us;
    bool up;              /* HAProxy's word, at the last look */
    bool seen_up, drains; /* of the look under way */
    uint32_t seen_sessions;
    void *owner;

    /* Inside. */
    struct replica_ground *ground;
    void (*on_change)(struct replica *r, void *arg);
    void *arg;
    struct arena *arena;
    struct job *job;
    char *name, *folder, *record, *script_file;
    char *ready_path, *ready_script;
    int64_t ready_timeout_ms, grace_ms, started_at_us, wait_ms, kill_at_us;
    int log_fd;
    int64_t log_from; /* where its part of the log begins */
    bool container, adopted, not_begun;
    pid_t pid;
    uint64_t start_time;
    struct child *child;
    struct job_handle *handle;
    int pidfd; /* of an adopted process */
    struct watch *watch;
    struct timer *timer; /* probes, deadlines */
    struct timer *kill_timer;
    struct http_call *call;
    struct child *script;
    bool path_ok, tested;
    unsigned misses; /* of probes in a row */
    int last_status;
    char *answer; /* why the last probe failed */
};

/* Always comes to something: what cannot be started is GONE, told from the loop. on_change: the state changed, or there is a problem. */
struct replica *replica_start(struct replica_ground *g, const struct replica_plan *p,
                              void (*on_change)(struct replica *r, void *arg), void *arg);
/* TERM now, KILL after grace_ms (its own grace when negative). GONE is told. Repeating shortens. */
void replica_stop(struct replica *r, int64_t grace_ms);
/* After GONE: removes record, script and socket. Before: forgets it, and it goes on running. */
void replica_free(struct replica *r);

/* `text` with the socket, port and index in place of spec.h's marks; `host`: as this machine sees them, else as the replica does. In the replica's arena. */
const char *replica_fill(const struct replica *r, const char *text, bool host);

/* --- records --- */
struct replica_record {
    char token[ID_LEN + 1];
    int64_t service;
    struct digest key;
    const char *backend, *socket, *folder, *log, *boot;
    uint32_t server, index;
    uint16_t port;
    bool container, ready;
    int64_t pid; /* 0: it was not noted yet */
    uint64_t start_time;
    int64_t log_from;
};
int replica_records_each(struct store *s, struct arena *a,
                         int (*fn)(const struct replica_record *rec, void *arg), void *arg,
                         struct err *err);
/* Takes up what the record tells of; p's program is not looked at. It is GONE (told from the loop) when nothing of it runs. */
struct replica *replica_adopt(struct replica_ground *g, const struct replica_record *rec,
                              const struct replica_plan *p,
                              void (*on_change)(struct replica *r, void *arg), void *arg);

/* --- inside --- */
void replica_record_write(struct replica *r);
void replica_set_state(struct replica *r, enum replica_state state);
void replica_tell(struct replica *r);
void replica_set_problem(struct replica *r, char *problem); /* takes it */
void replica_probe_begin(struct replica *r);                /* STARTING and READY */
void replica_probe_end(struct replica *r);
char *replica_last_words(const struct replica *r); /* the last line of its log; NULL: none */
/* Fills r->job, the socket's folder and script; negative: r->problem says why not. */
int replica_prepare(struct replica *r, const struct replica_plan *p, struct err *err);
int replica_find_port(uint16_t *ret, struct err *err);
int replica_open_log(struct replica *r, struct err *err);

#endif

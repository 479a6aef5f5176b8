/* SPDX-License-Identifier: Apache-2.0 */
/* Inside serve/proxy. What is wanted becomes text (proxy_render.c), the text becomes files, and HAProxy is brought to agree with it: by commands that are the
 * difference between the text and what HAProxy says it has (proxy_diff.c), or by a reload where its shape differs, that is all but maps and servers. The shape's
 * digest stands in the configuration as `description`, so that a running HAProxy can be asked which one it has: nothing need be remembered over our own death. */
#ifndef WF_SERVE_PROXY_IMPL_H
#define WF_SERVE_PROXY_IMPL_H

#include "base/digest.h"
#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"
#include "serve/proxy.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct arena;
struct timer;
struct watch;

/* --- proxy_render.c: pure --- */
struct proxy_token {
    char hex[DIGEST_HEX + 1]; /* upper case, as HAProxy's `hex` writes it */
    double rate;              /* of the line; negative: it names none */
};
struct proxy_tokens {
    VEC(struct proxy_token) list;
};
/* Lines "TOKEN NAME [RATE]" (a rate: 50, 50/s, 600/m, 1000/h), blank ones and # comments. ERR_INVALID names file and line, never a token. */
int proxy_tokens_read(const char *path, struct proxy_tokens *ret, struct err *err);
int proxy_tokens_parse(const char *path, const char *text, size_t len, struct proxy_tokens *ret,
                       struct err *err);
void proxy_tokens_done(struct proxy_tokens *t);

enum proxy_map { MAP_ROUTES, MAP_CANARY, MAP_SHARE, MAP_TOKENS, PROXY_MAP_COUNT };
extern const char *const proxy_map_names[PROXY_MAP_COUNT]; /* file names */

struct text_entry {
    const char *key, *value;
};
struct text_server {
    const char *backend;
    uint32_t id;
    const char *address; /* "unix@/…" or "127.0.0.1:1" */
    const char *options; /* all that `add server` needs behind the address */
    bool drain;
};
struct text_bind {
    const char *host;
    uint16_t port;
};
struct text_backend {
    char name[32];
    char shape[17];
};
/* All of a configuration but servers and maps. A HAProxy that has more backends than are wanted will do: only another base, or a backend that is new or another, needs a reload. */
struct proxy_shape {
    char all[17]; /* hex; stands in the configuration */
    char base[17];
    VEC(struct text_backend) backends; /* by name */
};
void proxy_shape_done(struct proxy_shape *s);
void proxy_shape_copy(struct proxy_shape *to, const struct proxy_shape *from);
bool proxy_shape_covers(const struct proxy_shape *has, const struct proxy_shape *wanted);
struct proxy_text {
    struct arena *arena;
    struct proxy_shape shape;
    struct str config;
    VEC(struct text_entry) maps[PROXY_MAP_COUNT]; /* by key */
    bool map_used[PROXY_MAP_COUNT];               /* HAProxy knows only maps that something names */
    VEC(struct text_server) servers;              /* by backend and id */
    VEC(struct text_bind) binds;
};
/* What a rendering needs beside the state. */
struct proxy_place {
    const char *run_dir;
    uint32_t threads, maxconn;
};
/* `tokens`: one per service, NULL where it has no file. ERR_INVALID: something in the state cannot be written into a configuration, or the state contradicts itself. */
int proxy_render(const struct proxy_state *s, const struct proxy_tokens *const *tokens,
                 const struct proxy_place *place, struct proxy_text **ret, struct err *err);
void proxy_text_free(struct proxy_text *t);

/* proxy_config.c: sections */
void proxy_add_base(struct str *out, const struct proxy_state *s,
                    const struct proxy_tokens *const *tokens, const struct proxy_place *place,
                    const char *shape);                                 /* all but backends */
void proxy_add_backend(struct str *out, const struct proxy_backend *b); /* but its servers */
void proxy_add_server_options(struct str *out, const struct proxy_backend *b);
/* HAProxy counts whole requests in a period of whole seconds. */
uint32_t proxy_callers_period(const struct proxy_service *v, const struct proxy_tokens *tokens);
uint64_t proxy_count_of(double rate, uint32_t period_s); /* 0: no limit */

/* proxy_render.c */
void proxy_map_text(const struct proxy_text *t, enum proxy_map map, struct str *out);

/* proxy_check.c: what may stand in the files. */
int proxy_state_check(const struct proxy_state *s, const struct proxy_place *place,
                      struct err *err);

/* --- proxy_diff.c: pure --- */
/* The first command whose answers proxy_diff() reads, then one `show map` for each map in use. */
void proxy_diff_question(const struct proxy_text *t, struct str *out);
struct proxy_lines {
    char **items;
    size_t len, cap;
};
void proxy_lines_done(struct proxy_lines *l);
struct proxy_diff {
    struct proxy_lines commands; /* empty: HAProxy agrees */
    struct proxy_lines sweep; /* of servers that get nothing any more but still have connections */
};
/* `answers` as HAProxy gave them. ERR_INVALID: not understood. */
int proxy_diff(const struct proxy_text *t, const char *answers, struct proxy_diff *ret,
               struct err *err);
void proxy_diff_done(struct proxy_diff *d);

/* --- proxy_admin.c --- */
/* Sends one line to a unix socket of HAProxy and collects the answer up to its end. `fn` is called once, from the loop, unless it is cancelled. */
struct proxy_ask;
typedef void (*proxy_answer_fn)(const struct err *err, struct slice answer, void *arg);
struct proxy_ask *proxy_ask(struct proxy *p, bool master, const char *command, proxy_answer_fn fn,
                            void *arg);
void proxy_ask_cancel(struct proxy_ask *a);
/* The value of "Name: value" in an answer of `show info`, to the end of its line. */
struct slice proxy_info(struct slice answer, const char *name);

/* --- proxy_process.c: a process that is not ended with us, started by us or found again --- */
struct proxy_process;
int proxy_process_start(struct loop *l, const char *program, const char *const *argv,
                        const char *cwd, int log_fd, void (*on_exit)(void *arg), void *arg,
                        struct proxy_process **ret, struct err *err);
/* ERR_NOT_FOUND: it is not alive any more, or another one has its number. */
int proxy_process_adopt(struct loop *l, pid_t pid, uint64_t started, void (*on_exit)(void *arg),
                        void *arg, struct proxy_process **ret, struct err *err);
uint64_t proxy_process_born(pid_t pid); /* its start time; 0: there is none */
pid_t proxy_process_pid(const struct proxy_process *c);
uint64_t proxy_process_started(const struct proxy_process *c);
void proxy_process_signal(struct proxy_process *c, int signum);
void proxy_process_kill(struct proxy_process *c);                     /* with its workers */
bool proxy_process_wait(struct proxy_process *c, int64_t timeout_ms); /* true: it has ended */
void proxy_process_free(struct proxy_process *c);                     /* it goes on */

/* --- proxy_port.c --- */
/* Whether HAProxy could listen there. Negative: why not, for the user. */
int proxy_port_try(const char *host, uint16_t port, struct err *err);

/* --- proxy_files.c: what lies in `dir` --- */
enum { PROXY_FILE_COUNT = PROXY_MAP_COUNT + 1 };
struct proxy_files { /* as they were, to be put back; data NULL: absent */
    struct str file[PROXY_FILE_COUNT];
};
char *proxy_path(const struct proxy *p, const char *name);
/* `below`: "" or "check/". Maps first: the configuration names them. */
int proxy_files_write(const struct proxy *p, const char *below, const struct proxy_text *t,
                      struct err *err);
void proxy_files_save(const struct proxy *p, struct proxy_files *ret);
int proxy_files_restore(const struct proxy *p, const struct proxy_files *f, struct err *err);
void proxy_files_done(struct proxy_files *f);
void proxy_files_remove(const struct proxy *p);
int proxy_log_open(const struct proxy *p, struct err *err); /* a descriptor, the caller's */
/* The last [ALERT] in a text of HAProxy's, without its marks; or nothing. */
void proxy_alert(struct slice log, struct str *out);
void proxy_log_alert(const struct proxy *p, off_t since, struct str *out);
void proxy_log_trim(const struct proxy *p); /* where it has grown large */
off_t proxy_log_size(const struct proxy *p);
int proxy_pid_write(const struct proxy *p, struct err *err);
/* 1: none */
int proxy_pid_read(const struct proxy *p, pid_t *ret_pid, uint64_t *ret_started,
                   char **ret_run_dir);
/* Addresses in the configuration that lies there. */
void proxy_files_binds(struct proxy *p);

/* --- proxy.c --- */
struct proxy_want { /* a state that waits for its turn */
    struct proxy_text *text;
    struct err err; /* why it cannot have one */
    void (*on_done)(const struct err *err, void *arg);
    void *arg;
};
/* What happened to counters before the present worker; see proxy_look.c. */
struct proxy_count {
    char backend[32];
    uint32_t server;
    uint64_t requests, errors, carried_requests, carried_errors;
};
enum proxy_doing { PROXY_IDLE, PROXY_APPLYING, PROXY_REVIVING };
typedef void (*proxy_up_fn)(const struct err *err, void *arg);

struct proxy {
    struct loop *loop;
    char *program, *dir, *run_dir;
    void (*on_restart)(const struct err *err, void *arg);
    void *arg;
    struct proxy_place place;

    struct proxy_process *process; /* NULL: none runs */
    bool died;                     /* it ran, and is to run again */
    VEC(struct text_bind) held;    /* addresses it listens on; hosts are owned */
    struct proxy_text *text;       /* as last applied; NULL: unknown */
    struct proxy_shape has;        /* of the worker that runs; .all "": unknown */

    enum proxy_doing doing;
    VEC(struct proxy_want) wants; /* the first apply->upto are under way while APPLYING */
    struct proxy_apply *apply;    /* NULL unless APPLYING */
    struct loop_idle *idle;       /* looks at wants */
    struct timer *revival;
    uint32_t revivals; /* without success */

    /* Waiting for a worker to answer. */
    struct {
        proxy_up_fn fn; /* NULL: not waiting */
        void *arg;
        char shape[17]; /* "": any */
        pid_t not_pid;  /* the worker that is to be replaced */
        int64_t until_us;
        uint32_t polls;
        off_t log_from;
        struct timer *timer;
        struct proxy_ask *ask;
    } up;

    struct timer *sweeper; /* servers that could not be deleted yet */
    struct proxy_lines sweep;
    uint32_t sweeps;

    struct proxy_ask *asks; /* all under way */
    struct proxy_looking *looks;
    VEC(struct proxy_count) counts;
    pid_t counts_pid; /* the worker they are of */
};
char *proxy_socket(const struct proxy *p, bool master); /* below run_dir */

/* --- proxy_revive.c --- */
void proxy_ended(void *arg);   /* the process has */
void proxy_up_poll(void *arg); /* timers */
void proxy_revive(void *arg);
void proxy_sweep(void *arg);
int proxy_launch(struct proxy *p, struct err *err);
/* fn, once: a worker with this shape answers (not not_pid), or why none does. One at a time. */
void proxy_await(struct proxy *p, const char *shape, pid_t not_pid, proxy_up_fn fn, void *arg);
void proxy_hold(struct proxy *p, const struct proxy_text *t);
bool proxy_holds(const struct proxy *p, const struct text_bind *b);
void proxy_unhold(struct proxy *p);
/* It runs again: tells so, if it had died. */
void proxy_revived(struct proxy *p);
void proxy_revive_later(struct proxy *p);
void proxy_sweep_later(struct proxy *p, struct proxy_lines *sweep);

/* --- proxy_apply.c --- */
void proxy_apply_next(struct proxy *p);
void proxy_apply_died(struct proxy *p);
void proxy_apply_close(struct proxy *p);

/* --- proxy_look.c --- */
void proxy_look_close(struct proxy *p);
#define PROXY_COUNT_QUESTION "show info;show stat -1 6 -1"
/* Counters of a worker that is about to be replaced. */
void proxy_count_keep(struct proxy *p, struct slice answer);

#endif

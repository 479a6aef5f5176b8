/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the container executor. One engine at a time is spoken to; it may be lost (its service killed)
 * and found again, which `epoch` counts. Everything is on the loop thread but the look for an engine,
 * which is blocking and done on the pool.
 *   container.c        the operations, capabilities, facts, draining
 *   container_find.c   finding an engine, our own podman service
 *   container_api.c    calls
 *   container_spec.c   a job as the engine's create document, and its refusals in words
 *   container_log.c    the engine's log frames into the job's log
 *   container_job.c    a job from create to its end; container_resume.c: after the engine was lost
 *   container_image.c  identities and pulls
 *   container_reap.c   removals, and what a killed wf left */
#ifndef WF_STEPS_CONTAINER_IMPL_H
#define WF_STEPS_CONTAINER_IMPL_H

#include "base/err.h"
#include "base/http.h"
#include "base/map.h"
#include "base/str.h"
#include "steps/container.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct child;
struct loop;
struct store;
struct timer;
struct watch;

enum {
    SOCKET_PATH_MAX = 108, /* sun_path */
    NAME_MAX_LEN = 128,
};

/* Lists: each item knows its neighbours, a head points to itself when empty. */
struct link {
    struct link *next, *prev;
};
static inline void link_init(struct link *l)
{
    l->next = l->prev = l;
}
static inline void link_add(struct link *head, struct link *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}
static inline void link_remove(struct link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    link_init(l);
}

/* --- container_find.c --- */

struct engine {
    char socket[SOCKET_PATH_MAX];
    bool libpod;                 /* podman, else docker */
    char compat[24], native[48]; /* prefixes of paths: "/v1.41", "/v4.3.1/libpod" */
    char version[32];
};
/* Somebody who waits for an engine. Embedded; initialise the link. */
struct waiter {
    struct link link;
    void (*fn)(const struct err *err, void *arg);
    void *arg;
};
enum engine_state { ENGINE_UNKNOWN, ENGINE_LOOKING, ENGINE_READY, ENGINE_FAILED };
struct look;

struct containers {
    struct executor x;
    struct loop *loop;
    char *host; /* as the caller gave it; NULL: look in the usual places */
    struct http *http;

    enum engine_state state;
    struct engine engine;
    uint64_t epoch; /* how often an engine was found */
    struct err problem;
    int64_t failed_at_us;
    struct look *look; /* under way on the pool */
    struct link needs;
    struct timer *deliver; /* tells the needs about a failure, from the loop */

    struct child *service; /* our own podman; NULL: none, or it has ended */
    char *service_dir;     /* its socket and log; NULL: none was started */
    int service_lock;      /* held while service_dir is in use */
    unsigned service_starts;

    struct link jobs, removals, images, reaps;
    struct map image_names; /* "POLICY NAME" -> struct image_entry */
    bool no_init;           /* the engine has no init program */
    bool closing;
};

/* Calls fn once an engine is ready: at once if it is already, else from the loop; err when there is none. */
void engine_need(struct containers *c, struct waiter *n);
void engine_forget(struct waiter *n); /* fn is not called any more */
/* The engine of that epoch does not answer: it is looked for again at the next need. */
void engine_lost(struct containers *c, uint64_t epoch);
void engine_close(struct containers *c);

/* --- container_api.c --- */

struct api_reply {
    int status; /* 0: no answer */
    const char *body;
    size_t len;
    const char *message; /* what the engine says went wrong, one line; "" for none */
};
typedef void (*api_fn)(const struct api_reply *r, void *arg);
struct api_call;
struct api_request {
    const char *method;
    const char *path;   /* "/containers/…", below the compatible prefix */
    bool native;        /* below the native one */
    struct str *body;   /* JSON; emptied, or NULL */
    int64_t timeout_ms; /* 0: none */
    bool (*on_data)(const void *data, size_t len, void *arg); /* not NULL: a stream */
    void (*on_open)(int status, void *arg);                   /* of a stream: its headers came */
};
/* Never calls fn before it returned; fn is called once and the call is gone then. */
struct api_call *api_start(struct containers *c, const struct api_request *r, api_fn fn, void *arg);
void api_abort(struct api_call *call); /* NULL is fine */
/* A short blocking GET of its own connection, for any thread. `body` and `head` (status line and headers) are appended to. */
int api_get_now(const char *socket, const char *path, int64_t timeout_ms, int *ret_status,
                struct str *head, struct str *body, struct err *err);
void api_escape(struct str *out, const char *text, const char *also_safe);
/* Reads an object; NULL when it is none. Owned by the caller. */
json_t *api_json(const char *body, size_t len);
const char *json_text(const json_t *object, const char *key); /* "" when absent; borrowed */

/* --- container_spec.c --- */

/* Why the engine cannot even be asked; NULL: it can. Owned by the caller. */
char *spec_refusal(const struct containers *c, const struct job *job);
void spec_write(const struct containers *c, const struct job *job, struct str *out);
/* A sentence for people made of what the engine said when the job could not be started. Owned by the caller. */
char *spec_explain(const struct containers *c, const struct job *job, const char *message);

/* --- container_log.c --- */

enum { FRAME_HEAD = 8, STREAM_COUNT = 3, FIRST_WORDS = 256 };
struct job_log {
    struct loop *loop;
    int fd;
    int stdout_fd; /* > 0: a regular file that standard output goes to instead */
    bool is_pipe;
    int failed; /* errno of a write that failed: the rest is dropped */
    unsigned char head[FRAME_HEAD];
    size_t head_len;
    uint32_t left;               /* of the frame under way */
    unsigned stream;             /* its stream */
    uint64_t seen[STREAM_COUNT]; /* bytes of each stream since joblog_begin() */
    uint64_t kept[STREAM_COUNT]; /* and in all: what was seen before is not written again */
    char first[FIRST_WORDS];     /* the log's beginning, for init's own complaints */
    size_t first_len;
    struct str pending; /* what a pipe did not take yet */
    size_t pending_at;
    struct watch *watch;
    void (*on_flushed)(void *arg);
    void *arg;
};
void joblog_init(struct job_log *g, struct loop *l, int fd, void (*on_flushed)(void *arg),
                 void *arg);
void joblog_begin(struct job_log *g); /* the stream starts again from its beginning */
void joblog_data(struct job_log *g, const void *data, size_t len);
bool joblog_flushed(const struct job_log *g); /* false: on_flushed will be called */
void joblog_done(struct job_log *g);

/* --- container_job.c --- */

enum job_phase {
    PHASE_ENGINE, /* waits for the engine */
    PHASE_CREATE,
    PHASE_ATTACH,
    PHASE_START,
    PHASE_RUN, /* started; its log is read to the end */
    PHASE_WAIT,
    PHASE_OOM,  /* its exit code is known, whether memory ran out is asked */
    PHASE_FIND, /* the engine was lost, or the job is taken up: its container is looked for */
    PHASE_FLUSH,
    PHASE_ENDED
};
struct job_handle {
    struct link link;
    struct containers *c;
    const struct job *job; /* borrowed until on_end */
    job_fn on_end;
    void *arg;
    char name[NAME_MAX_LEN];
    enum job_phase phase;
    struct waiter need;
    uint64_t epoch; /* of the engine spoken to last */
    struct api_call *call, *stream, *kill;
    struct job_log log;
    bool maybe_created; /* create was sent: something may be there */
    bool created;       /* create was answered */
    bool start_sent, started;
    bool stream_over;
    bool adopted; /* by `find`: what is missing was never ours to create */
    bool stopping, kill_sent;
    int64_t kill_at_us;
    struct timer *timer; /* of the grace */
    bool defer;          /* the end is told from the loop */
    bool log_checked;
    struct timer *slow; /* a wait that lasts asks less often */
    int64_t wait_from_us;
    unsigned losses, recreated;
    int64_t started_at_ms;
    struct job_end end;
    char *message;
};

int job_submit(struct containers *c, const struct job *job, job_fn on_end, void *arg, bool adopt,
               struct job_handle **ret, struct err *err);
void job_stop(struct job_handle *h, int64_t grace_ms);
void job_release(struct job_handle *h);
/* Transitions shared with container_resume.c. */
void job_create(struct job_handle *h);
void job_recreate(struct job_handle *h); /* removes what has its name, then creates */
void job_attach(struct job_handle *h);
void job_wait(struct job_handle *h);
void job_signal_again(struct job_handle *h); /* TERM or KILL, if it is being stopped */
void job_read_log(struct job_handle *h, bool follow);
/* The end: the container is removed in the background, on_end is called. `message` is taken. h may be gone. */
void job_finish(struct job_handle *h, enum job_outcome outcome, int code, char *message);
void job_no_answer(struct job_handle *h); /* a call got no answer: the engine is looked for again */
void job_find(struct job_handle *h);      /* PHASE_FIND, with an engine */

/* --- container_image.c --- */

void image_close(struct containers *c);
/* The name an image id was asked for by, or the id. Borrowed. */
const char *image_name(const struct containers *c, const char *id);

/* --- container_reap.c --- */

void reap_remove(struct containers *c, const char *name);
void reap_orphans(struct containers *c, struct store *s);
bool reap_busy(const struct containers *c);
void reap_close(struct containers *c);

#endif

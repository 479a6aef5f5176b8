/* SPDX-License-Identifier: Apache-2.0 */
/* The seam to what runs a step: host processes, containers, later the OCI runtime itself, Slurm, Kubernetes; and a mock for tests. We orchestrate, they run.
 * One truth per attempt: a job carries a token that never repeats; what an engine says (ids, exit codes, silence) is a hint until our own record agrees. An unknown outcome is
 * JOB_LOST or a look by `find`, never "failed". All functions are called on the loop thread and do not block for long; `on_end` is called from the loop, never before submit returned. */
#ifndef WF_STEPS_EXECUTOR_H
#define WF_STEPS_EXECUTOR_H

#include "workflows/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct executor;
struct job_handle;
struct jsonw;
struct loop;
struct store;

struct mount {
    const char *host;
    const char *inner;
    bool writable;
};

/* Everything an executor needs to run one attempt. Borrowed until on_end. */
struct job {
    const char *token; /* unique: container name "wf-<token>", $WF_TOKEN of host steps */
    const char *store_id, *run, *step; /* labels; step is the instance's name */
    uint32_t attempt;                  /* 1, 2, … */
    const char *const
        *argv; /* complete: shell and script path included. NULL: the image's own entrypoint */
    const char
        *program; /* host only: what to execve (argv[0] resolved); NULL: not found, see spec */
    const char *const
        *env; /* NAME=value, complete for this executor, secrets included; NULL-terminated */
    const char *workdir; /* as seen by the step */
    const char *image;   /* image id to start, NULL on the host */
    const struct mount *mounts;
    size_t n_mounts;
    const char *const *outputs; /* declared paths below $WF_OUT, NULL-terminated; NULL: none. For
                                   `collect` and the mock */
    enum network_mode network;
    struct resources resources;
    int log_fd;    /* stdout and stderr go here, appended; borrowed */
    int stdout_fd; /* > 0: standard output goes here instead (a value is read from it); borrowed */
};
enum job_outcome {
    JOB_EXITED,
    JOB_SIGNALLED,
    JOB_OOM,
    JOB_LOST,
    JOB_NOT_STARTED /* could not be started: `message` says why and what to do */
};
struct job_end {
    enum job_outcome outcome;
    int exit_code, signal;
    uint64_t cpu_us, max_rss_kib;
    int64_t started_at_ms, ended_at_ms;
    int stragglers;      /* processes left behind that were ended */
    const char *message; /* for people; borrowed for the call; NULL */
};
typedef void (*job_fn)(const struct job_end *end, void *arg);

/* What an executor can do, for planning and `wf doctor`. */
struct capabilities {
    bool
        shares_files; /* host paths can be mounted or used as they are; otherwise `stage` and `collect` move bytes */
    bool read_only_mounts, images, cpu_limit, memory_limit, live_log, survives_us, network_none;
};

struct executor_ops {
    const char *name; /* "process", "container", "mock" */
    void (*probe)(struct executor *x, struct capabilities *ret);
    /* Puts inputs where the step will see them. NULL: it shares files with us. */
    int (*stage)(struct executor *x, const struct job *job, struct err *err);
    /* Starts. Negative: nothing was started and nothing is left behind. */
    int (*submit)(struct executor *x, const struct job *job, job_fn on_end, void *arg,
                  struct job_handle **ret, struct err *err);
    /* Takes up what runs (or ended) under that token; 1: there is no such job. NULL: jobs die with us. */
    int (*find)(struct executor *x, const struct job *job, job_fn on_end, void *arg,
                struct job_handle **ret, struct err *err);
    /* TERM now, KILL of everything after grace_ms (0: at once). on_end still comes. Repeating only shortens. */
    void (*stop)(struct executor *x, struct job_handle *h, int64_t grace_ms);
    /* After on_end: forgets the handle. Before: kills, waits, no on_end. */
    void (*release)(struct executor *x, struct job_handle *h);
    /* Brings outputs home into the attempt's folder. NULL: they are there. */
    int (*collect)(struct executor *x, const struct job *job, struct err *err);
    /* Ends and removes everything of this store that no live run holds (left by a killed wf). Asynchronous; NULL: nothing can be left. */
    void (*reap)(struct executor *x, struct store *s);
    /* Blocks until all that was begun for clean-up (container removals) is done, at most limit_ms. */
    void (*drain)(struct executor *x, int64_t limit_ms);
    void (*close)(struct executor *x);
};
struct executor {
    const struct executor_ops *ops;
};

/* Constructors. */
int process_executor_open(struct loop *l, struct executor **ret, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Inside an attempt: what attempt.c, surroundings.c, outputs.c, builtin.c, ingest.c and slots.c share. Nobody else includes this.
 * Life: begin (texts evaluated, files laid out) -> [source fetched] -> [copies of other steps' outputs laid out on the pool] -> submitted -> job ended -> [log drained] -> collect (outputs,
 * values, inputs looked at again; on the pool where large) -> end. */
#ifndef WF_STEPS_ATTEMPT_IMPL_H
#define WF_STEPS_ATTEMPT_IMPL_H

#include "base/err.h"
#include "base/id.h"
#include "base/map.h"
#include "base/str.h"
#include "base/vec.h"
#include "steps/attempt.h"
#include "steps/executor.h"
#include "steps/scope.h"
#include "steps/source.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct from_list;
struct mask;
struct source_fetch;

/* Another step's output as it lies on this machine for host steps: made once, read by all of the run, checked after each. */
struct copy {
    char *name; /* STEP.ROW.OUTPUT: the map's key */
    char *path;
    struct digest digest;
    uint64_t object_bytes;
    enum object_kind kind;
    bool executable;
    uint32_t generation; /* raised when a step altered it: the next reader gets a new one */
    bool made;
    struct stat st; /* of a file */
    uint64_t sum;   /* of a folder: over names, sizes and times of all below */
};
struct copy_use {
    struct copy *copy;
    uint32_t generation;
    struct stat st;
    uint64_t sum;
    const char *path;
};

/* Which file or folder it is that is held open: nothing else can have its number meanwhile. */
struct inode {
    dev_t dev;
    ino_t ino;
};

/* Reused by one attempt after the other. Files are rewritten in place; the output folder gets a new name each time. */
struct slot {
    struct slot *next;
    char *dir; /* WORK/sN: script, values, inputs */
    char *out; /* WORK/oN: $WF_OUT */
    int out_fd, log_fd, script_fd, values_fd, inputs_fd;
    struct inode out_is, script_is, values_is, inputs_is;
    char *log_path, *script_path, *values_path, *inputs_path;
    struct str script, inputs;            /* as they stand in the files */
    struct timespec script_at, inputs_at; /* when we wrote them */
    bool used;                            /* the output folder had a step in it under its name */
};

struct slots {
    const struct world *w;
    struct slot *free;
    uint64_t last_name; /* of folders: never repeats within the run */
    int work_fd;        /* of WORK, to reach what lies below without walking down to it; or -1 */
    size_t work_len;    /* of WORK's path */
    struct arena *arena;
    struct map copies;
    pthread_mutex_t copying; /* folders are laid out on the pool, one after the other */
    const char **base_env;   /* NULL-terminated, the same for all host steps of the run */
    const char **box_env;    /* the same for containers */
    char *logs_dir;          /* logs/RUN below the store */
    bool logs_made;
};

struct place {
    struct output_ref ref;
    const char *path;  /* as the step sees it */
    struct copy *copy; /* host */
    const char *host;  /* container: where it is laid out */
};

struct attempt {
    const struct world *w;
    struct slots *slots;
    struct asker *k;
    struct instance_ref i; /* name copied */
    const struct step *step;
    uint32_t number;
    const struct question *q;
    bool keep, host;
    attempt_fn on_end;
    void *arg;

    struct arena *arena;
    struct step_scope scope;
    char token[ID_LEN + 1];
    struct slot *slot;
    const char *out_dir;     /* on this machine */
    const char *values_path; /* on this machine */
    const char *box;    /* container: the folder of all that is mounted; discarded as a whole */
    const char *script; /* the script's path as the step sees it; NULL: a command */
    VEC(struct place) places;
    VEC(struct mount) mounts;
    VEC(struct copy_use) uses;
    struct job job;
    struct executor *executor;
    struct job_handle *handle;
    struct timer *timer;
    struct mask *mask;
    int stdout_fd; /* captured; -1: not */
    struct job_end job_end;
    bool timed_out, cancelled, job_over, ended, in_pool, freed, submitted;

    struct source_facts source; /* of an ingest */
    struct source_fetch *fetch;
    bool have_source;

    /* of a built-in */
    struct from_list *from;

    struct result result;
    bool store;
    const char *why_not;
    enum attempt_outcome outcome;
    struct err err;
    const char *log;    /* below the store */
    uint64_t log_bytes; /* of the slot's log, when log_known */
    bool log_known;
    int64_t began_at_ms, started_us;
    int64_t storing_us; /* spent on taking its outputs */
};

/* --- secrets.c --- */
const char **secrets_of(const struct attempt *a);                    /* the values; NULL: missing */
const char *secrets_hide(const struct attempt *a, const char *text); /* *** in their place */
/* A secret in a value or in the metrics is an error. */
int secrets_check(const struct attempt *a, struct err *err);

/* --- slots.c --- */
int slot_take(struct slots *s, struct slot **ret, struct err *err);
/* `whole`: every output was taken; else what lies in the folder is thrown away. */
void slot_give(struct slots *s, struct slot *slot, bool whole);
/* Makes the file hold *text, unless it does already; what *text is afterwards is unspecified. */
int slot_script(struct slot *slot, struct str *text, struct err *err);
int slot_inputs(struct slot *slot, struct str *text, struct err *err);
const char *slots_new_name(struct slots *s, char letter, struct arena *a); /* WORK/xN */
/* The copy of an output; not yet made. */
struct copy *copy_get(struct slots *s, const struct output_ref *ref);
/* Lays it out. A file: loop thread. A folder: any thread, under s->copying. */
int copy_make(struct slots *s, struct copy *c, struct err *err);
/* Is it as it was when the attempt began to read it? Any thread. */
bool copy_unchanged(const struct copy_use *u);
/* After a change: later readers get a new one. Loop thread. */
void copy_renew(struct slots *s, const struct copy_use *u);

/* --- box.c --- */
int surroundings_container(struct attempt *a, struct err *err);

/* --- surroundings.c: parts of both hosts and containers --- */
int build_job(struct attempt *a, struct err *err);
void common_job(struct attempt *a);
int make_parents(struct attempt *a, struct err *err); /* folders of outputs below $WF_OUT */
int place_from(struct attempt *a, struct err *err);
int script_text(struct attempt *a, struct str *out, struct err *err);
int build_command(struct attempt *a, struct err *err);
int build_env(struct attempt *a, const char *inputs_path, const char *values_path,
              struct err *err); /* paths as the step sees them; inputs_path NULL: none */
void write_inputs(struct attempt *a, struct str *out);

/* --- places.c --- */
/* The question's inputs with paths in place of what was known by digest only. */
int place_inputs(struct attempt *a, struct err *err);
/* Paths of other steps' outputs, noted as they are asked for. */
int attempt_place(void *arg, const struct output_ref *ref, const char **ret, struct err *err);
/* hashFiles() as the question had it. */
int hash_files_now(void *arg, const struct value *patterns, uint32_t count, struct value *ret,
                   struct err *err);
/* Lays out what was noted. `folders`: also whole folders (pool); without, 1 when there are any. */
int lay_out(struct attempt *a, bool folders, struct err *err);

/* --- outputs.c --- */
bool collect_is_large(struct attempt *a);
/* Takes outputs, values, metrics; looks at the inputs again; keeps the log. Any thread. Fills result, store, why_not. */
int collect(struct attempt *a, struct err *err);
/* The log as a file below logs/, where it is not empty. Any thread. */
void keep_log_file(struct attempt *a);

/* --- builtin.c, ingest.c --- */
int builtin_begin(struct attempt *a, struct err *err); /* loop thread */
int builtin_work(struct attempt *a, struct err *err);  /* pool */
/* Brings the source here, then calls attempt_go_on() or attempt_fail(). */
int ingest_begin(struct attempt *a, struct err *err);
int ingest_work(struct attempt *a, struct err *err);  /* pool: what is taken in without a command */
int ingest_facts(struct attempt *a, struct err *err); /* pool: counts, checks the digest */
/* What was fetched is not what the key was made of: it is used, but kept under no key. */
bool ingest_moved_on(const struct attempt *a);
#define INGEST_MOVED_ON "the source changed between the look at it and its fetching"

/* --- attempt.c --- */
void attempt_go_on(struct attempt *a); /* the source is here */
void attempt_fail(struct attempt *a,
                  enum attempt_outcome
                      outcome); /* a->err is set; ends from the loop's next turn at the earliest */

#endif

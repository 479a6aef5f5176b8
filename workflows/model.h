/* SPDX-License-Identifier: Apache-2.0 */
/* The checked, immutable model of one workflow file. All of it lives in one arena and points only into it (which may be an image:
 * defaults are copied in, never string literals). Indices are uint32_t; NONE means absent. Built by load.h, never changed after. */
#ifndef WF_WORKFLOWS_MODEL_H
#define WF_WORKFLOWS_MODEL_H

#include "workflows/expr.h"
#include "workflows/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NONE UINT32_MAX

enum step_kind {
    KIND_COMMAND,
    KIND_INGEST,
    KIND_TRAIN,
    KIND_SELECT,
    KIND_SERVE,
    KIND_AGGREGATE,
    KIND_WORKFLOW,
    KIND_APPROVE,
    KIND_COUNT
};
enum executor_kind {
    EXECUTOR_AUTO,
    EXECUTOR_PROCESS,
    EXECUTOR_CONTAINER,
    EXECUTOR_SLURM,
    EXECUTOR_KUBERNETES,
    EXECUTOR_COUNT
};
enum pull_policy { PULL_MISSING, PULL_ALWAYS, PULL_NEVER, PULL_COUNT };
enum network_mode { NETWORK_HOST, NETWORK_NONE, NETWORK_COUNT };
enum failure_mode { FAILURE_CONTINUE, FAILURE_STOP, FAILURE_COUNT };
enum cache_policy { CACHE_CONTENT, CACHE_TIME, CACHE_CHANGE, CACHE_OFF, CACHE_POLICY_COUNT };
/* May a result leave this machine? Unless stated: of container steps yes, of host steps no, for their tools are not in the key. */
enum shared { SHARED_UNSTATED, SHARED_NO, SHARED_YES };
enum measure {
    MEASURE_RECORDS,
    MEASURE_BYTES,
    MEASURE_FILES,
    MEASURE_ETAG,
    MEASURE_GIT,
    MEASURE_COMMAND,
    MEASURE_COUNT
};
enum method {
    METHOD_MEAN,
    METHOD_VOTE,
    METHOD_UNION,
    METHOD_CONCAT,
    METHOD_BEST,
    METHOD_COMMAND,
    METHOD_COUNT
};
enum balance { BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONNECTIONS, BALANCE_HASH, BALANCE_COUNT };
/* How a replica is reached: a unix socket wf hands it, a port of 127.0.0.1 wf hands it, or a port its program insists on. */
enum address_mode { ADDRESS_SOCKET, ADDRESS_PORT, ADDRESS_FIXED };
/* When a step that needs a service starts: at its last promotion, at its first, or once per promotion. */
enum on_promotion { ON_PROMOTION_LAST, ON_PROMOTION_FIRST, ON_PROMOTION_EACH, ON_PROMOTION_COUNT };
enum need_mode { NEED_ALL, NEED_ANY, NEED_EACH, NEED_COUNTED, NEED_MODE_COUNT };
enum param_type { PARAM_STRING, PARAM_INTEGER, PARAM_NUMBER, PARAM_BOOLEAN, PARAM_TYPE_COUNT };

/* Names of each enum's members as the language spells them; index = enum value. */
extern const char *const step_kind_names[KIND_COUNT];
extern const char *const executor_kind_names[EXECUTOR_COUNT]; /* [0] is "auto" */
extern const char *const pull_policy_names[PULL_COUNT];
extern const char *const network_mode_names[NETWORK_COUNT];
extern const char *const failure_mode_names[FAILURE_COUNT];
extern const char *const cache_policy_names[CACHE_POLICY_COUNT];
extern const char *const measure_names[MEASURE_COUNT];
extern const char *const method_names[METHOD_COUNT];
extern const char *const balance_names[BALANCE_COUNT];
extern const char *const on_promotion_names[ON_PROMOTION_COUNT];
extern const char *const need_mode_names[NEED_MODE_COUNT]; /* [NEED_COUNTED] is "count" */
extern const char *const param_type_names[PARAM_TYPE_COUNT];

struct param {
    const char *name, *description;
    enum param_type type;
    bool required, is_enum, has_min, has_max;
    double min, max;
    uint32_t n_enum;
    struct value *choices;
    struct value fallback; /* the default; VALUE_NULL: none */
    struct value
        value; /* what holds in this load: the override, else the default; VALUE_NULL while missing (only `check` allows that) */
    struct span span;
};
struct env_item {
    const char *name;
    struct text *value;
};
struct secret {
    const char *name;
    const char *env;
    const char *file;
    struct span span;
};
struct secret_use {
    const char *env;
    uint32_t secret;
}; /* handed over as this variable */
struct label {
    const char *name, *value;
};

struct need {
    uint32_t step; /* index of the needed step */
    enum need_mode mode;
    uint32_t count; /* NEED_COUNTED */
    bool declared;  /* under `needs`; false: from a reference */
    bool
        order_only; /* a reference to .status alone, or one covered by default(): success is not required */
};
struct input {
    const char *name; /* NULL: a bare path or glob */
    struct text *
        path; /* relative to the workflow's folder, absolute, or an output reference with a sub-path */
    bool optional;
    bool glob; /* holds * ? [ */
    struct span span;
};
struct output {
    const char *name;
    struct text *path; /* below $WF_OUT */
    bool non_empty;
    unsigned char padding[7]; /* by name, as in struct value */
    const char *sha256;       /* NULL */
    struct text *publish;     /* path below the workflow's folder, NULL: not published */
    struct span span;
};
struct step_value {
    const char *name;
    bool from_stdout;
    unsigned char padding[7]; /* by name, as in struct value */
};

/* One branch of a matrix; one row without axes for a step that has none. */
struct matrix_row {
    const char *name; /* the instance's name: step[axis=value,…] (semantics 8), or the step's */
    uint32_t n;
    const char *const *axes; /* names, shared or own (include may add) */
    struct value *values;
};

struct retry {
    uint32_t limit;
    int64_t delay_ms, max_delay_ms;
    double backoff;
    bool on_any, on_timeout, on_lost, on_oom;
    uint32_t n_codes;
    struct {
        uint8_t from, to;
    } * codes;
};
struct resources {
    uint32_t cpu_milli;
    uint64_t memory;
    uint32_t gpu;
}; /* 0: not stated */
struct cache_options {
    enum cache_policy policy;
    bool stated;    /* `cache:` stands on the step (or its defaults) */
    int64_t ttl_ms; /* 0: none */
    enum measure measure;
    enum shared shared;
    const char *measure_command;
    double threshold;    /* fraction; for words: any change */
    const char *version; /* as written, NULL */
};
struct select_options {
    uint32_t n_from;
    uint32_t *from;
    const char *metric;
    bool min;
    bool has_at_least, has_at_most;
    double at_least, at_most;
    uint32_t top, min_models;
    bool has_tolerate;
    uint32_t tolerate;
    bool early; /* decides again after each candidate */
    /* The first promotion waits for so many candidates that pass, at most so long after the first of them; 0: not stated. */
    uint32_t wait_for;
    int64_t wait_at_most_ms;
    double min_delta; /* a served model gives way only to one better by so much */
};
/* Bounds of the traffic of a service; 0 and NULL: not stated. */
struct limit_options {
    uint32_t concurrent; /* requests at once in each replica */
    uint32_t queue;      /* requests that wait, of the whole service; more get 503 */
    double rate_anonymous, rate_authenticated; /* requests per second of one caller */
    struct text *tokens;                       /* a file of lines "TOKEN NAME [RATE]" */
};
/* Where a service answers. host NULL: 127.0.0.1, else an IPv4 address, an IPv6 address without brackets, or "localhost"; port 0: wf chooses one and keeps it. */
struct listen_options {
    const char *host;
    uint16_t port;
};
struct serve_options {
    uint32_t from; /* a select step; NONE: one service without a model */
    uint32_t replicas;
    const char *ready_path; /* "/…"; NULL: ready_run, or neither */
    struct text *ready_run; /* a smoke test: a script for sh */
    int64_t ready_timeout_ms;
    struct listen_options listen;
    enum address_mode address;
    uint16_t fixed_port; /* ADDRESS_FIXED */
    enum balance balance;
    struct limit_options limits;
    double canary_share; /* fraction; 0: none */
    int64_t canary_for_ms;
    double canary_max_errors; /* fraction of 5xx answers */
    const char *shard_header; /* requests with equal values of it go to equal replicas */
    bool shard_uri;           /* the same by the request's path */
    bool scales;
    uint32_t scale_min, scale_max, scale_target; /* target: requests at once per replica */
    bool keep;                                   /* lifetime: keep */
    bool first_stop; /* replace: first_stop, the old promotion ends before the new one starts */
};
struct aggregate_options {
    uint32_t n_from;
    uint32_t *from;
    const char *of;
    enum method method;
    bool online; /* combines a service's answers (`from` is one serve step) */
    struct listen_options listen;
    struct limit_options limits;
    uint32_t quorum; /* models that must answer */
    uint32_t split;  /* instances per part of a large request; 0: never cut */
};

struct step {
    const char *name;
    struct span span;
    enum step_kind kind;
    bool finally;
    const char *description;
    struct text *run; /* NULL: command, or neither */
    uint32_t n_command;
    struct text **command;
    struct text *image; /* NULL: none */
    enum pull_policy pull;
    enum executor_kind executor; /* resolved: never AUTO after load */
    uint32_t n_needs;
    struct need *needs; /* declared and inferred, one per needed step */
    uint32_t n_inputs;
    struct input *inputs;
    uint32_t n_outputs;
    struct output *outputs;
    uint32_t n_values;
    struct step_value *values;
    uint32_t n_env;
    struct env_item *env; /* workflow env and defaults merged in */
    uint32_t n_pass_env;
    const char **pass_env;
    uint32_t n_secrets;
    struct secret_use *secrets;
    struct text *workdir; /* NULL */
    const char *shell;    /* "sh", "bash", … when a name */
    uint32_t n_shell;
    const char **shell_args; /* when a list */
    enum network_mode network;
    bool is_matrix;
    uint32_t n_rows;
    struct matrix_row *rows; /* expanded; >= 1 unless a matrix came out empty */
    uint32_t max_parallel;   /* of the matrix; 0: no bound */
    bool fail_fast;
    struct expr *condition;    /* `if`, NULL */
    bool condition_has_status; /* it calls a status function itself */
    struct retry retry;
    int64_t timeout_ms, grace_ms; /* 0: none; grace 10 s by default */
    bool continue_on_error;
    struct resources resources;
    struct cache_options cache;
    struct text *source; /* ingest */
    const char *source_sha256;
    struct select_options *select;       /* kind select */
    struct aggregate_options *aggregate; /* kind aggregate */
    struct serve_options *serve;         /* kind serve */
    enum on_promotion on_promotion;
    uint32_t n_labels;
    struct label *labels;
    /* Facts the loader works out: */
    uint32_t n_reads;
    struct expr_name *
        *reads; /* every distinct ${{ steps.… }} / inputs reference in what makes the action */
    const char *uncacheable; /* a reason the loader found ("names run.id"), NULL */
};

struct workflow {
    const char *name, *description;
    const char *file; /* as the user named it */
    const char *dir;  /* absolute real folder of the file */
    uint32_t n_labels;
    struct label *labels;
    uint32_t n_params;
    struct param *params;
    uint32_t n_secrets;
    struct secret *secrets;
    uint32_t n_steps;
    struct step *steps; /* `steps` in file order, then `finally` */
    uint32_t n_finally;
    uint32_t max_parallel; /* 0: the processors */
    enum failure_mode on_failure;
    int64_t timeout_ms;
    uint32_t n_order;
    uint32_t *order; /* a topological order of the steps (file order where free) */
};

uint32_t workflow_find_step(const struct workflow *wf, const char *name,
                            size_t len); /* NONE: absent */
/* Whether the step's shell is sh, dash, bash, ksh or zsh (by the name of its program): how text_eval_script() quotes. */
bool step_shell_is_posix(const struct step *step);
/* A service: a serve step or an online aggregate. For those that need it, being ready stands for having succeeded. */
static inline bool step_is_service(const struct step *s)
{
    return s->kind == KIND_SERVE || (s->aggregate && s->aggregate->online);
}

#endif

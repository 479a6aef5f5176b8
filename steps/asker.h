/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the question: what question*.c share. Nobody else includes this.
 * A question is built in two passes. specs_build() works out on the loop thread what is to be looked at; then each spec is looked at, at once where that is cheap, else on the pool
 * (question_work), whose answers wait in `prepared` for the next question_ask() of that instance. */
#ifndef WF_STEPS_ASKER_H
#define WF_STEPS_ASKER_H

#include "base/map.h"
#include "steps/inputs.h"
#include "steps/question.h"
#include "steps/scope.h"
#include "steps/source.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* A file looked at a moment ago: a table of fixed size, for what many steps read. Valid until an attempt ends or something is published (world.epoch), 10 ms at most. */
#define MEMO_SLOTS 1024
#define MEMO_US 10000
/* Files up to this size are hashed on the loop thread: that is cheaper than a way to the pool and back. */
#define SMALL_FILE (64 * 1024)

struct memo {
    struct memo *next; /* filled before it */
    char *key;
    size_t key_len, key_cap;
    uint64_t epoch;
    int64_t until_us;
    bool exists, have_digest;
    struct stat st;
    struct digest digest;
    char *found; /* of a program: where it lies */
};

/* What looking at one thing gave. */
struct looked {
    bool done, exists, exec;
    char kind; /* 'f' 'd' */
    struct stat st;
    struct digest digest;
    uint64_t bytes, files;
    uint64_t stamp; /* of a folder: manifest_stamped() */
};
enum spec_kind { SPEC_PATH, SPEC_GLOB, SPEC_KNOWN, SPEC_WORD, SPEC_PROGRAM, SPEC_SOURCE };
struct spec {
    enum spec_kind kind;
    uint32_t input;
    const char *name, *rel, *path; /* path: absolute; of SPEC_GLOB the pattern */
    bool optional;
    bool located; /* a source that stands in the key by where it is (policies time and change) */
    struct looked looked;
    const char **matches; /* of SPEC_GLOB, as glob_expand() gives them */
    struct looked *match_looked;
    size_t n_matches;
    const char *measure, *measure_why; /* of SPEC_SOURCE under `change`; why there is none */
};
struct specs {
    VEC(struct spec) v;
    uint64_t epoch; /* when they were built */
};

/* What holds for all branches of a step; kept for matrix steps. */
struct facts {
    bool builtin, host;
    bool complex; /* an expression does more with a path than naming it */
    bool files;   /* hashFiles() */
    const char *why_not;
    uint32_t n_reads;
    const struct expr_name **reads;
    const char **read_texts; /* "steps.train.outputs.model" */
    const struct expr **
        chains; /* what is taken of the name, as `steps.select.models[0].path`; NULL: the whole of it */
};

/* What question_work() found for one instance. */
struct prepared {
    uint32_t index; /* first: the map's key */
    struct arena *arena;
    struct specs specs;
};
/* What a URL gave, kept for the attempt that follows. */
struct fetched {
    uint32_t index; /* first: the map's key */
    struct source_facts facts;
};

struct asker {
    const struct world *w;
    struct arena *arena;
    struct facts **facts; /* by step, NULL: not made */
    struct memo *memos;   /* MEMO_SLOTS */
    struct memo *programs;
    struct memo *filled; /* of both: what is to be freed, without touching the rest */
    struct map shells;   /* by name, folder and PATH: where it lies */
    struct map prepared; /* by instance index */
    size_t n_prepared;
    struct map fetched; /* by instance index */
    struct map images;  /* by name: struct image */
    struct map published;
    bool published_made;
    int64_t now_us;
    uint64_t epoch;
    int dir_fd; /* the workflow's folder: what lies below it is found without walking down to it each time; or -1 */
    size_t dir_len;
    struct str text, action;
    /* Folders being walked, so that many steps with one folder walk it once; shared with the pool. */
    pthread_mutex_t lock;
    pthread_cond_t walked;
    struct walk *walks;
    struct http *http;
    struct map asked, silent; /* look_once.c: by URL, by host */
};

void asker_begin(struct asker *k);
struct facts *facts_get(struct asker *k, const struct instance_ref *i, struct arena *a);
/* stat through the table. Borrowed until the next look. */
struct memo *memo_look(struct asker *k, const char *path, size_t len);
/* The words of this branch that name existing files, as specs. */
void words_find(struct asker *k, struct step_scope *s, struct specs *specs);
bool is_published(struct asker *k, const char *rel);
/* Where a program lies; NULL: nowhere. Borrowed until the next look. */
const char *program_find(struct asker *k, const char *name, const char *cwd, const char *path_env);
/* The same for a script's shell. One of the machine's own (sh, dash, bash) is looked for once for all steps with that PATH. */
const char *shell_find(struct asker *k, const char *name, const char *cwd, const char *path_env);

int specs_build(struct asker *k, const struct facts *f, struct step_scope *s, struct specs *ret,
                struct err *err);
/* Looks at what can be had at once. 1: something is for the pool. */
int specs_look(struct asker *k, struct specs *specs, struct err *err);
/* Looks at everything. Any thread; `a` is the caller's own. `fetched`: what a URL gave, NULL: nothing. */
int specs_look_blocking(struct asker *k, struct specs *specs, const struct step *step,
                        const struct source_facts *fetched, struct arena *a, struct err *err);
/* Is the folder still as it was? Its list is then kept for explanations (`keep`, may be NULL). Blocking, any thread. */
enum recheck folder_recheck(struct statcache *sc, struct store *keep, const char *path,
                            const struct digest *d, uint64_t stamp);
void asker_forget_walks(struct asker *k);
/* What is said of an input that is not there or cannot be read as one; 0: it can. */
int spec_check(const struct spec *s, const char *path, const struct looked *l, struct err *err);
struct prepared *prepared_find(struct asker *k, uint32_t instance);
void prepared_drop(struct asker *k, struct prepared *p);
/* Where a URL's content goes for an instance; owned by the caller. */
char *source_target(struct asker *k, uint32_t instance);
/* source_fetch() of a dry run: a URL is asked once, and who wants it again gets the same answer. Of a server that did not answer in time the rest is not asked
 * any more (ERR_BUSY: a run would have more patience). r is borrowed for the call; what is under way belongs to the asker. */
int look_once(struct asker *k, const struct fetch_request *r, source_fn on_done, void *arg,
              struct err *err);
void looks_free(struct asker *k);
const struct source_facts *fetched_find(const struct asker *k, uint32_t instance);
/* The image of a step as it was resolved; 1: question_work() has to do it first; negative: error. */
struct image;
int image_find(struct asker *k, struct step_scope *s, const struct image **ret, struct err *err);
/* The HTTP client, opened at first use. */
int asker_http(struct asker *k, struct http **ret, struct err *err);
/* hashFiles(): a hexadecimal digest; "" where nothing matches. */
int hash_patterns(const struct world *w, struct arena *a, const struct value *patterns,
                  uint32_t count, struct value *ret, struct err *err);
/* Everything that stands in the key for a URL or path under `time` and `change`. */
void location_digest(const char *source, struct digest *ret);

/* What `.member`, `[index]` and `.*` around a name take of it. */
struct chain_output {
    const char *ref; /* "steps.select.models[0].path", and the way down from there */
    struct output_ref output;
};
struct chain_read {
    const char *text; /* the chain as written */
    const char *json; /* its value with its types, paths as placeholders; NULL: it is one path */
    struct chain_output *outputs;
    size_t n_outputs;
};
/* 0; 1: absent; negative: it cannot be told, and the whole of what its name says has to do. In the scope's arena. */
int chain_read(struct step_scope *s, const struct expr *chain, struct chain_read *ret);

/* A part of another step's output as an input: `${{ steps.x.outputs.y }}/sub`. */
struct part_ref {
    bool list; /* all branches: a folder with one entry each */
    struct output_ref one;
    const char *sub; /* below the output; NULL: whole */
    char kind;       /* 'f' 'd'; 'a': it is optional and not there, and has no digest */
    bool exec;
    struct digest digest;
};
/* 0: it is one; 1: the text is an ordinary path; negative: error. */
int part_resolve(struct step_scope *s, const struct input *in, struct part_ref *ret,
                 struct err *err);
/* Calls fn for each succeeded branch that the text's reference names. */
int part_each(struct step_scope *s, const struct input *in,
              int (*fn)(const struct output_ref *ref, void *arg, struct err *err), void *arg,
              struct err *err);

/* The directory a host step starts in, absolute. */
int step_cwd(struct step_scope *s, const char **ret, struct err *err);
/* PATH as the host step gets it: its own env's, or the world's. */
const char *step_path_env(struct step_scope *s);

#endif

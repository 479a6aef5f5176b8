/* SPDX-License-Identifier: Apache-2.0 */
/* What the loader's files share. One load is one `struct loader` on the stack of workflow_load(); nothing outlives it but the model.
 * Every function here reports to l->d and goes on, so that all problems of a file are said at once. */
#ifndef WF_WORKFLOWS_LOAD_INTERNAL_H
#define WF_WORKFLOWS_LOAD_INTERNAL_H

#include "base/map.h"
#include "workflows/diag.h"
#include "workflows/load.h"
#include "workflows/model.h"
#include "workflows/schema.h"
#include "workflows/yaml.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

enum {
    SHARED_TEXTS = 4096, /* slots of the cache of equal constant texts */
    SHARED_NAMES = 256,
    SHARED_MAX = 64, /* longer texts are seldom equal */
    MAX_STEP_KEYS = 128,
};

/* One default, ready for a kind: where several maps merge by name, all of them in order. */
struct default_key {
    const struct schema_key *key;
    const struct node *nodes[3];
    uint32_t n_nodes;
    bool per_step; /* names inputs or outputs of the step: parsed anew for each */
};
/* A kind's defaults: `base` has all that is equal for every step, `keys` the rest. */
struct prototype {
    struct step base;
    struct default_key keys[MAX_STEP_KEYS];
    uint32_t n_keys;
};
/* What the loader knows of a step besides the model. */
struct step_facts {
    const struct node *node;                            /* the step's mapping; NULL: it was none */
    const struct node *needs, *from, *publish, *matrix; /* NULL: absent */
    uint32_t n_each; /* steps under `needs` with each, by index, ascending; see load_each() */
    uint32_t *each;
    uint32_t chosen_of; /* index + 1 of the select step under `needs` with each; 0: none */
    bool unknown_keys;  /* some were reported: what is missing may be one of them */
    uint8_t own[MAX_STEP_KEYS / 8]; /* keys that stand on the step itself */
};

struct entry;
struct loader {
    struct arena *a;   /* the model's */
    struct arena *tmp; /* nodes and facts; freed with the load */
    struct diags *d;
    const struct load_options *o;
    struct workflow *wf;
    const struct node *root, *env, *defaults;
    struct map step_names; /* name -> index; through map_find() */
    struct map param_names, secret_names;
    struct value *param_values;
    bool *param_used, *secret_used;
    struct step_facts *facts; /* by step */
    struct prototype *prototypes[KIND_COUNT];
    struct text *shared[SHARED_TEXTS];
    const char *names[SHARED_NAMES];
    const char *default_shell; /* "sh", in the arena */
    struct expr *always;       /* always(), for steps under finally */
    void (*handlers[MAX_STEP_KEYS])(struct loader *l, struct step *s,
                                    const struct entry *e); /* by key, found at first use */
};

/* A key as the loader meets it. */
struct entry {
    const struct schema_key *key;
    const struct node *value;
    struct span at; /* of the key */
    bool inherited; /* from `defaults` */
};

/* --- load_value.c: scalars --- */
/* "'timeout' must be a duration such as 30s, not '30'" at the value. */
void load_expected(struct loader *l, const struct entry *e);
/* The same, where `text` may be what an expression gave. */
void load_wrong_text(struct loader *l, const struct entry *e, const char *text);
/* As load_expected(), with what was expected in other words. */
void load_expected_as(struct loader *l, const struct node *n, const char *name, const char *what);
/* The scalar's text, with ${{ params.x }} evaluated now. NULL: not a scalar, null, or an error (reported), or a param that has no value in `wf check` (silent).
 * `ret_type` may be NULL. */
const char *load_now(struct loader *l, const struct entry *e, enum scalar_type *ret_type);
const char *load_words(struct loader *l,
                       const struct entry *e); /* a constant text; NULL: reported */
bool load_bool(struct loader *l, const struct entry *e, bool *ret);
bool load_count(struct loader *l, const struct entry *e, uint32_t min, uint32_t *ret);
bool load_number(struct loader *l, const struct entry *e, double *ret);
bool load_duration(struct loader *l, const struct entry *e, int64_t *ret_ms);
/* One of `names`, by index. */
bool load_choice(struct loader *l, const struct entry *e, const char *const *names, uint32_t count,
                 uint32_t *ret);
/* A text that may hold ${{ }}. NULL: reported. Equal constant texts are one: their span is the first one's. */
struct text *load_text(struct loader *l, const struct entry *e);
struct text *load_text_of(struct loader *l, const struct node *n, const char *name,
                          const char *type, bool script);
/* The same, with a span of its own. */
struct text *load_placed_text(struct loader *l, const struct node *n, const char *name,
                              const char *type);
bool load_sha256(struct loader *l, const struct entry *e, const char **ret);
/* A name that many steps have, from a small cache of equal ones; lives in the model's arena. */
const char *load_shared_name(struct loader *l, const char *name, size_t len);
bool valid_name(const char *name); /* [A-Za-z_][A-Za-z0-9_-]* */
bool valid_variable(const char *name);
/* Says that `name` is no good name for a `what`. */
bool check_name(struct loader *l, struct span at, const char *what, const char *name);
/* A scope in which only params are known. */
struct scope load_scope(struct loader *l);
bool is_null(const struct node *n);

/* --- load_keys.c --- */
/* Finds the key in the table or reports it: unknown (with the nearest word), or not supported yet. `what` names the place: "a step". */
const struct schema_key *load_key(struct loader *l, const struct schema_table *t,
                                  const struct node_pair *p, const char *what);
/* Calls fn for every known key of a mapping; reports what is no mapping. */
bool load_mapping(struct loader *l, const struct node *n, const struct schema_table *t,
                  const char *what, void (*fn)(struct loader *l, const struct entry *e, void *arg),
                  void *arg);
/* A name that is not there: "… which is not a WHAT (did you mean …)". */
void suggest_from_map(struct loader *l, const char *word, const struct map *names);
uint32_t load_step_index(struct loader *l, const char *name); /* NONE: not a step */
/* As before, but an unknown name is reported: "MESSAGE 'name', which is not a step". */
uint32_t load_step_ref(struct loader *l, const struct node *n, const char *by, const char *verb);

/* --- load_params.c, load_override.c --- */
void load_params(struct loader *l, const struct node *n);
/* Applies the overrides; 0 or negative (ERR_USAGE). */
int load_overrides(struct loader *l, struct err *err);
/* A text by a param's type, range and choices. Returns NULL or what is wrong with it (lives in l->tmp). */
const char *param_read(struct loader *l, const struct param *p, const char *text,
                       struct value *ret);

/* --- load_env.c: what merges by name --- */
void load_env(struct loader *l, struct step *s, const struct entry *e);
void load_labels(struct loader *l, const struct entry *e, uint32_t *n, struct label **labels);
void load_secrets(struct loader *l, const struct node *n);
void load_secret_uses(struct loader *l, struct step *s, const struct entry *e);

/* --- load_defaults.c --- */
void load_defaults(struct loader *l); /* checks the mapping */
struct prototype *load_prototype(struct loader *l, enum step_kind kind);
void load_blank_step(struct step *s, enum step_kind kind); /* what holds where nothing is said */

/* --- load_step.c --- */
void load_steps(struct loader *l, const struct node *steps, const struct node *finally);
/* needs: {train: each} (semantics 12): the rows of such steps, once all own matrices are expanded. */
void load_each(struct loader *l);
bool load_fans_out(const struct step_facts *f); /* whether `needs` says each of some step */
bool facts_each(const struct step_facts *f,
                uint32_t step); /* whether a reference to `step` means one branch */
/* Applies one key to a step. facts: NULL for a prototype. */
void load_step_key(struct loader *l, struct step *s, struct step_facts *facts,
                   const struct entry *e);
/* For text_each_name(): a param named in a text that is settled while loading counts as used. `arg`: the loader. */
void load_mark_param(struct expr *e, bool in_default, void *arg);
bool facts_own(const struct step_facts *f, const struct schema_key *key);
bool facts_own_name(const struct step_facts *f, const char *name);
/* Where a key of the step stands: its own, else the step's name. */
struct span facts_place(const struct step *s, const struct step_facts *f, const char *key);

/* --- load_io.c, load_policy.c, load_cache.c, load_kind.c, load_serve.c, load_serve_rules.c --- */
void load_inputs(struct loader *l, struct step *s, const struct entry *e);
void load_outputs(struct loader *l, struct step *s, const struct entry *e);
void load_values(struct loader *l, struct step *s, const struct entry *e);
void load_publish(struct loader *l, struct step *s, const struct node *n);
void load_retry(struct loader *l, struct step *s, const struct entry *e);
void load_resources(struct loader *l, struct step *s, const struct entry *e);
void load_cache(struct loader *l, struct step *s, const struct entry *e);
/* The rules and defaults of a finished step's cache and kind. */
void finish_cache(struct loader *l, struct step *s, const struct step_facts *f);
void finish_kind(struct loader *l, struct step *s, const struct step_facts *f);
void load_select_key(struct loader *l, struct step *s, const struct entry *e);
void load_aggregate_key(struct loader *l, struct step *s, const struct entry *e);
void load_serve_key(struct loader *l, struct step *s, const struct entry *e);
void load_listen(struct loader *l, struct step *s, const struct entry *e);
void load_limits(struct loader *l, struct step *s, const struct entry *e);
void load_blank_serve(struct serve_options *o); /* what holds where nothing is said */
void finish_serve(struct loader *l, struct step *s, const struct step_facts *f);
/* An aggregate, once it is known whether it answers requests (`online`). */
void finish_online(struct loader *l, struct step *s, const struct step_facts *f);
/* Whether success(), failure(), cancelled() or always() is called in it. */
bool expr_calls_status(const struct expr *e);

/* --- check*.c: with all steps there --- */
void check_names(struct loader *l);    /* resolves names; fills needs, reads, uncacheable */
void check_kinds(struct loader *l);    /* what select and aggregate expect of others */
void check_services(struct loader *l); /* what services expect of others, and who follows them */
void check_paths(struct loader *l);    /* outputs and publish */
void check_branches(struct loader *l); /* lists of branches, surely misused */
void check_branches_warn(struct loader *l);
void check_warnings(struct loader *l); /* unused and surely mistaken */

#endif

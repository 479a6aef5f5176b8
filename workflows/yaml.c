/* SPDX-License-Identifier: Apache-2.0 */
/* YAML text -> nodes with places, from libyaml's events. libyaml checks little: duplicate keys, aliases, tags, budgets and the
 * types of scalars (YAML 1.2 core) are checked here. An explicit stack, no recursion. */
#include "workflows/yaml.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/suggest.h"
#include "base/vec.h"
#include "workflows/yaml_internal.h"

#include <string.h>
#include <yaml.h>

enum {
    MAX_DEPTH = 64,
    MAX_ALIAS_NODES = 4000000, /* nodes that aliases stand for, all together */
    MAX_TEXT = 64 << 20,
    KEY_CACHE = 256,
};

struct anchor {
    const char *name;
    struct node *node;
    uint64_t size; /* nodes it stands for, aliases counted in full */
    bool open;     /* its end was not seen yet: an alias to it is inside it */
};
struct frame {
    struct node *node;
    size_t first;           /* its first item or pair on the shared stacks */
    uint64_t started;       /* value of `nodes` before it */
    ptrdiff_t anchor;       /* index or -1 */
    bool key_next, bad_key; /* a bad key was reported; its value is dropped */
    bool flow;              /* written with braces or brackets */
    struct node_pair pair;  /* the key that waits for its value */
};
struct reader {
    yaml_parser_t parser;
    const char *text;
    size_t len;
    struct arena *arena;
    struct diags *d;
    VEC(struct frame) frames;
    VEC(struct node *) items;
    VEC(struct node_pair) pairs;
    VEC(struct anchor) anchors;
    struct node *root;
    uint64_t nodes, alias_nodes;
    bool stop;      /* what follows makes no sense any more */
    size_t line_at; /* byte offset of the start of line_no, for block scalars */
    uint32_t line_no;
    const char *keys[KEY_CACHE]; /* equal keys share one copy */
};

static struct span mark_span(yaml_mark_t start, yaml_mark_t end)
{
    struct span s = {.line = (uint32_t)start.line + 1, .col = (uint32_t)start.column + 1};
    if (end.line == start.line && end.column > start.column)
        s.len = (uint32_t)(end.column - start.column);
    return s;
}

/* The copy of a key, shared with equal ones met before where the small cache still has it. */
static const char *share_key(struct reader *r, const char *key, size_t len)
{
    const char **slot = &r->keys[hash_bytes(key, len) % KEY_CACHE];
    if (*slot == NULL || strlen(*slot) != len || memcmp(*slot, key, len) != 0)
        *slot = arena_strndup(r->arena, key, len);
    return *slot;
}

/* --- scalars --- */

static void block_place(struct reader *r, struct node *n)
{
    while (r->line_no <= n->span.line && r->line_at < r->len) {
        size_t b = yaml_break_len(r->text + r->line_at, r->text + r->len);
        r->line_at += b > 0 ? b : 1;
        r->line_no += b > 0;
    }
    /* The first line with text gives the indentation. */
    const char *p = r->text + r->line_at, *end = r->text + r->len;
    uint32_t indent = 0;
    while (p < end) {
        size_t b = yaml_break_len(p, end);
        if (b == 0 && *p != ' ')
            break;
        indent = b > 0 ? 0 : indent + 1;
        p += b > 0 ? b : 1;
    }
    n->indent = indent;
    n->block = true;
}

static struct frame *top(struct reader *r)
{
    return r->frames.len > 0 ? &r->frames.items[r->frames.len - 1] : NULL;
}

/* `!cancelled()` reads as a tag with an empty value: the likeliest slip with tags. `value` is NULL for a list or mapping. */
static void refuse_tag(struct reader *r, struct span at, const char *tag, const char *value)
{
    static const char core[] = "tag:yaml.org,2002:";
    bool standard = strncmp(tag, core, strlen(core)) == 0;
    diag_error(r->d, at, "yaml-tag",
               "'%s%.60s' reads as a YAML tag, and tags are not part of the language",
               standard ? "!!" : "", standard ? tag + strlen(core) : tag);
    if (standard || value == NULL || tag[0] != '!' || tag[1] == '\0')
        return;
    const char *quote = r->frames.len > 0 && top(r)->flow ? "\"" : ""; /* `}}` would end it */
    diag_hint(r->d, "write %s${{ %.60s%s%.60s }}%s", quote, tag, *value ? " " : "", value, quote);
}

static void new_scalar(struct reader *r, const yaml_event_t *e, struct node *n)
{
    const char *value = (const char *)e->data.scalar.value;
    size_t len = e->data.scalar.length;
    n->kind = NODE_SCALAR;
    n->type = SCALAR_STRING;
    n->len = (uint32_t)len;
    n->text = arena_strndup(r->arena, value, len);
    if (memchr(value, '\0', len) != NULL) {
        diag_error(r->d, n->span, "yaml-nul", "a text may not hold the NUL character");
        n->len = (uint32_t)strlen(n->text);
    }
    if (e->data.scalar.tag != NULL) {
        refuse_tag(r, n->span, (const char *)e->data.scalar.tag, value);
        if (len == 0) { /* said once is enough: something that fits an `if` */
            n->text = arena_strdup(r->arena, "true");
            n->len = (uint32_t)strlen(n->text);
        }
    }
    switch (e->data.scalar.style) {
    case YAML_SINGLE_QUOTED_SCALAR_STYLE:
    case YAML_DOUBLE_QUOTED_SCALAR_STYLE:
        n->span.col++;
        n->span.len = n->span.len > 2 ? n->span.len - 2 : 0;
        break;
    case YAML_LITERAL_SCALAR_STYLE:
    case YAML_FOLDED_SCALAR_STYLE:
        block_place(r, n);
        n->folded = e->data.scalar.style == YAML_FOLDED_SCALAR_STYLE;
        n->span.len = 1;
        break;
    default:
        n->plain = true;
        if (e->data.scalar.tag == NULL)
            n->type = yaml_plain_type(value, len);
        if (n->type == SCALAR_NUMBER && yaml_is_special_number(value, len)) {
            diag_error(r->d, n->span, "yaml-number",
                       "'%s' is not a number here: numbers are finite", value);
            n->type = SCALAR_STRING;
        }
    }
}

/* --- aliases --- */

static void add_anchor(struct reader *r, const yaml_char_t *name, struct node *node, bool open)
{
    if (name == NULL)
        return;
    *vec_push(&r->anchors) = (struct anchor){
        .name = arena_strdup(r->arena, (const char *)name), .node = node, .size = 1, .open = open};
}

static void unknown_alias(struct reader *r, struct span at, const char *name)
{
    diag_error(r->d, at, "yaml-alias", "the alias '*%.60s' has no anchor '&%.60s' before it", name,
               name);
    VEC(const char *) names = {0};
    for (size_t i = 0; i < r->anchors.len; i++)
        *vec_push(&names) = r->anchors.items[i].name;
    diag_did_you_mean(r->d, suggest_nearest(name, names.items, names.len));
    vec_done(&names);
}

/* NULL with a diagnostic. The newest anchor of a name holds. */
static struct node *find_alias(struct reader *r, const yaml_event_t *e)
{
    const char *name = (const char *)e->data.alias.anchor;
    struct span at = mark_span(e->start_mark, e->end_mark);
    for (size_t i = r->anchors.len; i-- > 0;) {
        struct anchor *a = &r->anchors.items[i];
        if (strcmp(a->name, name) != 0)
            continue;
        if (a->open) {
            diag_error(r->d, at, "yaml-alias",
                       "the alias '*%.60s' stands inside the very node it names", name);
            return NULL;
        }
        r->alias_nodes += a->size;
        r->nodes += a->size;
        if (r->alias_nodes > MAX_ALIAS_NODES) {
            diag_error(r->d, at, "yaml-bomb",
                       "the aliases of this file stand for more than %d nodes", MAX_ALIAS_NODES);
            r->stop = true;
            return NULL;
        }
        return a->node;
    }
    unknown_alias(r, at, name);
    return NULL;
}

/* --- collections --- */

static void take_key(struct reader *r, struct frame *f, const struct node *n)
{
    f->key_next = false;
    f->bad_key = false;
    f->pair = (struct node_pair){.key = "", .key_span = n->span};
    if (n->kind != NODE_SCALAR) {
        diag_error(r->d, n->span, "yaml-key", "a key must be a text, not a list or a mapping");
        diag_hint(r->d, "quote a value that begins with { or [");
        f->bad_key = true;
        return;
    }
    if (n->type != SCALAR_STRING) {
        diag_error(r->d, n->span, "yaml-key", "the key '%s' is not a string", n->text);
        diag_hint(r->d, "quote it: \"%s\"", n->text);
    }
    f->pair.key = share_key(r, n->text, n->len);
    f->pair.key_len = n->len;
    f->pair.merge = n->plain && n->len == 2 && memcmp(n->text, "<<", 2) == 0;
}

/* A finished node goes into what is open around it. */
static void put_node(struct reader *r, struct node *n)
{
    struct frame *f = top(r);
    if (f == NULL) {
        r->root = n;
    } else if (f->node->kind == NODE_LIST) {
        *vec_push(&r->items) = n;
    } else if (f->key_next) {
        take_key(r, f, n);
    } else {
        f->key_next = true;
        f->pair.value = n;
        if (!f->bad_key)
            *vec_push(&r->pairs) = f->pair;
    }
}

static void open_node(struct reader *r, const yaml_event_t *e, enum node_kind kind,
                      const yaml_char_t *anchor, const yaml_char_t *tag)
{
    struct node *n = arena_alloc(r->arena, sizeof(*n));
    n->kind = kind;
    n->span = mark_span(e->start_mark, e->end_mark);
    if (tag != NULL)
        refuse_tag(r, n->span, (const char *)tag, NULL);
    if (r->frames.len >= MAX_DEPTH) {
        diag_error(r->d, n->span, "yaml-depth",
                   "lists and mappings may be nested %d deep, not deeper", MAX_DEPTH);
        r->stop = true;
        return;
    }
    add_anchor(r, anchor, n, true);
    bool flow = kind == NODE_LIST ? e->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE
                                  : e->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
    *vec_push(&r->frames) =
        (struct frame){.node = n,
                       .flow = flow,
                       .first = kind == NODE_LIST ? r->items.len : r->pairs.len,
                       .started = r->nodes,
                       .anchor = anchor != NULL ? (ptrdiff_t)r->anchors.len - 1 : -1,
                       .key_next = true};
}

static void close_list(struct reader *r, const struct frame *f)
{
    size_t n = r->items.len - f->first;
    f->node->len = (uint32_t)n;
    if (n > 0)
        f->node->items =
            arena_memdup(r->arena, &r->items.items[f->first], n * sizeof(struct node *));
    r->items.len = f->first;
}

static void close_node(struct reader *r)
{
    struct frame f = r->frames.items[--r->frames.len];
    if (f.node->kind == NODE_LIST) {
        close_list(r, &f);
    } else {
        size_t n = r->pairs.len - f.first;
        yaml_close_map(f.node, n > 0 ? &r->pairs.items[f.first] : NULL, n, r->arena, r->d);
        r->pairs.len = f.first;
    }
    if (f.anchor >= 0) {
        struct anchor *a = &r->anchors.items[f.anchor];
        a->open = false;
        a->size = r->nodes - f.started + 1;
    }
    put_node(r, f.node);
}

/* --- events --- */

static void on_scalar(struct reader *r, const yaml_event_t *e)
{
    struct node *n = arena_alloc(r->arena, sizeof(*n));
    n->span = mark_span(e->start_mark, e->end_mark);
    new_scalar(r, e, n);
    add_anchor(r, e->data.scalar.anchor, n, false);
    put_node(r, n);
}

static void on_alias(struct reader *r, const yaml_event_t *e)
{
    struct node *n = find_alias(r, e);
    struct frame *f = top(r);
    bool is_key = f != NULL && f->node->kind == NODE_MAP && f->key_next;
    if (is_key && n != NULL) {
        diag_error(r->d, mark_span(e->start_mark, e->end_mark), "yaml-key",
                   "a key may not be an alias");
        n = NULL;
    }
    if (n == NULL) { /* something to go on with */
        n = arena_alloc(r->arena, sizeof(*n));
        n->span = mark_span(e->start_mark, e->end_mark);
        n->kind = !is_key && f != NULL && f->pair.merge ? NODE_MAP : NODE_SCALAR;
        n->type = is_key ? SCALAR_STRING : SCALAR_NULL;
        n->text = arena_strdup(r->arena, "");
    }
    put_node(r, n);
    if (f != NULL && is_key)
        f->bad_key = true;
}

static void on_event(struct reader *r, const yaml_event_t *e)
{
    r->nodes++;
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (r->root != NULL) {
            diag_error(r->d, mark_span(e->start_mark, e->end_mark), "yaml-documents",
                       "a second document begins here; a file holds one workflow");
            r->stop = true;
        }
        break;
    case YAML_SCALAR_EVENT:
        on_scalar(r, e);
        break;
    case YAML_ALIAS_EVENT:
        on_alias(r, e);
        break;
    case YAML_SEQUENCE_START_EVENT:
        open_node(r, e, NODE_LIST, e->data.sequence_start.anchor, e->data.sequence_start.tag);
        break;
    case YAML_MAPPING_START_EVENT:
        open_node(r, e, NODE_MAP, e->data.mapping_start.anchor, e->data.mapping_start.tag);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        close_node(r);
        break;
    case YAML_STREAM_END_EVENT:
        r->stop = true;
        break;
    default:
        break;
    }
}

static void read_events(struct reader *r)
{
    while (!r->stop) {
        yaml_event_t e;
        if (!yaml_parser_parse(&r->parser, &e)) {
            yaml_explain(&r->parser, r->text, r->len, r->d);
            r->root = NULL;
            return;
        }
        on_event(r, &e);
        yaml_event_delete(&e);
    }
    if (r->frames.len > 0)
        r->root = NULL;
}

/* What libyaml need not see. */
static bool check_bytes(const char *text, size_t len, struct diags *d)
{
    size_t bad = 0;
    const char *nul = memchr(text, '\0', len);
    bool utf8 = utf8_valid(text, len, &bad);
    if (len > MAX_TEXT) {
        diag_error(d, (struct span){0}, "yaml-size", "the file is larger than %d MiB",
                   MAX_TEXT >> 20);
    } else if (nul != NULL && (utf8 || (size_t)(nul - text) < bad)) {
        diag_error(d, yaml_place(text, len, (size_t)(nul - text)), "yaml-nul",
                   "a NUL byte; a workflow is a text file");
    } else if (!utf8) {
        diag_error(d, yaml_place(text, len, bad), "yaml-utf8",
                   "the file is not UTF-8 here (byte 0x%02x)", (unsigned char)text[bad]);
    } else {
        return true;
    }
    return false;
}

struct node *yaml_parse_partial(const char *text, size_t len, struct arena *a, struct diags *d)
{
    if (!check_bytes(text, len, d))
        return NULL;
    struct reader *r = xcalloc(1, sizeof(*r));
    *r = (struct reader){.text = text, .len = len, .arena = a, .d = d, .line_no = 1};
    WF_ASSERT(yaml_parser_initialize(&r->parser));
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    /* With its encoding told, libyaml counts a BOM as a column. */
    size_t bom = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)text + bom, len - bom);
    size_t errors = d->errors;
    read_events(r);
    struct node *root = r->root;
    if (root == NULL && d->errors == errors)
        diag_error(d, (struct span){0}, "yaml-empty",
                   "the file is empty; the smallest workflow has one step under 'steps:'");
    yaml_parser_delete(&r->parser);
    vec_done(&r->frames);
    vec_done(&r->items);
    vec_done(&r->pairs);
    vec_done(&r->anchors);
    cleanup_free(&r);
    return root;
}

struct node *yaml_parse(const char *text, size_t len, struct arena *a, struct diags *d)
{
    size_t errors = d->errors;
    struct node *root = yaml_parse_partial(text, len, a, d);
    return d->errors == errors ? root : NULL;
}

struct node *node_get(const struct node *map, const char *key)
{
    if (map == NULL || map->kind != NODE_MAP)
        return NULL;
    for (uint32_t i = 0; i < map->len; i++) {
        if (strcmp(map->pairs[i].key, key) == 0)
            return map->pairs[i].value;
    }
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* forest: random decision trees, each grown on a bootstrap sample until its leaves are pure; every cut is the best by Gini impurity among sqrt(pixels) random pixels.
 * The probability of a class is the share of trees that vote for it. A tree depends on the seed and its own number alone, so the model is the same for any number of threads. */
#include "classifier.h"
#include "util.h"

#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Nodes this small are cut by sorting their samples: clearing and scanning a histogram would cost more. */
enum { SMALL_NODE = 48, MAX_DEPTH = 100, LEAF = 0xffff, VALUES = 256 };

struct node {
    uint16_t pixel;    /* LEAF: `label` is the answer */
    uint8_t threshold; /* up to it: left */
    uint8_t label;
    uint32_t left; /* the right child follows it */
};
struct tree {
    struct node *nodes;
    uint32_t count;
};
struct forest {
    uint32_t pixels, count;
    struct tree *trees;
};

/* --- the best cut of one node --- */

struct cut {
    double
        purity; /* of both sides: sum of squared class counts over the side's size; negative: none */
    uint16_t pixel;
    uint8_t threshold;
};
/* One node's samples as the search for a cut sees them. */
struct range {
    uint32_t count;
    uint32_t per_class[CLASSES];
    uint64_t squares; /* of per_class, summed */
};
struct scratch {
    uint8_t *values; /* the pixel tried, of each sample of the node */
    uint32_t histogram[VALUES][CLASSES];
};
/* Class counts on both sides of a cut that moves from left to right, and their squares. */
struct sides {
    uint32_t left[CLASSES], right[CLASSES];
    uint64_t left_squares, right_squares;
    uint32_t left_count;
};

static struct sides sides_start(const struct range *r)
{
    struct sides s = {.right_squares = r->squares};
    memcpy(s.right, r->per_class, sizeof(s.right));
    return s;
}

/* (l + n)^2 = l^2 + n (2 l + n), (r - n)^2 = r^2 - n (2 r - n) */
static inline void sides_move(struct sides *s, uint32_t class, uint32_t n)
{
    s->left_squares += (uint64_t)n * (2 * s->left[class] + n);
    s->right_squares -= (uint64_t)n * (2 * s->right[class] - n);
    s->left[class] += n;
    s->right[class] -= n;
    s->left_count += n;
}

static inline void sides_judge(const struct sides *s, const struct range *r, uint16_t pixel,
                               uint8_t threshold, struct cut *best)
{
    double purity = (double)s->left_squares / s->left_count +
                    (double)s->right_squares / (r->count - s->left_count);
    if (purity > best->purity)
        *best = (struct cut){purity, pixel, threshold};
}

/* A sample is its image's number and, in the low byte, its label: the search reads both together. */
static inline uint32_t label_of(uint32_t sample)
{
    return sample & 0xff;
}

static void cut_small(const struct scratch *w, const uint32_t *samples, const struct range *r,
                      uint16_t pixel, struct cut *best)
{
    uint16_t sorted[SMALL_NODE]; /* value and label */
    for (uint32_t i = 0; i < r->count; i++) {
        uint16_t x = (uint16_t)((uint32_t)w->values[i] << 8 | label_of(samples[i]));
        uint32_t at = i;
        for (; at > 0 && sorted[at - 1] > x; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = x;
    }
    struct sides s = sides_start(r);
    for (uint32_t i = 0; i + 1 < r->count; i++) {
        sides_move(&s, label_of(sorted[i]), 1);
        if (sorted[i] >> 8 != sorted[i + 1] >> 8)
            sides_judge(&s, r, pixel, (uint8_t)(sorted[i] >> 8), best);
    }
}

static void cut_large(struct scratch *w, const uint32_t *samples, const struct range *r,
                      uint16_t pixel, uint8_t low, uint8_t high, struct cut *best)
{
    memset(w->histogram[low], 0, sizeof(w->histogram[0]) * (size_t)(high - low + 1));
    for (uint32_t i = 0; i < r->count; i++)
        w->histogram[w->values[i]][label_of(samples[i])]++;
    struct sides s = sides_start(r);
    for (uint32_t value = low; value < high; value++) {
        uint32_t before = s.left_count;
        for (uint32_t c = 0; c < CLASSES; c++) {
            if (w->histogram[value][c] > 0)
                sides_move(&s, c, w->histogram[value][c]);
        }
        if (s.left_count != before)
            sides_judge(&s, r, pixel, (uint8_t)value, best);
    }
}

/* --- growing a tree --- */

/* Shared by the threads; all but `next` is constant. */
struct growth {
    const struct settings *settings;
    uint32_t count, pixels, tries;
    const uint8_t *labels;
    uint8_t *columns; /* the images turned round: all values of pixel 0, then of pixel 1, … */
    struct tree *trees;
    atomic_uint next, done;
};
struct task {
    uint32_t node, first, count, depth;
};
struct grower {
    const struct growth *g;
    struct random random;
    uint32_t *samples, *spare;
    struct scratch scratch;
    struct tree tree;
    uint32_t room;
    struct task stack[MAX_DEPTH + 2]; /* the right side waits while the left is grown */
    uint32_t waiting;
};

static struct range range_of(const uint32_t *samples, uint32_t n)
{
    struct range r = {.count = n};
    for (uint32_t i = 0; i < n; i++)
        r.per_class[label_of(samples[i])]++;
    for (uint32_t c = 0; c < CLASSES; c++)
        r.squares += (uint64_t)r.per_class[c] * r.per_class[c];
    return r;
}

/* Tries random pixels until `tries` of them were not constant in this node. */
static struct cut find_cut(struct grower *w, const uint32_t *samples, const struct range *r)
{
    const struct growth *g = w->g;
    struct cut best = {.purity = -1};
    for (uint32_t drawn = 0, tried = 0; tried < g->tries && drawn < g->pixels; drawn++) {
        uint16_t pixel = (uint16_t)random_below(&w->random, g->pixels);
        const uint8_t *column = g->columns + (size_t)pixel * g->count;
        uint8_t low = 255, high = 0;
        for (uint32_t i = 0; i < r->count; i++) {
            uint8_t v = column[samples[i] >> 8];
            w->scratch.values[i] = v;
            low = v < low ? v : low;
            high = v > high ? v : high;
        }
        if (low == high)
            continue;
        tried++;
        if (r->count <= SMALL_NODE)
            cut_small(&w->scratch, samples, r, pixel, &best);
        else
            cut_large(&w->scratch, samples, r, pixel, low, high, &best);
    }
    return best;
}

/* Left samples to the front, both sides in their old order: ascending images are read faster. */
static uint32_t divide(struct grower *w, uint32_t *samples, uint32_t n, const struct cut *cut)
{
    const uint8_t *column = w->g->columns + (size_t)cut->pixel * w->g->count;
    uint32_t left = 0, right = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (column[samples[i] >> 8] <= cut->threshold)
            samples[left++] = samples[i];
        else
            w->spare[right++] = samples[i];
    }
    memcpy(samples + left, w->spare, right * sizeof(*samples));
    return left;
}

static uint32_t two_nodes(struct grower *w)
{
    if (w->tree.count + 2 > w->room) {
        w->room *= 2;
        w->tree.nodes = realloc(w->tree.nodes, w->room * sizeof(struct node));
        if (!w->tree.nodes)
            die("out of memory for a tree of %u nodes", w->room);
    }
    w->tree.count += 2;
    return w->tree.count - 2;
}

static void grow_node(struct grower *w, const struct task *t)
{
    uint32_t *samples = w->samples + t->first;
    struct range r = range_of(samples, t->count);
    uint32_t label = 0;
    for (uint32_t c = 1; c < CLASSES; c++)
        label = r.per_class[c] > r.per_class[label] ? c : label;
    w->tree.nodes[t->node] = (struct node){.pixel = LEAF, .label = (uint8_t)label};
    if (r.per_class[label] == r.count || t->depth == MAX_DEPTH)
        return;
    struct cut cut = find_cut(w, samples, &r);
    if (cut.purity < 0)
        return; /* equal images with different labels */
    uint32_t left = divide(w, samples, t->count, &cut), children = two_nodes(w);
    w->tree.nodes[t->node] = (struct node){cut.pixel, cut.threshold, (uint8_t)label, children};
    w->stack[w->waiting++] =
        (struct task){children + 1, t->first + left, t->count - left, t->depth + 1};
    w->stack[w->waiting++] = (struct task){children, t->first, left, t->depth + 1};
}

/* A bootstrap sample: as many draws as there are images, ascending. */
static void draw_samples(struct grower *w)
{
    const struct growth *g = w->g;
    memset(w->spare, 0, g->count * sizeof(*w->spare));
    for (uint32_t i = 0; i < g->count; i++)
        w->spare[random_below(&w->random, g->count)]++;
    for (uint32_t i = 0, n = 0; i < g->count; i++) {
        for (uint32_t k = w->spare[i]; k > 0; k--)
            w->samples[n++] = i << 8 | g->labels[i];
    }
}

static struct tree grow_tree(struct grower *w, uint32_t number)
{
    w->random.state = w->g->settings->seed * 0x9e3779b97f4a7c15u + number;
    w->random.state = random_next(&w->random);
    draw_samples(w);
    w->room = 4096;
    w->tree = (struct tree){xcalloc(w->room, sizeof(struct node)), 1};
    w->waiting = 0;
    w->stack[w->waiting++] = (struct task){0, 0, w->g->count, 0};
    while (w->waiting > 0) {
        struct task t = w->stack[--w->waiting];
        grow_node(w, &t);
    }
    return w->tree;
}

static void *grow_trees(void *arg)
{
    struct growth *g = arg;
    struct grower *w = xcalloc(1, sizeof(*w));
    w->g = g;
    w->samples = xcalloc(g->count, sizeof(*w->samples));
    w->spare = xcalloc(g->count, sizeof(*w->spare));
    w->scratch.values = xcalloc(g->count, 1);
    for (;;) {
        uint32_t number = atomic_fetch_add(&g->next, 1);
        if (number >= g->settings->trees)
            break;
        g->trees[number] = grow_tree(w, number);
        uint32_t done = atomic_fetch_add(&g->done, 1) + 1;
        if (done % 10 == 0 || done == g->settings->trees) {
            printf("tree %u of %u\n", done, g->settings->trees);
            fflush(stdout);
        }
    }
    free(w->samples);
    free(w->spare);
    free(w->scratch.values);
    free(w);
    return NULL;
}

static void *forest_train(const struct settings *s, const struct split *data)
{
    struct forest *f = xcalloc(1, sizeof(*f));
    *f = (struct forest){data->pixels, s->trees, xcalloc(s->trees, sizeof(struct tree))};
    struct growth g = {.settings = s,
                       .count = data->count,
                       .pixels = data->pixels,
                       .tries = (uint32_t)sqrt(data->pixels),
                       .labels = data->labels,
                       .columns = xcalloc(data->count, data->pixels),
                       .trees = f->trees};
    if (data->count > UINT32_MAX >> 8 || data->pixels >= LEAF)
        die("a forest takes at most %u images of %d pixels", UINT32_MAX >> 8, LEAF - 1);
    for (uint32_t i = 0; i < g.count; i++) {
        for (uint32_t p = 0; p < g.pixels; p++)
            g.columns[(size_t)p * g.count + i] = data->images[(size_t)i * g.pixels + p];
    }
    pthread_t *threads = xcalloc(s->threads, sizeof(*threads));
    for (uint32_t i = 0; i < s->threads; i++) {
        int code = pthread_create(&threads[i], NULL, grow_trees, &g);
        if (code != 0)
            die("cannot start a thread: %s", strerror(code));
    }
    for (uint32_t i = 0; i < s->threads; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    free(g.columns);
    return f;
}

static void forest_predict(const void *model, const uint8_t *images, size_t n, float *ret)
{
    const struct forest *f = model;
    memset(ret, 0, n * CLASSES * sizeof(float));
    /* Tree by tree: one fits into the processor's cache, all of them do not. */
    for (uint32_t t = 0; t < f->count; t++) {
        const struct node *nodes = f->trees[t].nodes;
        for (size_t i = 0; i < n; i++) {
            const uint8_t *image = images + i * f->pixels;
            const struct node *at = nodes;
            while (at->pixel != LEAF)
                at = nodes + at->left + (image[at->pixel] > at->threshold);
            ret[i * CLASSES + at->label] += 1;
        }
    }
    for (size_t i = 0; i < n * CLASSES; i++)
        ret[i] /= (float)f->count;
}

static void forest_free(void *model)
{
    struct forest *f = model;
    for (uint32_t t = 0; t < f->count; t++)
        free(f->trees[t].nodes);
    free(f->trees);
    free(f);
}

/* --- the model file --- */

static void forest_save(const void *model, FILE *out, const char *path)
{
    const struct forest *f = model;
    file_write(out, &f->count, sizeof(f->count), path);
    for (uint32_t t = 0; t < f->count; t++) {
        file_write(out, &f->trees[t].count, sizeof(f->trees[t].count), path);
        file_write(out, f->trees[t].nodes, f->trees[t].count * sizeof(struct node), path);
    }
}

/* Children lie behind their parent, so a walk from the root always ends. */
static void check_tree(const struct tree *t, uint32_t pixels, const char *path)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct node *n = &t->nodes[i];
        bool fits =
            n->label < CLASSES &&
            (n->pixel == LEAF || (n->pixel < pixels && n->left > i && n->left < t->count - 1));
        if (!fits)
            die("'%s' is damaged: a node of a tree is wrong", path);
    }
}

static void *forest_load(FILE *in, const char *path, uint32_t pixels)
{
    struct forest *f = xcalloc(1, sizeof(*f));
    f->pixels = pixels;
    file_read(in, &f->count, sizeof(f->count), path);
    if (f->count < 1 || f->count > 1000000)
        die("'%s' is damaged: %u trees", path, f->count);
    f->trees = xcalloc(f->count, sizeof(*f->trees));
    for (uint32_t i = 0; i < f->count; i++) {
        struct tree *t = &f->trees[i];
        file_read(in, &t->count, sizeof(t->count), path);
        if (t->count < 1 || t->count > INT_MAX / (int)sizeof(struct node))
            die("'%s' is damaged: a tree of %u nodes", path, t->count);
        t->nodes = xcalloc(t->count, sizeof(struct node));
        file_read(in, t->nodes, t->count * sizeof(struct node), path);
        check_tree(t, pixels, path);
    }
    return f;
}

static void forest_describe(const struct settings *s, FILE *json)
{
    fprintf(json, "\"trees\": %u", s->trees);
}

const struct classifier forest_classifier = {
    .name = "forest",
    .title = "random forest",
    .published = 0.873,
    .defaults = {.trees = 100},
    .train = forest_train,
    .predict = forest_predict,
    .save = forest_save,
    .load = forest_load,
    .free = forest_free,
    .describe = forest_describe,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* fashion-report: the final table. Every trained model by its own metrics; the ensemble, and where their probabilities are given the chosen models, measured again. */
#include "dataset.h"
#include "json.h"
#include "score.h"
#include "util.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: fashion-report --metrics FILE... --names NAME... --table FILE --summary FILE\n"
    "                      (--data FOLDER --members FILE... --ensemble FILE | --served FILE)\n"
    "  --names     the chosen models, best first\n"
    "  --members   their probabilities, in the same order; --ensemble: the combined ones\n"
    "  --served    what fashion-evaluate has measured\n";

enum { MAX_FILES = 64 };

struct list {
    const char *items[MAX_FILES];
    size_t count;
};
struct options {
    const char *data, *ensemble, *served, *table, *summary;
    struct list metrics, names, members;
};
/* One line of the table. */
struct line {
    char *name, *title;
    double accuracy, published, loss, seconds;
    size_t rank; /* place among the members, 1 the best; 0: not one of them */
};
struct ensemble {
    double accuracy, loss;
    uint64_t images, right;
    const char *title;
};

static void list_add(struct list *l, const char *item)
{
    if (l->count == MAX_FILES)
        die_usage(usage, "at most %d files in a list", MAX_FILES);
    l->items[l->count++] = item;
}

static struct options read_options(int argc, char **argv)
{
    option_help(argc, argv, usage);
    static const struct option options[] = {
        {"data", required_argument, NULL, 'd'},
        {"metrics", required_argument, NULL, 'j'},
        {"names", required_argument, NULL, 'n'},
        {"members", required_argument, NULL, 'm'},
        {"ensemble", required_argument, NULL, 'e'},
        {"table", required_argument, NULL, 't'},
        {"summary", required_argument, NULL, 's'},
        {"served", required_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    struct options o = {0};
    struct list *open = NULL; /* what further words belong to */
    int c;
    while ((c = getopt_long(argc, argv, "-", options, NULL)) != -1) {
        if (c == 1 && open) {
            list_add(open, optarg);
            continue;
        }
        open = c == 'j' ? &o.metrics : c == 'n' ? &o.names : c == 'm' ? &o.members : NULL;
        if (open)
            list_add(open, optarg);
        else if (c == 'd')
            o.data = optarg;
        else if (c == 'e')
            o.ensemble = optarg;
        else if (c == 'v')
            o.served = optarg;
        else if (c == 't')
            o.table = optarg;
        else if (c == 's')
            o.summary = optarg;
        else
            die_usage(usage, "wrong options");
    }
    bool batch = o.data && o.ensemble && o.members.count > 0;
    if (!o.table || !o.summary || o.metrics.count == 0 || batch == !!o.served)
        die_usage(usage, "options are missing, or do not belong together");
    if (o.names.count == 0 || (batch && o.names.count != o.members.count))
        die_usage(usage, "%zu names for %zu members", o.names.count, o.members.count);
    return o;
}

/* --- reading --- */

/* A JSON file and a reader at its beginning. */
struct source {
    const char *path;
    char *text;
    size_t len;
    struct json j;
};

static struct source source_open(const char *path)
{
    struct source s = {.path = path};
    s.text = file_load(path, &s.len);
    json_open(&s.j, s.text, s.len);
    return s;
}

static void source_close(struct source *s)
{
    if (s->j.error)
        die("'%s' is not as expected: %s (at its byte %zu)", s->path, s->j.error,
            (size_t)(s->j.at - s->text));
    free(s->text);
}

static double number_of(struct source *s, const char *key)
{
    double v = 0;
    json_open(&s->j, s->text, s->len);
    if (!json_find(&s->j, key) || !json_number(&s->j, &v))
        die("'%s': \"%s\" is not there or is not a number", s->path, key);
    return v;
}

static char *text_of(struct source *s, const char *key)
{
    char text[128];
    json_open(&s->j, s->text, s->len);
    if (!json_find(&s->j, key) || !json_string(&s->j, text, sizeof(text)))
        die("'%s': \"%s\" is not there or is not a text", s->path, key);
    return strdup(text);
}

/* A list of as many lists of CLASSES numbers as there are test images. */
static struct score measure(const char *path, const struct split *test)
{
    struct source s = source_open(path);
    struct score score = {0};
    uint32_t rows = 0;
    for (bool first = json_enter(&s.j, '['); json_more(&s.j, ']', &first); rows++) {
        float row[CLASSES] = {0};
        uint32_t n = 0;
        for (bool start = json_enter(&s.j, '['); json_more(&s.j, ']', &start); n++) {
            double v = 0;
            if (json_number(&s.j, &v) && n < CLASSES)
                row[n] = (float)v;
        }
        if (n != CLASSES || rows >= test->count)
            die("'%s' is not a list of %u lists of %d numbers", path, test->count, CLASSES);
        score_add(&score, row, test->labels + rows, 1);
    }
    json_end(&s.j);
    if (!s.j.error && rows != test->count)
        die("'%s' has %u rows for %u test images", path, rows, test->count);
    source_close(&s);
    return score;
}

static double accuracy_of(const struct score *s)
{
    return (double)s->right / (double)s->images;
}

static struct line read_metrics(const char *path)
{
    struct source s = source_open(path);
    struct line l = {.name = text_of(&s, "model"),
                     .title = text_of(&s, "title"),
                     .accuracy = number_of(&s, "accuracy"),
                     .published = number_of(&s, "published_accuracy"),
                     .loss = number_of(&s, "loss"),
                     .seconds = number_of(&s, "seconds")};
    source_close(&s);
    return l;
}

static struct ensemble read_served(const char *path)
{
    struct source s = source_open(path);
    struct ensemble e = {.accuracy = number_of(&s, "accuracy"),
                         .loss = number_of(&s, "loss"),
                         .images = (uint64_t)number_of(&s, "test_images"),
                         .right = (uint64_t)number_of(&s, "right"),
                         .title = "asked at its endpoint"};
    source_close(&s);
    return e;
}

static void rank_lines(const struct options *o, struct line *lines)
{
    for (size_t m = 0; m < o->names.count; m++) {
        struct line *line = NULL;
        for (size_t i = 0; i < o->metrics.count; i++) {
            if (strcmp(lines[i].name, o->names.items[m]) == 0)
                line = &lines[i];
        }
        if (!line)
            die("no --metrics file is of the model '%s'", o->names.items[m]);
        line->rank = m + 1;
    }
}

/* Members' accuracy and loss come from their probabilities, which the ensemble was made of. */
static struct ensemble measure_all(const struct options *o, struct line *lines)
{
    struct split test;
    split_open(&test, o->data, "test");
    for (size_t i = 0; i < o->metrics.count; i++) {
        if (lines[i].rank == 0)
            continue;
        struct score s = measure(o->members.items[lines[i].rank - 1], &test);
        lines[i].accuracy = accuracy_of(&s);
        lines[i].loss = s.loss / (double)s.images;
    }
    struct score s = measure(o->ensemble, &test);
    split_close(&test);
    return (struct ensemble){.accuracy = accuracy_of(&s),
                             .loss = s.loss / (double)s.images,
                             .images = s.images,
                             .right = s.right,
                             .title = "mean of the chosen"};
}

static int by_accuracy(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    return (x->accuracy < y->accuracy) - (x->accuracy > y->accuracy);
}

static void print_table(FILE *out, const struct line *lines, size_t n,
                        const struct ensemble *ensemble)
{
    fprintf(out, "%-9s %-24s %8s  %9s  %8s  %7s  %s\n", "model", "kind", "accuracy", "published",
            "loss", "seconds", "chosen");
    double best = 0;
    for (size_t i = 0; i < n; i++) {
        const struct line *l = &lines[i];
        char chosen[32] = "-";
        if (l->rank > 0)
            snprintf(chosen, sizeof(chosen), "number %zu", l->rank);
        if (l->rank > 0 && l->accuracy > best)
            best = l->accuracy;
        fprintf(out, "%-9s %-24s %8.4f  %9.3f  %8.4f  %7.1f  %s\n", l->name, l->title, l->accuracy,
                l->published, l->loss, l->seconds, chosen);
    }
    fprintf(out, "%-9s %-24s %8.4f  %9s  %8.4f\n", "ensemble", ensemble->title, ensemble->accuracy,
            "", ensemble->loss);
    double gain = ensemble->accuracy - best;
    fprintf(out,
            "The ensemble is right about %" PRIu64 " of %" PRIu64
            " test images: %+.0f against its best member.\n",
            ensemble->right, ensemble->images, gain * (double)ensemble->images);
}

static void write_summary(const char *path, const struct line *lines, size_t n,
                          const struct ensemble *ensemble)
{
    FILE *json = file_open(path, "wb");
    fputs("{\"models\": [", json);
    for (size_t i = 0; i < n; i++)
        fprintf(json,
                "%s\n  {\"model\": \"%s\", \"accuracy\": %.4f, \"published_accuracy\": %.3f, "
                "\"loss\": %.4f, \"rank\": %zu}",
                i ? "," : "", lines[i].name, lines[i].accuracy, lines[i].published, lines[i].loss,
                lines[i].rank);
    fprintf(json,
            "],\n \"ensemble\": {\"accuracy\": %.4f, \"loss\": %.4f, \"test_images\": %" PRIu64
            "}}\n",
            ensemble->accuracy, ensemble->loss, ensemble->images);
    file_close(json, path);
}

int main(int argc, char **argv)
{
    struct options o = read_options(argc, argv);
    struct line lines[MAX_FILES];
    for (size_t i = 0; i < o.metrics.count; i++)
        lines[i] = read_metrics(o.metrics.items[i]);
    rank_lines(&o, lines);
    struct ensemble ensemble = o.served ? read_served(o.served) : measure_all(&o, lines);
    qsort(lines, o.metrics.count, sizeof(*lines), by_accuracy);

    FILE *table = file_open(o.table, "wb");
    print_table(table, lines, o.metrics.count, &ensemble);
    file_close(table, o.table);
    print_table(stdout, lines, o.metrics.count, &ensemble);
    write_summary(o.summary, lines, o.metrics.count, &ensemble);
    for (size_t i = 0; i < o.metrics.count; i++) {
        free(lines[i].name);
        free(lines[i].title);
    }
    return 0;
}

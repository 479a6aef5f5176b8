/* SPDX-License-Identifier: Apache-2.0 */
/* fashion-report: the final table. Every trained model by its own metrics; the chosen ones and the ensemble measured again, from their probabilities. */
#include "dataset.h"
#include "json.h"
#include "score.h"
#include "util.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: fashion-report --data FOLDER --metrics FILE... --names NAME... --members FILE...\n"
    "                      --ensemble FILE --table FILE --summary FILE\n"
    "--names are the models' names, in the order of the --members' probabilities.\n";

enum { MAX_FILES = 64 };

struct list {
    const char *items[MAX_FILES];
    size_t count;
};
struct options {
    const char *data, *ensemble, *table, *summary;
    struct list metrics, names, members;
};
/* One line of the table. */
struct line {
    char *name, *title;
    double accuracy, published, loss, seconds;
    size_t rank; /* place among the members, 1 the best; 0: not one of them */
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
        {"data", required_argument, NULL, 'd'},     {"metrics", required_argument, NULL, 'j'},
        {"names", required_argument, NULL, 'n'},    {"members", required_argument, NULL, 'm'},
        {"ensemble", required_argument, NULL, 'e'}, {"table", required_argument, NULL, 't'},
        {"summary", required_argument, NULL, 's'},  {NULL, 0, NULL, 0},
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
        else if (c == 't')
            o.table = optarg;
        else if (c == 's')
            o.summary = optarg;
        else
            die_usage(usage, "wrong options");
    }
    if (!o.data || !o.ensemble || !o.table || !o.summary || o.metrics.count == 0)
        die_usage(usage, "every option is needed");
    if (o.names.count != o.members.count || o.names.count == 0)
        die_usage(usage, "%zu names for %zu members", o.names.count, o.members.count);
    return o;
}

static struct score measure(const char *path, const struct split *test)
{
    size_t len = 0, rows = 0;
    char *text = file_load(path, &len);
    float *table = json_table(text, CLASSES, path, &rows);
    if (rows != test->count)
        die("'%s' has %zu rows for %u test images", path, rows, test->count);
    struct score score = {0};
    score_add(&score, table, test->labels, rows);
    free(table);
    free(text);
    return score;
}

static double accuracy_of(const struct score *s)
{
    return (double)s->right / (double)s->images;
}

static struct line read_metrics(const char *path)
{
    size_t len = 0;
    char *text = file_load(path, &len);
    struct line l = {.name = json_text(text, "model", path),
                     .title = json_text(text, "title", path),
                     .accuracy = json_number(text, "accuracy", path),
                     .published = json_number(text, "published_accuracy", path),
                     .loss = json_number(text, "loss", path),
                     .seconds = json_number(text, "seconds", path)};
    free(text);
    return l;
}

/* Members' accuracy and loss come from their probabilities, which the ensemble was made of. */
static void measure_members(const struct options *o, const struct split *test, struct line *lines)
{
    for (size_t m = 0; m < o->members.count; m++) {
        struct line *line = NULL;
        for (size_t i = 0; i < o->metrics.count; i++) {
            if (strcmp(lines[i].name, o->names.items[m]) == 0)
                line = &lines[i];
        }
        if (!line)
            die("no --metrics file is of the model '%s'", o->names.items[m]);
        struct score s = measure(o->members.items[m], test);
        line->accuracy = accuracy_of(&s);
        line->loss = s.loss / (double)s.images;
        line->rank = m + 1;
    }
}

static int by_accuracy(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    return (x->accuracy < y->accuracy) - (x->accuracy > y->accuracy);
}

static void print_table(FILE *out, const struct line *lines, size_t n, const struct score *ensemble)
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
    fprintf(out, "%-9s %-24s %8.4f  %9s  %8.4f\n", "ensemble", "mean of the chosen",
            accuracy_of(ensemble), "", ensemble->loss / (double)ensemble->images);
    double gain = accuracy_of(ensemble) - best;
    fprintf(out,
            "The ensemble is right about %" PRIu64 " of %" PRIu64
            " test images: %+.0f against its better member.\n",
            ensemble->right, ensemble->images, gain * (double)ensemble->images);
}

static void write_summary(const char *path, const struct line *lines, size_t n,
                          const struct score *ensemble)
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
            accuracy_of(ensemble), ensemble->loss / (double)ensemble->images, ensemble->images);
    file_close(json, path);
}

int main(int argc, char **argv)
{
    struct options o = read_options(argc, argv);
    struct line lines[MAX_FILES];
    struct split test;
    split_open(&test, o.data, "test");
    for (size_t i = 0; i < o.metrics.count; i++)
        lines[i] = read_metrics(o.metrics.items[i]);
    measure_members(&o, &test, lines);
    struct score ensemble = measure(o.ensemble, &test);
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
    split_close(&test);
    return 0;
}

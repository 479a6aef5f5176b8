/* SPDX-License-Identifier: Apache-2.0 */
/* fashion-train: trains one classifier, measures it on the test images, and writes the model and its metrics. */
#include "classifier.h"
#include "score.h"
#include "util.h"

#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>

static const char usage[] =
    "usage: fashion-train --model softmax|mlp|forest|knn --data FOLDER --out FILE --metrics FILE\n"
    "                     [--epochs N] [--hidden N] [--batch N] [--trees N] [--neighbours N]\n"
    "                     [--seed N] [--threads N]\n"
    "A setting that the model does not have, and 0, are passed over.\n";

enum { TEST_BATCH = 500, MAX_THREADS = 8 };

struct choices {
    const char *model, *data, *out, *metrics;
    struct settings given; /* 0: the classifier's default */
};

static uint32_t number(const char *option, const char *text, uint32_t high)
{
    return (uint32_t)option_number(usage, option, text, 0, high);
}

static struct choices read_options(int argc, char **argv)
{
    option_help(argc, argv, usage);
    static const struct option options[] = {
        {"model", required_argument, NULL, 'm'},      {"data", required_argument, NULL, 'd'},
        {"out", required_argument, NULL, 'o'},        {"metrics", required_argument, NULL, 'j'},
        {"epochs", required_argument, NULL, 'e'},     {"hidden", required_argument, NULL, 'h'},
        {"batch", required_argument, NULL, 'b'},      {"trees", required_argument, NULL, 't'},
        {"neighbours", required_argument, NULL, 'k'}, {"seed", required_argument, NULL, 's'},
        {"threads", required_argument, NULL, 'n'},    {NULL, 0, NULL, 0},
    };
    struct choices o = {.given.seed = 1};
    struct settings *s = &o.given;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'm':
            o.model = optarg;
            break;
        case 'd':
            o.data = optarg;
            break;
        case 'o':
            o.out = optarg;
            break;
        case 'j':
            o.metrics = optarg;
            break;
        case 'e':
            s->epochs = number("--epochs", optarg, 10000);
            break;
        case 'h':
            s->hidden = number("--hidden", optarg, 10000);
            break;
        case 'b':
            s->batch = number("--batch", optarg, 10000);
            break;
        case 't':
            s->trees = number("--trees", optarg, 100000);
            break;
        case 'k':
            s->neighbours = number("--neighbours", optarg, 100);
            break;
        case 's':
            s->seed = option_number(usage, "--seed", optarg, 0, UINT64_MAX);
            break;
        case 'n':
            s->threads = number("--threads", optarg, 256);
            break;
        default:
            die_usage(usage, "wrong options");
        }
    }
    if (!o.model || !o.data || !o.out || !o.metrics || optind != argc)
        die_usage(usage, "--model, --data, --out and --metrics are needed, and nothing else");
    return o;
}

static uint32_t processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    uint32_t n = (uint32_t)CPU_COUNT(&set);
    return n > MAX_THREADS ? MAX_THREADS : n;
}

static uint32_t chosen(uint32_t given, uint32_t otherwise)
{
    return given ? given : otherwise;
}

static struct settings settle(const struct classifier *c, const struct settings *given)
{
    const struct settings *d = &c->defaults;
    return (struct settings){
        .epochs = chosen(given->epochs, d->epochs),
        .hidden = chosen(given->hidden, d->hidden),
        .batch = chosen(given->batch, d->batch),
        .trees = chosen(given->trees, d->trees),
        .neighbours = chosen(given->neighbours, d->neighbours),
        .threads = chosen(given->threads, chosen(d->threads, processors())),
        .seed = given->seed,
    };
}

static struct score measure(const struct classifier *c, const void *model, const struct split *test)
{
    struct score score = {0};
    float *some = xcalloc((size_t)TEST_BATCH * CLASSES, sizeof(float));
    for (uint32_t at = 0; at < test->count; at += TEST_BATCH) {
        uint32_t n = test->count - at < TEST_BATCH ? test->count - at : TEST_BATCH;
        c->predict(model, test->images + (size_t)at * test->pixels, n, some);
        score_add(&score, some, test->labels + at, n);
    }
    free(some);
    return score;
}

static void write_metrics(const char *path, const struct classifier *c, const struct settings *s,
                          const struct score *score, double seconds)
{
    FILE *json = file_open(path, "wb");
    fprintf(json, "{\"model\": \"%s\", \"title\": \"%s\",\n", c->name, c->title);
    fprintf(json, " \"accuracy\": %.4f, \"loss\": %.4f, \"seconds\": %.2f,\n",
            (double)score->right / (double)score->images, score->loss / (double)score->images,
            seconds);
    fprintf(json, " \"test_images\": %" PRIu64 ", \"published_accuracy\": %.3f,\n", score->images,
            c->published);
    fputs(" \"settings\": {", json);
    c->describe(s, json);
    fprintf(json, ", \"seed\": %" PRIu64 ", \"threads\": %u}}\n", s->seed, s->threads);
    file_close(json, path);
}

int main(int argc, char **argv)
{
    struct choices o = read_options(argc, argv);
    const struct classifier *c = classifier_find(o.model);
    if (!c)
        die_usage(usage, "there is no model '%s', only %s", o.model, classifier_names());
    struct settings s = settle(c, &o.given);
    struct split train, test;
    split_open(&train, o.data, "train");
    split_open(&test, o.data, "test");
    if (train.pixels != test.pixels)
        die("training and test images in '%s' differ in size", o.data);

    double start = seconds_now();
    void *model = c->train(&s, &train);
    struct score score = measure(c, model, &test);
    double seconds = seconds_now() - start;
    model_save(c, model, train.pixels, o.out);
    write_metrics(o.metrics, c, &s, &score, seconds);
    printf("%s: accuracy %.4f, loss %.4f, %.1f s\n", c->title,
           (double)score.right / (double)score.images, score.loss / (double)score.images, seconds);

    c->free(model);
    split_close(&train);
    split_close(&test);
    return 0;
}

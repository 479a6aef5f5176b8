/* SPDX-License-Identifier: Apache-2.0 */
/* fashion-predict: a model and the dataset's test images -> their probabilities, a JSON list with one list of ten numbers per image. */
#include "classifier.h"
#include "util.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>

static const char usage[] =
    "usage: fashion-predict --model FILE --data FOLDER --out FILE [--batch IMAGES]\n";

/* Nine digits give every float back exactly. */
static void write_rows(FILE *out, const float *probabilities, size_t n, bool first)
{
    for (size_t i = 0; i < n; i++) {
        fputs(first && i == 0 ? "[" : ",\n[", out);
        for (int c = 0; c < CLASSES; c++)
            fprintf(out, "%s%.9g", c ? "," : "", (double)probabilities[i * CLASSES + (size_t)c]);
        fputc(']', out);
    }
}

static void predict(const char *model_path, const char *data, const char *out_path, uint32_t batch)
{
    struct split test;
    const struct classifier *c = NULL;
    uint32_t pixels = 0;
    split_open(&test, data, "test");
    void *model = model_load(model_path, &c, &pixels);
    if (pixels != test.pixels)
        die("'%s' was trained on images of %u pixels, not of %u", model_path, pixels, test.pixels);
    FILE *out = file_open(out_path, "wb");
    float *some = xcalloc((size_t)batch * CLASSES, sizeof(float));
    fputc('[', out);
    for (uint32_t at = 0; at < test.count; at += batch) {
        uint32_t n = test.count - at < batch ? test.count - at : batch;
        c->predict(model, test.images + (size_t)at * test.pixels, n, some);
        write_rows(out, some, n, at == 0);
    }
    fputs("]\n", out);
    file_close(out, out_path);
    printf("%s: %u images, %u at a time\n", c->title, test.count, batch);
    free(some);
    c->free(model);
    split_close(&test);
}

int main(int argc, char **argv)
{
    option_help(argc, argv, usage);
    static const struct option options[] = {
        {"model", required_argument, NULL, 'm'},
        {"data", required_argument, NULL, 'd'},
        {"out", required_argument, NULL, 'o'},
        {"batch", required_argument, NULL, 'b'},
        {NULL, 0, NULL, 0},
    };
    const char *model = NULL, *data = NULL, *out = NULL;
    uint32_t batch = 500;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'm':
            model = optarg;
            break;
        case 'd':
            data = optarg;
            break;
        case 'o':
            out = optarg;
            break;
        case 'b':
            batch = (uint32_t)option_number(usage, "--batch", optarg, 1, 10000);
            break;
        default:
            die_usage(usage, "wrong options");
        }
    }
    if (!model || !data || !out || optind != argc)
        die_usage(usage, "--model, --data and --out are needed, and nothing else");
    predict(model, data, out, batch);
    return 0;
}

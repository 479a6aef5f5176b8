/* SPDX-License-Identifier: Apache-2.0 */
/* fashion-ingest: the published gzipped IDX files -> the dataset folder. Checks everything it reads, and holds one batch of images at a time. */
#include "dataset.h"
#include "idx.h"
#include "util.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char usage[] = "usage: fashion-ingest --from FOLDER --to FOLDER [--batch IMAGES]\n";

struct summary {
    uint32_t count, rows, cols;
    uint32_t per_class[CLASSES];
    double mean; /* of all pixels, 0 to 255 */
};

static void copy_labels(struct idx *labels, FILE *out, const char *path, struct summary *sum)
{
    uint8_t *all = xcalloc(labels->count, 1);
    idx_read(labels, all, labels->count);
    for (uint32_t i = 0; i < labels->count; i++) {
        if (all[i] >= CLASSES)
            die("'%s': label %u of item %u is not one of 0 to %d", labels->path, all[i], i,
                CLASSES - 1);
        sum->per_class[all[i]]++;
    }
    file_write(out, all, labels->count, path);
    free(all);
}

static void copy_images(struct idx *images, FILE *out, const char *path, uint32_t batch,
                        struct summary *sum)
{
    size_t pixels = (size_t)images->rows * images->cols;
    uint8_t *some = xcalloc(batch, pixels);
    uint64_t total = 0;
    for (uint32_t done = 0; done < images->count;) {
        uint32_t n = images->count - done < batch ? images->count - done : batch;
        idx_read(images, some, n);
        for (size_t i = 0; i < n * pixels; i++)
            total += some[i];
        file_write(out, some, n * pixels, path);
        done += n;
    }
    sum->mean = (double)total / ((double)images->count * (double)pixels);
    free(some);
}

static struct summary ingest(const char *from, const char *prefix, const char *to, const char *name,
                             uint32_t batch)
{
    char images_name[64], labels_name[64], *path = NULL;
    snprintf(images_name, sizeof(images_name), "%s-images-idx3-ubyte", prefix);
    snprintf(labels_name, sizeof(labels_name), "%s-labels-idx1-ubyte", prefix);
    if (asprintf(&path, "%s/%s.data", to, name) < 0)
        die("out of memory");
    struct idx images, labels;
    idx_open(&images, from, images_name, 3);
    idx_open(&labels, from, labels_name, 1);
    if (images.count != labels.count)
        die("'%s' has %u images, but '%s' has %u labels", images.path, images.count, labels.path,
            labels.count);
    struct summary sum = {.count = images.count, .rows = images.rows, .cols = images.cols};
    struct split_header h = {
        .count = sum.count, .rows = sum.rows, .cols = sum.cols, .classes = CLASSES};
    memcpy(h.magic, SPLIT_MAGIC, sizeof(h.magic));
    FILE *out = file_open(path, "wb");
    file_write(out, &h, sizeof(h), path);
    copy_labels(&labels, out, path, &sum);
    copy_images(&images, out, path, batch, &sum);
    file_close(out, path);
    idx_close(&images);
    idx_close(&labels);
    printf("%s: %u images of %u x %u, mean pixel %.2f\n", name, sum.count, sum.rows, sum.cols,
           sum.mean);
    free(path);
    return sum;
}

static void describe(FILE *out, const char *name, const struct summary *sum)
{
    fprintf(out, "  \"%s\": {\"images\": %u, \"mean_pixel\": %.4f, \"per_class\": {", name,
            sum->count, sum->mean);
    for (int c = 0; c < CLASSES; c++)
        fprintf(out, "%s\"%s\": %u", c ? ", " : "", class_names[c], sum->per_class[c]);
    fputs("}}", out);
}

static void write_description(const char *to, const struct summary *train,
                              const struct summary *test)
{
    char *path = NULL;
    if (asprintf(&path, "%s/description.json", to) < 0)
        die("out of memory");
    FILE *out = file_open(path, "wb");
    fprintf(out, "{\n  \"rows\": %u, \"cols\": %u, \"classes\": %d,\n", train->rows, train->cols,
            CLASSES);
    describe(out, "train", train);
    fputs(",\n", out);
    describe(out, "test", test);
    fputs("\n}\n", out);
    file_close(out, path);
    free(path);
}

int main(int argc, char **argv)
{
    option_help(argc, argv, usage);
    static const struct option options[] = {
        {"from", required_argument, NULL, 'f'},
        {"to", required_argument, NULL, 't'},
        {"batch", required_argument, NULL, 'b'},
        {NULL, 0, NULL, 0},
    };
    const char *from = NULL, *to = NULL;
    uint32_t batch = 1000;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'f')
            from = optarg;
        else if (c == 't')
            to = optarg;
        else if (c == 'b')
            batch = (uint32_t)option_number(usage, "--batch", optarg, 1, 100000);
        else
            die_usage(usage, "wrong options");
    }
    if (!from || !to || optind != argc)
        die_usage(usage, "--from and --to are needed, and nothing else");
    if (mkdir(to, 0777) != 0 && errno != EEXIST)
        die("cannot make '%s': %s", to, strerror(errno));
    struct summary train = ingest(from, "train", to, "train", batch);
    struct summary test = ingest(from, "t10k", to, "test", batch);
    if (train.rows != test.rows || train.cols != test.cols)
        die("training images are %u x %u, but test images %u x %u", train.rows, train.cols,
            test.rows, test.cols);
    write_description(to, &train, &test);
    return 0;
}

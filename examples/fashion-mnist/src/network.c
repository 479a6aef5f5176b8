/* SPDX-License-Identifier: Apache-2.0 */
/* softmax: logistic regression of ten classes; mlp: the same behind one hidden layer of rectified units.
 * Pixels are standardised by the training set's mean and deviation; mini-batches in shuffled order, Adam, a small weight decay, and a tenth of the rate in the last third. */
#include "classifier.h"
#include "score.h"
#include "util.h"

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LAYERS = 2 };
static const float learning_rate = 1e-3f, weight_decay = 1e-4f;

struct layer {
    uint32_t in, out;
    float *weights; /* in x out, then a row of biases */
};
struct network {
    uint32_t pixels, n_layers;
    float *mean, *scale; /* of each pixel: (pixel - mean) * scale */
    struct layer layers[MAX_LAYERS];
};
/* What training keeps beside a layer. */
struct slopes {
    float *gradient, *first, *second; /* as long as the weights */
};

static size_t layer_size(const struct layer *l)
{
    return ((size_t)l->in + 1) * l->out;
}

static struct network *network_new(uint32_t pixels, uint32_t hidden)
{
    struct network *net = xcalloc(1, sizeof(*net));
    uint32_t in = pixels;
    net->pixels = pixels;
    net->mean = xcalloc(pixels, sizeof(float));
    net->scale = xcalloc(pixels, sizeof(float));
    if (hidden > 0) {
        net->layers[net->n_layers++] = (struct layer){.in = in, .out = hidden};
        in = hidden;
    }
    net->layers[net->n_layers++] = (struct layer){.in = in, .out = CLASSES};
    for (uint32_t i = 0; i < net->n_layers; i++)
        net->layers[i].weights = xcalloc(layer_size(&net->layers[i]), sizeof(float));
    return net;
}

static void network_free(void *model)
{
    struct network *net = model;
    for (uint32_t i = 0; i < net->n_layers; i++)
        free(net->layers[i].weights);
    free(net->mean);
    free(net->scale);
    free(net);
}

/* --- forward --- */

static void standardise(const struct network *net, const uint8_t *image, float *x)
{
    for (uint32_t p = 0; p < net->pixels; p++)
        x[p] = ((float)image[p] - net->mean[p]) * net->scale[p];
}

static void forward(const struct layer *l, const float *x, size_t n, float *y, bool rectify)
{
    const float *biases = l->weights + (size_t)l->in * l->out;
    for (size_t i = 0; i < n; i++)
        memcpy(y + i * l->out, biases, l->out * sizeof(float));
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)n, (blasint)l->out,
                (blasint)l->in, 1, x, (blasint)l->in, l->weights, (blasint)l->out, 1, y,
                (blasint)l->out);
    for (size_t i = 0; rectify && i < n * l->out; i++)
        y[i] = y[i] > 0 ? y[i] : 0;
}

static void normalise(float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float *row = y + i * CLASSES, top = row[best_class(row)], sum = 0;
        for (int c = 0; c < CLASSES; c++)
            sum += row[c] = expf(row[c] - top);
        for (int c = 0; c < CLASSES; c++)
            row[c] /= sum;
    }
}

/* Room for n images at each layer's front; [0] is the input. */
static void activations_new(const struct network *net, size_t n, float *a[MAX_LAYERS + 1])
{
    a[0] = xcalloc(n * net->pixels, sizeof(float));
    for (uint32_t i = 0; i < net->n_layers; i++)
        a[i + 1] = xcalloc(n * net->layers[i].out, sizeof(float));
}

static void activations_free(const struct network *net, float *a[MAX_LAYERS + 1])
{
    for (uint32_t i = 0; i <= net->n_layers; i++)
        free(a[i]);
}

static void run_forward(const struct network *net, float *a[MAX_LAYERS + 1], size_t n)
{
    for (uint32_t i = 0; i < net->n_layers; i++)
        forward(&net->layers[i], a[i], n, a[i + 1], i + 1 < net->n_layers);
    normalise(a[net->n_layers], n);
}

static void network_predict(const void *model, const uint8_t *images, size_t n, float *ret)
{
    const struct network *net = model;
    float *a[MAX_LAYERS + 1];
    activations_new(net, n, a);
    for (size_t i = 0; i < n; i++)
        standardise(net, images + i * net->pixels, a[0] + i * net->pixels);
    run_forward(net, a, n);
    memcpy(ret, a[net->n_layers], n * CLASSES * sizeof(float));
    activations_free(net, a);
}

/* --- training --- */

static void measure_pixels(struct network *net, const struct split *data)
{
    uint64_t *sum = xcalloc(net->pixels, sizeof(*sum)),
             *squares = xcalloc(net->pixels, sizeof(*sum));
    for (uint32_t i = 0; i < data->count; i++) {
        const uint8_t *image = data->images + (size_t)i * net->pixels;
        for (uint32_t p = 0; p < net->pixels; p++) {
            sum[p] += image[p];
            squares[p] += (uint64_t)image[p] * image[p];
        }
    }
    for (uint32_t p = 0; p < net->pixels; p++) {
        double mean = (double)sum[p] / data->count;
        double variance = (double)squares[p] / data->count - mean * mean;
        net->mean[p] = (float)mean;
        net->scale[p] = variance > 1e-9 ? (float)(1 / sqrt(variance)) : 1; /* a constant pixel */
    }
    free(sum);
    free(squares);
}

/* Fills in the gradient; `before` gets the slopes at the layer's input unless it is NULL. */
static void backward(const struct layer *l, const struct slopes *s, const float *x,
                     const float *slope, size_t n, float *before)
{
    blasint in = (blasint)l->in, out = (blasint)l->out, count = (blasint)n;
    float *biases = s->gradient + (size_t)l->in * l->out;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, in, out, count, 1, x, in, slope, out, 0,
                s->gradient, out);
    memset(biases, 0, l->out * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        for (uint32_t o = 0; o < l->out; o++)
            biases[o] += slope[i * l->out + o];
    }
    if (!before)
        return;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, count, in, out, 1, slope, out, l->weights,
                out, 0, before, in);
    for (size_t i = 0; i < n * l->in; i++)
        before[i] = x[i] > 0 ? before[i] : 0;
}

static void adam(const struct layer *l, const struct slopes *s, float rate, uint64_t step)
{
    float correct1 = 1 - powf(0.9f, (float)step), correct2 = 1 - powf(0.999f, (float)step);
    size_t n = layer_size(l), decayed = (size_t)l->in * l->out;
    float *restrict w = l->weights, *restrict m = s->first, *restrict v = s->second;
    const float *restrict gradient = s->gradient;
    for (size_t i = 0; i < n; i++) {
        float g = gradient[i] + (i < decayed ? weight_decay * w[i] : 0);
        m[i] = 0.9f * m[i] + 0.1f * g;
        v[i] = 0.999f * v[i] + 0.001f * g * g;
        w[i] -= rate * (m[i] / correct1) / (sqrtf(v[i] / correct2) + 1e-8f);
    }
}

struct training {
    struct network *net;
    const struct split *data;
    struct slopes slopes[MAX_LAYERS];
    float *a[MAX_LAYERS + 1], *hidden_slope;
    uint64_t step;
};

/* One step on the images that `order` names; returns the sum of their losses. */
static double train_batch(struct training *t, const uint32_t *order, size_t n, float rate)
{
    struct network *net = t->net;
    for (size_t i = 0; i < n; i++)
        standardise(net, t->data->images + (size_t)order[i] * net->pixels,
                    t->a[0] + i * net->pixels);
    run_forward(net, t->a, n);
    float *slope = t->a[net->n_layers];
    double loss = 0;
    for (size_t i = 0; i < n; i++) {
        float *row = slope + i * CLASSES, *truth = row + t->data->labels[order[i]];
        loss -= log(fmax((double)*truth, 1e-12));
        *truth -= 1;
        for (int c = 0; c < CLASSES; c++)
            row[c] /= (float)n;
    }
    for (uint32_t l = net->n_layers; l-- > 0;) {
        backward(&net->layers[l], &t->slopes[l], t->a[l], slope, n, l > 0 ? t->hidden_slope : NULL);
        slope = t->hidden_slope;
    }
    t->step++;
    for (uint32_t l = 0; l < net->n_layers; l++)
        adam(&net->layers[l], &t->slopes[l], rate, t->step);
    return loss;
}

static void shuffle(uint32_t *order, uint32_t n, struct random *r)
{
    for (uint32_t i = n - 1; i > 0; i--) {
        uint32_t j = random_below(r, i + 1), x = order[i];
        order[i] = order[j];
        order[j] = x;
    }
}

static void run_epochs(struct training *t, const struct settings *s, struct random *r)
{
    uint32_t n = t->data->count, *order = xcalloc(n, sizeof(*order));
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t epoch = 0; epoch < s->epochs; epoch++) {
        bool last_third = epoch >= (s->epochs * 2 + 2) / 3;
        float rate = last_third ? learning_rate / 10 : learning_rate;
        double loss = 0;
        shuffle(order, n, r);
        for (uint32_t at = 0; at < n; at += s->batch)
            loss += train_batch(t, order + at, n - at < s->batch ? n - at : s->batch, rate);
        printf("epoch %u of %u: training loss %.4f\n", epoch + 1, s->epochs, loss / n);
        fflush(stdout);
    }
    free(order);
}

static struct network *train_network(const struct settings *s, const struct split *data,
                                     uint32_t hidden)
{
    struct random r = {s->seed};
    struct training t = {.net = network_new(data->pixels, hidden), .data = data};
    openblas_set_num_threads((int)s->threads);
    measure_pixels(t.net, data);
    for (uint32_t l = 0; l < t.net->n_layers; l++) {
        struct layer *layer = &t.net->layers[l];
        size_t n = layer_size(layer);
        /* Without a hidden layer the loss is convex, and zero is as good a start as any. */
        for (size_t i = 0; hidden > 0 && i < (size_t)layer->in * layer->out; i++)
            layer->weights[i] = sqrtf(2.0f / (float)layer->in) * random_normal(&r);
        t.slopes[l].gradient = xcalloc(n, sizeof(float));
        t.slopes[l].first = xcalloc(n, sizeof(float));
        t.slopes[l].second = xcalloc(n, sizeof(float));
    }
    activations_new(t.net, s->batch, t.a);
    t.hidden_slope = xcalloc((size_t)s->batch * (hidden ? hidden : 1), sizeof(float));
    run_epochs(&t, s, &r);
    for (uint32_t l = 0; l < t.net->n_layers; l++) {
        free(t.slopes[l].gradient);
        free(t.slopes[l].first);
        free(t.slopes[l].second);
    }
    activations_free(t.net, t.a);
    free(t.hidden_slope);
    return t.net;
}

static void *softmax_train(const struct settings *s, const struct split *data)
{
    return train_network(s, data, 0);
}

static void *mlp_train(const struct settings *s, const struct split *data)
{
    return train_network(s, data, s->hidden);
}

/* --- the model file --- */

static void network_save(const void *model, FILE *out, const char *path)
{
    const struct network *net = model;
    uint32_t hidden = net->n_layers == 2 ? net->layers[0].out : 0;
    file_write(out, &hidden, sizeof(hidden), path);
    file_write(out, net->mean, net->pixels * sizeof(float), path);
    file_write(out, net->scale, net->pixels * sizeof(float), path);
    for (uint32_t l = 0; l < net->n_layers; l++)
        file_write(out, net->layers[l].weights, layer_size(&net->layers[l]) * sizeof(float), path);
}

static void *network_load(FILE *in, const char *path, uint32_t pixels)
{
    uint32_t hidden = 0;
    file_read(in, &hidden, sizeof(hidden), path);
    if (hidden > 100000)
        die("'%s' is damaged: %u hidden units", path, hidden);
    struct network *net = network_new(pixels, hidden);
    file_read(in, net->mean, pixels * sizeof(float), path);
    file_read(in, net->scale, pixels * sizeof(float), path);
    for (uint32_t l = 0; l < net->n_layers; l++)
        file_read(in, net->layers[l].weights, layer_size(&net->layers[l]) * sizeof(float), path);
    openblas_set_num_threads(1);
    return net;
}

static void softmax_describe(const struct settings *s, FILE *json)
{
    fprintf(json, "\"epochs\": %u, \"batch\": %u", s->epochs, s->batch);
}

static void mlp_describe(const struct settings *s, FILE *json)
{
    fprintf(json, "\"epochs\": %u, \"batch\": %u, \"hidden\": %u", s->epochs, s->batch, s->hidden);
}

const struct classifier softmax_classifier = {
    .name = "softmax",
    .title = "logistic regression",
    .published = 0.842,
    .defaults = {.epochs = 12, .batch = 256, .threads = 1},
    .train = softmax_train,
    .predict = network_predict,
    .save = network_save,
    .load = network_load,
    .free = network_free,
    .describe = softmax_describe,
};

const struct classifier mlp_classifier = {
    .name = "mlp",
    .title = "multi-layer perceptron",
    .published = 0.871,
    .defaults = {.epochs = 12, .batch = 128, .hidden = 100, .threads = 1},
    .train = mlp_train,
    .predict = network_predict,
    .save = network_save,
    .load = network_load,
    .free = network_free,
    .describe = mlp_describe,
};

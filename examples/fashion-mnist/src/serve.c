/* SPDX-License-Identifier: Apache-2.0 */
/* fashion-serve: an inference server for one model. Open Inference Protocol v2 (REST), and v1's :predict; a request holds any number of images. */
#include "classifier.h"
#include "http.h"
#include "json.h"
#include "score.h"
#include "util.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: fashion-serve [--model FILE] [--name NAME] [--listen PATH | --port NUMBER]\n"
    "  --model   a file of fashion-train; else $WF_MODEL\n"
    "  --name    of the model in URLs; else $WF_MODEL_NAME, else its kind\n"
    "  --listen  a unix socket; else $WF_SOCKET\n"
    "  --port    of 127.0.0.1; else $PORT\n";

enum { MAX_BODY = 64 << 20, MAX_NAME = 256 };

struct service {
    const struct classifier *kind;
    void *model;
    const char *name;
    uint32_t pixels;
    sem_t processors; /* as many predictions at once; more would only wait for each other */
};
/* A request, read. */
struct query {
    uint8_t *pixels; /* of all images, one after the other */
    size_t count, room;
    double shape[2];
    bool has_shape, has_data, wants_probabilities, wants_label;
    char id[MAX_NAME];
};

/* --- reading requests --- */

static bool take_pixel(struct json *j, struct query *q)
{
    double v = 0;
    if (!json_number(j, &v))
        return false;
    if (v < 0 || v > 255)
        return json_wrong(j, "a pixel is a number from 0 to 255");
    if (q->count == q->room) {
        q->room = q->room ? q->room * 2 : 1024;
        q->pixels = realloc(q->pixels, q->room);
        if (!q->pixels)
            die("out of memory");
    }
    q->pixels[q->count++] = (uint8_t)(v + 0.5);
    return true;
}

/* Images as lists of pixels, or all pixels in one list. */
static void take_images(struct json *j, struct query *q, uint32_t pixels, bool nested)
{
    for (bool first = json_enter(j, '['); json_more(j, ']', &first);) {
        if (json_peek(j) != '[' && !nested) {
            take_pixel(j, q);
            continue;
        }
        size_t before = q->count;
        nested = true;
        for (bool start = json_enter(j, '['); json_more(j, ']', &start);)
            take_pixel(j, q);
        if (q->count - before != pixels)
            json_wrong(j, "an image has not as many pixels as the model's");
    }
}

static void take_shape(struct json *j, struct query *q)
{
    size_t n = 0;
    for (bool first = json_enter(j, '['); json_more(j, ']', &first); n++) {
        double v = 0;
        if (json_number(j, &v) && n < 2)
            q->shape[n] = v;
    }
    if (n != 2)
        json_wrong(j, "the shape of images is [number of images, pixels]");
    q->has_shape = true;
}

static void take_tensor(struct json *j, struct query *q, uint32_t pixels)
{
    char key[16], text[16];
    for (bool first = json_enter(j, '{');
         json_more(j, '}', &first) && json_key(j, key, sizeof(key));) {
        if (strcmp(key, "name") == 0) {
            if (json_string(j, text, sizeof(text)) && strcmp(text, "images") != 0)
                json_wrong(j, "the model has one input, images");
        } else if (strcmp(key, "datatype") == 0) {
            if (json_string(j, text, sizeof(text)) && strcmp(text, "FP32") != 0 &&
                strcmp(text, "UINT8") != 0)
                json_wrong(j, "images are of the datatype FP32 or UINT8");
        } else if (strcmp(key, "shape") == 0) {
            take_shape(j, q);
        } else if (strcmp(key, "data") == 0 && !q->has_data) {
            take_images(j, q, pixels, false);
            q->has_data = true;
        } else {
            json_skip(j);
        }
    }
}

static void take_wishes(struct json *j, struct query *q)
{
    char key[16], name[16] = "";
    if (json_peek(j) == '[' && j->at[1] != ']')
        q->wants_probabilities = false;
    for (bool first = json_enter(j, '['); json_more(j, ']', &first);) {
        for (bool start = json_enter(j, '{');
             json_more(j, '}', &start) && json_key(j, key, sizeof(key));) {
            if (strcmp(key, "name") != 0)
                json_skip(j);
            else
                json_string(j, name, sizeof(name));
        }
        if (strcmp(name, "probabilities") == 0)
            q->wants_probabilities = true;
        else if (strcmp(name, "label") == 0)
            q->wants_label = true;
        else
            json_wrong(j, "the model's outputs are probabilities and label");
    }
}

static void read_v2(struct json *j, struct query *q, uint32_t pixels)
{
    char key[16];
    for (bool first = json_enter(j, '{');
         json_more(j, '}', &first) && json_key(j, key, sizeof(key));) {
        if (strcmp(key, "id") == 0) {
            json_string(j, q->id, sizeof(q->id));
        } else if (strcmp(key, "inputs") == 0) {
            size_t n = 0;
            for (bool start = json_enter(j, '['); json_more(j, ']', &start); n++)
                take_tensor(j, q, pixels);
            if (n != 1)
                json_wrong(j, "the model has one input, images");
        } else if (strcmp(key, "outputs") == 0) {
            take_wishes(j, q);
        } else {
            json_skip(j);
        }
    }
    json_end(j);
    if (!q->has_data || !q->has_shape)
        json_wrong(j, "inputs[0] needs name, shape, datatype and data");
    if (q->count % pixels != 0 || q->shape[1] != (double)pixels ||
        q->shape[0] * q->shape[1] != (double)q->count)
        json_wrong(j, "the data has not as many numbers as the shape says, or images of another "
                      "size than the model's");
}

static void read_v1(struct json *j, struct query *q, uint32_t pixels)
{
    if (json_find(j, "instances"))
        take_images(j, q, pixels, true);
    while (!j->error && json_peek(j) == ',') {
        char key[2];
        j->at++;
        if (json_key(j, key, sizeof(key)))
            json_skip(j);
    }
    if (json_enter(j, '}'))
        json_end(j);
}

/* --- answers --- */

static int refuse(struct text *out, int status, const char *why)
{
    out->len = 0;
    text_print(out, "{\"error\":");
    text_quote(out, why);
    text_print(out, "}");
    return status;
}

/* Nine digits give every float back exactly. */
static void print_rows(struct text *out, const float *rows, size_t n, bool nested)
{
    for (size_t i = 0; i < n; i++) {
        text_print(out, "%s%s", i ? "," : "", nested ? "[" : "");
        for (size_t c = 0; c < CLASSES; c++)
            text_print(out, "%s%.9g", c ? "," : "", (double)rows[i * CLASSES + c]);
        if (nested)
            text_add(out, "]", 1);
    }
}

static void print_v2(const struct service *s, const struct query *q, const float *rows, size_t n,
                     struct text *out)
{
    text_print(out, "{\"model_name\":");
    text_quote(out, s->name);
    text_print(out, ",\"model_version\":\"1\"");
    if (q->id[0]) {
        text_print(out, ",\"id\":");
        text_quote(out, q->id);
    }
    text_print(out, ",\"outputs\":[");
    if (q->wants_probabilities) {
        text_print(
            out, "{\"name\":\"probabilities\",\"datatype\":\"FP32\",\"shape\":[%zu,%d],\"data\":[",
            n, CLASSES);
        print_rows(out, rows, n, false);
        text_print(out, "]}%s", q->wants_label ? "," : "");
    }
    if (q->wants_label) {
        text_print(out, "{\"name\":\"label\",\"datatype\":\"INT64\",\"shape\":[%zu],\"data\":[", n);
        for (size_t i = 0; i < n; i++)
            text_print(out, "%s%u", i ? "," : "", best_class(rows + i * CLASSES));
        text_print(out, "]}");
    }
    text_print(out, "]}");
}

static int infer(struct service *s, const struct http_request *r, bool v1, struct text *out)
{
    struct json j;
    struct query q = {.wants_probabilities = true};
    json_open(&j, r->body, r->len);
    (v1 ? read_v1 : read_v2)(&j, &q, s->pixels);
    if (j.error) {
        char why[256];
        snprintf(why, sizeof(why), "%s (byte %zu of the request)", j.error,
                 (size_t)(j.at - r->body));
        free(q.pixels);
        return refuse(out, 400, why);
    }
    size_t n = q.count / s->pixels;
    float *rows = xcalloc(n, CLASSES * sizeof(float));
    while (sem_wait(&s->processors) != 0)
        ;
    if (n > 0)
        s->kind->predict(s->model, q.pixels, n, rows);
    sem_post(&s->processors);
    if (v1) {
        text_print(out, "{\"predictions\":[");
        print_rows(out, rows, n, true);
        text_print(out, "]}");
    } else {
        print_v2(s, &q, rows, n, out);
    }
    free(rows);
    free(q.pixels);
    return 200;
}

static int describe(const struct service *s, struct text *out)
{
    text_print(out, "{\"name\":");
    text_quote(out, s->name);
    text_print(out,
               ",\"versions\":[\"1\"],\"platform\":\"fashion-mnist_%s\",\"inputs\":[{\"name\":"
               "\"images\",\"datatype\":\"FP32\","
               "\"shape\":[-1,%u]}],\"outputs\":[{\"name\":\"probabilities\",\"datatype\":\"FP32\","
               "\"shape\":[-1,%d]},"
               "{\"name\":\"label\",\"datatype\":\"INT64\",\"shape\":[-1]}]}",
               s->kind->name, s->pixels, CLASSES);
    return 200;
}

static int tell_ready(const struct service *s, struct text *out)
{
    text_print(out, "{\"name\":");
    text_quote(out, s->name);
    text_print(out, ",\"ready\":true}");
    return 200;
}

/* What follows /v2/models/NAME or /v1/models/NAME in the path; NULL: it is another model's. */
static const char *behind_name(const struct service *s, const char *path, const char *prefix)
{
    size_t len = strlen(prefix), name = strlen(s->name);
    if (strncmp(path, prefix, len) != 0 || strncmp(path + len, s->name, name) != 0)
        return NULL;
    return path + len + name;
}

/* What can be looked at; 404: there is no such path. */
static int look(const struct service *s, const char *path, const char *v2, const char *v1,
                struct text *out)
{
    if (strcmp(path, "/v2") == 0) {
        text_print(out, "{\"name\":\"fashion-serve\",\"version\":\"1\",\"extensions\":[]}");
        return 200;
    }
    if (strcmp(path, "/v2/health/live") == 0 || strcmp(path, "/v2/health/ready") == 0) {
        text_print(out, "{\"%s\":true}", path + strlen("/v2/health/"));
        return 200;
    }
    if (v2 && *v2 == '\0')
        return describe(s, out);
    if ((v2 && strcmp(v2, "/ready") == 0) || (v1 && *v1 == '\0'))
        return tell_ready(s, out);
    char why[MAX_NAME + 64];
    snprintf(why, sizeof(why), "there is no such path; the model here is '%s'", s->name);
    return refuse(out, 404, why);
}

static int handle(const struct http_request *r, struct text *out, void *arg)
{
    struct service *s = arg;
    const char *v2 = behind_name(s, r->path, "/v2/models/");
    const char *v1 = behind_name(s, r->path, "/v1/models/");
    bool asks = (v2 && strcmp(v2, "/infer") == 0) || (v1 && strcmp(v1, ":predict") == 0);
    bool gets = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
    if (asks)
        return strcmp(r->method, "POST") == 0 ? infer(s, r, v1, out)
                                              : refuse(out, 405, "this path takes POST");
    int status = look(s, r->path, v2, v1, out);
    return status == 200 && !gets ? refuse(out, 405, "this path takes GET") : status;
}

/* --- start --- */

/* A model that cannot tell a black image's probabilities is none. */
static void check_model(const struct service *s, const char *path)
{
    uint8_t *image = xcalloc(s->pixels, 1);
    float row[CLASSES];
    float sum = 0;
    s->kind->predict(s->model, image, 1, row);
    for (int c = 0; c < CLASSES; c++)
        sum += row[c] >= 0 ? row[c] : NAN;
    if (!(fabsf(sum - 1) < 1e-3f))
        die("'%s' is damaged: its probabilities add up to %g", path, (double)sum);
    free(image);
}

struct options {
    const char *model, *name, *listen, *port;
};

static struct options read_options(int argc, char **argv)
{
    option_help(argc, argv, usage);
    static const struct option options[] = {{"model", required_argument, NULL, 'm'},
                                            {"name", required_argument, NULL, 'n'},
                                            {"listen", required_argument, NULL, 'l'},
                                            {"port", required_argument, NULL, 'p'},
                                            {NULL, 0, NULL, 0}};
    struct options o = {.model = getenv("WF_MODEL"), .name = getenv("WF_MODEL_NAME")};
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        const char **taken = c == 'm'   ? &o.model
                             : c == 'n' ? &o.name
                             : c == 'l' ? &o.listen
                             : c == 'p' ? &o.port
                                        : NULL;
        if (!taken)
            die_usage(usage, "wrong options");
        *taken = optarg;
    }
    if (!o.listen && !o.port)
        o.listen = getenv("WF_SOCKET");
    if (!o.listen && !o.port)
        o.port = getenv("PORT");
    if (!o.model || !o.listen == !o.port || optind != argc)
        die_usage(usage, "--model and one of --listen and --port are needed, and nothing else");
    return o;
}

int main(int argc, char **argv)
{
    struct options o = read_options(argc, argv);
    struct service s = {0};
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    sem_init(&s.processors, 0, processors > 1 ? (unsigned)processors : 1);
    s.model = model_load(o.model, &s.kind, &s.pixels);
    s.name = o.name && o.name[0] ? o.name : s.kind->name;
    check_model(&s, o.model);

    int listener =
        o.listen ? http_listen_path(o.listen)
                 : http_listen_port((uint16_t)option_number(usage, "--port", o.port, 1, 65535));
    printf("%s '%s' on %s\n", s.kind->title, s.name, o.listen ? o.listen : o.port);
    fflush(stdout);
    http_serve(listener, MAX_BODY, handle, &s);
    if (o.listen)
        unlink(o.listen);
    s.kind->free(s.model);
    return 0;
}

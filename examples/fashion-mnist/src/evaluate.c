/* SPDX-License-Identifier: Apache-2.0 */
/* fashion-evaluate: sends all test images through an endpoint of the Open Inference Protocol and measures the answers. */
#include "dataset.h"
#include "http.h"
#include "json.h"
#include "score.h"
#include "util.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: fashion-evaluate --endpoint URL --model NAME --data FOLDER --out FILE [--batch "
    "IMAGES]\n"
    "       fashion-evaluate --request NUMBER --data FOLDER\n"
    "The second prints a request with that test image, for curl --data @FILE.\n";

enum { MAX_MEMBERS = 64, MAX_NAME = 128 };

struct options {
    const char *endpoint, *model, *data, *out, *request;
    uint32_t batch;
};
struct member { /* a model that took part in answers */
    char name[MAX_NAME];
    uint64_t answers;
};
struct evaluation {
    const struct options *o;
    struct http_client client;
    struct score score;
    uint64_t requests;
    size_t n_members;
    struct member members[MAX_MEMBERS];
    double seconds, slowest;
};

static struct options read_options(int argc, char **argv)
{
    option_help(argc, argv, usage);
    static const struct option options[] = {
        {"endpoint", required_argument, NULL, 'e'},
        {"model", required_argument, NULL, 'm'},
        {"data", required_argument, NULL, 'd'},
        {"out", required_argument, NULL, 'o'},
        {"batch", required_argument, NULL, 'b'},
        {"request", required_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    struct options o = {.batch = 100};
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'b') {
            o.batch = (uint32_t)option_number(usage, "--batch", optarg, 1, 10000);
            continue;
        }
        const char **taken = c == 'e'   ? &o.endpoint
                             : c == 'm' ? &o.model
                             : c == 'd' ? &o.data
                             : c == 'o' ? &o.out
                             : c == 'r' ? &o.request
                                        : NULL;
        if (!taken)
            die_usage(usage, "wrong options");
        *taken = optarg;
    }
    bool measures = o.endpoint && o.model && o.out && !o.request;
    if (!o.data || !(measures || (o.request && !o.endpoint)) || optind != argc)
        die_usage(usage, "--data and either --endpoint, --model and --out or --request are needed, "
                         "and nothing else");
    return o;
}

static void print_request(struct text *out, const struct split *test, uint32_t first, uint32_t n)
{
    out->len = 0;
    text_print(
        out,
        "{\"inputs\":[{\"name\":\"images\",\"datatype\":\"UINT8\",\"shape\":[%u,%u],\"data\":[", n,
        test->pixels);
    const uint8_t *pixels = test->images + (size_t)first * test->pixels;
    for (size_t i = 0; i < (size_t)n * test->pixels; i++)
        text_print(out, "%s%u", i ? "," : "", pixels[i]);
    text_print(out, "]}],\"outputs\":[{\"name\":\"probabilities\"}]}");
}

/* --- answers --- */

static void count_member(struct evaluation *e, const char *name)
{
    for (size_t i = 0; i < e->n_members; i++) {
        if (strcmp(e->members[i].name, name) == 0) {
            e->members[i].answers++;
            return;
        }
    }
    if (e->n_members == MAX_MEMBERS)
        die("more than %d models answered", MAX_MEMBERS);
    struct member *m = &e->members[e->n_members++];
    *m = (struct member){.answers = 1};
    memcpy(m->name, name, strlen(name) + 1);
}

/* An ensemble names the models that it asked; a single model is its own. */
static bool read_members(struct evaluation *e, struct json *j)
{
    char key[16], name[MAX_NAME];
    bool found = false;
    for (bool first = json_enter(j, '{');
         json_more(j, '}', &first) && json_key(j, key, sizeof(key));) {
        if (strcmp(key, "members") != 0) {
            json_skip(j);
            continue;
        }
        for (bool start = json_enter(j, '['); json_more(j, ']', &start);) {
            if (json_string(j, name, sizeof(name)))
                count_member(e, name);
        }
        found = true;
    }
    return found;
}

static bool read_number(struct json *j, float *rows, size_t room, size_t *n)
{
    double v = 0;
    if (*n == room)
        return json_wrong(j, "more numbers than were expected");
    if (!json_number(j, &v))
        return false;
    rows[(*n)++] = (float)v;
    return true;
}

/* Flat, or a list of rows. */
static size_t read_numbers(struct json *j, float *rows, size_t room)
{
    size_t n = 0;
    for (bool first = json_enter(j, '['); json_more(j, ']', &first);) {
        if (json_peek(j) != '[') {
            read_number(j, rows, room, &n);
            continue;
        }
        for (bool start = json_enter(j, '['); json_more(j, ']', &start);)
            read_number(j, rows, room, &n);
    }
    return n;
}

static size_t read_outputs(struct json *j, float *rows, size_t room)
{
    char key[16], name[32];
    size_t n = 0;
    for (bool first = json_enter(j, '['); json_more(j, ']', &first);) {
        for (bool start = json_enter(j, '{');
             json_more(j, '}', &start) && json_key(j, key, sizeof(key));) {
            if (strcmp(key, "data") == 0)
                n = read_numbers(j, rows, room);
            else if (strcmp(key, "name") != 0)
                json_skip(j);
            else if (json_string(j, name, sizeof(name)) && strcmp(name, "probabilities") != 0)
                json_wrong(j, "an output that was not asked for");
        }
    }
    return n;
}

static void read_answer(struct evaluation *e, const struct text *answer, float *rows, uint32_t n)
{
    struct json j;
    char key[16], model[MAX_NAME] = "";
    bool named = false;
    size_t numbers = 0, expected = (size_t)n * CLASSES;
    json_open(&j, answer->data, answer->len);
    for (bool first = json_enter(&j, '{');
         json_more(&j, '}', &first) && json_key(&j, key, sizeof(key));) {
        if (strcmp(key, "model_name") == 0)
            json_string(&j, model, sizeof(model));
        else if (strcmp(key, "parameters") == 0)
            named = read_members(e, &j);
        else if (strcmp(key, "outputs") == 0)
            numbers = read_outputs(&j, rows, expected);
        else
            json_skip(&j);
    }
    if (!json_end(&j))
        die("the answer of '%s' cannot be read: %s (at its byte %zu)", e->o->endpoint, j.error,
            (size_t)(j.at - answer->data));
    if (numbers != expected)
        die("'%s' answered with %zu numbers for %u images", e->o->endpoint, numbers, n);
    if (!named)
        count_member(e, model);
}

/* --- the evaluation --- */

static void evaluate(struct evaluation *e, const struct split *test)
{
    struct text request = {0}, answer = {0}, path = {0};
    float *rows = xcalloc((size_t)e->o->batch * CLASSES, sizeof(float));
    double start = seconds_now();
    text_print(&path, "/v2/models/%s/infer", e->o->model);
    http_client_open(&e->client, e->o->endpoint);
    for (uint32_t at = 0; at < test->count; at += e->o->batch) {
        uint32_t n = test->count - at < e->o->batch ? test->count - at : e->o->batch;
        print_request(&request, test, at, n);
        double sent = seconds_now();
        int status = http_call(&e->client, "POST", path.data, &request, &answer);
        if (status != 200)
            die("'%s%s' answered %d: %.300s", e->o->endpoint, path.data, status, answer.data);
        double took = seconds_now() - sent;
        e->slowest = took > e->slowest ? took : e->slowest;
        read_answer(e, &answer, rows, n);
        score_add(&e->score, rows, test->labels + at, n);
        e->requests++;
    }
    e->seconds = seconds_now() - start;
    http_client_close(&e->client);
    text_done(&request);
    text_done(&answer);
    text_done(&path);
    free(rows);
}

static void write_result(const struct evaluation *e)
{
    struct text json = {0};
    double images = (double)e->score.images;
    text_print(&json, "{\"model\": ");
    text_quote(&json, e->o->model);
    text_print(&json, ", \"endpoint\": ");
    text_quote(&json, e->o->endpoint);
    text_print(&json,
               ",\n \"accuracy\": %.4f, \"loss\": %.4f, \"test_images\": %" PRIu64
               ", \"right\": %" PRIu64 ",\n \"requests\": %" PRIu64
               ", \"batch\": %u, \"seconds\": %.3f, \"slowest_ms\": %.1f,\n \"members\": [",
               (double)e->score.right / images, e->score.loss / images, e->score.images,
               e->score.right, e->requests, e->o->batch, e->seconds, e->slowest * 1e3);
    for (size_t i = 0; i < e->n_members; i++) {
        text_print(&json, "%s{\"model\": ", i ? ", " : "");
        text_quote(&json, e->members[i].name);
        text_print(&json, ", \"answers\": %" PRIu64 "}", e->members[i].answers);
    }
    text_print(&json, "]}\n");
    FILE *out = file_open(e->o->out, "wb");
    file_write(out, json.data, json.len, e->o->out);
    file_close(out, e->o->out);
    text_done(&json);
}

static void print_one(const struct options *o, const struct split *test)
{
    struct text request = {0};
    print_request(&request, test,
                  (uint32_t)option_number(usage, "--request", o->request, 0, test->count - 1), 1);
    puts(request.data);
    text_done(&request);
}

int main(int argc, char **argv)
{
    struct options o = read_options(argc, argv);
    struct split test;
    split_open(&test, o.data, "test");
    if (o.request) {
        print_one(&o, &test);
        split_close(&test);
        return 0;
    }
    struct evaluation e = {.o = &o};
    evaluate(&e, &test);
    write_result(&e);
    printf("%s: accuracy %.4f on %" PRIu64 " images, %" PRIu64
           " requests of %u in %.1f s; answered by",
           o.model, (double)e.score.right / (double)e.score.images, e.score.images, e.requests,
           o.batch, e.seconds);
    for (size_t i = 0; i < e.n_members; i++)
        printf("%s %s", i ? "," : "", e.members[i].name);
    putchar('\n');
    split_close(&test);
    return 0;
}

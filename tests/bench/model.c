/* SPDX-License-Identifier: Apache-2.0 */
/* The model server of serve.py: answers with the number that its model file holds, and costs as little as it can, so that what lies before it is measured. The file: NUMBER MILLISECONDS, the second what its start takes. */
#include "http.h"
#include "util.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct model {
    double number;
    const char *name;
};

static int handle(const struct http_request *r, struct text *body, void *arg)
{
    const struct model *m = arg;
    if (strncmp(r->path, "/v2/health/", strlen("/v2/health/")) == 0) {
        text_print(body, "{\"ready\":true}");
        return 200;
    }
    text_print(body,
               "{\"model_name\":\"%s\",\"model_version\":\"1\",\"outputs\":[{\"name\":\"number\","
               "\"datatype\":\"FP32\",\"shape\":[1,1],\"data\":[%.9g]}]}",
               m->name, m->number);
    return 200;
}

int main(int argc, char **argv)
{
    struct model m = {.name = getenv("WF_MODEL_NAME")};
    const char *socket = getenv("WF_SOCKET");
    long start_ms = 0;
    if (argc != 2 || !socket)
        die("WF_SOCKET is not set, or there is no model");
    if (!m.name) /* a service without a model to choose */
        m.name = "model";
    FILE *f = file_open(argv[1], "r");
    if (fscanf(f, "%lf %ld", &m.number, &start_ms) != 2)
        die("'%s' is no model", argv[1]);
    fclose(f);
    struct timespec start = {.tv_sec = start_ms / 1000, .tv_nsec = start_ms % 1000 * 1000000};
    nanosleep(&start, NULL);
    http_serve(http_listen_path(socket), 1 << 20, handle, &m);
    unlink(socket);
    return 0;
}

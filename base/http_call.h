/* SPDX-License-Identifier: Apache-2.0 */
/* Inside base/http: one client and one request. */
#ifndef WF_BASE_HTTP_CALL_H
#define WF_BASE_HTTP_CALL_H

#include "base/err.h"
#include "base/http.h"
#include "base/http_api.h"
#include "base/vec.h"

struct http {
    const struct curl_api *curl;
    struct loop *loop;
    struct timer *timer;
    CURLM *multi;
    struct http_call *calls;
    int depth;    /* > 0: inside libcurl or on_done */
    bool untidy;  /* calls to add or to drop */
    bool closing; /* to be destroyed when depth is 0 */
};

struct http_call {
    struct http *http;
    struct http_call *prev, *next;
    CURL *easy;
    struct curl_slist *headers;
    char *name; /* the URL for messages: without credentials and query */
    char *unix_socket;
    http_fn on_done;
    void *arg;
    bool (*on_data)(const void *data, size_t len, void *arg);
    bool (*on_headers)(const struct http_call *c, void *arg);
    bool stream, follow;
    bool added;     /* to the multi handle */
    bool aborted;   /* by the owner: on_done is not called */
    bool refused;   /* on_data or on_headers said no */
    bool finishing; /* on_done runs */
    bool too_large;
    bool headers_done; /* of the final answer */
    size_t max_body;
    int status;
    struct { /* the body to be sent: memory, or a file (data NULL) */
        const char *data;
        int fd;
        uint64_t size, at;
        int sys; /* why it could not be read */
    } out;
    VEC(char *) answer; /* the header lines of the last answer, trimmed */
    struct http_response response;
    struct err err;
    char detail[CURL_ERROR_SIZE]; /* libcurl's own words */
};

/* A call ready to be added; borrowed from req: body, on_data, on_headers. */
int http_call_new(struct http *h, const struct http_request *req, struct http_call **ret,
                  struct err *err);
/* Fills c->response when libcurl is through. */
void http_call_finish(struct http_call *c, CURLcode result);
void http_call_free(struct http_call *c);

#endif

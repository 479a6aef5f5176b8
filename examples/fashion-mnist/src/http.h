/* SPDX-License-Identifier: Apache-2.0 */
/* As much of HTTP/1.1 as a model server behind a proxy, and the program that asks it, need: bodies with a Content-Length, connections that stay open. Everything is linked statically, and no library for
 * it is small then. */
#ifndef FASHION_HTTP_H
#define FASHION_HTTP_H

#include "text.h"

#include <stddef.h>
#include <stdint.h>

/* --- server: a thread for each connection --- */

struct http_request {          /* borrowed for the call */
    const char *method, *path; /* the path without its query */
    const char *body;          /* body[len] is 0 */
    size_t len;
};
/* Fills in `body` (JSON) and returns the status. Called by many threads at once. */
typedef int http_handler(const struct http_request *r, struct text *body, void *arg);

/* A socket that listens; an old socket file that nobody listens on gives way. Ends the program on failure. */
int http_listen_path(const char *path);
int http_listen_port(uint16_t port); /* of 127.0.0.1 */
/* Until TERM or INT: then nothing new is taken, what has begun is answered, and it returns. `listener` is closed. Once in a program. */
void http_serve(int listener, size_t max_body, http_handler *handler, void *arg);

/* --- client: one connection, opened again where the server has closed it --- */

struct http_client {
    const char
        *url; /* borrowed: http://HOST[:PORT][/…], HOST an address or localhost; or unix:PATH */
    int fd;
};
void http_client_open(struct http_client *c, const char *url);
/* The status; the body replaces what is in `answer`. Ends the program, naming the URL, where there is no answer. */
int http_call(struct http_client *c, const char *method, const char *path, const struct text *body,
              struct text *answer);
void http_client_close(struct http_client *c);

#endif

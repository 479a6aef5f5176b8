/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP client on the loop: libcurl's multi interface, opened (dlopen) at first use, so that programs that need no network do not pay for it.
 * Also speaks to unix sockets (container engines). */
#ifndef WF_BASE_HTTP_H
#define WF_BASE_HTTP_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct loop;
struct http;      /* one client: connections are kept and reused */
struct http_call; /* one request under way */

/* A raw stream over a container engine's socket (POST …/attach?stream=1&stdout=1&stderr=1) is a request with `stream`: ask without an Upgrade
 * header; the answer is 200 at once (on_headers), then frames to on_data, then on_done when the container ends. A 101 answer is read alike. */
struct http_request {
    const char *method; /* "GET" when NULL */
    const char *url; /* http(s)://…; with `unix_socket` the host is a formality: http://engine/… */
    const char *unix_socket;    /* NULL: TCP */
    const char *const *headers; /* NULL-terminated "Name: value" lines, or NULL */
    const void *body;           /* borrowed until the end; NULL: none */
    size_t body_len;
    /* The body is this file, read by pread() from its beginning while it is sent (so several may share an fd); open until the end. With a
     * method that has a body (PUT, POST). A file that turns out shorter breaks the call off. */
    bool upload;
    int upload_fd;
    uint64_t upload_size;
    /* Said apart from the URL, where they may hold any character; never shown. Basic authentication, to the URL's own host only. */
    const char *user, *password;
    /* "aws:amz:REGION:s3": user and password are keys, and the request is signed (base/s3.h makes such requests). */
    const char *aws_sigv4;
    int64_t timeout_ms;         /* whole call; 0: none */
    int64_t connect_timeout_ms; /* 0: 10 s */
    int64_t
        stall_timeout_ms; /* less than 1 KiB/s for so long ends the call (whole seconds, rounded up); 0: none */
    bool follow;          /* redirects, http and https only, at most 10 */
    uint64_t resume_from; /* Range: bytes=N- ; 0: whole */
    bool stream;          /* the body is handed to on_data as it comes and not kept */
    size_t max_body;      /* without stream; 0: 64 MiB; more is an error */
    /* Both get http_start()'s arg and may start and abort calls. Called for each piece of a streamed body; returning false aborts the call. May be NULL. */
    bool (*on_data)(const void *data, size_t len, void *arg);
    /* Called when the final response's headers are complete (status known). May be NULL. Returning false aborts. */
    bool (*on_headers)(const struct http_call *c, void *arg);
};
struct http_response {
    int status;      /* 0: no answer, see err */
    struct str body; /* empty when streamed */
    /* NULL, or why there is no (whole) answer. ERR_NET and ERR_TIMEOUT may pass; ERR_INVALID (a circle of redirects, a certificate that is refused) and ERR_USAGE (the URL) will be the same
     * another time. */
    const struct err *err;
    const char *reason; /* of err, without the URL before it, for who names it himself */
};
typedef void (*http_fn)(struct http_call *c, const struct http_response *r, void *arg);

int http_open(struct loop *l, struct http **ret, struct err *err);
/* Connections to one host at once, HTTP_PER_HOST unless told otherwise; further calls wait for their turn. 0: no bound, for a socket where calls stay open for long and must not keep others waiting. */
enum { HTTP_PER_HOST = 8 };
void http_bound(struct http *h, unsigned per_host);
void http_close(struct http *h); /* aborts what runs; no callback is called for it */
/* Starts a request; on_done is called once from the loop. The call is freed after on_done returns. */
int http_start(struct http *h, const struct http_request *req, http_fn on_done, void *arg,
               struct http_call **ret, struct err *err);
void http_abort(struct http_call *c); /* frees; on_done is not called */
/* The last value of a response header, case-insensitive; borrowed until the call ends; NULL when absent. */
const char *http_header(const struct http_call *c, const char *name);
int http_status(const struct http_call *c);
/* "http://host/path": without user, password, query and fragment, as it may stand in a message or a log. Owned by the caller. */
char *http_public_url(const char *url);
const char *http_library_version(void); /* "" until opened */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to an S3 store (Amazon's, or any server that speaks its protocol), to be started with http_start(). Nothing here blocks or sends.
 * Buckets stand in the path, never in the host name. Signed with Signature Version 4 by libcurl; without keys requests go unsigned (public buckets). */
#ifndef WF_BASE_S3_H
#define WF_BASE_S3_H

#include "base/digest.h"
#include "base/http.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct str;

/* Where and as whom, from the environment: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL (else Amazon's of the region), AWS_REGION, AWS_DEFAULT_REGION (else us-east-1),
 * AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN. Immutable once made. */
struct s3;
/* ERR_USAGE: one of the two keys is missing, the endpoint is no URL. */
int s3_new(struct s3 **ret, struct err *err);
void s3_free(struct s3 *s);
const char *s3_endpoint(const struct s3 *s); /* "https://s3.eu-west-1.amazonaws.com" */
/* The endpoint that the environment names, without a slash at its end and without a user; NULL: Amazon's, where a bucket's name means one bucket in all regions. Owned by the caller. */
char *s3_named_endpoint(void);
bool s3_signs(const struct s3 *s); /* there are keys */

/* "s3://bucket/key" in two texts owned by the caller. The key has no slash at its start and may be empty. ERR_USAGE: not such a URL. */
int s3_parse(const char *url, char **ret_bucket, char **ret_key, struct err *err);

/* One request. Fill in what is missing in `http` (callbacks, stream, limits, body), then http_start(); s3_call_done() may follow at once, but the body is borrowed until the call's end.
 * `http.headers` is taken: conditions go in as `extra`. */
struct s3_call {
    struct http_request http;
    char *url, *hash, *token;
    const char **headers;
};
/* key: bytes as they are, encoded here. payload: the SHA-256 of the body, NULL: there is none. extra: "Name: value" lines ("If-None-Match: \"…\"", "Range: …"), NULL-terminated, or NULL. */
int s3_object(const struct s3 *s, const char *method, const char *bucket, const char *key,
              const struct digest *payload, const char *const *extra, struct s3_call *ret,
              struct err *err);
/* The keys that begin with `prefix`, at most 1000 per answer (ListObjectsV2); token: where the answer before said to go on, NULL: from the start. */
int s3_list(const struct s3 *s, const char *bucket, const char *prefix, const char *token,
            struct s3_call *ret, struct err *err);
void s3_call_done(struct s3_call *c);

struct s3_item {
    const char *key, *etag; /* etag with its quotes, as in the header; valid during the call */
    uint64_t size;
};
/* Reads an answer to s3_list(). *ret_token: NULL at the end, else for the next s3_list(), owned by the caller. fn: negative stops. ERR_INVALID: not such an answer. */
int s3_list_read(const char *xml, size_t len,
                 int (*fn)(const struct s3_item *i, void *arg, struct err *err), void *arg,
                 char **ret_token, struct err *err);
/* What a server said about a refusal: "SignatureDoesNotMatch: The request signature …", or "" when the body is not such an answer. Appended to `out`. */
void s3_refusal(const char *xml, size_t len, struct str *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the gateway: the parser of model servers' answers (HTTP/1.0 and 1.1), fed as bytes come. What comes from a server is not believed: everything is bounded, and whatever could be read in two ways ends the connection. */
#ifndef WF_SERVE_GATEWAY_ANSWER_H
#define WF_SERVE_GATEWAY_ANSWER_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ANSWER_HEAD_MAX = 32 << 10, ANSWER_LINE_MAX = 1024 };
enum answer_state {
    ANSWER_HEAD,
    ANSWER_BODY,       /* `left` bytes */
    ANSWER_UNTIL_END,  /* of the connection */
    ANSWER_CHUNK_SIZE, /* a line */
    ANSWER_CHUNK,      /* `left` bytes */
    ANSWER_CHUNK_END,  /* the empty line behind it */
    ANSWER_TRAILER,    /* lines until an empty one */
    ANSWER_DONE,
    ANSWER_WRONG
};
/* An all-zero struct with max_body set is ready for an answer. */
struct answer {
    enum answer_state state;
    const char *wrong; /* ANSWER_WRONG: why */
    int status;
    bool keep; /* the connection can be used again */
    uint64_t left;
    size_t max_body;
    unsigned interim; /* 1xx answers before it */
    struct str head;  /* also the line being read */
    struct str body;
};
/* Takes what belongs to the answer; returns how many bytes: fewer than `len` only when it is done or wrong. */
size_t answer_feed(struct answer *a, const char *data, size_t len);
/* The connection has ended: ANSWER_DONE where that ends an answer, else ANSWER_WRONG. */
void answer_end(struct answer *a);
void answer_clear(struct answer *a); /* ready for the next; keeps memory, max_body */
void answer_done(struct answer *a);

#endif

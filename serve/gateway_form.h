/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the gateway: what requests and answers say. v2 (Open Inference Protocol): tensors under "inputs" and "outputs"; v1: a list under "instances" and "predictions". A document points into its text, which
 * outlives it. Pure; any thread. */
#ifndef WF_SERVE_GATEWAY_FORM_H
#define WF_SERVE_GATEWAY_FORM_H

#include "base/str.h"
#include "base/vec.h"
#include "serve/gateway_scan.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

/* Kinds of a tensor's elements. */
enum tensor_kind { TENSOR_BOOL, TENSOR_INTEGER, TENSOR_FLOAT, TENSOR_DOUBLE, TENSOR_BYTES };

struct tensor {
    struct slice name;    /* with its quotes */
    const char *datatype; /* static: "FP32" … */
    enum tensor_kind kind;
    uint32_t n_dims;
    int64_t shape[SCAN_DIMS];
    struct slice first_dim;  /* shape[0] in the text */
    struct slice data;       /* the list, with its brackets */
    bool nested;             /* lists in lists, as deep as the shape */
    struct slice parameters; /* an object; data NULL: none */
};
struct form {
    bool v1;
    struct slice text;
    struct slice id; /* with its quotes; data NULL: none */
    VEC(struct tensor) tensors;
    struct slice list; /* v1, with its brackets */
    uint64_t items;    /* in the list */
};
enum form_side { FORM_REQUEST, FORM_ANSWER };

/* ERR_INVALID: a sentence that begins with `what` ("the request"). */
int form_read(struct slice text, bool v1, enum form_side side, const char *what, struct form *ret,
              struct err *err);
void form_done(struct form *f);

/* How many instances a request holds: shape[0] of all inputs where they agree, or the length of the list; 0: it cannot be cut. */
uint64_t form_rows(const struct form *f);
/* A request cut into parts of at most `rows` instances. */
struct form_parts {
    const struct form *form;
    uint64_t total, rows;
    uint32_t count;
    const char **cuts; /* of each tensor, count + 1 */
};
/* ERR_INVALID: more than FORM_PARTS. */
enum { FORM_PARTS = 4096 };
int form_cut(const struct form *f, uint64_t rows, struct form_parts *ret, struct err *err);
void form_part(const struct form_parts *p, uint32_t part, struct str *out); /* appends it */
void form_parts_done(struct form_parts *p);

/* Answers to the parts of one request, in order, made into one. Its text is in `store` (emptied first), its names and parameters stay in the parts' texts. */
int form_join(const struct form *parts, uint32_t count, const char *what, struct str *store,
              struct form *ret, struct err *err);
/* The product of its shape. */
uint64_t tensor_elements(const struct tensor *t);

#endif

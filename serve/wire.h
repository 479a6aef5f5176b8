/* SPDX-License-Identifier: Apache-2.0 */
/* What the supervisor and its clients say to each other: lines of JSON on the socket that live/serve.lock names.
 *   to the supervisor    {"hello":{"run":"01…"|null,"secrets":{"NAME":"value"}}}, first; {"look":true}; {"ask":true}
 *   from it              {"state":{…}} after the hello for each service, then whenever one changes; {"note":"…","service":7}; {"answer":[{…}]} to `ask` */
#ifndef WF_SERVE_WIRE_H
#define WF_SERVE_WIRE_H

#include "serve/desired.h"

#include <jansson.h>
#include <stddef.h>

struct arena;
struct serve_secret;
struct str;

void wire_hello(const char *run, const struct serve_secret *secrets, size_t n, struct str *out);
void wire_state(const struct service_row *row, struct str *out);
void wire_note(int64_t service, const char *text, struct str *out);
/* Strings live in `a`. False: no proper state. */
bool wire_read_state(const json_t *state, struct arena *a, struct service_row *ret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Actions as their rows hold them: a third of the text, and exactly the text again. Bytes below 0x20, which no JSON text holds, stand for what comes in every action:
 *   0x00 first of all: the rest is the text as it is (it held such a byte)
 *   0x01 + 32 bytes: "sha256:…" with its quotes · 0x02: the digest of the entry's own work document, with its quotes · 0x03…: the fragments of pack.c, in their order
 * Part of the store's format: fragments are only ever added at the end. */
#ifndef WF_CACHE_PACK_H
#define WF_CACHE_PACK_H

#include "base/digest.h"

#include <stddef.h>

struct err;
struct str;

/* Added to `out`. `work`: what the action names as its work. */
void action_pack(const char *action, size_t len, const struct digest *work, struct str *out);
/* The text again, added to `out`; the work document itself, as far as the row needs it. ERR_CORRUPT: such a row was never written. */
int action_unpack(const void *data, size_t len, const char *work, size_t work_len, struct str *out,
                  struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Actions as their rows hold them: a fifth of the text, and exactly the text again. The first byte says how:
 *   0  the text as it is (it holds bytes below 0x20, which no JSON text does)
 *   1  shortened: 0x01 + 32 bytes for "sha256:…" with its quotes, 0x02 for the digest of the entry's own work document with its quotes, 0x03… for the fragments of pack.c, in their order
 *   2  shortened, and told by what differs from the first action that named the same work (works.sample, shortened, without a first byte). Entries of one work differ in a few digests and
 *      numbers. Repeated: length of new bytes, those bytes, length taken from the sample, and where from, as a signed distance to where the last piece would go on; numbers as in result.c.
 * Part of the store's format: fragments are only ever added at the end. */
#ifndef WF_CACHE_PACK_H
#define WF_CACHE_PACK_H

#include "base/digest.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

/* The shortened text, without a first byte; added to `out`. `work`: what the action names as its work. False: it cannot be shortened, nothing is added. */
bool action_shorten(const char *action, size_t len, const struct digest *work, struct str *out);
/* What the row holds; added to `out`. `sample` empty: none. */
void action_pack(const char *action, size_t len, const struct digest *work, struct slice sample,
                 struct str *out);
/* The text again, added to `out`. `work`: the work document. ERR_CORRUPT: such a row was never written. */
int action_unpack(struct slice packed, struct slice work, struct slice sample, struct str *out,
                  struct err *err);

#endif

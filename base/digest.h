/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4), computed by OpenSSL's libcrypto. */
#ifndef WF_BASE_DIGEST_H
#define WF_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct str;

#define DIGEST_SIZE 32
#define DIGEST_HEX 64
struct digest {
    unsigned char bytes[DIGEST_SIZE];
};

struct digest_ctx; /* one running computation; reusable, not shared between threads */
struct digest_ctx *digest_new(void);
void digest_free(struct digest_ctx *c);
void digest_begin(struct digest_ctx *c);
void digest_add(struct digest_ctx *c, const void *data, size_t len);
void digest_end(struct digest_ctx *c, struct digest *ret);

/* One shot; allocates nothing, so that small documents cost little more than their blocks. For any thread. */
void digest_of(const void *data, size_t len, struct digest *ret);
/* The file open at `fd` from its beginning to its end, by read() of 256 KiB. Blocking; for any thread. *ret_size: bytes read. */
int digest_fd(int fd, struct digest *ret, uint64_t *ret_size, struct err *err);

void digest_hex(const struct digest *d, char out[DIGEST_HEX + 1]);
void digest_hex_add(struct str *s, const struct digest *d);
bool digest_parse(const char *hex, size_t len,
                  struct digest *ret); /* exactly 64 hex digits, upper or lower case */
bool digest_eq(const struct digest *a, const struct digest *b);
bool digest_is_zero(const struct digest *d);

const char *digest_library_version(void); /* "3.0.15" */

#endif

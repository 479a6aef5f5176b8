/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 by libcrypto's own functions, not through EVP: EVP's first use reads openssl.cnf and sets up every algorithm there is, a
 * millisecond in a process that lives for five, and each later digest takes locks and allocates. The functions are deprecated in
 * favour of EVP for what only that can do (engines, FIPS modules); they use the processor's instructions all the same. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/digest.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#ifdef WF_STATIC_CRYPTO
#include <openssl/opensslv.h>
#else
#include <openssl/crypto.h>
#endif
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct digest_ctx {
    SHA256_CTX sha;
};

struct digest_ctx *digest_new(void)
{
    return xcalloc(1, sizeof(struct digest_ctx));
}

void digest_free(struct digest_ctx *c)
{
    free(c);
}

void digest_begin(struct digest_ctx *c)
{
    int ok = SHA256_Init(&c->sha);

    WF_ASSERT(ok == 1);
}

void digest_add(struct digest_ctx *c, const void *data, size_t len)
{
    int ok = len == 0 || SHA256_Update(&c->sha, data, len) == 1;

    WF_ASSERT(ok);
}

void digest_end(struct digest_ctx *c, struct digest *ret)
{
    int ok = SHA256_Final(ret->bytes, &c->sha);

    WF_ASSERT(ok == 1);
}

void digest_of(const void *data, size_t len, struct digest *ret)
{
    struct digest_ctx c;

    digest_begin(&c);
    digest_add(&c, data, len);
    digest_end(&c, ret);
}

int digest_fd(int fd, struct digest *ret, uint64_t *ret_size, struct err *err)
{
    enum { LARGE = 256 * 1024 };
    char small[16 * 1024]; /* most files fit: no allocation and one read */
    CLEANUP(cleanup_free) char *large = NULL;
    char *buf = small;
    size_t room = sizeof(small);
    struct digest_ctx c;
    uint64_t size = 0;
    struct stat st = {0};

    if (fstat(fd, &st) == 0 && (uint64_t)st.st_size >= room) {
        buf = large = xmalloc(LARGE);
        room = LARGE;
    }
    digest_begin(&c);
    for (;;) {
        /* pread: the descriptor may be shared with somebody who reads from it too. */
        ssize_t n = pread(fd, buf, room, (off_t)size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_set(err, ERR_IO, errno, "cannot read the file to be hashed");
        }
        if (n == 0) {
            break;
        }
        digest_add(&c, buf, (size_t)n);
        size += (uint64_t)n;
        /* Its end, without asking: what is added from now on is a change, which callers look for. */
        if ((size_t)n < room && size == (uint64_t)st.st_size) {
            break;
        }
    }
    digest_end(&c, ret);
    if (ret_size) {
        *ret_size = size;
    }
    return 0;
}

void digest_hex(const struct digest *d, char out[DIGEST_HEX + 1])
{
    /* Eight digits at once: half bytes spread over a word, then 6 and what lies between '9' and 'a' added where they are letters. */
    for (size_t i = 0; i < DIGEST_SIZE; i += 4) {
        uint64_t w = (uint64_t)d->bytes[i] | (uint64_t)d->bytes[i + 1] << 16 |
                     (uint64_t)d->bytes[i + 2] << 32 | (uint64_t)d->bytes[i + 3] << 48;
        w = (w >> 4 & 0x000f000f000f000fu) | (w & 0x000f000f000f000fu) << 8;
        uint64_t letters = (w + 0x0606060606060606u) >> 4 & 0x0101010101010101u;
        w = w + 0x3030303030303030u + letters * ('a' - '0' - 10);
        for (size_t k = 0; k < 8; k++) {
            out[2 * i + k] = (char)(w >> (8 * k));
        }
    }
    out[DIGEST_HEX] = '\0';
}

void digest_hex_add(struct str *s, const struct digest *d)
{
    char hex[DIGEST_HEX + 1];

    digest_hex(d, hex);
    sb_add(s, hex, DIGEST_HEX);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool digest_parse(const char *hex, size_t len, struct digest *ret)
{
    struct digest d;

    if (len != DIGEST_HEX) {
        return false;
    }
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        d.bytes[i] = (unsigned char)(high * 16 + low);
    }
    *ret = d;
    return true;
}

bool digest_eq(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_SIZE) == 0;
}

bool digest_is_zero(const struct digest *d)
{
    static const struct digest zero;

    return digest_eq(d, &zero);
}

const char *digest_library_version(void)
{
#ifdef WF_STATIC_CRYPTO
    return OPENSSL_VERSION_STR; /* asking the library would link the whole of it */
#else
    return OpenSSL_version(OPENSSL_VERSION_STRING);
#endif
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One run-time failure, on the caller's stack. Functions return 0, a negative code, or a documented positive third
 * outcome; `struct err *err` is their last parameter, may be NULL, and is written only on failure. */
#ifndef WF_BASE_ERR_H
#define WF_BASE_ERR_H

#define WF_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define WF_NODISCARD __attribute__((warn_unused_result))

enum err_code {
    ERR_NONE = 0,
    ERR_USAGE,   /* the caller's (a user's) words are off */
    ERR_INVALID, /* a document is malformed */
    ERR_NOT_FOUND,
    ERR_EXISTS,
    ERR_BUSY, /* held by somebody else */
    ERR_IO,   /* disk, file system, operating system */
    ERR_NET,
    ERR_TIMEOUT,
    ERR_CORRUPT, /* what we stored is not what we find */
    ERR_DENIED,
    ERR_CANCELLED,
    ERR_UNSUPPORTED,
    ERR_ENGINE, /* no container engine can be used on this machine */
    ERR_INTERNAL,
    ERR_CODE_COUNT
};

struct err {
    enum err_code code;
    int sys; /* errno that led here, or 0 */
    char msg[1000];
};

/* Fills `err` (if not NULL) and returns -code. A too long message ends in "…" . `sys` != 0 appends ": strerror". */
int err_set(struct err *err, enum err_code code, int sys, const char *fmt, ...) WF_PRINTF(4, 5);
/* Prefixes "text: " to the message in `err`; returns -err->code (or -ERR_INTERNAL when err is NULL or empty). */
int err_wrap(struct err *err, const char *fmt, ...) WF_PRINTF(2, 3);
const char *err_code_name(enum err_code code);

/* For our own bugs only: prints file:line and aborts, in release builds too. */
#define WF_ASSERT(x) ((x) ? (void)0 : err_assert_failed(#x, __FILE__, __LINE__))
_Noreturn void err_assert_failed(const char *expr, const char *file, int line);

#endif

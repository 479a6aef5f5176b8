/* SPDX-License-Identifier: Apache-2.0 */
/* Failures as values. Texts are built in a local buffer first, so that a message may be made from the one it replaces. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const code_names[ERR_CODE_COUNT] = {
    [ERR_NONE] = "none",
    [ERR_USAGE] = "usage",
    [ERR_INVALID] = "invalid",
    [ERR_NOT_FOUND] = "not_found",
    [ERR_EXISTS] = "exists",
    [ERR_BUSY] = "busy",
    [ERR_IO] = "io",
    [ERR_NET] = "net",
    [ERR_TIMEOUT] = "timeout",
    [ERR_CORRUPT] = "corrupt",
    [ERR_DENIED] = "denied",
    [ERR_CANCELLED] = "cancelled",
    [ERR_UNSUPPORTED] = "unsupported",
    [ERR_ENGINE] = "engine",
    [ERR_INTERNAL] = "internal",
};

static const char ellipsis[] = "\xe2\x80\xa6";

/* Copies as much of `text` as fits into `room` bytes (NUL included); a cut text ends in "…" behind a whole character. */
static size_t put_text(char *out, size_t room, const char *text)
{
    size_t len = strlen(text);

    if (len < room) {
        memcpy(out, text, len + 1);
        return len;
    }
    if (room < sizeof(ellipsis)) {
        out[0] = '\0';
        return 0;
    }
    len = room - sizeof(ellipsis);
    while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80) {
        len--;
    }
    memcpy(out, text, len);
    memcpy(out + len, ellipsis, sizeof(ellipsis));
    return len + sizeof(ellipsis) - 1;
}

int err_set(struct err *err, enum err_code code, int sys, const char *fmt, ...)
{
    int saved_errno = errno;
    char text[sizeof(err->msg) + 1];
    char reason[160] = "";
    va_list ap;

    WF_ASSERT(code > ERR_NONE && code < ERR_CODE_COUNT);
    if (!err) {
        return -(int)code;
    }
    va_start(ap, fmt);
    if (vsnprintf(text, sizeof(text), fmt, ap) < 0) {
        text[0] = '\0';
    }
    va_end(ap);
    if (sys != 0) {
        char buf[128];
        snprintf(reason, sizeof(reason), ": %s", strerror_r(sys, buf, sizeof(buf)));
    }
    err->code = code;
    err->sys = sys;
    /* The reason is kept whole; what is cut is the text before it. */
    size_t len = put_text(err->msg, sizeof(err->msg) - strlen(reason), text);
    memcpy(err->msg + len, reason, strlen(reason) + 1);
    errno = saved_errno;
    return -(int)code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    char text[sizeof(err->msg)], old[sizeof(err->msg)];
    va_list ap;

    if (!err) {
        return -(int)ERR_INTERNAL;
    }
    va_start(ap, fmt);
    if (vsnprintf(text, sizeof(text), fmt, ap) < 0) {
        text[0] = '\0';
    }
    va_end(ap);
    if (err->code == ERR_NONE) {
        err->code = ERR_INTERNAL;
        err->sys = 0;
        err->msg[0] = '\0';
    }
    put_text(old, sizeof(old), err->msg);
    size_t len = put_text(err->msg, sizeof(err->msg), text);
    if (old[0] != '\0' && len + 2 < sizeof(err->msg)) {
        memcpy(err->msg + len, ": ", 2);
        put_text(err->msg + len + 2, sizeof(err->msg) - len - 2, old);
    }
    return -(int)err->code;
}

const char *err_code_name(enum err_code code)
{
    return (unsigned)code < ERR_CODE_COUNT ? code_names[code] : "unknown";
}

void err_assert_failed(const char *expr, const char *file, int line)
{
    fprintf(stderr, "wf: internal error at %s:%d: '%s' does not hold; please report this\n", file,
            line, expr);
    abort();
}

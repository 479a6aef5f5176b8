/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include "base/err.h"
#include "cli/out.h"

#include <stdarg.h>
#include <stdio.h>

int cli_fail(const struct cli *c, const struct err *err)
{
    fprintf(stderr, "%swf:%s %s\n", tone_on(c->err_colour, TONE_BAD), tone_off(c->err_colour),
            err->msg);
    switch (err->code) {
    case ERR_USAGE:
    case ERR_NOT_FOUND:
    case ERR_EXISTS:
        return EXIT_USAGE;
    case ERR_INVALID:
        return EXIT_WORKFLOW;
    case ERR_CANCELLED:
        return EXIT_INTERRUPTED;
    case ERR_NONE:
    case ERR_BUSY:
    case ERR_IO:
    case ERR_NET:
    case ERR_TIMEOUT:
    case ERR_CORRUPT:
    case ERR_DENIED:
    case ERR_UNSUPPORTED:
    case ERR_ENGINE:
    case ERR_INTERNAL:
    case ERR_CODE_COUNT:
        break;
    }
    return EXIT_SYSTEM;
}

int cli_fail_store(const struct cli *c, const struct err *err)
{
    (void)cli_fail(c, err);
    return EXIT_SYSTEM;
}

int cli_usage(const struct cli *c, const char *fmt, ...)
{
    fprintf(stderr, "%swf:%s ", tone_on(c->err_colour, TONE_BAD), tone_off(c->err_colour));
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/listing.h"

#include "base/err.h"
#include "cache/store.h"
#include "cli/out.h"

int listing_open(const struct cli *c, const struct args *a, const char *const *titles,
                 size_t columns, long fallback_limit, struct listing *ret)
{
    struct err err = {0};
    long limit;
    *ret = (struct listing){.cli = c};
    if (opt_number(a, "limit", 1, fallback_limit, &limit, &err) < 0) {
        return cli_usage(c, "%s", err.msg);
    }
    ret->limit = limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit;
    int code = setup_store(c, &ret->store);
    if (code != EXIT_OK) {
        return code;
    }
    if (opt_given(a, "json")) {
        jw_init(&ret->writer, &ret->out, true);
        ret->json = &ret->writer;
        jw_array(ret->json);
    } else {
        ret->table = table_new(columns, titles);
    }
    return EXIT_OK;
}

int listing_close(struct listing *l, int result, const struct err *err)
{
    int code = EXIT_OK;
    if (result < 0) {
        code = cli_fail(l->cli, err);
    } else {
        if (l->json) {
            jw_end_array(l->json);
            sb_putc(&l->out, '\n');
        } else {
            table_print(l->table, l->cli->colour, l->cli->out_tty ? l->cli->width : 0, &l->out);
        }
        out_str(&l->out);
    }
    table_free(l->table);
    sb_done(&l->out);
    store_close(l->store);
    return code;
}

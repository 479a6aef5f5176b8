/* SPDX-License-Identifier: Apache-2.0 */
/* What a shared cache may answer: an ActionResult, an encoded result, a folder's list, S3's lists and refusals. Beyond not crashing: what is read of an ActionResult lies within it. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/s3.h"
#include "base/str.h"
#include "cache/action_result.h"
#include "cache/manifest.h"
#include "cache/result.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bounds {
    const char *from, *to;
};

static void inside(const struct bounds *b, struct slice s)
{
    WF_ASSERT(s.len == 0 || (s.data >= b->from && s.data + s.len <= b->to));
}

static int on_file(const struct action_file *f, void *arg, struct err *err)
{
    (void)err;
    inside(arg, f->path);
    inside(arg, f->contents);
    return 0;
}

static int on_entry(const struct manifest_entry *e, void *arg, struct err *err)
{
    (void)err;
    inside(arg, slice_of(e->name, e->name_len));
    return 0;
}

static int on_item(const struct s3_item *i, void *arg, struct err *err)
{
    (void)err;
    *(size_t *)arg += strlen(i->key) + strlen(i->etag);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(cleanup_free) char *copy = xmalloc(size ? size : 1);
    CLEANUP(cleanup_free) char *token = NULL;
    CLEANUP(sb_done) struct str said = {0};
    struct arena *a = arena_new();
    struct slice worker;
    struct result r;
    size_t total = 0;

    memcpy(copy, data, size);
    struct bounds b = {copy, copy + size};
    if (action_result_read(copy, size, on_file, &b, &worker, NULL) == 0 && worker.len > 0 &&
        worker.data >= copy) {
        inside(&b, worker);
    }
    if (result_decode(copy, size, a, &r, NULL) == 0) {
        CLEANUP(sb_done) struct str again = {0};
        result_encode(&r, &again);
    }
    (void)manifest_each(copy, size, on_entry, &b, NULL);
    (void)s3_list_read(copy, size, on_item, &total, &token, NULL);
    s3_refusal(copy, size, &said);
    arena_free(a);
    return 0;
}

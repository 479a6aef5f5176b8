/* SPDX-License-Identifier: Apache-2.0 */
/* The two functions behind the macros of vec.h. */
#include "base/vec.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>

void vec_grow(void **items, size_t *cap, size_t item_size)
{
    WF_ASSERT(*cap <= SIZE_MAX / 4);
    size_t more = *cap < 8 ? 8 : *cap * 2;

    *items = xreallocarray(*items, more, item_size);
    *cap = more;
}

void vec_free(void **items, size_t *len, size_t *cap)
{
    free(*items);
    *items = NULL;
    *len = 0;
    *cap = 0;
}

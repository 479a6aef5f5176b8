/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers by number: millions of row ids at 32 bytes each or less. All-zero is empty; the key 0 is not allowed. */
#ifndef WF_CACHE_ID_MAP_H
#define WF_CACHE_ID_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id_item {
    int64_t key, value;
};
struct id_map {
    struct id_item *items; /* key 0: free */
    size_t cap, len;
};

void id_map_done(struct id_map *m);
int64_t *id_map_get(const struct id_map *m,
                    int64_t key);                   /* NULL: absent. Valid until the next put */
int64_t *id_map_put(struct id_map *m, int64_t key); /* a new one's value is 0 */
void id_map_clear(struct id_map *m);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Events as bytes: the journal's records. The format stands in state.h. */
#include "base/err.h"
#include "base/str.h"
#include "engine/state.h"

#include <string.h>

enum {
    RECORD_HEAD = 28, /* type, packed, 0, 0, instance, at_us, entry, payload length */
    PACKED_HEAD = 16, /* type, packed, 0, 0, count, at_us */
    PACKED_ITEM = 12, /* instance, entry */
};

static void put_u32(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (unsigned char)(v >> (8 * i));
    }
}

static void put_i64(unsigned char *p, int64_t v)
{
    uint64_t u = (uint64_t)v;

    for (int i = 0; i < 8; i++) {
        p[i] = (unsigned char)(u >> (8 * i));
    }
}

static uint32_t get_u32(const unsigned char *p)
{
    uint32_t v = 0;

    for (int i = 3; i >= 0; i--) {
        v = v << 8 | p[i];
    }
    return v;
}

static int64_t get_i64(const unsigned char *p)
{
    uint64_t v = 0;

    for (int i = 7; i >= 0; i--) {
        v = v << 8 | p[i];
    }
    return (int64_t)v;
}

void event_encode(const struct event *e, struct str *out)
{
    unsigned char head[RECORD_HEAD] = {(unsigned char)e->type};

    put_u32(head + 4, e->instance);
    put_i64(head + 8, e->at_us);
    put_i64(head + 16, e->entry);
    put_u32(head + 24, e->payload_len);
    sb_add(out, head, sizeof(head));
    if (e->payload_len > 0) {
        sb_add(out, e->payload, e->payload_len);
    }
}

void event_encode_hits(const uint32_t *instances, const int64_t *entries, uint32_t count,
                       int64_t at_us, struct str *out)
{
    unsigned char head[PACKED_HEAD] = {EVENT_HIT, 1};

    put_u32(head + 4, count);
    put_i64(head + 8, at_us);
    sb_reserve(out, sizeof(head) + (size_t)count * PACKED_ITEM);
    sb_add(out, head, sizeof(head));
    for (uint32_t i = 0; i < count; i++) {
        unsigned char item[PACKED_ITEM];
        put_u32(item, instances[i]);
        put_i64(item + 4, entries[i]);
        sb_add(out, item, sizeof(item));
    }
}

/* Returns the bytes used, or negative. */
static int64_t decode_hits(const unsigned char *p, size_t left,
                           int (*fn)(const struct event *e, void *arg), void *arg, int *ret_stop)
{
    uint64_t count;

    if (left < PACKED_HEAD) {
        return -1;
    }
    count = get_u32(p + 4);
    if ((left - PACKED_HEAD) / PACKED_ITEM < count) {
        return -1;
    }
    for (uint64_t i = 0; i < count; i++) {
        const unsigned char *item = p + PACKED_HEAD + i * PACKED_ITEM;
        struct event e = {.type = EVENT_HIT,
                          .instance = get_u32(item),
                          .at_us = get_i64(p + 8),
                          .payload = (const char *)item + 4,
                          .payload_len = 8,
                          .entry = get_i64(item + 4)};
        *ret_stop = fn(&e, arg);
        if (*ret_stop < 0) {
            return 0;
        }
    }
    return (int64_t)(PACKED_HEAD + count * PACKED_ITEM);
}

static int64_t decode_one(const unsigned char *p, size_t left,
                          int (*fn)(const struct event *e, void *arg), void *arg, int *ret_stop)
{
    struct event e;

    if (left < RECORD_HEAD || p[0] < EVENT_STARTED || p[0] >= EVENT_TYPE_COUNT || p[1] != 0) {
        return -1;
    }
    e = (struct event){.type = (enum event_type)p[0],
                       .instance = get_u32(p + 4),
                       .at_us = get_i64(p + 8),
                       .entry = get_i64(p + 16),
                       .payload_len = get_u32(p + 24)};
    if (left - RECORD_HEAD < e.payload_len) {
        return -1;
    }
    e.payload = e.payload_len ? (const char *)p + RECORD_HEAD : NULL;
    *ret_stop = fn(&e, arg);
    return RECORD_HEAD + (int64_t)e.payload_len;
}

int event_decode_each(const void *data, size_t len, int (*fn)(const struct event *e, void *arg),
                      void *arg, struct err *err)
{
    const unsigned char *p = data;
    size_t at = 0;

    while (at < len) {
        int stop = 0;
        bool packed = len - at >= 2 && p[at] == EVENT_HIT && p[at + 1] == 1;
        int64_t used = packed ? decode_hits(p + at, len - at, fn, arg, &stop)
                              : decode_one(p + at, len - at, fn, arg, &stop);
        if (used < 0) {
            return err_set(err, ERR_CORRUPT, 0,
                           "the journal holds a record that cannot be read (at byte %zu)", at);
        }
        if (stop < 0) {
            return stop;
        }
        at += (size_t)used;
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The page on disk: "wfs1", then records, each
 *   device inode size mtime ctime (8 bytes, little-endian) · digest (32) · day (4) · length of the name (2) · name
 * and at the end the first 8 bytes of the SHA-256 of all that: a wrong digest must never come from a flipped bit. */
#include "cache/statcache_page.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static const char magic[4] = {'w', 'f', 's', '1'};
enum { FIXED = 5 * 8 + DIGEST_SIZE + 4 + 2, CHECK = 8 };

void stat_page_done(struct stat_page *p)
{
    vec_done(&p->records);
    sb_done(&p->names);
    free(p->slots);
    p->slots = NULL;
    p->slot_count = p->entered = p->next = 0;
}

static const char *name_of(const struct stat_page *p, const struct stat_record *r)
{
    return p->names.data + r->name;
}

static bool has_name(const struct stat_page *p, const struct stat_record *r, const char *name,
                     size_t len)
{
    return r->name_len == len && memcmp(name_of(p, r), name, len) == 0;
}

static void enter(struct stat_page *p, size_t index)
{
    size_t at = p->records.items[index].hash & (p->slot_count - 1);

    while (p->slots[at] != 0) {
        at = (at + 1) & (p->slot_count - 1);
    }
    p->slots[at] = (uint32_t)index + 1;
}

static void make_room(struct stat_page *p, size_t records)
{
    size_t wanted = p->slot_count ? p->slot_count : 16;

    while (wanted < records * 2) {
        wanted *= 2;
    }
    if (wanted == p->slot_count) {
        return;
    }
    free(p->slots);
    p->slots = xcalloc(wanted, sizeof(*p->slots));
    p->slot_count = wanted;
    for (size_t i = 0; i < p->entered; i++) {
        enter(p, i);
    }
}

static void enter_all(struct stat_page *p)
{
    if (p->entered == p->records.len) {
        return;
    }
    make_room(p, p->records.len);
    for (; p->entered < p->records.len; p->entered++) {
        struct stat_record *r = &p->records.items[p->entered];
        r->hash = hash_bytes(name_of(p, r), r->name_len);
        enter(p, p->entered);
    }
}

static struct stat_record *find(struct stat_page *p, uint64_t hash, const char *name, size_t len)
{
    enter_all(p);
    if (p->slot_count == 0) {
        return NULL;
    }
    for (size_t at = hash & (p->slot_count - 1); p->slots[at] != 0;
         at = (at + 1) & (p->slot_count - 1)) {
        struct stat_record *r = &p->records.items[p->slots[at] - 1];
        if (r->hash == hash && has_name(p, r, name, len)) {
            p->next = p->slots[at];
            return r;
        }
    }
    return NULL;
}

struct stat_record *stat_page_get(struct stat_page *p, const char *name, size_t len)
{
    if (p->next < p->records.len && has_name(p, &p->records.items[p->next], name, len)) {
        return &p->records.items[p->next++];
    }
    return find(p, hash_bytes(name, len), name, len);
}

static struct stat_record *append(struct stat_page *p, const char *name, size_t len)
{
    struct stat_record *r = vec_push(&p->records);

    memset(r, 0, sizeof(*r));
    r->name = (uint32_t)p->names.len;
    r->name_len = (uint32_t)len;
    sb_add(&p->names, name, len);
    return r;
}

struct stat_record *stat_page_put(struct stat_page *p, const char *name, size_t len)
{
    uint64_t hash = hash_bytes(name, len);
    struct stat_record *r = find(p, hash, name, len);

    if (r) {
        return r;
    }
    make_room(p, p->records.len + 1);
    r = append(p, name, len);
    r->hash = hash;
    enter(p, p->entered++);
    return r;
}

/* --- on disk --- */

static void put_le(struct str *out, uint64_t v, size_t bytes)
{
    char buf[8];

    for (size_t i = 0; i < bytes; i++) {
        buf[i] = (char)(v >> (8 * i));
    }
    sb_add(out, buf, bytes);
}

static uint64_t get_le(const unsigned char **at, size_t bytes)
{
    uint64_t v = 0;

    for (size_t i = 0; i < bytes; i++) {
        v |= (uint64_t)(*at)[i] << (8 * i);
    }
    *at += bytes;
    return v;
}

void stat_page_write(const struct stat_page *p, uint32_t oldest, struct str *out)
{
    size_t from = out->len;
    struct digest check;

    sb_reserve(out, p->records.len * (FIXED + 16) + p->names.len);
    sb_add(out, magic, sizeof(magic));
    for (size_t i = 0; i < p->records.len; i++) {
        const struct stat_record *r = &p->records.items[i];
        if (r->day < oldest || r->name_len > UINT16_MAX) {
            continue;
        }
        put_le(out, r->device, 8);
        put_le(out, r->inode, 8);
        put_le(out, r->size, 8);
        put_le(out, r->mtime, 8);
        put_le(out, r->ctime, 8);
        sb_add(out, r->digest.bytes, DIGEST_SIZE);
        put_le(out, r->day, 4);
        put_le(out, r->name_len, 2);
        sb_add(out, name_of(p, r), r->name_len);
    }
    digest_of(out->data + from, out->len - from, &check);
    sb_add(out, check.bytes, CHECK);
}

static bool read_record(struct stat_page *p, const unsigned char **at, const unsigned char *end)
{
    struct stat_record r = {0};

    if (end - *at < FIXED) {
        return false;
    }
    r.device = get_le(at, 8);
    r.inode = get_le(at, 8);
    r.size = get_le(at, 8);
    r.mtime = get_le(at, 8);
    r.ctime = get_le(at, 8);
    memcpy(r.digest.bytes, *at, DIGEST_SIZE);
    *at += DIGEST_SIZE;
    r.day = (uint32_t)get_le(at, 4);
    size_t len = (size_t)get_le(at, 2);
    if ((size_t)(end - *at) < len) {
        return false;
    }
    struct stat_record *mine = append(p, (const char *)*at, len);
    r.name = mine->name;
    r.name_len = mine->name_len;
    *mine = r;
    *at += len;
    return true;
}

bool stat_page_read(struct stat_page *p, const void *data, size_t len)
{
    const unsigned char *at = data, *end = at + len;
    struct digest check;

    if (len < sizeof(magic) + CHECK || memcmp(at, magic, sizeof(magic)) != 0) {
        return false;
    }
    end -= CHECK;
    digest_of(data, len - CHECK, &check);
    if (memcmp(check.bytes, end, CHECK) != 0) {
        return false;
    }
    at += sizeof(magic);
    while (at < end) {
        if (!read_record(p, &at, end)) {
            stat_page_done(p);
            return false;
        }
    }
    return true;
}

static void copy_record(struct stat_page *to, const struct stat_page *from,
                        const struct stat_record *r)
{
    struct stat_record *mine = stat_page_put(to, name_of(from, r), r->name_len);
    uint32_t name = mine->name;

    *mine = *r;
    mine->name = name;
    mine->changed = false;
}

void stat_page_merge(struct stat_page *p, const struct stat_page *newer)
{
    for (size_t i = 0; i < newer->records.len; i++) {
        copy_record(p, newer, &newer->records.items[i]);
    }
}

void stat_page_take_changed(struct stat_page *p, struct stat_page *to)
{
    for (size_t i = 0; i < p->records.len; i++) {
        if (p->records.items[i].changed) {
            copy_record(to, p, &p->records.items[i]);
            p->records.items[i].changed = false;
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A field is a tag (number << 3 | wire type) and a value: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes. */
#include "cache/action_result.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

enum { VARINT = 0, EIGHT = 1, BYTES = 2, FOUR = 5 };
enum { RESULT_FILES = 2, RESULT_EXIT_CODE = 4, RESULT_METADATA = 9 };
enum { FILE_PATH = 1, FILE_DIGEST = 2, FILE_EXECUTABLE = 4, FILE_CONTENTS = 5 };
enum { DIGEST_HASH = 1, DIGEST_BYTES = 2 };
enum { METADATA_WORKER = 1 };

/* --- writing --- */

static void put_varint(struct str *out, uint64_t v)
{
    for (; v > 0x7f; v >>= 7) {
        sb_putc(out, (char)((v & 0x7f) | 0x80));
    }
    sb_putc(out, (char)v);
}

static void put_number(struct str *out, unsigned field, uint64_t v)
{
    if (v != 0) { /* 0 is what is not there */
        put_varint(out, field << 3 | VARINT);
        put_varint(out, v);
    }
}

static void put_bytes(struct str *out, unsigned field, const void *data, size_t len)
{
    put_varint(out, field << 3 | BYTES);
    put_varint(out, len);
    sb_add(out, data, len);
}

static void put_path(struct str *out, struct slice path)
{
    CLEANUP(sb_done) struct str text = {0};

    for (size_t i = 0; i < path.len;) {
        size_t n = utf8_sequence(path.data + i, path.len - i);
        unsigned char c = (unsigned char)path.data[i];
        if (n == 0 || c < ' ' || c == 0x7f) {
            sb_printf(&text, "%%%02X", c);
            i++;
        } else {
            sb_add(&text, path.data + i, n);
            i += n;
        }
    }
    put_bytes(out, FILE_PATH, sb_text(&text), text.len);
}

void action_result_file(struct str *out, const struct action_file *f)
{
    CLEANUP(sb_done) struct str file = {0}, digest = {0};
    char hex[DIGEST_HEX + 1];

    digest_hex(&f->digest, hex);
    put_bytes(&digest, DIGEST_HASH, hex, DIGEST_HEX);
    put_number(&digest, DIGEST_BYTES, f->bytes);
    put_path(&file, f->path);
    put_bytes(&file, FILE_DIGEST, sb_text(&digest), digest.len);
    put_number(&file, FILE_EXECUTABLE, f->executable);
    if (f->inlined) {
        put_bytes(&file, FILE_CONTENTS, f->contents.data, f->contents.len);
    }
    put_bytes(out, RESULT_FILES, sb_text(&file), file.len);
}

void action_result_end(struct str *out, const char *worker)
{
    CLEANUP(sb_done) struct str metadata = {0};

    put_bytes(&metadata, METADATA_WORKER, worker, strlen(worker));
    put_bytes(out, RESULT_METADATA, sb_text(&metadata), metadata.len);
}

/* --- reading --- */

struct field {
    unsigned number, type;
    uint64_t value;     /* VARINT */
    struct slice bytes; /* BYTES */
};

static bool get_varint(struct slice *in, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64 && in->len > 0; shift += 7) {
        unsigned char byte = (unsigned char)*in->data;
        in->data++;
        in->len--;
        if (shift == 63 && byte > 1) {
            return false;
        }
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

static bool get_length(struct slice *in, uint64_t len, struct slice *ret)
{
    if (len > in->len) {
        return false;
    }
    *ret = slice_of(in->data, (size_t)len);
    in->data += len;
    in->len -= (size_t)len;
    return true;
}

/* The next field of a message that is not at its end. */
static bool get_field(struct slice *in, struct field *f)
{
    uint64_t tag, len;

    memset(f, 0, sizeof(*f));
    if (!get_varint(in, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff) {
        return false;
    }
    f->number = (unsigned)(tag >> 3);
    f->type = (unsigned)(tag & 7);
    switch (f->type) {
    case VARINT:
        return get_varint(in, &f->value);
    case BYTES:
        return get_varint(in, &len) && get_length(in, len, &f->bytes);
    case EIGHT:
        return get_length(in, 8, &f->bytes);
    case FOUR:
        return get_length(in, 4, &f->bytes);
    default:
        return false; /* groups went out of use long before this API */
    }
}

static bool is(const struct field *f, unsigned number, unsigned type)
{
    return f->number == number && f->type == type;
}

static bool get_digest(struct slice in, struct action_file *ret)
{
    struct field f;
    bool named = false;

    while (in.len > 0) {
        if (!get_field(&in, &f)) {
            return false;
        }
        if (is(&f, DIGEST_HASH, BYTES)) {
            named = digest_parse(f.bytes.data, f.bytes.len, &ret->digest);
        } else if (is(&f, DIGEST_BYTES, VARINT)) {
            ret->bytes = f.value;
        }
    }
    return named && ret->bytes <= INT64_MAX;
}

static bool get_file(struct slice in, struct action_file *ret)
{
    struct field f;
    bool digest = false;

    memset(ret, 0, sizeof(*ret));
    while (in.len > 0) {
        if (!get_field(&in, &f)) {
            return false;
        }
        if (is(&f, FILE_PATH, BYTES)) {
            ret->path = f.bytes;
        } else if (is(&f, FILE_DIGEST, BYTES)) {
            digest = get_digest(f.bytes, ret);
        } else if (is(&f, FILE_EXECUTABLE, VARINT)) {
            ret->executable = f.value != 0;
        } else if (is(&f, FILE_CONTENTS, BYTES)) {
            ret->inlined = true;
            ret->contents = f.bytes;
        }
    }
    return digest && ret->path.len > 0;
}

static bool get_worker(struct slice in, struct slice *ret)
{
    struct field f;

    while (in.len > 0) {
        if (!get_field(&in, &f)) {
            return false;
        }
        if (is(&f, METADATA_WORKER, BYTES)) {
            *ret = f.bytes;
        }
    }
    return true;
}

int action_result_read(const void *data, size_t len,
                       int (*fn)(const struct action_file *f, void *arg, struct err *err),
                       void *arg, struct slice *ret_worker, struct err *err)
{
    struct slice in = {data, len}, worker = {"", 0};
    struct action_file file;
    struct field f;
    bool good = len > 0;

    while (good && in.len > 0) {
        good = get_field(&in, &f);
        if (good && is(&f, RESULT_FILES, BYTES)) {
            good = get_file(f.bytes, &file);
            int rc = good ? fn(&file, arg, err) : 0;
            if (rc < 0) {
                return rc;
            }
        } else if (good && is(&f, RESULT_METADATA, BYTES)) {
            good = get_worker(f.bytes, &worker);
        } else if (good && is(&f, RESULT_EXIT_CODE, VARINT)) {
            good = f.value == 0;
        }
    }
    if (!good) {
        return err_set(err, ERR_INVALID, 0, "not the result of an action");
    }
    *ret_worker = worker;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Values: how they are made, stand in text, compare. Reading JSON is value_json.c. */
#include "workflows/value.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/mem.h"
#include "workflows/value_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct value value_null(void)
{
    return (struct value){.type = VALUE_NULL};
}

struct value value_bool(bool b)
{
    return (struct value){.type = VALUE_BOOL, .boolean = b};
}

struct value value_text(const char *text)
{
    return value_slice(slice_str(text));
}

struct value value_slice(struct slice s)
{
    return (struct value){.type = VALUE_STRING, .text = s};
}

struct value value_number(double d, struct arena *a)
{
    char buf[40];
    int len;
    if (isfinite(d) && d == floor(d) && fabs(d) < 1e15) {
        len = snprintf(buf, sizeof(buf), "%.0f", d);
    } else {
        /* The shortest form that reads back. */
        int digits = 15;
        do {
            len = snprintf(buf, sizeof(buf), "%.*g", digits, d);
        } while (digits++ < 17 && strtod(buf, NULL) != d);
    }
    return (struct value){.type = VALUE_NUMBER,
                          .number = d,
                          .text = slice_of(arena_strndup(a, buf, (size_t)len), (size_t)len)};
}

static double read_octal(const char *digits)
{
    double d = 0;
    for (; *digits; digits++)
        d = d * 8 + (*digits - '0');
    return d;
}

double number_read(struct slice s)
{
    char buf[64];
    char *text = s.len < sizeof(buf) ? buf : xmalloc(s.len + 1);
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    /* YAML's octal is the one form that strtod does not know. */
    double d = text[0] == '0' && text[1] == 'o' ? read_octal(text + 2) : strtod(text, NULL);
    if (text != buf)
        free(text);
    return d;
}

struct value value_number_text(struct slice source)
{
    return (struct value){.type = VALUE_NUMBER, .number = number_read(source), .text = source};
}

const char *value_type_name(enum value_type t)
{
    static const char *const names[VALUE_TYPE_COUNT] = {
        [VALUE_NULL] = "null",       [VALUE_BOOL] = "a boolean", [VALUE_NUMBER] = "a number",
        [VALUE_STRING] = "a string", [VALUE_LIST] = "a list",    [VALUE_OBJECT] = "an object",
    };
    return names[t];
}

static size_t digits_of(struct slice s, size_t at)
{
    size_t n = at;
    while (n < s.len && s.data[n] >= '0' && s.data[n] <= '9')
        n++;
    return n - at;
}

bool number_is_json(struct slice s)
{
    size_t i = s.len && s.data[0] == '-';
    size_t n = digits_of(s, i);
    if (!n || (n > 1 && s.data[i] == '0'))
        return false;
    i += n;
    if (i < s.len && s.data[i] == '.') {
        n = digits_of(s, ++i);
        if (!n)
            return false;
        i += n;
    }
    if (i < s.len && (s.data[i] == 'e' || s.data[i] == 'E')) {
        i++;
        i += i < s.len && (s.data[i] == '+' || s.data[i] == '-');
        n = digits_of(s, i);
        if (!n)
            return false;
        i += n;
    }
    return i == s.len;
}

/* A number that YAML takes and JSON does not: 007, +5, .5, 5., 0x1F, 0o17. Its text is put in order; the digits stay. */
static void json_number(struct slice s, double number, struct str *out)
{
    if (s.len > 2 && s.data[0] == '0' && (s.data[1] == 'x' || s.data[1] == 'o')) {
        sb_printf(out, "%.0f", number);
        return;
    }
    size_t i = 0;
    if (i < s.len && (s.data[i] == '-' || s.data[i] == '+')) {
        if (s.data[i++] == '-')
            sb_putc(out, '-');
    }
    size_t n = digits_of(s, i);
    size_t end = i + n;
    while (i + 1 < end && s.data[i] == '0')
        i++;
    if (n)
        sb_add(out, s.data + i, end - i);
    else
        sb_putc(out, '0');
    i = end;
    if (i < s.len && s.data[i] == '.') {
        n = digits_of(s, i + 1);
        if (n)
            sb_add(out, s.data + i, n + 1);
        i += n + 1;
    }
    if (i < s.len)
        sb_add(out, s.data + i, s.len - i);
}

static void add_number(const struct value *v, struct str *out)
{
    if (number_is_json(v->text))
        sb_add(out, v->text.data, v->text.len);
    else if (isfinite(v->number))
        json_number(v->text, v->number, out);
    else
        sb_puts(out, "null");
}

/* The depth of values is bounded where they are made: by the JSON reader, and by the expressions' own depth. Written without struct jsonw's levels, of which
 * there are fewer than a value may have. */
void value_add_json(const struct value *v, struct str *out)
{
    switch (v->type) {
    case VALUE_NULL:
    case VALUE_TYPE_COUNT:
        sb_puts(out, "null");
        return;
    case VALUE_BOOL:
        sb_puts(out, v->boolean ? "true" : "false");
        return;
    case VALUE_NUMBER:
        add_number(v, out);
        return;
    case VALUE_STRING:
        jw_string_add(out, v->text.data ? v->text.data : "", v->text.len);
        return;
    case VALUE_LIST:
    case VALUE_OBJECT:
        break;
    }
    bool object = v->type == VALUE_OBJECT;
    sb_putc(out, object ? '{' : '[');
    for (uint32_t i = 0; i < v->count; i++) {
        if (i)
            sb_putc(out, ',');
        if (object) {
            jw_string_add(out, v->keys[i].data ? v->keys[i].data : "", v->keys[i].len);
            sb_putc(out, ':');
        }
        value_add_json(&v->items[i], out);
    }
    sb_putc(out, object ? '}' : ']');
}

void value_json(const struct value *v, struct jsonw *w)
{
    struct str text = {0};
    value_add_json(v, &text);
    jw_raw(w, text.data, text.len);
    sb_done(&text);
}

void value_interpolate(const struct value *v, struct str *out)
{
    if (v->type == VALUE_STRING || v->type == VALUE_NUMBER)
        sb_add(out, v->text.data, v->text.len);
    else if (v->type != VALUE_NULL)
        value_add_json(v, out);
}

const struct value *value_member(const struct value *object, const char *name, size_t len)
{
    if (object->type != VALUE_OBJECT)
        return NULL;
    struct slice wanted = {name, len};
    for (uint32_t i = 0; i < object->count; i++) {
        if (slice_eq(object->keys[i], wanted))
            return &object->items[i];
    }
    return NULL;
}

bool value_has_path(const struct value *v)
{
    if (v->path)
        return true;
    if (v->type != VALUE_LIST && v->type != VALUE_OBJECT)
        return false;
    for (uint32_t i = 0; i < v->count; i++) {
        if (value_has_path(&v->items[i]))
            return true;
    }
    return false;
}

bool value_read_bool(const struct value *v, bool *ret)
{
    if (v->type == VALUE_BOOL) {
        *ret = v->boolean;
        return true;
    }
    if (v->type != VALUE_STRING)
        return false;
    bool yes = v->text.len == 4 && !memcmp(v->text.data, "true", 4);
    bool no = v->text.len == 5 && !memcmp(v->text.data, "false", 5);
    if (yes || no)
        *ret = yes;
    return yes || no;
}

bool value_is_number(const struct value *v)
{
    return v->type == VALUE_NUMBER || (v->type == VALUE_STRING && number_is_json(v->text));
}

/* Digits without a sign and leading zeros; false: not a plain integer. */
static bool plain_integer(struct slice s, bool *ret_negative, struct slice *ret_digits)
{
    size_t i = 0;
    *ret_negative = s.len && s.data[0] == '-';
    if (s.len && (s.data[0] == '-' || s.data[0] == '+'))
        i++;
    if (i == s.len || digits_of(s, i) != s.len - i)
        return false;
    while (i + 1 < s.len && s.data[i] == '0')
        i++;
    *ret_digits = slice_of(s.data + i, s.len - i);
    if (ret_digits->len == 1 && ret_digits->data[0] == '0')
        *ret_negative = false;
    return true;
}

static int sign(int x)
{
    return (x > 0) - (x < 0);
}

/* Integers compare by their digits, since a double holds only 53 bits of them. */
static int compare_numbers(struct slice a, struct slice b)
{
    bool neg_a, neg_b;
    struct slice da, db;
    if (plain_integer(a, &neg_a, &da) && plain_integer(b, &neg_b, &db)) {
        if (neg_a != neg_b)
            return neg_a ? -1 : 1;
        int order =
            da.len != db.len ? (da.len < db.len ? -1 : 1) : sign(memcmp(da.data, db.data, da.len));
        return neg_a ? -order : order;
    }
    double x = number_read(a), y = number_read(b);
    return (x > y) - (x < y);
}

static int compare_bytes(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? sign(memcmp(a.data, b.data, n)) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* Two strings are equal by their bytes; where both are numbers their order is that of the numbers ('9' < '10'). */
static int compare_strings(const struct value *a, const struct value *b)
{
    int order = compare_bytes(a->text, b->text);
    if (order && number_is_json(a->text) && number_is_json(b->text)) {
        int by_number = compare_numbers(a->text, b->text);
        return by_number ? by_number : order;
    }
    return order;
}

int value_compare(const struct value *a, const struct value *b, int *ret_order,
                  bool *ret_comparable)
{
    bool x, y;
    *ret_comparable = true;
    if (a->type == VALUE_NULL || b->type == VALUE_NULL) {
        *ret_order = a->type == b->type ? 0 : a->type == VALUE_NULL ? -1 : 1;
    } else if (a->type == VALUE_STRING && b->type == VALUE_STRING) {
        *ret_order = compare_strings(a, b);
    } else if (value_is_number(a) && value_is_number(b)) {
        *ret_order = compare_numbers(a->text, b->text);
    } else if (value_read_bool(a, &x) && value_read_bool(b, &y)) {
        *ret_order = (int)x - (int)y;
    } else {
        *ret_order = 0;
        *ret_comparable = false;
    }
    return 0;
}

bool value_truthy(const struct value *v)
{
    return !(v->type == VALUE_NULL || (v->type == VALUE_BOOL && !v->boolean));
}

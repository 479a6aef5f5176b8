/* SPDX-License-Identifier: Apache-2.0 */
/* The half of an action that a run adds; action.h shows its form. Members stand in the order of their names' bytes. */
#include "base/json.h"
#include "base/mem.h"
#include "steps/action.h"

#include <stdlib.h>
#include <string.h>

static void write_digest(struct str *out, const char *key, const struct digest *d)
{
    sb_puts(out, key);
    sb_add(out, "\"sha256:", 8);
    digest_hex_add(out, d);
    sb_putc(out, '"');
}

static void write_name(struct str *out, const char *key, const char *text)
{
    struct jsonw w;

    sb_puts(out, key);
    jw_init(&w, out, false);
    jw_name(&w, text, strlen(text));
}

static void write_input(struct str *out, const struct action_input *in)
{
    sb_putc(out, '{');
    if (in->kind != 'a') {
        write_digest(out, "\"digest\":", &in->digest);
        sb_putc(out, ',');
    }
    if (in->exec) {
        sb_puts(out, "\"exec\":true,");
    }
    sb_puts(out, in->kind == 'a'   ? "\"kind\":\"absent\""
                 : in->kind == 'd' ? "\"kind\":\"tree\""
                                   : "\"kind\":\"file\"");
    if (in->name) {
        write_name(out, ",\"name\":", in->name);
    }
    if (in->path) {
        write_name(out, ",\"path\":", in->path);
    }
    sb_putc(out, '}');
}

static void write_step(struct str *out, const struct action_step *s)
{
    sb_putc(out, '{');
    if (s->branch) {
        write_name(out, "\"branch\":", s->branch);
        sb_putc(out, ',');
    }
    write_digest(out, "\"digest\":", &s->digest);
    if (s->exec) {
        sb_puts(out, ",\"exec\":true");
    }
    sb_puts(out, s->kind == OBJECT_TREE ? ",\"kind\":\"tree\",\"path\":"
                                        : ",\"kind\":\"file\",\"path\":");
    write_name(out, "", s->path);
    write_name(out, ",\"ref\":", s->ref);
    sb_putc(out, '}');
}

static int by_text(const void *a, const void *b)
{
    const struct action_value *const *left = a, *const *right = b;

    return strcmp((*left)->text, (*right)->text);
}

void action_values(struct str *out, const struct action_value *values, size_t count)
{
    const struct action_value *few[16];
    CLEANUP(cleanup_free) const struct action_value **many = NULL;
    const struct action_value **sorted = few;

    if (count > ARRAY_LEN(few)) {
        sorted = many = xcalloc(count, sizeof(*many));
    }
    for (size_t k = 0; k < count; k++) {
        sorted[k] = &values[k];
    }
    if (count > 1) {
        qsort(sorted, count, sizeof(struct action_value *), by_text);
    }
    sb_putc(out, '{');
    for (size_t k = 0; k < count; k++) {
        if (k > 0 && strcmp(sorted[k]->text, sorted[k - 1]->text) == 0) {
            continue;
        }
        write_name(out, k > 0 ? "," : "", sorted[k]->text);
        write_name(out, ":", sorted[k]->value);
    }
    sb_putc(out, '}');
}

void action_write(const struct action_parts *p, struct str *out)
{
    sb_putc(out, '{');
    if (p->image) {
        write_digest(out, "\"image\":", p->image);
        sb_putc(out, ',');
    }
    if (p->n_inputs > 0) {
        sb_puts(out, "\"inputs\":[");
        for (size_t k = 0; k < p->n_inputs; k++) {
            if (k > 0) {
                sb_putc(out, ',');
            }
            write_input(out, &p->inputs[k]);
        }
        sb_add(out, "],", 2);
    }
    if (p->program) {
        write_digest(out, "\"program\":", p->program);
        sb_putc(out, ',');
    }
    if (p->n_steps > 0) {
        sb_puts(out, "\"steps\":[");
        for (size_t k = 0; k < p->n_steps; k++) {
            if (k > 0) {
                sb_putc(out, ',');
            }
            write_step(out, &p->steps[k]);
        }
        sb_add(out, "],", 2);
    }
    if (p->n_values > 0) {
        sb_puts(out, "\"values\":");
        action_values(out, p->values, p->n_values);
        sb_putc(out, ',');
    }
    write_digest(out, "\"work\":", &p->work);
    sb_putc(out, '}');
}

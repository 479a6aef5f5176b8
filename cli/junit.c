/* SPDX-License-Identifier: Apache-2.0 */
/* JUnit XML as CI systems read it (the schema of the Jenkins xUnit plugin). */
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/report.h"
#include "cli/tail.h"
#include "engine/history.h"
#include "workflows/diag.h"

#include <string.h>

static void add_xml(struct str *out, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        switch (*c) {
        case '&':
            sb_puts(out, "&amp;");
            break;
        case '<':
            sb_puts(out, "&lt;");
            break;
        case '>':
            sb_puts(out, "&gt;");
            break;
        case '"':
            sb_puts(out, "&quot;");
            break;
        default:
            /* XML 1.0 has no way to write other control characters */
            sb_putc(out, *c < 0x20 && *c != '\n' && *c != '\t' ? '?' : (char)*c);
        }
    }
}

enum { TAIL_LINES = 20 };

/* Bytes that a program wrote, as XML text: what is no UTF-8 becomes '?'. */
static void add_xml_bytes(struct str *out, const struct str *bytes)
{
    CLEANUP(sb_done) struct str text = {0};
    for (size_t i = 0; i < bytes->len;) {
        size_t n = utf8_sequence(bytes->data + i, bytes->len - i);
        if (n == 0 || bytes->data[i] == '\0') {
            sb_putc(&text, '?');
            i++;
        } else {
            sb_add(&text, bytes->data + i, n);
            i += n;
        }
    }
    add_xml(out, sb_text(&text));
}

/* Is this a failure of the report? One that was allowed is not: the run could succeed. */
static bool is_failure(const struct past_step *s)
{
    return (s->status.state == INSTANCE_FAILED || s->status.state == INSTANCE_LOST) &&
           !s->status.tolerated;
}

static void add_outcome(struct str *out, const struct past_step *s, const char *why)
{
    CLEANUP(sb_done) struct str tail = {0};
    if (is_failure(s)) {
        sb_puts(out, "><failure message=\"");
        add_xml(out, why);
        sb_puts(out, "\">");
        if (s->log_file) {
            tail_file(s->log_file, TAIL_LINES, &tail);
        }
        add_xml_bytes(out, &tail);
        sb_puts(out, "</failure></testcase>\n");
    } else if (s->status.tolerated) {
        sb_puts(out, "><system-out>tolerated: ");
        add_xml(out, why);
        sb_puts(out, "</system-out></testcase>\n");
    } else {
        sb_puts(out, "><skipped message=\"");
        add_xml(out, why);
        sb_puts(out, "\"/></testcase>\n");
    }
}

static void testcase(struct str *out, const struct past_run *p, const struct past_step *s)
{
    sb_puts(out, "  <testcase classname=\"");
    add_xml(out, p->row.workflow);
    sb_puts(out, "\" name=\"");
    add_xml(out, s->name);
    sb_printf(out, "\" time=\"%.3f\"", (double)s->duration_ms / 1000.0);
    enum instance_state state = s->status.state;
    if (state == INSTANCE_SUCCEEDED || state == INSTANCE_CACHED) {
        sb_puts(out, "/>\n");
        return;
    }
    CLEANUP(cleanup_json) json_t *j = NULL;
    const char *why = NULL;
    if (s->ended && json_read(s->ended, strlen(s->ended), 64u << 20, &j, NULL) >= 0) {
        why = json_string_value(json_object_get(j, "error"));
        why = why ? why : json_string_value(json_object_get(j, "because"));
    }
    add_outcome(out, s, why ? why : instance_state_names[state]);
}

int report_junit(const struct past_run *p, const char *file, struct err *err)
{
    struct str out = {0};
    uint32_t failed = 0, good = p->row.counts[INSTANCE_SUCCEEDED] + p->row.counts[INSTANCE_CACHED];
    for (uint32_t i = 0; i < p->n; i++) {
        failed += is_failure(&p->steps[i]);
        good += p->steps[i].status.tolerated;
    }
    sb_puts(&out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"");
    add_xml(&out, p->row.workflow);
    sb_printf(&out, "\" tests=\"%u\" failures=\"%u\" errors=\"0\" skipped=\"%u\" time=\"%.3f\">\n",
              p->n, failed, p->n - failed - good,
              (double)(p->row.ended_ms - p->row.started_ms) / 1000.0);
    for (uint32_t i = 0; i < p->n; i++) {
        testcase(&out, p, &p->steps[i]);
    }
    sb_puts(&out, "</testsuite>\n");
    int r = fs_write_file(file, out.data, out.len, 0644, false, err);
    sb_done(&out);
    return r;
}

int report_junit_diags(const struct diags *d, const char *file, struct err *err)
{
    struct str out = {0};
    sb_puts(&out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"");
    add_xml(&out, d->file);
    sb_printf(&out, "\" tests=\"%zu\" failures=\"0\" errors=\"%zu\" skipped=\"0\">\n", d->errors,
              d->errors);
    for (size_t i = 0; i < d->len; i++) {
        const struct diag *g = &d->items[i];
        if (g->severity != SEVERITY_ERROR) {
            continue;
        }
        sb_puts(&out, "  <testcase classname=\"");
        add_xml(&out, d->file);
        sb_printf(&out, "\" name=\"line %u\"><error message=\"", g->span.line);
        add_xml(&out, d->file);
        sb_printf(&out, ":%u:%u: ", g->span.line, g->span.col);
        add_xml(&out, g->message);
        sb_puts(&out, "\"/></testcase>\n");
    }
    sb_puts(&out, "</testsuite>\n");
    int r = fs_write_file(file, out.data, out.len, 0644, false, err);
    sb_done(&out);
    return r;
}

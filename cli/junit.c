/* SPDX-License-Identifier: Apache-2.0 */
/* JUnit XML as CI systems read it (the schema of the Jenkins xUnit plugin). */
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/report.h"
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
    bool failed = state == INSTANCE_FAILED || state == INSTANCE_LOST;
    json_t *j = NULL;
    const char *why = NULL;
    if (s->ended && json_read(s->ended, strlen(s->ended), 64u << 20, &j, NULL) >= 0) {
        why = json_string_value(json_object_get(j, failed ? "error" : "because"));
    }
    sb_puts(out, failed ? "><failure message=\"" : "><skipped message=\"");
    add_xml(out, why ? why : instance_state_names[state]);
    sb_puts(out, "\"/></testcase>\n");
    json_decref(j);
}

int report_junit(const struct past_run *p, const char *file, struct err *err)
{
    struct str out = {0};
    uint32_t failed = p->row.counts[INSTANCE_FAILED] + p->row.counts[INSTANCE_LOST];
    uint32_t good = p->row.counts[INSTANCE_SUCCEEDED] + p->row.counts[INSTANCE_CACHED];
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

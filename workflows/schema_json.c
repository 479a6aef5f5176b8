/* SPDX-License-Identifier: Apache-2.0 */
/* The tables as JSON Schema, for editors. Scalars may hold ${{ }} nearly everywhere, so types are told by patterns where it helps and left open where
 * an expression may stand. */
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/model.h"
#include "workflows/schema.h"

#include <stdlib.h>
#include <string.h>

#define EXPRESSION "{\"type\": \"string\", \"pattern\": \"\\\\$\\\\{\\\\{\"}"
#define PORT "{\"type\": \"integer\", \"minimum\": 0, \"maximum\": 65535}"
#define NAME_PATTERN "^[A-Za-z_][A-Za-z0-9_-]*$"
#define NAMED(of)                                                                                  \
    "{\"type\": \"object\", \"propertyNames\": {\"pattern\": \"" NAME_PATTERN                      \
    "\"}, \"additionalProperties\": " of "}"

static const struct definition {
    const char *name, *json;
} definitions[] = {
    {"string", "{\"type\": [\"string\", \"number\", \"boolean\"]}"},
    {"scalar", "{\"type\": [\"string\", \"number\", \"boolean\"]}"},
    {"text_or_null", "{\"type\": [\"string\", \"null\"]}"},
    {"boolean", "{\"anyOf\": [{\"type\": \"boolean\"}, " EXPRESSION "]}"},
    {"number", "{\"anyOf\": [{\"type\": \"number\"}, " EXPRESSION "]}"},
    {"count", "{\"anyOf\": [{\"type\": \"integer\", \"minimum\": 1}, " EXPRESSION "]}"},
    {"whole", "{\"anyOf\": [{\"type\": \"integer\", \"minimum\": 0}, " EXPRESSION "]}"},
    {"duration", "{\"anyOf\": [{\"type\": \"string\", \"pattern\": "
                 "\"^([0-9]+(\\\\.[0-9]+)?(ms|s|m|h|d|w))+$\"}, " EXPRESSION "]}"},
    {"size", "{\"anyOf\": [{\"type\": \"string\", \"pattern\": "
             "\"^[0-9]+(\\\\.[0-9]+)?(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$\"}, " EXPRESSION "]}"},
    {"percent",
     "{\"anyOf\": [{\"type\": \"string\", \"pattern\": \"^[0-9]+(\\\\.[0-9]+)?%$\"}, " EXPRESSION
     "]}"},
    {"per_time", "{\"anyOf\": [{\"type\": \"string\", \"pattern\": "
                 "\"^[0-9]+(\\\\.[0-9]+)?/(s|m|h)$\"}, " EXPRESSION "]}"},
    {"ready", "{\"anyOf\": [{\"type\": \"string\", \"pattern\": \"^/\"}, " EXPRESSION
              ", {\"$ref\": \"#/$defs/ready_options\"}]}"},
    {"listen", "{\"anyOf\": [" PORT ", {\"type\": \"string\", \"pattern\": "
               "\"^((localhost|[0-9.]+|\\\\[[0-9A-Fa-f:.]+\\\\]):)?[0-9]+$\"}, " EXPRESSION "]}"},
    {"address", "{\"anyOf\": [{\"enum\": [\"socket\", \"port\"]}, " PORT ", " EXPRESSION "]}"},
    {"shard_by", "{\"anyOf\": [{\"type\": \"string\", \"pattern\": "
                 "\"^(uri|header:[!#$%&'*+.^_`|~0-9A-Za-z-]+)$\"}, " EXPRESSION "]}"},
    {"sha256", "{\"anyOf\": [{\"type\": \"string\", \"pattern\": "
               "\"^(sha256:)?[0-9a-fA-F]{64}$\"}, " EXPRESSION "]}"},
    {"condition", "{\"type\": [\"string\", \"boolean\"]}"},
    {"strings",
     "{\"type\": \"array\", \"items\": {\"$ref\": \"#/$defs/scalar\"}, \"minItems\": 1}"},
    {"names", "{\"type\": \"array\", \"items\": {\"type\": \"string\"}}"},
    {"name_or_names", "{\"anyOf\": [{\"type\": \"string\"}, {\"$ref\": \"#/$defs/names\"}]}"},
    {"texts", "{\"type\": \"object\", \"additionalProperties\": {\"$ref\": \"#/$defs/scalar\"}}"},
    {"env",
     "{\"type\": \"object\", \"propertyNames\": {\"pattern\": \"^[A-Za-z_][A-Za-z0-9_]*$\"}, "
     "\"additionalProperties\": {\"$ref\": \"#/$defs/scalar\"}}"},
    {"needs", "{\"anyOf\": [{\"$ref\": \"#/$defs/name_or_names\"}, {\"type\": \"object\", "
              "\"additionalProperties\": {\"anyOf\": [{\"enum\": [\"all\", \"any\", \"each\"]}, "
              "{\"type\": \"integer\", \"minimum\": 1}]}}]}"},
    {"expression", EXPRESSION},
    {"executor", "{\"anyOf\": [{\"enum\": [\"process\", \"container\"]}, " EXPRESSION "]}"},
    {"shell", "{\"anyOf\": [{\"type\": \"string\"}, {\"$ref\": \"#/$defs/strings\"}]}"},
    {"secret_uses", "{\"anyOf\": [{\"$ref\": \"#/$defs/names\"}, {\"$ref\": \"#/$defs/texts\"}]}"},
    {"retry_on",
     "{\"type\": \"array\", \"minItems\": 1, \"items\": {\"anyOf\": [{\"type\": \"integer\", "
     "\"minimum\": 1, \"maximum\": 255}, {\"type\": \"string\", \"pattern\": "
     "\"^([0-9]+(-[0-9]+)?|timeout|lost|oom)$\"}]}}"},
    {"values",
     "{\"anyOf\": [{\"$ref\": \"#/$defs/names\"}, {\"type\": \"object\", \"additionalProperties\": "
     "{\"const\": \"stdout\"}}]}"},
    {"matrix",
     "{\"anyOf\": [" EXPRESSION ", {\"type\": \"object\", \"properties\": {\"include\": {\"type\": "
     "[\"array\", \"string\"]}, \"exclude\": {\"type\": [\"array\", \"string\"]}}, "
     "\"additionalProperties\": {\"anyOf\": [" EXPRESSION
     ", {\"type\": \"array\", \"items\": {\"$ref\": \"#/$defs/scalar\"}}]}}]}"},
    {"steps", NAMED("{\"$ref\": \"#/$defs/step\"}")},
    {"params",
     NAMED("{\"anyOf\": [{\"$ref\": \"#/$defs/scalar\"}, {\"$ref\": \"#/$defs/param\"}]}")},
    {"secrets", NAMED("{\"$ref\": \"#/$defs/secret\"}")},
    {"output_form",
     "{\"anyOf\": [{\"$ref\": \"#/$defs/scalar\"}, {\"$ref\": \"#/$defs/output\"}]}"},
    {"input_form", "{\"anyOf\": [{\"$ref\": \"#/$defs/scalar\"}, {\"$ref\": \"#/$defs/input\"}]}"},
    {"outputs", NAMED("{\"$ref\": \"#/$defs/output_form\"}")},
    {"inputs",
     "{\"anyOf\": [{\"type\": \"array\", \"items\": {\"$ref\": \"#/$defs/input_form\"}}, " NAMED(
         "{\"$ref\": \"#/$defs/input_form\"}") "]}"},
};

/* One of the tables as a definition of its own; `or_else` is another form the value may have. */
static const struct table_definition {
    const char *name;
    const struct schema_table *table;
    const char *or_else, *required;
} table_definitions[] = {
    {"step", &schema_step, NULL, NULL},
    {"param", &schema_param, NULL, NULL},
    {"secret", &schema_secret, NULL, NULL},
    {"output", &schema_output, NULL, "path"},
    {"input", &schema_input, NULL, "path"},
    {"retry", &schema_retry, "{\"type\": \"null\"}", "limit"},
    {"resources", &schema_resources, "{\"type\": \"null\"}", NULL},
    {"cache", &schema_cache, "{\"$ref\": \"#/$defs/boolean\"}", NULL},
    {"wait", &schema_wait, NULL, NULL},
    {"ready_options", &schema_ready, NULL, NULL},
    {"limits", &schema_limits, NULL, NULL},
    {"rate", &schema_rate, NULL, NULL},
    {"canary", &schema_canary, NULL, "share"},
    {"scale", &schema_scale, NULL, "max"},
};

/* What `defaults` may hold: step keys, and a kind's name with step keys below. */
static void add_defaults(struct jsonw *w)
{
    jw_key(w, "defaults");
    jw_object(w);
    jw_kv_text(w, "type", "object");
    jw_key(w, "properties");
    jw_object(w);
    for (int i = 0; i < KIND_COUNT; i++) {
        jw_key(w, step_kind_names[i]);
        jw_object(w);
        jw_kv_text(w, "$ref", "#/$defs/step");
        jw_end_object(w);
    }
    for (size_t i = 0; i < schema_step.count; i++) {
        const struct schema_key *k = &schema_step.keys[i];
        if (k->state == KEY_READY && strcmp(k->name, "command") != 0) {
            jw_key(w, k->name);
            jw_raw(w, k->json, strlen(k->json));
        }
    }
    jw_end_object(w);
    jw_kv_bool(w, "additionalProperties", false);
    jw_end_object(w);
}

/* On a step `null` takes a default away. */
static bool takes_null(const struct schema_table *t, const char *name)
{
    static const char *const names[] = {
        "cache",    "timeout",  "grace",        "executor",     "workdir",  "pull",
        "network",  "if",       "inputs",       "env",          "labels",   "secrets",
        "pass_env", "source",   "max_parallel", "on_promotion", "replicas", "ready",
        "listen",   "address",  "balance",      "shard_by",     "limits",   "canary",
        "scale",    "lifetime", "replace",      "wait",         "quorum",   "split"};

    for (size_t i = 0; t == &schema_step && i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

static void add_key(const struct schema_table *t, const struct schema_key *k, struct jsonw *w)
{
    bool null = takes_null(t, k->name);

    jw_key(w, k->name);
    jw_object(w);
    jw_kv_text(w, "description", k->doc);
    jw_key(w, null ? "anyOf" : "allOf");
    jw_array(w);
    jw_raw(w, k->json, strlen(k->json));
    if (null)
        jw_raw(w, "{\"type\": \"null\"}", strlen("{\"type\": \"null\"}"));
    jw_end_array(w);
    jw_end_object(w);
}

static void add_members(const struct schema_table *t, const char *required, struct jsonw *w)
{
    jw_kv_text(w, "type", "object");
    jw_key(w, "properties");
    jw_object(w);
    for (size_t i = 0; i < t->count; i++) {
        if (t->keys[i].state == KEY_READY)
            add_key(t, &t->keys[i], w);
    }
    jw_end_object(w);
    if (required != NULL) {
        jw_key(w, "required");
        jw_array(w);
        jw_text(w, required);
        jw_end_array(w);
    }
    if (t == &schema_top) {
        jw_key(w, "patternProperties");
        jw_raw(w, "{\"^x-\": true}", strlen("{\"^x-\": true}"));
    }
    jw_kv_bool(w, "additionalProperties", false);
}

static void add_table(const struct table_definition *d, struct jsonw *w)
{
    jw_key(w, d->name);
    jw_object(w);
    if (d->or_else != NULL) {
        jw_key(w, "anyOf");
        jw_array(w);
        jw_raw(w, d->or_else, strlen(d->or_else));
        jw_object(w);
    }
    add_members(d->table, d->required, w);
    if (d->or_else != NULL) {
        jw_end_object(w);
        jw_end_array(w);
    }
    jw_end_object(w);
}

static void write_schema(struct jsonw *w)
{
    jw_object(w);
    jw_kv_text(w, "$schema", "https://json-schema.org/draft/2020-12/schema");
    jw_kv_text(w, "title", "wf workflow");
    add_members(&schema_top, "steps", w);
    jw_key(w, "$defs");
    jw_object(w);
    for (size_t i = 0; i < ARRAY_LEN(table_definitions); i++)
        add_table(&table_definitions[i], w);
    add_defaults(w);
    for (size_t i = 0; i < ARRAY_LEN(definitions); i++) {
        jw_key(w, definitions[i].name);
        jw_raw(w, definitions[i].json, strlen(definitions[i].json));
    }
    jw_end_object(w);
    jw_end_object(w);
}

void schema_json(struct str *out)
{
    /* The tables hold pieces of JSON: one reading brings them all into one form, and proves them. */
    CLEANUP(sb_done) struct str raw = {0};
    struct jsonw w;
    jw_init(&w, &raw, false);
    write_schema(&w);
    json_t *doc = json_loadb(sb_text(&raw), raw.len, JSON_REJECT_DUPLICATES, NULL);
    WF_ASSERT(doc != NULL);
    char *pretty = json_dumps(doc, JSON_INDENT(2));
    WF_ASSERT(pretty != NULL);
    sb_puts(out, pretty);
    sb_putc(out, '\n');
    free(pretty);
    json_decref(doc);
}

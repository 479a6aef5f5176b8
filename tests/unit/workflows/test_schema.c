/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "workflows/model.h"
#include "workflows/schema.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>

static const struct schema_table *const tables[] = {
    &schema_top,   &schema_step,   &schema_param, &schema_retry,  &schema_resources,
    &schema_cache, &schema_output, &schema_input, &schema_secret, &schema_wait,
    &schema_ready, &schema_limits, &schema_rate,  &schema_canary, &schema_scale};

Test(workflows_schema, keys_are_found_and_unknown_ones_are_not)
{
    cr_expect_str_eq(schema_find(&schema_step, "run")->name, "run");
    cr_expect_null(schema_find(&schema_step, "rum"));
    cr_expect_null(schema_find(&schema_step, ""));
    cr_expect_eq(schema_find(&schema_step, "checkpoint")->state, KEY_PLANNED);
    cr_expect_eq(schema_find(&schema_top, "triggers")->state, KEY_PLANNED);
}

Test(workflows_schema, every_key_stands_once_and_is_explained)
{
    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        for (size_t i = 0; i < tables[t]->count; i++) {
            const struct schema_key *k = &tables[t]->keys[i];
            cr_expect_eq(schema_find(tables[t], k->name), k, "%s", k->name);
            cr_expect_gt(strlen(k->doc), 3, "%s", k->name);
            cr_expect_neq(k->kinds, 0, "%s", k->name);
            json_t *j = json_loads(k->json, JSON_DECODE_ANY, NULL);
            cr_expect_not_null(j, "%s", k->name);
            json_decref(j);
        }
    }
}

/* Every "$ref" points at a definition. */
static void check_refs(json_t *v, json_t *defs)
{
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_array(v)) {
        json_array_foreach(v, i, item) check_refs(item, defs);
        return;
    }
    json_object_foreach(v, key, item)
    {
        if (strcmp(key, "$ref") == 0 && json_is_string(item)) {
            const char *ref = json_string_value(item);
            cr_assert(text_starts(ref, "#/$defs/"));
            cr_expect_not_null(json_object_get(defs, ref + strlen("#/$defs/")), "%s", ref);
        } else {
            check_refs(item, defs);
        }
    }
}

Test(workflows_schema, json_schema_is_json_with_all_references)
{
    CLEANUP(sb_done) struct str out = {0};
    schema_json(&out);
    json_t *doc = json_loadb(sb_text(&out), out.len, JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(doc);
    check_refs(doc, json_object_get(doc, "$defs"));
    json_t *step =
        json_object_get(json_object_get(json_object_get(doc, "$defs"), "step"), "properties");
    cr_expect_not_null(json_object_get(step, "run"));
    cr_expect_not_null(json_object_get(step, "replicas"));
    cr_expect_null(json_object_get(step, "checkpoint"), "what is planned is not offered");
    static const char *const choices[] = {"network", "pull", "mode", "method"};
    for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
        CLEANUP(cleanup_free)
        char *text = json_dumps(json_object_get(step, choices[i]), JSON_COMPACT);
        cr_expect_not_null(strstr(text, "#/$defs/expression"), "%s", choices[i]);
    }
    json_decref(doc);
}

Test(workflows_schema, the_reference_names_every_ready_key)
{
    CLEANUP(sb_done) struct str out = {0};
    schema_markdown(&out);
    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        cr_expect_not_null(strstr(sb_text(&out), tables[t]->title));
        for (size_t i = 0; i < tables[t]->count; i++) {
            CLEANUP(cleanup_free) char *cell = xasprintf("`%s`", tables[t]->keys[i].name);
            cr_expect_not_null(strstr(sb_text(&out), cell), "%s", cell);
        }
    }
}

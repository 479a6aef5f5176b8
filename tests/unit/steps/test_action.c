/* SPDX-License-Identifier: Apache-2.0 */
/* The action's form is a contract: entries of earlier versions are found by it. */
#include "base/digest.h"
#include "base/json.h"
#include "base/str.h"
#include "room.h"
#include "steps/action.h"

#include <criterion/criterion.h>
#include <string.h>

static struct digest fill(unsigned char byte)
{
    struct digest d;
    memset(&d, byte, sizeof(d));
    return d;
}

#define HEX(xy)                                                                                    \
    xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy

Test(steps_action, every_member_in_its_place)
{
    struct digest image = fill(0x11), program = fill(0x22);
    const struct action_input in[] = {
        {.name = "x", .path = "a/\"b", .kind = 'f', .exec = true, .digest = fill(0x33)},
        {.name = "gone", .kind = 'a'}};
    const struct action_step steps[] = {{.ref = "steps.t.outputs.m",
                                         .branch = "i=1",
                                         .path = "m.bin",
                                         .kind = OBJECT_TREE,
                                         .digest = fill(0x44)}};
    const struct action_value values[] = {{"z", "1"}, {"a", "2"}, {"z", "1"}};
    struct action_parts p = {&image, &program, in, 2, steps, 1, values, 3, fill(0x55)};
    struct str out = {0};
    action_write(&p, &out);
    cr_assert_str_eq(
        sb_text(&out),
        "{\"image\":\"sha256:" HEX("11") "\",\"inputs\":[{\"digest\":\"sha256:" HEX(
            "33") "\",\"exec\":true,\"kind\":\"file\",\"name\":\"x\",\"path\":\"a/\\\"b\"},"
                  "{\"kind\":\"absent\",\"name\":\"gone\"}],\"program\":\"sha256:" HEX(
                      "22") "\","
                            "\"steps\":[{\"branch\":\"i=1\",\"digest\":\"sha256:" HEX(
                                "44") "\",\"kind\":\"tree\",\"path\":\"m.bin\",\"ref\":\"steps.t."
                                      "outputs.m\"}],"
                                      "\"values\":{\"a\":\"2\",\"z\":\"1\"},\"work\":\"sha256:" HEX(
                                          "55") "\"}");
    sb_done(&out);
}

Test(steps_action, without_content_a_member_is_left_out)
{
    struct action_parts p = {.work = fill(0x55)};
    struct str out = {0};
    action_write(&p, &out);
    cr_assert_str_eq(sb_text(&out), "{\"work\":\"sha256:" HEX("55") "\"}");
    sb_done(&out);
}

static void work_of(struct room *r, const char *name, struct str *out)
{
    struct instance_ref i = room_instance(r, name);
    const struct step *s = &r->wf->steps[i.step];
    sb_clear(out);
    cr_assert_eq(action_work(r->wf, s, &s->rows[i.row], out, &r->err), 0, "%s", r->err.msg);
}

Test(steps_action, the_work_document_is_sorted_and_complete)
{
    struct room r;
    struct str out = {0}, again = {0};
    room_open(
        &r, "params: {lr: 0.10, unused: x}\n"
            "steps:\n"
            "  train:\n"
            "    kind: train\n"
            "    matrix: {model: [mlp]}\n"
            "    run: train --lr ${{ params.lr }} ${{ matrix.model }} $WF_STEP > ${{ outputs.m }}\n"
            "    env: {B: '1', A: '${{ matrix.model }}'}\n"
            "    outputs: {metrics: m.json, m: {path: 'm-${{ matrix.model }}', non_empty: true}}\n"
            "    values: [n]\n"
            "    cache: {version: 3}\n");
    work_of(&r, "train[model=mlp]", &out);
    json_t *doc = NULL;
    cr_assert_eq(json_read(out.data, out.len, 1 << 20, &doc, &r.err), 0, "%s", r.err.msg);
    json_write_canonical(doc, &again);
    cr_assert_str_eq(again.data, out.data, "members are sorted");
    json_decref(doc);
    const char *const parts[] = {
        "\"env\":{\"A\":\"${{ matrix.model }}\",\"B\":\"1\"}",
        "\"format\":1",
        "\"kind\":\"train\"",
        "\"kind_version\":1",
        "{\"name\":\"m\",\"non_empty\":true,\"path\":\"m-mlp\"}",
        "\"values\":{\"matrix.model\":\"mlp\",\"params.lr\":\"0.10\"}",
        "\"value_names\":[\"n\"]",
        "\"version\":\"3\"",
        "\"wf_env\":{\"WF_MATRIX_MODEL\":\"mlp\",\"WF_STEP\":\"train[model=mlp]\"}",
        "\"shell\":\"sh\"",
        "${{ params.lr }}",
        "\"platform\":\"linux/"};
    for (size_t k = 0; k < sizeof(parts) / sizeof(parts[0]); k++) {
        cr_assert(strstr(out.data, parts[k]), "%s is missing in %s", parts[k], out.data);
    }
    cr_assert_null(strstr(out.data, "unused"));
    cr_assert_null(strstr(out.data, r.flow), "no path of this machine");
    sb_done(&out);
    sb_done(&again);
    room_close(&r);
}

Test(steps_action, a_built_in_ignores_the_environment)
{
    struct room r;
    struct str out = {0};
    room_open(&r, "env: {A: b}\n"
                  "steps:\n"
                  "  t: {kind: train, matrix: {i: [1]}, run: x, outputs: {metrics: m}}\n"
                  "  pick: {kind: select, from: t, metric: acc, at_least: 0.5}\n");
    work_of(&r, "pick", &out);
    cr_assert_null(strstr(out.data, "\"env\""));
    cr_assert(strstr(out.data, "\"at_least\":0.5,\"from\":[\"t\"],\"metric\":\"acc\""), "%s",
              out.data);
    sb_done(&out);
    room_close(&r);
}

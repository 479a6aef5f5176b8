/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"
#include "base/mem.h"
#include "load_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static struct loaded load_params(const char *text, const char *name, const char *value)
{
    struct param_override p = {name, value};
    return load_with(text, (struct load_options){.params = &p, .n_params = 1}, NULL);
}

Test(workflows_load, the_smallest_workflow)
{
    struct loaded l = load_text("steps: {hello: {run: echo hello}}\n");
    cr_assert_eq(l.rc, 0);
    cr_expect_str_eq(l.wf->name, "w");
    cr_expect_str_eq(l.wf->file, "w.yaml");
    cr_expect_eq(l.wf->dir[0], '/');
    const struct step *s = &l.wf->steps[0];
    cr_expect_eq(s->n_rows, 1);
    cr_expect_str_eq(s->rows[0].name, "hello");
    cr_expect_eq(s->grace_ms, 10000);
    cr_expect_str_eq(s->shell, "sh");
    cr_expect_eq(s->retry.max_delay_ms, 600000);
    cr_expect_eq(workflow_find_step(l.wf, "hello", 5), 0);
    cr_expect_eq(workflow_find_step(l.wf, "hell", 4), NONE);
    loaded_done(&l);
}

static const char with_params[] = "params:\n"
                                  "  n: {default: 1, min: 0, max: 10}\n"
                                  "  x: 1.5\n"
                                  "  flag: false\n"
                                  "  word: abc\n"
                                  "  mode: {enum: [a, b], default: a}\n"
                                  "steps: {s: {run: x}}\n";

Test(workflows_load, params_are_read_by_their_type)
{
    struct loaded l = load_params(with_params, "word", "true");
    cr_assert_eq(l.rc, 0);
    cr_expect_eq(l.wf->params[3].value.type, VALUE_STRING, "never as YAML");
    loaded_done(&l);
    l = load_params(with_params, "flag", "true");
    cr_assert_eq(l.rc, 0);
    cr_expect(l.wf->params[2].value.boolean);
    cr_expect(!l.wf->params[2].fallback.boolean);
    loaded_done(&l);
    l = load_params(with_params, "x", "1.10");
    cr_assert_eq(l.rc, 0);
    cr_expect_eq(l.wf->params[1].value.text.len, 4, "as written");
    loaded_done(&l);
}

Test(workflows_load, bad_overrides_are_usage_errors)
{
    static const char *const bad[][2] = {{"n", "11"},     {"n", "-1"}, {"n", "1.5"}, {"n", ""},
                                         {"flag", "yes"}, {"x", "a"},  {"x", "nan"}, {"x", "0x10"},
                                         {"mode", "c"},   {"nn", "1"}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct loaded l = load_params(with_params, bad[i][0], bad[i][1]);
        cr_expect_eq(l.rc, -ERR_USAGE, "%s=%s", bad[i][0], bad[i][1]);
        cr_expect_not_null(strstr(l.err.msg, bad[i][0]), "%s", l.err.msg);
        loaded_done(&l);
    }
}

Test(workflows_load, a_required_param_needs_a_value_but_in_check)
{
    const char *text =
        "params: {key: {required: true}}\nsteps: {s: {run: 'echo ${{ params.key }}'}}\n";
    struct loaded l = load_text(text);
    cr_expect_eq(l.rc, -ERR_USAGE);
    cr_expect_not_null(strstr(l.err.msg, "-p key="));
    loaded_done(&l);
    l = load_with(text, (struct load_options){.allow_missing_params = true}, NULL);
    cr_expect_eq(l.rc, 0);
    cr_expect_eq(l.wf->params[0].value.type, VALUE_NULL);
    loaded_done(&l);
}

Test(workflows_load, a_params_file_yields_to_the_command_line)
{
    char file[] = "/tmp/wf-params-XXXXXX";
    int fd = mkstemp(file);
    cr_assert_geq(fd, 0);
    const char *text = "{\"n\": 3, \"word\": \"from file\", \"flag\": true}\n";
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    struct param_override p = {"n", "4"};
    struct loaded l = load_with(
        with_params, (struct load_options){.params = &p, .n_params = 1, .params_file = file}, NULL);
    cr_assert_eq(l.rc, 0, "%s", l.err.msg);
    cr_expect_eq(l.wf->params[0].value.number, 4);
    cr_expect_eq(l.wf->params[3].value.text.len, strlen("from file"));
    loaded_done(&l);
    unlink(file);
    l = load_with(with_params, (struct load_options){.params_file = file}, NULL);
    cr_expect_eq(l.rc, -ERR_USAGE);
    loaded_done(&l);
}

Test(workflows_load, needs_and_reads_are_told_apart)
{
    struct loaded l =
        load_text("steps:\n"
                  "  a: {run: x, outputs: {o: o, p: p}}\n"
                  "  b: {run: x}\n"
                  "  c:\n"
                  "    run: cat ${{ steps.a.outputs.p }} ${{ steps.a.outputs.p }} ${{ inputs.f }}\n"
                  "    inputs: {f: file}\n"
                  "    needs: b\n"
                  "    if: steps.b.status == 'failed'\n");
    cr_assert_eq(l.rc, 0, "%s", sb_text(&l.text));
    const struct step *c = &l.wf->steps[2];
    cr_assert_eq(c->n_needs, 2);
    cr_expect_eq(c->needs[0].step, 1);
    cr_expect(c->needs[0].declared && !c->needs[0].order_only, "a declared need requires success");
    cr_expect_eq(c->needs[1].step, 0);
    cr_expect(!c->needs[1].declared && !c->needs[1].order_only);
    cr_assert_eq(c->n_reads, 2);
    cr_expect_eq(c->reads[0]->root, ROOT_STEPS);
    cr_expect_eq(c->reads[0]->member, 1);
    cr_expect_eq(c->reads[1]->root, ROOT_INPUTS);
    cr_expect_eq(c->reads[1]->member, 0);
    loaded_done(&l);
}

Test(workflows_load, reads_of_a_wide_fan_in_are_distinct)
{
    CLEANUP(sb_done) struct str text = {0};
    sb_puts(&text, "steps:\n");
    for (int i = 0; i < 2000; i++)
        sb_printf(&text, "  s%d: {command: [x], outputs: {o: o}}\n", i);
    sb_puts(&text, "  all:\n    command:\n");
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 2000; i++)
            sb_printf(&text, "      - ${{ steps.s%d.outputs.o }}\n", i);
    }
    struct loaded l = load_text(sb_text(&text));
    cr_assert_eq(l.rc, 0, "%s", sb_text(&l.text));
    cr_expect_eq(l.wf->steps[2000].n_reads, 2000);
    cr_expect_eq(l.wf->steps[2000].n_needs, 2000);
    loaded_done(&l);
}

Test(workflows_load, defaults_shared_by_steps_resolve_for_each)
{
    struct loaded l =
        load_text("defaults: {env: {D: '${{ inputs.d }}', P: '${{ steps.z.status }}'}}\n"
                  "steps:\n"
                  "  a: {run: x, inputs: {d: one}}\n"
                  "  b: {run: x, inputs: {c: two, d: three}}\n"
                  "finally:\n"
                  "  f: {run: x, inputs: {d: x}}\n");
    cr_expect_eq(l.rc, 1, "z is not a step");
    loaded_done(&l);
    l = load_text("defaults: {env: {D: '${{ inputs.d }}'}}\n"
                  "steps:\n"
                  "  a: {run: x, inputs: {d: one}}\n"
                  "  b: {run: x, inputs: {c: two, d: three}}\n");
    cr_assert_eq(l.rc, 0, "%s", sb_text(&l.text));
    cr_expect_eq(l.wf->steps[0].reads[0]->member, 0);
    cr_expect_eq(l.wf->steps[1].reads[0]->member, 1);
    loaded_done(&l);
}

Test(workflows_load, an_empty_image_param_means_the_host)
{
    const char *text =
        "params: {image: alpine}\ndefaults: {image: '${{ params.image }}'}\nsteps: {s: {run: x}}\n";
    struct loaded l = load_params(text, "image", "");
    cr_assert_eq(l.rc, 0, "%s", sb_text(&l.text));
    cr_expect_eq(l.wf->steps[0].executor, EXECUTOR_PROCESS);
    cr_expect_null(l.wf->steps[0].image);
    loaded_done(&l);
    l = load_params(text, "image", "debian");
    cr_expect_eq(l.wf->steps[0].executor, EXECUTOR_CONTAINER);
    loaded_done(&l);
}

Test(workflows_load, all_errors_of_a_file_at_once)
{
    struct loaded l = load_text("steps:\n"
                                "  a: {rum: x}\n"
                                "  a: {run: x}\n"
                                "  b: {run: 'echo ${{ params.x }}', needs: zz, timeout: 5}\n"
                                "  c: {run: x, needs: d}\n"
                                "  d: {run: x, needs: c}\n");
    cr_expect_eq(l.rc, 1);
    cr_expect_eq(l.d.errors, 6, "%s", sb_text(&l.text));
    cr_expect_null(l.wf);
    loaded_done(&l);
}

Test(workflows_load, a_model_fits_an_image)
{
    struct arena *image = arena_new_image();
    if (image == NULL)
        cr_skip_test("no image arenas here");
    struct loaded l = load_with("params: {n: 3, b: true, s: abc}\n"
                                "env: {A: 1}\n"
                                "secrets: {K: {env: K}}\n"
                                "defaults: {retry: {limit: 2, on: [3, timeout]}, labels: {x: y}}\n"
                                "steps:\n"
                                "  i: {kind: ingest, source: data}\n"
                                "  t: {kind: train, matrix: {m: [a, b], n: [1, true]}, run: 'x ${{ "
                                "matrix.m }} ${{ params.n }} ${{ steps.i.outputs.data }}', "
                                "outputs: {metrics: m.json, p: p}, secrets: [K], shell: [bash, "
                                "-eu], publish: {p: 'out/${{ matrix.m }}-${{ matrix.n }}'}}\n"
                                "  s: {kind: select, from: t, metric: acc}\n"
                                "  g: {kind: aggregate, from: t, of: p, method: mean}\n"
                                "  c: {command: [echo, '${{ steps.s.models }}', '${{ run.id }}'], "
                                "if: failure(), values: {v: stdout}}\n"
                                "finally: {z: {run: x}}\n",
                                (struct load_options){.want_warnings = true}, image);
    cr_assert_eq(l.rc, 0, "%s %s", sb_text(&l.text), l.err.msg);
    char file[] = "/tmp/wf-image-XXXXXX";
    int fd = mkstemp(file);
    cr_assert_geq(fd, 0);
    close(fd);
    static const unsigned char tag[32] = {1};
    struct err err = {0};
    cr_expect_eq(arena_image_save(image, l.wf, tag, file, &err), 0,
                 "everything in the model points into it: %s", err.msg);
    unlink(file);
    loaded_done(&l);
}

Test(workflows_load, huge_files_are_refused_before_they_are_read)
{
    char file[] = "/tmp/wf-huge-XXXXXX";
    int fd = mkstemp(file);
    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, (off_t)65 << 20), 0);
    close(fd);
    struct str text = {0};
    struct err err = {0};
    cr_expect_eq(load_read(file, &text, &err), -ERR_INVALID);
    sb_done(&text);
    unlink(file);
    cr_expect_eq(load_read(file, &text, &err), -ERR_NOT_FOUND);
}

Test(workflows_load, foreign_shells_are_told_by_their_program)
{
    struct loaded l = load_text("steps:\n"
                                "  a: {run: x}\n"
                                "  b: {run: x, shell: /usr/bin/bash}\n"
                                "  c: {run: x, shell: [python3]}\n");
    cr_assert_eq(l.rc, 0);
    cr_expect(step_shell_is_posix(&l.wf->steps[0]));
    cr_expect(step_shell_is_posix(&l.wf->steps[1]));
    cr_expect(!step_shell_is_posix(&l.wf->steps[2]));
    loaded_done(&l);
}

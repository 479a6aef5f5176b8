/* SPDX-License-Identifier: Apache-2.0 */
/* Texts, scripts and argument lists. What a script does with a value is proved by running it, in every shell that is here. */
#include "base/fs.h"
#include "expr_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

static struct fixture f;

static void setup(void)
{
    fixture_init(&f);
    fixture_add(&f, "list", "l", fixture_json(&f, "[\"a b\",\"*\",\"\",\"it's\"]"));
    fixture_add(&f, "list", "none", fixture_json(&f, "[]"));
    fixture_add(&f, "list", "deep", fixture_json(&f, "[[1]]"));
    fixture_add(&f, "list", "o", fixture_json(&f, "{\"a\":1}"));
    fixture_add(&f, "v", "n", value_text("12"));
    fixture_add(&f, "v", "s", value_text("a b"));
    fixture_add(&f, "v", "nul", fixture_json(&f, "\"a\\u0000b\""));
    struct value p = value_text("/m/x");
    p.path = true;
    fixture_add(&f, "v", "p", p);
    f.names[f.n_names++] = (struct fixture_name){.step = "gone", .member = "x", .absent = true};
}

static void teardown(void)
{
    fixture_done(&f);
}

TestSuite(workflows_text, .init = setup, .fini = teardown);

static struct text *parse(const char *source, bool script)
{
    diags_done(&f.diags);
    diags_init(&f.diags, "w.yaml");
    return text_parse(source, strlen(source), (struct span){.line = 1, .col = 1, .len = 0}, script,
                      f.arena, &f.diags);
}

/* The JSON of a text's value, or the message. */
static const char *value_of(const char *source)
{
    struct err err = {0};
    struct value v;
    struct text *t = parse(source, false);
    if (!t)
        return f.diags.items[0].message;
    int rc = text_eval(t, &f.scope, &v, &err);
    return rc == 1 ? "absent" : rc ? arena_strdup(f.arena, err.msg) : fixture_show(&f, &v);
}

Test(workflows_text, values)
{
    static const struct {
        const char *source, *json;
    } cases[] = {
        {"plain", "\"plain\""},
        {"", "\"\""},
        {"${{ params.lr }}", "1.10"},
        {"${{params.flag}}", "true"},
        {" ${{ params.flag }}", "\" true\""},
        {"${{ params.lr }}/${{ params.epochs }}", "\"1.10/007\""},
        {"x ${{ '${{' }} y }}", "\"x ${{ y }}\""},
        {"${{ 'a}}b' }}", "\"a}}b\""},
        {"$ {{ ${ }} {{", "\"$ {{ ${ }} {{\""},
        {"${{ null }}x", "\"x\""},
        {"${{ steps.list.values.none }}", "[]"},
        {"${{ steps.gone.values.x }}-", "absent"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        cr_assert_str_eq(value_of(cases[i].source), cases[i].json, "%s", cases[i].source);
    cr_assert(strstr(value_of("x${{ steps.list.values.l }}"), "use join() or toJSON()"));
    cr_assert(strstr(value_of("x${{ steps.list.values.o }}"), "use toJSON()"));
    cr_assert(strstr(value_of("x ${{ 1"), "'}}' is missing"));
    cr_assert(strstr(value_of("x ${{ 'a }}"), "'}}' is missing"));
}

Test(workflows_text, facts)
{
    struct text *t = parse("a ${{ params.lr }} ${{ params.lr }} ${{ steps.v.values.n }}", false);
    cr_assert_eq(t->uses, USES_PARAMS | USES_STEPS);
    cr_assert_eq(t->n_variables, 2);
    cr_assert_eq(t->n_parts, 6);
    cr_assert(text_is_constant(parse("a }} b", false)));
    struct err err;
    struct value v;
    cr_assert_eq(text_eval(parse("${{ steps.v.outputs.p }}/sub", false), &f.scope, &v, &err), 0);
    cr_assert(v.path);
}

Test(workflows_text, equal_references_share_a_variable)
{
    struct str s = {0};
    for (int i = 0; i < 200; i++)
        sb_printf(&s, "${{ params.lr == %d }}", i % 50);
    struct text *t = parse(sb_text(&s), true);
    cr_assert_eq(t->n_variables, 50);
    for (uint32_t i = 0; i < t->n_parts; i++)
        cr_assert_eq(t->parts[i].variable, i % 50);
    sb_done(&s);
}

Test(workflows_text, all_errors_of_a_text_are_told)
{
    cr_assert_null(parse("${{ a.b }} ${{ 1 + }} ${{ x }}", false));
    cr_assert_eq(f.diags.errors, 3);
}

static const char *string_of(const char *source)
{
    struct err err = {0};
    struct str out = {0};
    sb_puts(&out, "<");
    int rc = text_eval_string(parse(source, false), &f.scope, &out, &err);
    const char *text = arena_strdup(f.arena, rc < 0 ? err.msg : rc ? "absent" : sb_text(&out));
    cr_assert(rc == 0 || out.len == 1);
    sb_done(&out);
    return text;
}

Test(workflows_text, strings)
{
    cr_assert_str_eq(string_of("a"), "<a");
    cr_assert_str_eq(string_of("x${{ params.lr }}"), "<x1.10");
    cr_assert_str_eq(string_of("${{ steps.gone.values.x }}"), "absent");
    cr_assert(strstr(string_of("${{ steps.v.values.nul }}"), "NUL"));
    cr_assert(strstr(string_of("${{ steps.list.values.l }}"), "is a list"));
}

static const char *args_of(const char *const *sources, uint32_t count)
{
    struct err err = {0};
    const struct text *texts[8];
    char **args = NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        texts[i] = parse(sources[i], false);
    int rc = text_eval_args(texts, count, &f.scope, &args, &n, &err);
    if (rc)
        return rc == 1 ? "absent" : arena_strdup(f.arena, err.msg);
    cr_assert_null(args[n]);
    const char *joined = "";
    for (uint32_t i = 0; i < n; i++)
        joined = arena_printf(f.arena, "%s[%s]", joined, args[i]);
    return joined;
}
#define ARGS(...)                                                                                  \
    args_of((const char *const[]){__VA_ARGS__},                                                    \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

Test(workflows_text, argument_lists)
{
    cr_assert_str_eq(ARGS("x", "${{ steps.list.values.l }}", "-l=${{ params.lr }}"),
                     "[x][a b][*][][it's][-l=1.10]");
    cr_assert_str_eq(ARGS("x", "${{ steps.list.values.none }}", ""), "[x][]");
    cr_assert_str_eq(ARGS("${{ params.flag }}", "${{ null }}"), "[true][]");
    cr_assert(strstr(ARGS("x${{ steps.list.values.l }}"), "is a list"));
    cr_assert(strstr(ARGS("${{ steps.list.values.deep }}"), "list of lists"));
    cr_assert(strstr(ARGS("${{ steps.list.values.o }}"), "is an object"));
    cr_assert(strstr(ARGS("${{ steps.v.values.nul }}"), "NUL"));
    cr_assert_str_eq(ARGS("${{ steps.gone.values.x }}"), "absent");
}

/* The rendered script, or the message. */
static const char *script_of(const char *source, bool posix)
{
    struct err err = {0};
    struct str out = {0};
    struct text *t = parse(source, posix);
    if (!t)
        return f.diags.items[0].message;
    int rc = text_eval_script(t, &f.scope, posix, &out, &err);
    const char *text = arena_strdup(f.arena, rc < 0 ? err.msg : rc ? "absent" : sb_text(&out));
    sb_done(&out);
    return text;
}

Test(workflows_text, scripts_as_written)
{
    static const struct {
        const char *source, *script;
    } cases[] = {
        {"echo 1", "echo 1"},
        {"a ${{ params.lr }}", "wf_0='1.10'\na \"${wf_0}\""},
        {"a \"${{ params.lr }}\" '${{ params.lr }}'", "wf_0='1.10'\na \"${wf_0}\" ''\"${wf_0}\"''"},
        {"a ${{ params.name }}", "wf_0='it'\\''s'\na \"${wf_0}\""},
        {"a ${{ steps.list.values.none }} b", "a  b"},
        {"a \"${{ steps.list.values.none }}\"", "wf_0=''\na \"${wf_0}\""},
        {"echo $((1 + ${{ steps.v.values.n }}))", "wf_0='12'\necho $((1 + ${wf_0}))"},
        {"(( ${{ steps.v.values.n }} ))", "wf_0='12'\n(( ${wf_0} ))"},
        {"${{ steps.gone.values.x }}", "absent"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        cr_assert_str_eq(script_of(cases[i].source, true), cases[i].script);
    cr_assert_str_eq(script_of("x = '${{ params.lr }}' ${{ params.flag }}", false),
                     "x = '1.10' true");
}

Test(workflows_text, scripts_refused)
{
    static const struct {
        const char *source, *message;
    } cases[] = {
        {"cat <<'E'\n${{ params.lr }}\nE\n", "quoted delimiter"},
        {"cat <<\"E\"\n${{ params.lr }}\nE\n", "quoted delimiter"},
        {"cat <<\\E\n${{ params.lr }}\nE\n", "quoted delimiter"},
        {"cat <<A <<'B'\nA\n${{ params.lr }}\nB\n", "quoted delimiter"},
        {"cat <<${{ params.lr }}\n", "delimiter"},
        {"cat <<E\n$(cat <<E\na\nE\n) ${{ params.lr }}\nE\n", "another delimiter"},
        {"echo \"\\${{ params.lr }}\"", "backslash"},
        {"echo \\${{ params.lr }}", "backslash"},
        {"echo $${{ params.lr }}", "\\$"},
        {"echo \"$${{ params.lr }}\"", "\\$"},
        {"echo $'x${{ params.lr }}'", "$'"},
        {"echo ${x/a/${{ params.lr }}}", "variable first"},
        {"echo \"${x:-\"${{ params.lr }}\"}\"", "variable first"},
        {"echo `echo \\`x\\` ${{ params.lr }}`", "backticks"},
        {"echo $(( ${{ steps.v.values.s }} ))", "only a number"},
        {"((i = ${{ steps.v.values.s }}))", "only a number"},
        {"for ((i = ${{ steps.v.values.s }};;)); do :; done", "only a number"},
        {"x=${{ steps.list.values.l }}", "touches other text"},
        {"echo ${{ steps.list.values.l }}.txt", "touches other text"},
        {"cat < ${{ steps.list.values.l }}", "touches other text"},
        {"a ${{ steps.v.values.nul }}", "NUL"},
        {"a ${{ steps.list.values.o }}", "is an object"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *got = script_of(cases[i].source, true);
        cr_assert(strstr(got, cases[i].message), "%s: %s", cases[i].source, got);
    }
}

static const char *const shells[] = {"dash -eu", "bash -eu", "bash --posix -eu", "busybox sh -eu",
                                     "zsh -eu",  "ksh -eu",  "mksh -eu"};

/* Runs a script in a shell; its output, NULs and all. */
static void run(const char *shell, const struct str *script, struct str *out)
{
    char path[] = "/tmp/wf-test-XXXXXX";
    int fd = mkstemp(path);
    struct err err = {0};
    char buf[4096];
    size_t n;
    cr_assert_geq(fd, 0);
    cr_assert_eq(fs_write_all(fd, script->data, script->len, &err), 0);
    close(fd);
    FILE *p = popen(arena_printf(f.arena, "%s %s 2>&1", shell, path), "r");
    while ((n = fread(buf, 1, sizeof(buf), p)))
        sb_add(out, buf, n);
    pclose(p);
    unlink(path);
}

static bool has_shell(const char *shell)
{
    const char *command =
        arena_printf(f.arena, "command -v %.*s >/dev/null", (int)strcspn(shell, " "), shell);
    return system(command) == 0;
}

static const char *const hostile[] = {"",
                                      " ",
                                      "a b",
                                      "'",
                                      "\"",
                                      "''",
                                      "`id`",
                                      "$(id)",
                                      "$HOME",
                                      "${HOME}",
                                      "\\",
                                      "\\n",
                                      "a\\",
                                      "a\nb",
                                      "\n",
                                      "x\n\n",
                                      "-n",
                                      "--",
                                      "*",
                                      "?[a]/*",
                                      "~",
                                      "~root",
                                      "!",
                                      "!!",
                                      "#",
                                      "# x",
                                      "%s%n",
                                      ";",
                                      "& false",
                                      "| false",
                                      "> /dev/null",
                                      "E",
                                      "\nE\n",
                                      "\nE",
                                      "}",
                                      "{a,b}",
                                      "${x}",
                                      "'\"'\"'",
                                      "'; exit 1; '",
                                      "\t",
                                      "\t tab \t",
                                      "$",
                                      "$$",
                                      "$'a'",
                                      "é Łódź 日本 🎉",
                                      "\x01\x7f\x81\x82\x83\x84\x85\x86\x87\x88\xff",
                                      "a=b",
                                      "=",
                                      "1",
                                      "wf_0",
                                      "\\$x",
                                      "\\\"",
                                      "\\'",
                                      "\r\n",
                                      ")",
                                      "(",
                                      "))",
                                      "case",
                                      "esac",
                                      "done",
                                      "@",
                                      "a${{ b }}c"};

/* @ is the reference; each snippet prints `before`, the value, `after` and a NUL. */
static const struct snippet {
    const char *script, *before, *after;
} snippets[] = {
    {"printf '%s\\0' @", "", ""},
    {"printf '%s\\0' \"@\"", "", ""},
    {"printf '%s\\0' '@'", "", ""},
    {"printf '%s\\0' --a=@", "--a=", ""},
    {"printf '%s\\0' --a=@,b", "--a=", ",b"},
    {"printf '%s\\0' \"<@>\"", "<", ">"},
    {"printf '%s\\0' '<@>'", "<", ">"},
    {"v=@; printf '%s\\0' \"$v\"", "", ""},
    {"v='@'x; printf '%s\\0' \"$v\"", "", "x"},
    {"# it's @ \"\nprintf '%s\\0' @ # don't", "", ""},
    {"printf '%s\\0' a\\'@\\\"b", "a'", "\"b"},
    {"printf '%s\\0' \"a\\\"@\\\"b\"", "a\"", "\"b"},
    {"printf '%s\\0' \"\\$@\"", "$", ""},
    {"printf '%s\\0' \"it's @\"", "it's ", ""},
    {"printf '%s\\0' 'say \"@\"'", "say \"", "\""},
    {"printf '%s\\0' \"$(printf '%sX' @)\"", "", "X"},
    {"printf '%s\\0' \"$(printf '%sX' \"@\")\"", "", "X"},
    {"printf '%s\\0' \"$(printf '%sX' '@')\"", "", "X"},
    {"printf '%s\\0' \"`printf '%sX' @`\"", "", "X"},
    {"printf '%s\\0' \"$(printf '%sX' \"$(printf '%sY' @)\")\"", "", "YX"},
    {"printf '%s\\0' \"$(case a in a) printf '%sX' @;; (b) ;; esac)\"", "", "X"},
    {"printf '%s\\0' \"$(case a in a) case b in b) :; esac; printf '%sX' @\nesac)\"", "", "X"},
    {"printf '%s\\0' \"$( (printf '%sX' @) )\"", "", "X"},
    {"printf '%s\\0' \"$(( 1 + $(echo 2) ))@\"", "3", ""},
    {"printf '%s\\0' \"$(# it's a \"\nprintf '%sX' @)\"", "", "X"},
    {"cat <<E\nit's \"@\"\nE\nprintf '\\0'", "it's \"", "\"\n"},
    {"cat <<-E\n\tx@y\n\tE\nprintf '\\0'", "x", "y\n"},
    {"cat <<E; printf '%s\\0' @\nE", "", ""},
    {"cat <<A >/dev/null; cat <<'B' >/dev/null; printf '%s\\0' \"@\"\n'@\nA\n\"$x\nB", "", ""},
    {"cat <<E\n$(printf '%sX' @)\nE\nprintf '\\0'", "", "X\n"},
    {"printf '%s\\0' \"$(cat <<E\n'@X\nE\n)\"", "'", "X"},
    {"cat <<'E' >/dev/null\nit's `\nE\nprintf '%s\\0' @", "", ""},
    {"printf '%s\\0' \"${unset:-@}\"", "", ""},
    {"printf '%s\\0' ${unset:-@}", "", ""},
    {"printf '%s\\0' ${unset-'a'@}", "a", ""},
    {"v=@Z; printf '%s\\0' \"${v#@}@\"", "Z", ""},
    {"v=Z@; printf '%s\\0' ${v%@}@", "Z", ""},
    {"sh -c 'printf \"%s\\0\" \"$1\"' x @", "", ""},
    {"for i in @; do printf '%s\\0' \"$i\"; done", "", ""},
    {"for i in a; do case $i in (b) ;; a) printf '%s\\0' @;; esac; done", "", ""},
    {"case @ in '@') printf '%s\\0' \"@\";; *) echo wrong;; esac", "", ""},
    {"if [ -n x ]; then (printf '%s\\0' @); fi", "", ""},
    {"{ printf '%s\\0' \\\n @; }", "", ""},
    {"printf '%s\\0' $#@", "0", ""},
    {"f() { printf '%s\\0' @; }; f", "", ""},
    {"echo a | while read -r l; do printf '%s\\0' @; done", "", ""},
    {"printf '%s\\0' @ 2>&1", "", ""},
    {"x=1 printf '%s\\0' @", "", ""},
};

static void prove(const char *shell, const struct snippet *n)
{
    struct str source = {0}, script = {0}, want = {0}, got = {0};
    struct err err = {0};
    for (size_t v = 0; v < ARRAY_LEN(hostile); v++) {
        for (const char *c = n->script; *c; c++) {
            if (*c == '@')
                sb_printf(&source, "${{ steps.h.values.v%zu }}", v);
            else
                sb_putc(&source, *c);
        }
        sb_putc(&source, '\n');
        sb_printf(&want, "%s%s%s", n->before, hostile[v], n->after);
        sb_putc(&want, '\0');
    }
    struct text *t = parse(source.data, true);
    cr_assert(t, "%s: %s", n->script, f.diags.len ? f.diags.items[0].message : "");
    cr_assert_eq(text_eval_script(t, &f.scope, true, &script, &err), 0, "%s", err.msg);
    run(shell, &script, &got);
    size_t at = 0, value = 0;
    while (at < got.len && at < want.len && got.data[at] == want.data[at])
        value += want.data[at++] == '\0';
    cr_assert(got.len == want.len && at == got.len, "%s: %s: value %zu <%s>, got <%.80s>", shell,
              n->script, value, value < ARRAY_LEN(hostile) ? hostile[value] : "",
              sb_text(&got) + (at > 20 ? at - 20 : 0));
    sb_done(&source);
    sb_done(&script);
    sb_done(&want);
    sb_done(&got);
}

static void add_hostile(void)
{
    for (size_t v = 0; v < ARRAY_LEN(hostile); v++)
        fixture_add(&f, "h", arena_printf(f.arena, "v%zu", v), value_text(hostile[v]));
}

Test(workflows_text, shells_get_the_exact_value)
{
    add_hostile();
    int proved = 0;
    for (size_t s = 0; s < ARRAY_LEN(shells); s++) {
        if (!has_shell(shells[s]))
            continue;
        proved++;
        for (size_t i = 0; i < ARRAY_LEN(snippets); i++) {
            prove(shells[s], &snippets[i]);
        }
    }
    cr_assert_geq(proved, 1);
}

/* What bash alone understands. */
Test(workflows_text, bash_gets_the_exact_value)
{
    static const struct snippet more[] = {
        {"[[ @ == @ ]] && printf '%s\\0' @", "", ""},
        {"a=(x @ y); printf '%s\\0' \"${a[1]}\"", "", ""},
        {"cat <<< @; printf '\\0'", "", "\n"},
        {"printf '%s\\0' $'it\\'s '@", "it's ", ""},
        {"printf '%s\\0' $\"x\"@", "x", ""},
        {"for ((i = 0; i < 1; i++)); do printf '%s\\0' @; done", "", ""},
        {"(( 1 << 2 )); printf '%s\\0' @", "", ""},
        {"printf '%s\\0' \"$((1 << 2))@\"", "4", ""},
        {"cat <(printf '%s\\0' @)", "", ""},
        {"x=abc; printf '%s\\0' \"${x/b/\\'}@\"", "a'c", ""},
    };
    if (!has_shell("bash"))
        cr_skip_test("bash is not here");
    add_hostile();
    for (size_t i = 0; i < ARRAY_LEN(more); i++)
        prove("bash -euo pipefail", &more[i]);
}

Test(workflows_text, lists_in_scripts)
{
    static const struct {
        const char *source, *output;
    } cases[] = {
        {"printf '<%s>' ${{ steps.list.values.l }}", "<a b><*><><it's>"},
        {"printf '<%s>' \"${{ steps.list.values.l }}\"", "<a b *  it's>"},
        {"printf '<%s>' '${{ steps.list.values.l }}'", "<a b *  it's>"},
        {"printf '<%s>' x${{ params.lr }} ${{ steps.list.values.none }}", "<x1.10>"},
        {"(printf '<%s>' ${{ steps.list.values.l }})", "<a b><*><><it's>"},
        {"printf '%s' \"$(printf '<%s>' ${{ steps.list.values.l }})\"", "<a b><*><><it's>"},
        {"printf '%s' \"`printf '<%s>' ${{ steps.list.values.l }}`\"", "<a b><*><><it's>"},
        {"set -- ${{ steps.list.values.l }}; echo $#", "4\n"},
        {"for i in ${{ steps.list.values.l }}; do printf '<%s>' \"$i\"; done", "<a b><*><><it's>"},
        {"cat <<E\n${{ steps.list.values.l }}\nE\n", "a b *  it's\n"},
        {"# ${{ steps.list.values.l }}.\necho", "\n"},
    };
    for (size_t s = 0; s < ARRAY_LEN(shells); s++) {
        for (size_t i = 0; i < ARRAY_LEN(cases) && has_shell(shells[s]); i++) {
            struct str script = {0}, got = {0};
            struct err err = {0};
            struct text *t = parse(cases[i].source, true);
            cr_assert(t, "%s", cases[i].source);
            cr_assert_eq(text_eval_script(t, &f.scope, true, &script, &err), 0, "%s", err.msg);
            run(shells[s], &script, &got);
            cr_assert_str_eq(sb_text(&got), cases[i].output, "%s: %s", shells[s], cases[i].source);
            sb_done(&script);
            sb_done(&got);
        }
    }
}

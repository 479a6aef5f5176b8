/* SPDX-License-Identifier: Apache-2.0 */
/* Claims of several runs, each with its own open file, as processes have it: one wins, the others see whom they wait for, and a dead one has let go. */
#include "base/err.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/mem.h"
#include "cache/store.h"
#include "engine/claims.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct party {
    char id[ID_LEN + 1];
    int live;
    struct claims *c;
};
static struct {
    char dir[64];
    struct store *s;
} f;

static void set_up(void)
{
    struct err err = {0};

    unsetenv("WF_RUN");
    unsetenv("WF_STEP");
    (void)snprintf(f.dir, sizeof(f.dir), "/tmp/wf-claims.XXXXXX");
    cr_assert(mkdtemp(f.dir));
    struct store_options o = {.dir = f.dir};
    cr_assert_eq(store_open(&o, &f.s, &err), 0, "%s", err.msg);
}

static void tear_down(void)
{
    store_close(f.s);
    (void)fs_remove_tree(f.dir, NULL);
}

TestSuite(engine_claims, .init = set_up, .fini = tear_down, .timeout = 20);

static void come(struct party *p, const char *workflow)
{
    struct err err = {0};

    id_new(p->id);
    cr_assert_eq(store_live(f.s, p->id, &p->live, &err), 0, "%s", err.msg);
    p->c = claims_new(f.s, p->id, workflow, p->live);
}

static void leave(struct party *p)
{
    claims_free(p->c);
    store_unlive(f.s, p->id, p->live);
}

static struct digest key_of(unsigned k)
{
    struct digest d = {{0}};

    d.bytes[0] = (unsigned char)k;
    d.bytes[3] = (unsigned char)(k >> 8);
    d.bytes[7] = 0xff; /* the highest bits are set as well */
    return d;
}

Test(engine_claims, one_wins_and_the_others_see_who)
{
    struct party a, b, c;
    struct digest k = key_of(1), other = key_of(2);
    struct claim_holder who;

    come(&a, "first");
    come(&b, "second");
    cr_expect(claims_take(a.c, &k, 3, "train[lr=0.1]"));
    cr_expect(claims_held(b.c, &k));
    cr_expect_not(claims_held(a.c, &k), "its own is not another's");
    cr_expect_not(claims_take(b.c, &k, 0, "train"));
    cr_expect(claims_take(b.c, &other, 0, "train"));
    cr_assert(claims_who(b.c, &k, &who));
    cr_expect_str_eq(who.run, a.id);
    cr_expect_str_eq(who.workflow, "first");
    cr_expect_str_eq(who.step, "train[lr=0.1]");
    claims_release(a.c, 3);
    claims_release(a.c, 3);
    claims_release(a.c, 77);
    cr_expect_not(claims_held(b.c, &k));
    cr_expect_not(claims_who(b.c, &k, &who));
    cr_expect(claims_take(b.c, &k, 1, "again"));
    cr_expect_not(claims_take(a.c, &k, 3, "train"));
    cr_expect(claims_who(a.c, &k, &who) && strcmp(who.step, "again") == 0);
    come(&c, "third");
    cr_expect(claims_who(c.c, &k, &who) && strcmp(who.run, b.id) == 0,
              "the first one's record is an old one");
    leave(&c);
    leave(&b);
    cr_expect(claims_take(a.c, &k, 3, "train"), "who leaves lets go of all");
    leave(&a);
}

Test(engine_claims, two_instances_of_one_run_share_a_claim)
{
    struct party a, b;
    struct digest k = key_of(1);

    come(&a, "w");
    come(&b, "w");
    cr_expect(claims_take(a.c, &k, 1, "x"));
    cr_expect(claims_take(a.c, &k, 2, "y"));
    claims_release(a.c, 2);
    cr_expect(claims_held(b.c, &k), "the one that has it goes on having it");
    claims_release(a.c, 1);
    cr_expect_not(claims_held(b.c, &k));
    leave(&a);
    leave(&b);
}

Test(engine_claims, who_is_alone_knows_it_until_another_comes)
{
    struct party a, b, c;

    come(&a, "w");
    cr_expect(claims_alone(a.c));
    come(&b, "w");
    cr_expect_not(claims_alone(a.c));
    cr_expect_not(claims_alone(b.c));
    leave(&b);
    cr_expect_not(claims_alone(a.c), "what it was told before may be old");
    leave(&a);
    come(&c, "w");
    cr_expect(claims_alone(c.c));
    leave(&c);
}

Test(engine_claims, many_keys_come_and_go)
{
    struct party a, b;

    come(&a, "w");
    come(&b, "w");
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned k = 0; k < 300; k++) {
            struct digest d = key_of(k);
            cr_assert(claims_take(k % 2 ? a.c : b.c, &d, k, "n"));
        }
        for (unsigned k = 0; k < 300; k++) {
            struct digest d = key_of(k);
            struct claim_holder who;
            struct claims *mine = k % 2 ? a.c : b.c, *theirs = k % 2 ? b.c : a.c;
            cr_assert_not(claims_take(theirs, &d, 1000 + k, "n"));
            cr_assert(claims_who(theirs, &d, &who));
            cr_assert_str_eq(who.run, k % 2 ? a.id : b.id);
            claims_release(mine, k);
            cr_assert_not(claims_held(theirs, &d));
        }
    }
    leave(&a);
    leave(&b);
}

Test(engine_claims, one_killed_has_let_go)
{
    struct party a, b;
    struct digest k = key_of(9);
    struct claim_holder who;
    int ready[2], status;
    char byte;

    come(&a, "w");
    cr_assert_eq(pipe(ready), 0);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        come(&b, "dying");
        byte = claims_take(b.c, &k, 0, "last") ? 'y' : 'n';
        (void)!write(ready[1], &byte, 1);
        for (;;) {
            pause();
        }
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_expect_eq(byte, 'y');
    cr_expect_not(claims_take(a.c, &k, 0, "mine"));
    cr_expect(claims_who(a.c, &k, &who) && strcmp(who.workflow, "dying") == 0);
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    cr_expect(claims_held(a.c, &k), "a stopped one holds on");
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect_not(claims_who(a.c, &k, &who), "a record that was left behind names nobody");
    cr_expect(claims_take(a.c, &k, 0, "mine"));
    leave(&a);
}

Test(engine_claims, a_step_that_starts_a_run_is_known_to_it)
{
    struct party top, nested, deeper;
    struct digest k = key_of(4), l = key_of(5);

    come(&top, "top");
    cr_expect(claims_take(top.c, &k, 0, "outer"));
    cr_expect(claims_take(top.c, &l, 1, "beside"));
    setenv("WF_RUN", top.id, 1);
    setenv("WF_STEP", "outer", 1);
    come(&nested, "nested");
    setenv("WF_RUN", nested.id, 1);
    setenv("WF_STEP", "inner", 1);
    come(&deeper, "deeper");
    cr_expect(claims_ours(nested.c, &k));
    cr_expect(claims_ours(deeper.c, &k), "at any depth");
    cr_expect_not(claims_ours(top.c, &k));
    cr_expect_not(claims_ours(nested.c, &l), "another step of it ends by itself");
    leave(&deeper);
    leave(&nested);
    leave(&top);
}

static void come_below(struct party *p, const struct party *above, const char *step)
{
    setenv("WF_RUN", above->id, 1);
    setenv("WF_STEP", step, 1);
    come(p, "nested");
    unsetenv("WF_RUN");
    unsetenv("WF_STEP");
}

Test(engine_claims, a_circle_of_waits_through_nested_runs_is_seen)
{
    struct party one, two, below_one, below_two, deeper, beside;
    struct digest a = key_of(1), b = key_of(2), c = key_of(3);

    come(&one, "one");
    come(&two, "two");
    cr_expect(claims_take(one.c, &a, 0, "a"));
    cr_expect(claims_take(two.c, &b, 0, "b"));
    cr_expect(claims_take(two.c, &c, 1, "c"));
    come_below(&below_one, &one, "a");
    come_below(&below_two, &two, "b");
    come_below(&deeper, &below_two, "inner");
    come_below(&beside, &two, "c");
    cr_expect_not(claims_circle(below_one.c, &b),
                  "two's step ends by itself, for all that is known");
    claims_wait(beside.c, &a, 7, "a");
    cr_expect_not(claims_circle(below_one.c, &b), "that is for another step of two");
    cr_expect(claims_circle(below_one.c, &c));
    claims_unwait(beside.c, 7);
    cr_expect_not(claims_circle(below_one.c, &c));
    claims_wait(below_one.c, &b, 3, "b");
    claims_wait(deeper.c, &a, 4, "a");
    cr_expect(claims_circle(below_one.c, &b), "at any depth");
    cr_expect(claims_circle(deeper.c, &a));
    cr_expect_not(claims_circle(one.c, &b), "nobody's step waits for its end");
    claims_release(deeper.c, 4);
    cr_expect(claims_circle(below_one.c, &b), "a wait is no claim");
    claims_unwait(deeper.c, 4);
    cr_expect_not(claims_circle(below_one.c, &b));
    /* one dies that waits */
    claims_wait(below_two.c, &a, 4, "a");
    cr_expect(claims_circle(below_one.c, &b));
    leave(&deeper);
    leave(&below_two);
    cr_expect_not(claims_circle(below_one.c, &b));
    leave(&beside);
    leave(&below_one);
    leave(&two);
    leave(&one);
}

Test(engine_claims, two_steps_of_one_run_may_wait_for_each_other_through_nested_runs)
{
    struct party top, left, right;
    struct digest a = key_of(1), b = key_of(2);

    come(&top, "top");
    cr_expect(claims_take(top.c, &a, 0, "a"));
    cr_expect(claims_take(top.c, &b, 1, "b"));
    come_below(&left, &top, "a");
    come_below(&right, &top, "b");
    claims_wait(left.c, &b, 0, "b");
    cr_expect_not(claims_circle(left.c, &b));
    claims_wait(right.c, &a, 0, "a");
    cr_expect(claims_circle(right.c, &a));
    cr_expect(claims_circle(left.c, &b));
    leave(&right);
    leave(&left);
    leave(&top);
}

Test(engine_claims, long_names_are_cut_between_characters)
{
    struct party a, b;
    struct digest k = key_of(1);
    struct claim_holder who;
    char name[600];

    memset(name, 'x', sizeof(name));
    (void)snprintf(name + 238, sizeof(name) - 238, "\xc3\xa4 and more");
    come(&a, "w");
    come(&b, "w");
    cr_expect(claims_take(a.c, &k, 0, name));
    cr_assert(claims_who(b.c, &k, &who));
    cr_expect_eq(strlen(who.step), 238);
    leave(&a);
    leave(&b);
}

Test(engine_claims, without_locks_everything_is_taken)
{
    struct party a, b;
    struct digest k = key_of(1);
    CLEANUP(cleanup_free) char *path = store_path(f.s, "live/claims");

    cr_assert_eq(fs_mkdirs(path, 0700, NULL), 0); /* nothing that can be opened for writing */
    come(&a, "w");
    come(&b, "w");
    cr_expect(claims_take(a.c, &k, 0, "x"));
    cr_expect(claims_take(b.c, &k, 0, "x"));
    cr_expect_not(claims_held(b.c, &k));
    cr_expect_not(claims_alone(b.c));
    claims_release(a.c, 0);
    leave(&a);
    leave(&b);
}

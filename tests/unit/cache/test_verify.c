/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/pick.h"
#include "cache/pins.h"
#include "cache/remove.h"
#include "cache/verify.h"
#include "fixture.h"

TestSuite(cache_verify, .init = setup, .fini = teardown);

/* An entry as wf makes them: its action names its work. */
static int64_t add_whole(const char *name, const char *content)
{
    struct made m = make_entry(name, content, now_ms() - 1000);
    CLEANUP(sb_done) struct str hex = {0};

    digest_hex_add(&hex, &m.e.work_digest);
    m.e.action = arena_printf(f.arena, "{\"values\":{\"name\":\"%s\"},\"work\":\"sha256:%s\"}",
                              name, sb_text(&hex));
    m.e.action_len = strlen(m.e.action);
    action_key(m.e.action, m.e.action_len, &m.e.key);
    return store_made(&m);
}

static int kinds[VERIFY_KIND_COUNT];

static void on_finding(const struct verify_finding *found, void *arg)
{
    (void)arg;
    kinds[found->kind]++;
}

static struct verify_report verify(bool repair)
{
    struct verify_options o = {.repair = repair, .on_finding = on_finding, .threads = 2};
    struct verify_report r = {0};
    struct err err = {0};

    memset(kinds, 0, sizeof(kinds));
    cr_assert_eq(cache_verify(f.s, &o, &r, &err), 0, "%s", err.msg);
    return r;
}

Test(cache_verify, a_good_store_has_nothing_to_tell)
{
    add_whole("a", "alpha");
    add_whole("b", "alpha");
    struct verify_report r = verify(false);
    cr_expect(r.complete && r.findings == 0 && r.entries == 2 && r.objects == 1 && r.bytes == 5);
}

Test(cache_verify, an_object_is_hashed_whatever_its_time_says)
{
    struct digest d = digest_text("alpha");

    add_whole("a", "alpha");
    add_whole("b", "alpha");
    add_whole("c", "gamma");
    cr_assert_eq(chmod(object_at(&d), 0644), 0);
    int fd = open(object_at(&d), O_WRONLY);
    cr_assert_eq(write(fd, "ALPHA", 5), 5);
    close(fd);
    fd = open(object_at(&d), O_RDONLY);
    object_seal(fd, false);
    close(fd);
    struct verify_report r = verify(false);
    cr_expect(r.findings == 2 && kinds[VERIFY_DAMAGED] == 2 && r.repaired == 0);
    cr_expect(exists(object_at(&d)));
    r = verify(true);
    cr_expect(r.findings == 2 && r.repaired == 2 && r.dropped == 2);
    cr_expect_not(exists(object_at(&d)));
    r = verify(false);
    cr_expect(r.findings == 0 && r.entries == 1);
}

Test(cache_verify, an_entry_that_tells_another_size_goes_the_object_stays)
{
    struct digest d = digest_text("alpha");
    struct made m = make_entry("a", "alpha", now_ms());

    add_whole("good", "alpha");
    store_made(&m);
    CLEANUP(sb_done) struct str data = {0};
    m.out[0].bytes = m.out[0].object_bytes = 6;
    result_encode(&m.r, &data);
    CLEANUP(sb_done) struct str hex = {0};
    for (size_t i = 0; i < data.len; i++) {
        sb_printf(&hex, "%02x", (unsigned char)data.data[i]);
    }
    sql(arena_printf(f.arena, "UPDATE entries SET result = x'%s' WHERE id = 2", sb_text(&hex)));
    verify(true);
    cr_expect_eq(kinds[VERIFY_DAMAGED], 1);
    cr_expect(exists(object_at(&d)));
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM entries"), 1);
    cr_expect_eq(verify(false).findings, 0);
}

static bool stop_at_once(uint64_t entries, uint64_t objects, uint64_t bytes, void *arg)
{
    (void)entries;
    (void)objects;
    (void)bytes;
    (void)arg;
    return false;
}

Test(cache_verify, can_be_stopped)
{
    struct verify_options o = {.progress = stop_at_once};
    struct verify_report r = {0};

    add_whole("a", "alpha");
    cr_assert_eq(cache_verify(f.s, &o, &r, NULL), 0);
    cr_expect_not(r.complete);
}

Test(cache_verify, one_repair_at_a_time)
{
    struct verify_options o = {.repair = true};
    struct verify_report r = {0};
    struct err err = {0};
    int fd = -1;

    add_whole("a", "alpha");
    cr_assert_eq(store_live(f.s, "verify", &fd, NULL), 0);
    cr_expect_eq(cache_verify(f.s, &o, &r, &err), -(int)ERR_BUSY);
    store_unlive(f.s, "verify", fd);
    cr_expect_eq(cache_verify(f.s, &o, &r, &err), 0);
}

/* --- pick, pins, remove --- */

static bool count_one(const struct picked *e, void *arg)
{
    (void)e;
    ++*(int *)arg;
    return true;
}

static int count(struct pick p)
{
    int n = 0;

    cr_assert_eq(cache_pick(f.s, &p, count_one, &n, NULL), 0);
    return n;
}

Test(cache_verify, entries_are_picked_by_what_is_said)
{
    int64_t id = add_whole("step[k=1]", "a"), found = 0;
    struct digest key;
    struct entry e;

    add_whole("step[k=2]", "b");
    add_whole("steps", "c");
    cr_expect_eq(count((struct pick){0}), 3);
    cr_expect_eq(count((struct pick){.step = "step"}), 2);
    cr_expect_eq(count((struct pick){.step = "step[k=2]"}), 1);
    cr_expect_eq(count((struct pick){.workflow = "w", .step = "steps"}), 1);
    cr_expect_eq(count((struct pick){.workflow = "other"}), 0);
    cr_expect_eq(count((struct pick){.made_before_ms = 1}), 0);
    cr_assert_eq(entry_get(f.s, id, f.arena, &e, NULL), 0);
    char hex[DIGEST_HEX + 1];
    digest_hex(&e.key, hex);
    cr_expect_eq(cache_pick_key(f.s, hex, &found, &key, NULL), 0);
    cr_expect_eq(found, id);
    hex[20] = '\0';
    cr_expect_eq(cache_pick_key(f.s, hex, &found, &key, NULL), 0);
    cr_expect_eq(cache_pick_key(f.s, "", &found, &key, NULL), 2);
    cr_expect_eq(cache_pick_key(f.s, "zz", &found, &key, NULL), 1);
}

Test(cache_verify, pinned_entries_stay_unless_forced)
{
    int64_t ids[] = {add_whole("a", "a"), add_whole("b", "b"), 99};
    struct remove_options o = {0};
    struct remove_report r = {0};
    size_t n = 0;

    cr_assert_eq(pins_set(f.s, ids, 3, "why", &n, NULL), 0);
    cr_expect_eq(n, 2, "one that is not there cannot be pinned");
    cr_assert_eq(pins_clear(f.s, &ids[1], 1, &n, NULL), 0);
    cr_expect_eq(n, 1);
    cr_assert_eq(cache_remove(f.s, ids, 3, &o, &r, NULL), 0);
    cr_expect(r.removed == 1 && r.pinned == 1 && r.gone == 1 && r.complete);
    o.force = true;
    cr_assert_eq(cache_remove(f.s, ids, 1, &o, &r, NULL), 0);
    cr_expect_eq(r.removed, 1);
    cr_expect_eq(sql_number("SELECT COUNT(*) FROM pins"), 0);
    cr_expect_eq(verify(false).findings, 0);
}

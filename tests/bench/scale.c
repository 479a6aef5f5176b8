/* SPDX-License-Identifier: Apache-2.0 */
/* The store at the size it was designed for, through the cache room's own functions. Started by scale.py; prints one JSON object.
 *
 *   wf_scale fill STORE N FILES     N entries, 100,000 a day up to now; with FILES=1 their objects are files, else they only count as if they were
 *   wf_scale measure STORE          lookups, inserts, last uses
 *   wf_scale gc STORE ENTRIES       clears until ENTRIES are left
 *
 * What is made up: ten million entries would need twenty million files. A digest that holds MAGIC names an object without a file: fstatat() and unlinkat() below ask the kernel as
 * ever, and where it knows no such file they answer as if there had been one. So a lookup, an insert and a removal cost one look into a folder for each object, but no inode.
 * Entry `i` is made from `i` alone, so that any of them can be asked for later. */
#include "base/arena.h"
#include "base/db.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/vec.h"
#include "cache/entries.h"
#include "cache/gc_internal.h"
#include "cache/objects_internal.h"
#include "cache/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    A_DAY = 100000,
    PER_WORK = 200,
    AT_ONCE = 20000,
    JOURNAL = 256, /* entries in one commit of a run */
    LOOKUPS = 100000,
    COLD_LOOKUPS = 2000,
    INSERTS = 20000,
    TOUCHED = 100000,
};
#define DAY_MS INT64_C(86400000)
static const unsigned char MAGIC[4] = {0x77, 0x66, 0x5c, 0xa1};

/* --- objects without files --- */

static bool made_up(const char *name, uint64_t *ret_bytes)
{
    struct digest d;
    char hex[DIGEST_HEX];

    if (strlen(name) != OBJECT_NAME || name[2] != '/') {
        return false;
    }
    memcpy(hex, name, 2);
    memcpy(hex + 2, name + 3, DIGEST_HEX - 2);
    if (!digest_parse(hex, DIGEST_HEX, &d) || memcmp(d.bytes + 8, MAGIC, sizeof(MAGIC)) != 0) {
        return false;
    }
    uint32_t bytes;
    memcpy(&bytes, d.bytes + 12, sizeof(bytes));
    *ret_bytes = bytes;
    return true;
}

int fstatat(int dir, const char *name, struct stat *st, int flags)
{
    uint64_t bytes;

    if (syscall(SYS_newfstatat, dir, name, st, flags) == 0) {
        return 0;
    }
    if (errno != ENOENT || !made_up(name, &bytes)) {
        return -1;
    }
    memset(st, 0, sizeof(*st));
    st->st_mode = S_IFREG | 0444;
    st->st_size = (off_t)bytes;
    st->st_mtim.tv_sec = OBJECT_TIME;
    return 0;
}

int unlinkat(int dir, const char *name, int flags)
{
    uint64_t bytes;

    if (syscall(SYS_unlinkat, dir, name, flags) == 0) {
        return 0;
    }
    return errno == ENOENT && made_up(name, &bytes) ? 0 : -1;
}

/* --- entries --- */

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

static void random_digest(uint64_t seed, struct digest *ret)
{
    for (unsigned i = 0; i < 4; i++) {
        uint64_t v = mix(seed * 4 + i);
        memcpy(ret->bytes + i * 8, &v, 8);
    }
}

static void object_digest(uint64_t seed, uint32_t bytes, struct digest *ret)
{
    random_digest(seed, ret);
    memcpy(ret->bytes + 8, MAGIC, sizeof(MAGIC));
    memcpy(ret->bytes + 12, &bytes, sizeof(bytes));
}

static void add_digest(struct str *out, uint64_t seed)
{
    struct digest d;

    random_digest(seed, &d);
    sb_puts(out, "\"sha256:");
    digest_hex_add(out, &d);
    sb_putc(out, '"');
}

struct sample {
    struct entry_new e;
    struct result r;
    struct result_output out[2];
    struct result_value value;
    char step[64], number[32], file[64];
    struct str action, work;
};

static void sample_done(struct sample *x)
{
    sb_done(&x->action);
    sb_done(&x->work);
}

static void make_work(struct sample *x, uint64_t w)
{
    sb_clear(&x->work);
    sb_printf(&x->work,
              "{\"env\":{\"EPOCHS\":\"20\",\"RATE\":\"0.%" PRIu64
              "\"},\"format\":1,\"kind\":\"train\",\"kind_version\":1,"
              "\"network\":\"host\",\"outputs\":[{\"name\":\"model\",\"non_empty\":true,\"path\":"
              "\"model.bin\"},"
              "{\"name\":\"scores\",\"path\":\"scores.json\"}],\"platform\":\"linux/amd64\","
              "\"script\":\"set -e\\npython3 steps/train.py --data ${{ inputs.data }} --rate ${{ "
              "params.rate }} "
              "--seed ${{ matrix.seed }} --out ${{ outputs.model }}\\npython3 steps/score.py ${{ "
              "outputs.model }} "
              "> ${{ outputs.scores }}\\n\",\"shell\":\"bash\",\"value_names\":[\"rows\"],"
              "\"values\":{\"params.rate\":\"0.%" PRIu64
              "\"},\"wf_env\":{\"WF_MATRIX_SEED\":\"\"}}",
              w, w);
    digest_of(sb_text(&x->work), x->work.len, &x->e.work_digest);
    x->e.work = sb_text(&x->work);
    x->e.work_len = x->work.len;
}

static void make_action(struct sample *x, uint64_t i)
{
    struct str *a = &x->action;

    sb_clear(a);
    sb_puts(a, "{\"inputs\":[{\"digest\":");
    add_digest(a, i * 16 + 1);
    sb_printf(a,
              ",\"kind\":\"file\",\"name\":\"data\",\"path\":\"data/part-%05" PRIu64
              ".csv\"},{\"digest\":",
              i % 50000);
    add_digest(a, i / A_DAY + 77);
    sb_puts(a, ",\"exec\":true,\"kind\":\"file\",\"path\":\"steps/train.py\"},{\"digest\":");
    add_digest(a, i / A_DAY + 99);
    sb_puts(a, ",\"kind\":\"file\",\"path\":\"steps/score.py\"}],\"program\":");
    add_digest(a, 5);
    sb_printf(a, ",\"steps\":[{\"branch\":\"part=%" PRIu64 "\",\"digest\":", i % 50000);
    add_digest(a, i * 16 + 2);
    sb_printf(a,
              ",\"kind\":\"file\",\"path\":\"clean.csv\",\"ref\":\"steps.clean.outputs.table\"}],"
              "\"values\":{\"steps.count.values.n\":\"\\\"%" PRIu64 "\\\"\"},\"work\":\"sha256:",
              1000 + i % 9000);
    digest_hex_add(a, &x->e.work_digest);
    sb_puts(a, "\"}");
    x->e.action = sb_text(a);
    x->e.action_len = a->len;
    action_key(x->e.action, x->e.action_len, &x->e.key);
}

static void make_sample(struct sample *x, uint64_t i, int64_t began)
{
    bool same_log = i % 10 < 3;

    if (x->work.len == 0 || i % PER_WORK == 0) {
        make_work(x, i / PER_WORK);
    }
    make_action(x, i);
    snprintf(x->step, sizeof(x->step), "train[part=%" PRIu64 "]", i % 50000);
    snprintf(x->number, sizeof(x->number), "%" PRIu64, 1000 + i % 9000);
    x->out[0] = (struct result_output){.name = "model", .path = "model.bin"};
    x->out[1] = (struct result_output){.name = "scores", .path = "scores.json"};
    for (unsigned k = 0; k < 2; k++) {
        uint32_t bytes = (uint32_t)(200 + mix(i * 2 + k) % 4000);
        object_digest(i * 16 + 4 + k, bytes, &x->out[k].digest);
        x->out[k].bytes = x->out[k].object_bytes = bytes;
    }
    x->value = (struct result_value){"rows", x->number};
    x->r = (struct result){.n_outputs = 1 + (uint32_t)(i & 1),
                           .outputs = x->out,
                           .n_values = 1,
                           .values = &x->value,
                           .has_log = true,
                           .log_bytes = 300,
                           .began_at_ms = began,
                           .duration_ms = (int64_t)(100 + mix(i) % 60000),
                           .cpu_us = mix(i + 9) % 90000000,
                           .max_rss_kib = 90000 + i % 5000,
                           .run = "01J00000000000000000000000"};
    object_digest(same_log ? i % 10 : i * 16 + 6, 300, &x->r.log);
    x->e.workflow = "nightly-training";
    x->e.step = x->step;
    x->e.result = &x->r;
}

struct fill {
    struct write write;
    struct store *store;
    struct sample sample;
    uint64_t from, to;
    int64_t began;
    bool files;
};

/* Content of its own for each, so that the digest is true. */
static int real_file(struct store *s, uint64_t seed, struct digest *ret, uint64_t *ret_bytes)
{
    char text[4400];
    struct err err;
    size_t len = 200 + mix(seed) % 4000;

    memset(text, 'x', len);
    snprintf(text, 32, "%" PRIu64, seed);
    *ret_bytes = len;
    return objects_put_bytes(s, text, len, ret, &err);
}

static int apply_fill(struct write *w, struct db *db, struct err *err)
{
    struct fill *f = CONTAINER_OF(w, struct fill, write);
    int64_t id;
    int rc = 0;

    for (uint64_t i = f->from; i < f->to && rc == 0; i++) {
        struct sample *x = &f->sample;
        make_sample(x, i, f->began + (int64_t)i * DAY_MS / A_DAY);
        for (uint32_t k = 0; f->files && k < x->r.n_outputs; k++) {
            real_file(f->store, i * 16 + k, &x->out[k].digest, &x->out[k].bytes);
            x->out[k].object_bytes = x->out[k].bytes;
        }
        if (f->files && i % 10 >= 3) {
            real_file(f->store, i * 16 + 6, &x->r.log, &x->r.log_bytes);
        }
        rc = entry_insert(f->store, db, &x->e, &id, err);
    }
    return rc;
}

static int must(int rc, const struct err *err)
{
    if (rc < 0) {
        fprintf(stderr, "wf_scale: %s\n", err->msg);
        exit(1);
    }
    return rc;
}

static struct store *open_at(const char *dir)
{
    struct store_options o = {.dir = dir};
    struct store *s;
    struct err err = {0};

    must(store_open(&o, &s, &err), &err);
    return s;
}

static int apply_large(struct write *w, struct db *db, struct err *err)
{
    (void)w;
    (void)err;
    /* The synchronous writer keeps its connection: the pages of a whole batch stay in memory. */
    return db_exec(db, "PRAGMA cache_size = -1000000", NULL) < 0 ? -(int)ERR_IO : 0;
}

static void fill(const char *dir, uint64_t count, bool files)
{
    struct store *s = open_at(dir);
    struct fill f = {.write = {.apply = apply_fill, .urgent = true},
                     .store = s,
                     .files = files,
                     .began = now_ms() - (int64_t)(count / A_DAY + 1) * DAY_MS};
    struct write large = {.apply = apply_large};
    struct err err = {0};

    must(store_write_now(s, &large, &err), &err);
    for (uint64_t at = 0; at < count; at = f.to) {
        f.from = at;
        f.to = at + AT_ONCE < count ? at + AT_ONCE : count;
        must(store_write_now(s, &f.write, &err), &err);
        if (f.to % 500000 == 0) {
            fprintf(stderr, "%" PRIu64 " entries\n", f.to);
        }
    }
    must(store_sync(s, &err), &err);
    store_close(s);
    sample_done(&f.sample);
    printf("{}\n");
}

/* --- measures --- */

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void put_times(struct jsonw *w, const char *name, int64_t *ns, size_t n)
{
    qsort(ns, n, sizeof(*ns), by_number);
    jw_key(w, name);
    jw_object(w);
    jw_key(w, "median_us");
    jw_real(w, (double)ns[n / 2] / 1000.0);
    jw_key(w, "p99_us");
    jw_real(w, (double)ns[n * 99 / 100] / 1000.0);
    jw_key(w, "max_us");
    jw_real(w, (double)ns[n - 1] / 1000.0);
    jw_end_object(w);
}

static int64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void lookups(struct store *s, uint64_t total, size_t n, bool hit, uint64_t seed,
                    struct jsonw *w, const char *name)
{
    int64_t *ns = xcalloc(n, sizeof(*ns));
    struct sample x = {0};
    struct arena *a = arena_new();

    for (size_t i = 0; i < n; i++) {
        uint64_t at = mix(seed + i) % total;
        struct entry e;
        struct err err = {0};
        x.work.len = 0;
        make_work(&x, at / PER_WORK);
        make_action(&x, hit ? at : at + total * 2);
        int64_t t = clock_ns();
        int rc = must(entry_find(s, &x.e.key, a, &e, &err), &err);
        ns[i] = clock_ns() - t;
        if ((rc == 0) != hit) {
            fprintf(stderr, "wf_scale: entry %" PRIu64 " was %sfound\n", at, rc == 0 ? "" : "not ");
            exit(1);
        }
    }
    if (w) {
        put_times(w, name, ns, n);
    }
    arena_free(a);
    sample_done(&x);
    free(ns);
}

/* What the kernel keeps of the database is forgotten. */
static void chill(const char *dir)
{
    static const char *const names[] = {"wf.db", "wf.db-wal"};

    for (size_t i = 0; i < 2; i++) {
        CLEANUP(cleanup_free) char *path = xasprintf("%s/%s", dir, names[i]);
        CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            fdatasync(fd);
            posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        }
    }
}

static void inserts(struct store *s, uint64_t total, struct jsonw *w)
{
    struct fill f = {
        .write = {.apply = apply_fill, .urgent = true}, .store = s, .began = now_ms() - DAY_MS};
    struct err err = {0};
    int64_t began = clock_ns(), longest = 0;

    f.began -= (int64_t)(total * 3) * DAY_MS / A_DAY;
    for (uint64_t i = 0; i < INSERTS; i += JOURNAL) {
        f.from = total * 3 + i;
        f.to = f.from + JOURNAL;
        int64_t t = clock_ns();
        must(store_write_now(s, &f.write, &err), &err);
        t = clock_ns() - t;
        longest = t > longest ? t : longest;
    }
    jw_key(w, "insert_us");
    jw_real(w, (double)(clock_ns() - began) / 1000.0 /
                   (double)((INSERTS + JOURNAL - 1) / JOURNAL * JOURNAL));
    jw_key(w, "longest_commit_ms");
    jw_real(w, (double)longest / 1e6);
    sample_done(&f.sample);
}

/* One run that used this many entries, anywhere in the store. */
struct used {
    struct write write;
    unsigned char blob[TOUCHED * 8];
    char run[ID_LEN + 1];
};

static int apply_used(struct write *w, struct db *db, struct err *err)
{
    struct used *u = CONTAINER_OF(w, struct used, write);
    int64_t now = now_ms();
    int64_t rc = db_run(db, SQL_RUN_INSERT, err,
                        "tttitttt"
                        "itb",
                        u->run, "nightly-training", "x", INT64_C(1), "running", "manual", "{}",
                        NULL, now, "0", NULL, (size_t)0);

    rc = rc < 0 ? rc
                : db_run(db, SQL_RUN_END, err, "tibttti", "succeeded", now, u->blob,
                         sizeof(u->blob), "{}", "\"dirty\":null", u->run, INT64_C(1));
    return rc < 0 ? (int)rc : 0;
}

static void touches(struct store *s, uint64_t total, struct jsonw *w)
{
    struct used *u = xcalloc(1, sizeof(*u));
    struct gc_options o = {0};
    struct gc g = {.store = s, .o = &o};
    struct err err = {0};

    must(gc_fold(&g, &err), &err); /* what was there before */
    id_new(u->run);
    for (size_t i = 0; i < TOUCHED; i++) {
        uint64_t id = 1 + mix(i + 12345) % total;
        for (unsigned k = 0; k < 8; k++) {
            u->blob[i * 8 + k] = (unsigned char)(id >> (8 * k));
        }
    }
    u->write.apply = apply_used;
    must(store_write_now(s, &u->write, &err), &err);
    int64_t began = clock_ns();
    must(gc_fold(&g, &err), &err);
    jw_key(w, "touch_us");
    jw_real(w, (double)(clock_ns() - began) / 1000.0 / TOUCHED);
    free(u);
}

/* And known again, as far as there is room for it. */
static void warm(const char *dir)
{
    CLEANUP(cleanup_free) char *path = xasprintf("%s/wf.db", dir);
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(cleanup_free) char *buffer = xmalloc(1 << 20);

    while (fd >= 0 && read(fd, buffer, 1 << 20) > 0) {
    }
}

static void measure(const char *dir)
{
    struct store *s = open_at(dir);
    CLEANUP(sb_done) struct str out = {0};
    struct cache_stats st;
    struct jsonw w;
    struct err err = {0};

    must(cache_stats(s, &st, &err), &err);
    jw_init(&w, &out, true);
    jw_object(&w);
    jw_kv_i64(&w, "entries", (int64_t)st.entries);
    jw_kv_i64(&w, "objects", (int64_t)st.objects);
    jw_key(&w, "bytes_per_entry");
    jw_real(&w, (double)st.database_bytes / (double)st.entries);
    store_close(s);
    chill(dir);
    s = open_at(dir);
    lookups(s, st.entries, COLD_LOOKUPS, true, 1, &w, "hit_cold");
    store_close(s);
    chill(dir);
    s = open_at(dir);
    lookups(s, st.entries, COLD_LOOKUPS, false, 1, &w, "miss_cold");
    warm(dir);
    lookups(s, st.entries, LOOKUPS, true, 77777, NULL, NULL);
    lookups(s, st.entries, LOOKUPS, true, 77777, &w, "hit_warm");
    lookups(s, st.entries, LOOKUPS, false, 77777, &w, "miss_warm");
    inserts(s, st.entries, &w);
    touches(s, st.entries, &w);
    jw_end_object(&w);
    puts(sb_text(&out));
    store_close(s);
}

/* --- gc --- */

struct slices {
    VEC(int64_t) us;
};

static void on_slice(int64_t us, void *arg)
{
    struct slices *s = arg;

    *vec_push(&s->us) = us * 1000;
}

static void collect(const char *dir, uint64_t keep)
{
    struct store *s = open_at(dir);
    struct slices slices = {0};
    struct gc_options o = {.max_entries = keep, .on_slice = on_slice, .arg = &slices};
    CLEANUP(sb_done) struct str out = {0};
    struct gc_report r;
    struct jsonw w;
    struct err err = {0};

    int64_t began = clock_ns();
    must(cache_gc(s, &o, &r, &err), &err);
    double seconds = (double)(clock_ns() - began) / 1e9;
    jw_init(&w, &out, true);
    jw_object(&w);
    jw_kv_i64(&w, "removed", (int64_t)r.entries_removed);
    jw_kv_i64(&w, "objects", (int64_t)r.objects_removed);
    jw_kv_i64(&w, "slices", (int64_t)slices.us.len);
    jw_key(&w, "seconds");
    jw_real(&w, seconds);
    jw_key(&w, "per_second");
    jw_real(&w, (double)r.entries_removed / seconds);
    if (slices.us.len > 0) {
        put_times(&w, "slice", slices.us.items, slices.us.len);
    }
    jw_end_object(&w);
    puts(sb_text(&out));
    vec_done(&slices.us);
    store_close(s);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "fill") == 0) {
        fill(argv[2], strtoull(argv[3], NULL, 10), atoi(argv[4]) != 0);
    } else if (argc == 3 && strcmp(argv[1], "measure") == 0) {
        measure(argv[2]);
    } else if (argc == 4 && strcmp(argv[1], "gc") == 0) {
        collect(argv[2], strtoull(argv[3], NULL, 10));
    } else {
        fprintf(stderr, "usage: scale.py starts this\n");
        return 2;
    }
    return 0;
}

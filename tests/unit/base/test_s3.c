/* SPDX-License-Identifier: Apache-2.0 */
/* What requests look like. That servers take the signatures is shown by the stories with a real one. */
#include "base/err.h"
#include "base/mem.h"
#include "base/s3.h"
#include "base/str.h"
#include "base/vec.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void clear_env(void)
{
    const char *const names[] = {
        "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL",      "AWS_REGION",       "AWS_DEFAULT_REGION",
        "AWS_ACCESS_KEY_ID",   "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        unsetenv(names[i]);
    }
}

TestSuite(base_s3, .init = clear_env);

static void keys(void)
{
    setenv("AWS_ACCESS_KEY_ID", "AK", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "SECRET", 1);
}

static struct s3 *new_s3(void)
{
    struct err err = {0};
    struct s3 *s = NULL;
    cr_assert_eq(s3_new(&s, &err), 0, "%s", err.msg);
    return s;
}

Test(base_s3, urls)
{
    struct err err = {0};
    char *bucket = NULL, *key = NULL;
    cr_assert_eq(s3_parse("s3://my.bucket/a/b c", &bucket, &key, &err), 0, "%s", err.msg);
    cr_assert_str_eq(bucket, "my.bucket");
    cr_assert_str_eq(key, "a/b c");
    free(bucket);
    free(key);
    cr_assert_eq(s3_parse("S3://b", &bucket, &key, &err), 0, "%s", err.msg);
    cr_assert_str_eq(bucket, "b");
    cr_assert_str_eq(key, "");
    free(bucket);
    free(key);
    const char *const bad[] = {"s3://",      "s3:///key",  "s3:/b/k",
                               "http://b/k", "s3://b?x/k", "s3://a b/"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_assert_eq(s3_parse(bad[i], &bucket, &key, &err), -ERR_USAGE, "%s", bad[i]);
    }
}

Test(base_s3, environment)
{
    struct err err = {0};
    struct s3 *s = new_s3();
    cr_assert_str_eq(s3_endpoint(s), "https://s3.us-east-1.amazonaws.com");
    cr_assert_not(s3_signs(s));
    s3_free(s);
    setenv("AWS_DEFAULT_REGION", "eu-west-1", 1);
    s = new_s3();
    cr_assert_str_eq(s3_endpoint(s), "https://s3.eu-west-1.amazonaws.com");
    s3_free(s);
    setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000//", 1);
    s = new_s3();
    cr_assert_str_eq(s3_endpoint(s), "http://127.0.0.1:9000");
    s3_free(s);
    setenv("AWS_ENDPOINT_URL_S3", "ftp://x", 1);
    cr_assert_eq(s3_new(&s, &err), -ERR_USAGE);
    cr_assert(strstr(err.msg, "AWS_ENDPOINT_URL_S3"), "%s", err.msg);
    unsetenv("AWS_ENDPOINT_URL_S3");
    setenv("AWS_ACCESS_KEY_ID", "AK", 1);
    cr_assert_eq(s3_new(&s, &err), -ERR_USAGE);
    cr_assert(strstr(err.msg, "AWS_SECRET_ACCESS_KEY is not"), "%s", err.msg);
}

static bool has_line(const struct s3_call *c, const char *line)
{
    for (const char *const *h = c->http.headers; *h; h++) {
        if (strcmp(*h, line) == 0) {
            return true;
        }
    }
    return false;
}

Test(base_s3, object)
{
    struct err err = {0};
    struct s3_call c;
    struct digest d;
    const char *extra[] = {"If-None-Match: *", NULL};
    keys();
    setenv("AWS_SESSION_TOKEN", "T", 1);
    struct s3 *s = new_s3();
    cr_assert_eq(s3_object(s, "GET", "b", "a b/ü+%~.x", NULL, extra, &c, &err), 0, "%s", err.msg);
    cr_assert_str_eq(c.http.url, "https://s3.us-east-1.amazonaws.com/b/a%20b/%C3%BC%2B%25~.x");
    cr_assert_str_eq(c.http.aws_sigv4, "aws:amz:us-east-1:s3");
    cr_assert_str_eq(c.http.user, "AK");
    cr_assert_str_eq(c.http.password, "SECRET");
    cr_assert(has_line(&c, "If-None-Match: *"));
    cr_assert(has_line(&c, "x-amz-security-token: T"));
    cr_assert(has_line(&c, "x-amz-content-sha256: "
                           "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    s3_call_done(&c);
    digest_of("abc", 3, &d);
    cr_assert_eq(s3_object(s, "PUT", "b", "k", &d, NULL, &c, &err), 0, "%s", err.msg);
    cr_assert(has_line(&c, "x-amz-content-sha256: "
                           "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    s3_call_done(&c);
    const char *const bad[] = {"", ".", "..", "a/../b", "a/.", "./a"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_assert_eq(s3_object(s, "GET", "b", bad[i], NULL, NULL, &c, &err), -ERR_USAGE, "%s",
                     bad[i]);
    }
    cr_assert_eq(s3_object(s, "GET", "b", "...a/..b", NULL, NULL, &c, &err), 0, "%s", err.msg);
    s3_call_done(&c);
    s3_free(s);
}

Test(base_s3, unsigned)
{
    struct err err = {0};
    struct s3_call c;
    struct s3 *s = new_s3();
    cr_assert_eq(s3_object(s, "GET", "b", "k", NULL, NULL, &c, &err), 0, "%s", err.msg);
    cr_assert_null(c.http.aws_sigv4);
    cr_assert_null(c.http.user);
    cr_assert_null(c.http.headers[0]);
    s3_call_done(&c);
    s3_free(s);
}

Test(base_s3, list_request)
{
    struct err err = {0};
    struct s3_call c;
    struct s3 *s = new_s3();
    cr_assert_eq(s3_list(s, "b", "a/b &", NULL, &c, &err), 0, "%s", err.msg);
    cr_assert_str_eq(c.http.url,
                     "https://s3.us-east-1.amazonaws.com/b/?encoding-type=url&list-type=2"
                     "&prefix=a%2Fb%20%26");
    s3_call_done(&c);
    cr_assert_eq(s3_list(s, "b", "", "to/ken=", &c, &err), 0, "%s", err.msg);
    cr_assert_str_eq(c.http.url,
                     "https://s3.us-east-1.amazonaws.com/b/?continuation-token=to%2Fken%3D"
                     "&encoding-type=url&list-type=2&prefix=");
    s3_call_done(&c);
    s3_free(s);
}

struct items {
    VEC(char *) lines;
};

static int add(const struct s3_item *i, void *arg, struct err *err)
{
    struct items *items = arg;
    (void)err;
    *vec_push(&items->lines) =
        xasprintf("%s %s %llu", i->key, i->etag, (unsigned long long)i->size);
    return strcmp(i->key, "stop") == 0 ? -(int)ERR_CANCELLED : 0;
}

static const char two[] =
    "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
    "<Name>b</Name><Prefix>p/</Prefix><IsTruncated>true</IsTruncated><EncodingType>url</"
    "EncodingType>"
    "<NextContinuationToken>t&amp;1</NextContinuationToken>"
    "<Contents><Key>p/a%20b+c%2B</Key><ETag>&quot;e1&quot;</ETag><Size>12</Size></Contents>"
    "<Contents><Key>p/x</Key><ETag>&#34;e2&#x22;</ETag><Size>0</Size></Contents>"
    "</ListBucketResult>";

Test(base_s3, list)
{
    struct err err = {0};
    struct items items = {0};
    char *token = NULL;
    cr_assert_eq(s3_list_read(two, strlen(two), add, &items, &token, &err), 0, "%s", err.msg);
    cr_assert_str_eq(token, "t&1");
    cr_assert_eq(items.lines.len, 2);
    cr_assert_str_eq(items.lines.items[0], "p/a b c+ \"e1\" 12");
    cr_assert_str_eq(items.lines.items[1], "p/x \"e2\" 0");
    free(token);
    for (size_t i = 0; i < items.lines.len; i++) {
        free(items.lines.items[i]);
    }
    vec_done(&items.lines);
}

Test(base_s3, bad_lists)
{
    const char *const bad[] = {
        "",
        "<html>no</html>",
        "<ListBucketResult><Contents><Key>a</Key>",
        "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        ("<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>a%00</Key><Size>1"
         "</Size></Contents></ListBucketResult>"),
    };
    struct items items = {0};
    struct err err = {0};
    char *token = NULL;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_assert_eq(s3_list_read(bad[i], strlen(bad[i]), add, &items, &token, &err), -ERR_INVALID,
                     "%s", bad[i]);
    }
    /* Cut off anywhere, an answer is refused or read as far as it is whole, within its bounds. */
    for (size_t len = 0; len < strlen(two); len++) {
        CLEANUP(cleanup_free) char *cut = xmemdup(two, len ? len : 1);
        cr_assert_eq(s3_list_read(cut, len, add, &items, &token, &err), -ERR_INVALID);
    }
    for (size_t i = 0; i < items.lines.len; i++) {
        free(items.lines.items[i]);
    }
    vec_done(&items.lines);
}

Test(base_s3, refusal)
{
    CLEANUP(sb_done) struct str out = {0};
    const char *xml =
        "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code><Message>&lt;b&gt; is "
        "not there</Message></Error>";
    s3_refusal("<html>", 6, &out);
    s3_refusal(NULL, 0, &out);
    cr_assert_eq(out.len, 0);
    s3_refusal(xml, strlen(xml), &out);
    cr_assert_str_eq(sb_text(&out), "NoSuchBucket: <b> is not there");
}

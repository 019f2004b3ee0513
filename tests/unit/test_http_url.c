/* LINK: http/url http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include <stdio.h>
#include <stdlib.h>

#include "http/url.h"

struct parsed {
	enum url_fault fault;
	struct url url;
	char space[4096];
	char text[1024];
	struct head head;
};

/* It is its parts, one behind the other. */
static void
expect_whole(const struct url *u, const char *scheme)
{
	char text[4096];
	int n = snprintf(text, sizeof text, "%s://%.*s%.*s%s%.*s", scheme, SLICE_FMT(u->authority),
	    SLICE_FMT(u->path), u->has_query ? "?" : "", SLICE_FMT(u->query));

	assert_int_equal(u->whole.n, n);
	assert_string_equal(u->whole.p, text);
	assert_ptr_equal(u->path.p, u->authority.p + u->authority.n);
}

/* A request for target with that Host (NULL: none), as the parser leaves it. */
static void
parse(
    struct parsed *r, enum method method, const char *target, const char *host, const char *scheme)
{
	size_t n = strlen(target);

	r->head = (struct head){.base = r->text, .method = method, .minor = host != NULL};
	memcpy(r->text, target, n);
	r->head.target_len = (uint32_t)n;
	if (host != NULL) {
		char *line = r->text + n + 1;
		stpcpy(stpcpy(line, "Host:"), host);
		head_add(&r->head, slice_from(line));
	}
	assert_true(url_space(&r->head) <= sizeof r->space);
	memset(r->space, '!', sizeof r->space);
	r->fault = url_of_request(&r->head, slice_from(scheme), r->space, &r->url);
	assert_int_equal(r->space[url_space(&r->head)], '!');
	if (r->fault == URL_GOOD)
		expect_whole(&r->url, scheme);
}

static void
expect_path(const char *path, const char *want)
{
	struct parsed r;

	parse(&r, METHOD_GET, path, "a", "http");
	if (r.fault != URL_GOOD)
		fail_msg("%s: %s", path, url_fault_text(r.fault));
	expect_text(r.url.path, want);
	parse(&r, METHOD_GET, want, "a", "http"); /* its own normal form */
	assert_int_equal(r.fault, URL_GOOD);
	expect_text(r.url.path, want);
}

static void
expect_fault(const char *target, const char *host, enum url_fault want)
{
	struct parsed r;

	parse(&r, METHOD_GET, target, host, "http");
	if (r.fault != want)
		fail_msg("%s at %s: \"%s\"", target, host, url_fault_text(r.fault));
}

static void
paths_that_mean_the_same_become_the_same(void **state)
{
	expect_path("/", "/");
	expect_path("/products/42", "/products/42");
	expect_path("/%7euser/%41%2d%5F", "/~user/A-_");
	expect_path("/a%c3%a4", "/a%C3%A4");
	expect_path("/a|b/[x]/{y}\\^`", "/a%7Cb/%5Bx%5D/%7By%7D%5C%5E%60");
	expect_path("/a%7cb", "/a%7Cb");
	expect_path("/!$&'()*+,;=:@", "/!$&'()*+,;=:@");
	expect_path("/.well-known/x", "/.well-known/x");
}

static void
dot_segments_are_resolved_however_they_are_written(void **state)
{
	expect_path("/a/./b", "/a/b");
	expect_path("/a/../b", "/b");
	expect_path("/a/b/..", "/a/");
	expect_path("/a/.", "/a/");
	expect_path("/.", "/");
	expect_path("/a/%2e%2E/b", "/b");
	expect_path("/a/.%2e/b", "/b");
	expect_path("/a/%2e/b", "/a/b");
	expect_path("/...", "/...");
	expect_path("/a/..b/.c", "/a/..b/.c");
	expect_fault("/..", "a", URL_CLIMB);
	expect_fault("/a/../../b", "a", URL_CLIMB);
	expect_fault("/%2e%2e/etc/passwd", "a", URL_CLIMB);
}

static void
an_encoded_slash_is_no_slash_and_two_slashes_are_not_one(void **state)
{
	expect_path("/a%2fb", "/a%2Fb");
	expect_path("/a/..%2fb", "/a/..%2Fb");
	expect_path("/a/%252e%252e/b", "/a/%252e%252e/b");
	expect_path("/a//b", "/a//b");
	expect_path("//a", "//a");
	expect_path("/a//../b", "/a/b");
	expect_path("/a%5c..%5cb", "/a%5C..%5Cb");
}

static void
broken_escapes_and_nul_are_refused(void **state)
{
	expect_fault("/%", "a", URL_ESCAPE);
	expect_fault("/%4", "a", URL_ESCAPE);
	expect_fault("/%4g", "a", URL_ESCAPE);
	expect_fault("/%+1", "a", URL_ESCAPE);
	expect_fault("/%%41", "a", URL_ESCAPE);
	expect_fault("/a%00b", "a", URL_ESCAPE);

	char space[16];
	struct slice out;
	assert_int_equal(url_path_normal(SLICE_LIT("/a\0b"), space, &out), URL_ESCAPE);
}

static void
a_query_is_kept_byte_for_byte(void **state)
{
	struct parsed r;

	parse(&r, METHOD_GET, "/a?B=%7e&c=%&d=../x?y", "a", "http");
	assert_int_equal(r.fault, URL_GOOD);
	expect_text(r.url.path, "/a");
	expect_text(r.url.query, "B=%7e&c=%&d=../x?y");
	parse(&r, METHOD_GET, "/a?", "a", "http");
	assert_true(r.url.has_query);
	assert_int_equal(r.url.query.n, 0);
	parse(&r, METHOD_GET, "/a", "a", "http");
	assert_false(r.url.has_query);
}

static void
expect_authority(const char *host, const char *scheme, const char *want)
{
	struct parsed r;

	parse(&r, METHOD_GET, "/", host, scheme);
	if (r.fault != URL_GOOD)
		fail_msg("%s: %s", host, url_fault_text(r.fault));
	expect_text(r.url.authority, want);
	parse(&r, METHOD_GET, "/", want, scheme);
	expect_text(r.url.authority, want);
}

static void
a_host_has_one_spelling(void **state)
{
	expect_authority("Shop.Example", "http", "shop.example");
	expect_authority("a:80", "http", "a");
	expect_authority("a:80", "https", "a:80");
	expect_authority("a:443", "https", "a");
	expect_authority("a:", "http", "a");
	expect_authority("a:00080", "http", "a");
	expect_authority("a.:8080", "http", "a:8080");
	expect_authority("my_app-1", "http", "my_app-1");
	expect_authority("127.0.0.1:65535", "http", "127.0.0.1:65535");
	expect_authority("[::1]", "http", "[::1]");
	expect_authority("[::]:80", "http", "[::]");
	expect_authority("[2001:DB8::A]:81", "http", "[2001:db8::a]:81");
	expect_authority("[0:0:0:0:0:0:0:1]", "http", "[::1]");
	expect_authority("[::ffff:1.2.3.4]", "http", "[::ffff:1.2.3.4]");
}

static void
what_is_no_host_is_refused(void **state)
{
	static const char *const hosts[] = {"", ".", "a..", "..", ":80", "a b", "a/b", "u@a", "a,b",
	    "a%2eb", "a?b", "[::1", "[]", "[::1]x", "[::1]x:80", "[1:2:3]", "[::1::2]", "[12345::]",
	    "[:::]", "[1.2.3.4]", "[v1.x]", "[fe80::1%eth0]", "a\xc3\xa4"};
	char longest[300];

	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
		expect_fault("/", hosts[i], URL_HOST);
	memset(longest, 'a', 256);
	longest[256] = '\0';
	expect_fault("/", longest, URL_HOST);
	expect_fault("/", "a:0", URL_PORT);
	expect_fault("/", "a:65536", URL_PORT);
	expect_fault("/", "a:+80", URL_PORT);
	expect_fault("/", "u:p@a", URL_PORT);
	expect_fault("/", "::1", URL_PORT);
	expect_fault("/", "a:80:80", URL_PORT);
	expect_fault("/", "a:18446744073709551696", URL_PORT);
}

static void
an_absolute_target_goes_before_host(void **state)
{
	struct parsed r;

	parse(&r, METHOD_GET, "HTTP://B.example:80/x/../y?q", "a", "http");
	assert_int_equal(r.fault, URL_GOOD);
	expect_text(r.url.authority, "b.example");
	expect_text(r.url.path, "/y");
	expect_text(r.url.query, "q");
	parse(&r, METHOD_GET, "http://b?q", "a", "http");
	expect_text(r.url.path, "/");
	expect_text(r.url.query, "q");
	expect_fault("http://", "a", URL_HOST);
	expect_fault("http:///x", "a", URL_HOST);
	expect_fault("http://u:p@b/x", "a", URL_PORT);
	expect_fault("http://u@b/x", "a", URL_HOST);
	expect_fault("ftp://b/x", "a", URL_FORM);
	expect_fault("http:/b", "a", URL_FORM);
	expect_fault("b:443", "a", URL_FORM);
}

static void
an_asterisk_is_a_target_of_options_alone(void **state)
{
	struct parsed r;

	parse(&r, METHOD_OPTIONS, "*", "a", "http");
	assert_int_equal(r.fault, URL_GOOD);
	expect_text(r.url.path, "*");
	expect_fault("*", "a", URL_FORM);
	parse(&r, METHOD_OPTIONS, "*x", "a", "http");
	assert_int_equal(r.fault, URL_FORM);
}

static void
http_1_0_may_come_without_host(void **state)
{
	struct parsed r;

	parse(&r, METHOD_GET, "/", NULL, "http");
	assert_int_equal(r.fault, URL_GOOD);
	expect_text(r.url.authority, "localhost");
}

static void
expect_query(const char *query, enum query_keep keep, bool sorted, const char *want)
{
	static const char *const names[] = {"page", "utm_*", "a b", "x[]"};
	struct query_rules rules = {
	    .keep = keep, .names = names, .names_count = 4, .sorted = sorted};
	struct buf out = {0};

	url_query_filter(slice_from(query), &rules, &out);
	expect_text(buf_slice(&out), want);
	buf_fini(&out);
}

static void
a_query_keeps_the_parameters_that_count(void **state)
{
	expect_query("page=1&b=2", QUERY_KEEP_LISTED, false, "page=1");
	expect_query("page=1&utm_x=2&pages=3", QUERY_DROP_LISTED, false, "pages=3");
	expect_query("b=2&page&utm_", QUERY_KEEP_LISTED, false, "page&utm_");
	expect_query("Page=1", QUERY_KEEP_LISTED, false, "");
	expect_query("b=2&a=1", QUERY_KEEP_ALL, false, "b=2&a=1");
	expect_query("", QUERY_KEEP_ALL, true, "");
}

static void
what_is_dropped_everywhere_is_dropped_unless_listed(void **state)
{
	static const char *const names[] = {"page"}, *const dropped[] = {"utm_*", "gclid"};
	struct query_rules rules = {
	    .names = names, .names_count = 1, .also_dropped = dropped, .also_dropped_count = 2};
	struct buf out = {0};

	url_query_filter(SLICE_LIT("utm_id=1&page=2&gclid=3&b=4&gclidx=5&g%63lid=6"), &rules, &out);
	expect_text(buf_slice(&out), "page=2&b=4&gclidx=5");
	out.n = 0;
	rules.keep = QUERY_DROP_LISTED;
	url_query_filter(SLICE_LIT("utm_id=1&page=2&b=4&a=1;gclid=2"), &rules, &out);
	expect_text(buf_slice(&out), "b=4&a=1;gclid=2");
	out.n = 0;
	rules.keep = QUERY_KEEP_LISTED;
	rules.names = (const char *const[]){"gclid"};
	url_query_filter(SLICE_LIT("utm_id=1&gclid=2"), &rules, &out);
	expect_text(buf_slice(&out), "gclid=2");
	buf_fini(&out);
}

/* The origin reads a parameter under its decoded name: what it can see must not fall out of the key. */
static void
a_parameter_cannot_hide_behind_another_spelling(void **state)
{
	expect_query("p%61ge=2", QUERY_KEEP_LISTED, false, "p%61ge=2");
	expect_query(
	    "a+b=1&a%20b=2&x%5b%5D=3", QUERY_KEEP_LISTED, false, "a+b=1&a%20b=2&x%5b%5D=3");
	expect_query("utm%5fsource=2&c", QUERY_DROP_LISTED, false, "c");
	expect_query("utm_x=1;page=2", QUERY_DROP_LISTED, false, "utm_x=1;page=2");
	expect_query("b=1;page=2", QUERY_KEEP_LISTED, false, "b=1;page=2");
}

static void
sorting_keeps_the_order_of_equal_names(void **state)
{
	expect_query("b=2&a=2&a=1", QUERY_KEEP_ALL, true, "a=2&a=1&b=2");
	expect_query("aa=1&a=2", QUERY_KEEP_ALL, true, "a=2&aa=1");
	expect_query("b&%61=2&a=1", QUERY_KEEP_ALL, true, "%61=2&a=1&b");
	expect_query("b&a=1&%61=2", QUERY_KEEP_ALL, true, "a=1&%61=2&b");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_dropped_everywhere_is_dropped_unless_listed),
	    cmocka_unit_test(paths_that_mean_the_same_become_the_same),
	    cmocka_unit_test(dot_segments_are_resolved_however_they_are_written),
	    cmocka_unit_test(an_encoded_slash_is_no_slash_and_two_slashes_are_not_one),
	    cmocka_unit_test(broken_escapes_and_nul_are_refused),
	    cmocka_unit_test(a_query_is_kept_byte_for_byte),
	    cmocka_unit_test(a_host_has_one_spelling),
	    cmocka_unit_test(what_is_no_host_is_refused),
	    cmocka_unit_test(an_absolute_target_goes_before_host),
	    cmocka_unit_test(an_asterisk_is_a_target_of_options_alone),
	    cmocka_unit_test(http_1_0_may_come_without_host),
	    cmocka_unit_test(a_query_keeps_the_parameters_that_count),
	    cmocka_unit_test(a_parameter_cannot_hide_behind_another_spelling),
	    cmocka_unit_test(sorting_keeps_the_order_of_equal_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

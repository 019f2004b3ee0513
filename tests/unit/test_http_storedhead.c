/* LINK: http/storedhead http/h1 http/cachecontrol http/sf http/sf_bare http/date http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include <stdio.h>

#include "http/h1.h"
#include "http/storedhead.h"

static const struct stored_rules strict = {.drop_set_cookie = true, .now_ms = NOON_MS};
static const struct stored_rules lax = {.now_ms = NOON_MS};

/* What is known of the text while it is written is what a parser finds in it. */
static void
expect_parsed(const struct head *as, const struct buf *text)
{
	struct head read;

	assert_true(head_of_stored(&read, buf_slice(text)));
	assert_ptr_equal(as->base, read.base);
	assert_int_equal(as->minor, read.minor);
	assert_int_equal(as->method, read.method);
	assert_int_equal(as->status, read.status);
	assert_int_equal(as->reason_at, read.reason_at);
	assert_int_equal(as->reason_len, read.reason_len);
	assert_int_equal(as->size, read.size);
	assert_int_equal(as->count, read.count);
	assert_memory_equal(as->first, read.first, sizeof(read.first));
	for (unsigned i = 0; i < read.count; i++) {
		const struct field *a = &as->fields[i], *b = &read.fields[i];

		assert_int_equal(a->name_at, b->name_at);
		assert_int_equal(a->name_len, b->name_len);
		assert_int_equal(a->value_at, b->value_at);
		assert_int_equal(a->value_len, b->value_len);
		assert_int_equal(a->id, b->id);
		assert_int_equal(a->is_hop, b->is_hop);
	}
}

static void
expect_stored(const char *fields, const struct stored_rules *r, const char *want)
{
	struct head h = response_of(200, fields);
	struct cache_control cc;
	struct buf b = {0};
	struct head as;

	cache_control_of_response(&h, &cc);
	assert_true(stored_head_write(&h, &cc, r, &b, &as));
	expect_text(buf_slice(&b), want);
	expect_parsed(&as, &b);
	b.n = 0;
	passing_head_write(&h, &b, &as);
	expect_parsed(&as, &b);
	buf_fini(&b);
}

static void
expect_merged(const char *stored, const char *fresh, const struct stored_rules *r, const char *want)
{
	struct head a = response_of(200, stored), b = response_of(304, fresh);
	struct cache_control cc;
	struct buf out = {0};
	struct head as;

	cache_control_of_response(&b, &cc);
	assert_true(stored_head_merge(&a, &b, &cc, r, &out, &as));
	expect_text(buf_slice(&out), want);
	expect_parsed(&as, &out);
	buf_fini(&out);
}

#define START "HTTP/1.1 200 \r\n"
#define DATE "Date: Wed, 18 Nov 2026 12:00:00 GMT"

static void
what_is_for_one_hop_or_one_answer_is_not_kept(void **state)
{
	expect_stored("Connection: a, b\na: 1\nb: 2\nc: 3\nKeep-Alive: x\nTransfer-Encoding: "
		      "chunked\nAge: 5\n"
		      "RateLimit: \"x\";r=1\nProxy-Authenticate: y\n" DATE,
	    &strict, START "c: 3\r\n" DATE "\r\n\r\n");
}

static void
a_response_without_date_is_given_the_time_it_came(void **state)
{
	expect_stored("A: 1", &strict, START "A: 1\r\n" DATE "\r\n\r\n");
}

static void
cookies_and_fields_named_by_no_cache_stay_out(void **state)
{
	expect_stored(DATE "\nSet-Cookie: a=b", &strict, START DATE "\r\n\r\n");
	expect_stored(DATE "\nSet-Cookie: a=b", &lax, START DATE "\r\nSet-Cookie: a=b\r\n\r\n");
	expect_stored(DATE "\nCache-Control: no-cache=\"a, b\"\na: 1\nB: 2\nc: 3", &lax,
	    START DATE "\r\nCache-Control: no-cache=\"a, b\"\r\nc: 3\r\n\r\n");
}

static void
a_304_replaces_what_it_has_and_keeps_the_rest(void **state)
{
	expect_merged("Date: Wed, 18 Nov 2026 11:00:00 GMT\nTest-Header: old\nCache-Control: "
		      "max-age=1\nX-Two: a\nX-Two: b\n"
		      "Content-Length: 36\nContent-Encoding: gzip\nKept: k",
	    DATE "\ntest-header: new\nCache-Control: max-age=3600\nX-Two: c\nContent-Length: "
		 "10\nContent-Encoding: br\n"
		 "Connection: close",
	    &strict,
	    START "Content-Encoding: gzip\r\nKept: k\r\n" DATE
		  "\r\ntest-header: new\r\nCache-Control: max-age=3600\r\nX-Two: c\r\n\r\n");
}

static void
a_304_brings_no_cookie_into_the_cache_and_its_own_date(void **state)
{
	expect_merged("Date: Wed, 18 Nov 2026 11:00:00 GMT\nA: 1", "Set-Cookie: sid=1\nAge: 7",
	    &strict, START "A: 1\r\n" DATE "\r\n\r\n");
	/* what Connection names in the 304 is not its to replace */
	expect_merged(
	    DATE "\nA: 1", DATE "\nConnection: a\nA: 2", &strict, START "A: 1\r\n" DATE "\r\n\r\n");
}

/* As many as a head can have, and no Date among them: there is no room for ours. */
static void
one_field_too_many_is_said_and_not_written(void **state)
{
	char text[HEAD_FIELDS_MAX * 8] = "";
	struct cache_control cc;
	struct buf b = {0};
	struct head h, as, one = head_of("New: 1");

	for (int i = 0; i < HEAD_FIELDS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%sA%d: 1",
		    i > 0 ? "\n" : "", i);
	h = head_of(text);
	cache_control_of_response(&h, &cc);
	assert_false(stored_head_write(&h, &cc, &strict, &b, &as));
	b.n = 0;
	passing_head_write(&h, &b, &as);
	expect_parsed(&as, &b);
	b.n = 0;
	assert_false(stored_head_merge(&h, &one, &cc, &strict, &b, &as));
	buf_fini(&b);
}

static uint64_t dice = 20261121;

static unsigned throw(unsigned sides)
{
	dice = dice * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(dice >> 33) % sides;
}

/* Mostly as we would write it ourselves. */
static void
make_response(struct buf *text, struct head *h)
{
	static const char *const lines[] = {"Server: x", "Content-Type: text/html", "X-One: 1",
	    "X-Empty: ", "ETag: \"a\"", "Vary: a, b", "X-Two: 2", "Cache-Control: max-age=5",
	    "Last-Modified: Wed, 18 Nov 2026 11:00:00 GMT", DATE, DATE, "Connection: close",
	    "Keep-Alive: x", "Age: 5", "Set-Cookie: a=b", "X-Wide:  3", "X-Late: 4 ", "X-Near:5"};
	struct h1_parser parser;

	text->n = 0;
	buf_printf(
	    text, "HTTP/1.%u %u %s\r\n", throw(12) > 0, 200 + throw(3), throw(3) ? "OK" : "");
	for (unsigned i = throw(8), usual = throw(3) ? 11 : 18; i > 0; i--)
		buf_printf(text, "%s\r\n", lines[throw(usual)]);
	buf_add_lit(text, "\r\n");
	h1_parser_init(&parser, H1_RESPONSE, &(struct h1_limits){.head_bytes = 65536});
	assert_int_equal(h1_parse(&parser, h, text->p, text->n), H1_WHOLE);
}

static void
a_head_that_need_not_be_written_is_what_would_have_been(void **state)
{
	struct buf text = {0}, written = {0};
	unsigned passing = 0;
	struct head h, is, as;

	for (int round = 0; round < 20000; round++) {
		make_response(&text, &h);
		written.n = 0;
		passing_head_write(&h, &written, &as);
		if (passing_head_is(&h, &is)) {
			passing++;
			assert_int_equal(written.n, text.n);
			assert_memory_equal(written.p, text.p, text.n);
			expect_parsed(&is, &text);
		}
	}
	assert_true(passing > 1000 && passing < 19000);
	buf_fini(&text);
	buf_fini(&written);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_for_one_hop_or_one_answer_is_not_kept),
	    cmocka_unit_test(a_response_without_date_is_given_the_time_it_came),
	    cmocka_unit_test(cookies_and_fields_named_by_no_cache_stay_out),
	    cmocka_unit_test(a_304_replaces_what_it_has_and_keeps_the_rest),
	    cmocka_unit_test(a_304_brings_no_cookie_into_the_cache_and_its_own_date),
	    cmocka_unit_test(one_field_too_many_is_said_and_not_written),
	    cmocka_unit_test(a_head_that_need_not_be_written_is_what_would_have_been),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

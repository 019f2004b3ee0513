/* LINK: policy/compress http/negotiate http/fields http/head base/buf base/mem */
#include "policy/compress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A head of "Name: value\n" lines. */
static struct head
head_of(const char *lines)
{
	struct head h = {.base = lines, .status = 200};

	for (const char *at = lines; *at != '\0';) {
		const char *colon = strchr(at, ':'), *end = strchr(at, '\n');
		struct field *f = &h.fields[h.count];

		f->name_at = (uint32_t)(at - lines);
		f->name_len = (uint16_t)(colon - at);
		f->value_at = (uint32_t)(colon + 2 - lines);
		f->value_len = (uint16_t)(end - colon - 2);
		f->id = (uint8_t)field_id_of(field_name(&h, f));
		h.count++;
		if (h.first[f->id] == 0)
			h.first[f->id] = (uint8_t)h.count;
		at = end + 1;
	}
	return h;
}

/* NULL: a client that says nothing. */
static struct accept_encoding
accepting(const char *accept_encoding)
{
	char line[200] = "";
	struct head request;
	struct accept_encoding a;

	if (accept_encoding != NULL)
		snprintf(line, sizeof(line), "Accept-Encoding: %s\n", accept_encoding);
	request = head_of(line);
	accept_encoding_read(&request, &a);
	return a;
}

/* A JSON answer of 5000 bytes to a plain GET. */
static const struct compress_facts json = {
    .status = 200, .origin_coding = ENC_IDENTITY, .length = 5000, .is_listed = true};

static struct compress_rules
rules(void)
{
	struct compress_rules r;

	compress_rules_init(&r);
	return r;
}

static struct compress_plan
choose(const struct compress_facts *f, const char *accept_encoding)
{
	struct compress_rules r = rules();
	struct accept_encoding accept = accepting(accept_encoding);

	return compress_choose(&r, f, &accept);
}

static void
assert_encodes(const struct compress_facts *f, const char *accept_encoding, enum encoding coding)
{
	struct compress_plan p = choose(f, accept_encoding);

	assert_int_equal(p.verb, COMPRESS_ENCODE);
	assert_int_equal(p.coding, coding);
	assert_int_equal(p.reason, COMPRESS_encoded);
	assert_true(p.has_vary);
}

static void
assert_passes(const struct compress_facts *f, const char *accept_encoding,
    enum compress_reason reason, bool has_vary)
{
	struct compress_plan p = choose(f, accept_encoding);

	assert_int_equal(p.verb, COMPRESS_PASS);
	assert_int_equal(p.reason, reason);
	assert_int_equal(p.has_vary, has_vary);
	assert_int_equal(p.coding, f->origin_coding);
}

static void
the_best_coding_the_client_takes_is_chosen(void **state)
{
	assert_encodes(&json, "gzip, deflate, br, zstd", ENC_BR);
	assert_encodes(&json, "gzip", ENC_GZIP);
	assert_encodes(&json, "x-gzip", ENC_GZIP);
	assert_encodes(&json, "br;q=0.5, gzip;q=0.8", ENC_GZIP);
	assert_encodes(&json, "br;q=0, *", ENC_ZSTD);
	assert_encodes(&json, "gzip, zstd", ENC_ZSTD);
	assert_encodes(&json, "*", ENC_BR);
	assert_encodes(&json, "gzip;q=0.1", ENC_GZIP);
}

static void
a_client_that_takes_no_coding_gets_none_and_vary(void **state)
{
	assert_passes(&json, "", COMPRESS_not_accepted, true);
	assert_passes(&json, NULL, COMPRESS_not_accepted, true);
	assert_passes(&json, "deflate", COMPRESS_not_accepted, true);
	assert_passes(&json, "gzip;q=0, br;q=0, zstd;q=0", COMPRESS_not_accepted, true);
	assert_passes(&json, "gzip;q=0.5, identity", COMPRESS_not_accepted, true);
}

static void
the_routes_order_decides_between_equals(void **state)
{
	struct compress_rules r = rules();
	struct accept_encoding accept = accepting("br, gzip");

	r.encodings[0] = ENC_GZIP;
	r.encodings[1] = ENC_BR;
	r.encodings[2] = 0;
	assert_int_equal(compress_choose(&r, &json, &accept).coding, ENC_GZIP);
	r.encodings[0] = 0;
	assert_int_equal(compress_choose(&r, &json, &accept).reason, COMPRESS_off);
}

static void
what_has_no_body_or_is_a_part_is_left_alone(void **state)
{
	static const uint16_t without[] = {100, 101, 103, 204, 205, 304};
	struct compress_facts f = json;

	for (size_t i = 0; i < 6; i++) {
		f.status = without[i];
		assert_passes(&f, "br", COMPRESS_no_body, false);
	}
	f.status = 206;
	assert_passes(&f, "br", COMPRESS_partial, false);
	f.origin_coding = ENC_GZIP;
	assert_passes(&f, "br", COMPRESS_partial, false);
	f = json;
	f.status = 404;
	assert_encodes(&f, "br", ENC_BR);
}

static void
a_range_counts_in_the_stored_form(void **state)
{
	struct compress_facts f = json;

	f.has_range = true;
	assert_passes(&f, "br", COMPRESS_range, true);
}

static void
no_transform_is_obeyed_in_both_directions(void **state)
{
	struct compress_facts f = json;

	f.no_transform = true;
	assert_passes(&f, "br", COMPRESS_no_transform, false);
	f.origin_coding = ENC_GZIP;
	assert_passes(&f, "", COMPRESS_no_transform, false);
}

static void
short_bodies_stay_plain_and_unknown_lengths_do_not(void **state)
{
	struct compress_facts f = json;

	f.length = 255;
	assert_passes(&f, "br", COMPRESS_too_short, false);
	f.length = 256;
	assert_encodes(&f, "br", ENC_BR);
	f.length = CODEC_SIZE_UNKNOWN;
	assert_encodes(&f, "br", ENC_BR);
	f.is_listed = false;
	assert_passes(&f, "br", COMPRESS_type, false);
}

static void
nothing_is_coded_twice(void **state)
{
	struct compress_facts f = json;

	f.origin_coding = ENC_GZIP;
	assert_passes(&f, "gzip, br", COMPRESS_coded_already, true);
	f.origin_coding = ENC_OTHER;
	assert_passes(&f, "gzip, br", COMPRESS_coded_already, false);
	assert_passes(&f, "", COMPRESS_coded_already, false);
}

static void
who_does_not_take_the_origins_coding_gets_it_decoded(void **state)
{
	static const enum encoding codings[] = {ENC_GZIP, ENC_BR, ENC_ZSTD};
	struct compress_facts f = json;

	for (size_t i = 0; i < 3; i++) {
		struct compress_plan p;

		f.origin_coding = codings[i];
		f.is_listed = i & 1; /* whatever the type */
		p = choose(&f, "deflate");
		assert_int_equal(p.verb, COMPRESS_DECODE);
		assert_int_equal(p.coding, codings[i]);
		assert_true(p.has_vary);
		assert_int_equal(choose(&f, NULL).verb, COMPRESS_DECODE);
		assert_int_equal(choose(&f, "identity;q=0").verb, COMPRESS_PASS);
	}
}

static void
a_route_without_compression_still_decodes(void **state)
{
	struct compress_rules r = rules();
	struct accept_encoding none = accepting(""), all = accepting("br, gzip");
	struct compress_facts f = json;

	r.is_on = false;
	assert_int_equal(compress_choose(&r, &f, &all).reason, COMPRESS_off);
	f.origin_coding = ENC_BR;
	assert_int_equal(compress_choose(&r, &f, &none).verb, COMPRESS_DECODE);
}

static void
event_streams_are_flushed_and_take_the_light_coding(void **state)
{
	struct compress_rules r = rules();
	struct compress_facts f = json;
	struct compress_plan p;
	struct codec_options o;

	f.length = CODEC_SIZE_UNKNOWN;
	f.is_events = true;
	assert_encodes(&f, "br, gzip", ENC_GZIP);
	assert_encodes(&f, "br, gzip;q=0.9", ENC_BR);
	assert_encodes(&f, "br", ENC_BR);
	p = choose(&f, "br, gzip");
	assert_true(p.is_flushed);
	o = compress_options(&r, &p, f.length);
	assert_true(o.is_long_lived);
	assert_false(choose(&json, "br").is_flushed);
}

static void
what_is_coded_for_each_client_anew_takes_the_quick_coding(void **state)
{
	struct compress_rules r = rules();
	struct accept_encoding all = accepting("gzip, br, zstd");
	struct compress_facts f = json;

	f.is_passing = true;
	assert_encodes(&f, "gzip, br, zstd", ENC_ZSTD);
	assert_encodes(&f, "gzip, br, zstd;q=0.9", ENC_BR);
	assert_encodes(&f, "gzip, br", ENC_BR);
	r.encodings[1] = 0; /* br alone is offered */
	assert_int_equal(compress_choose(&r, &f, &all).coding, ENC_BR);
	f.is_events = true;
	assert_encodes(&f, "gzip, br, zstd", ENC_GZIP);
}

static void
text_like_types_are_listed_by_default(void **state)
{
	static const char *const yes[] = {"text/html", "text/html; charset=utf-8",
	    "Application/JSON ;charset=utf-8", "application/problem+json", "image/svg+xml",
	    "application/javascript", "text/javascript", "application/xml", "application/rss+xml",
	    "application/wasm", "font/ttf", "image/x-icon", "text/event-stream"};
	static const char *const no[] = {"", "image/png", "font/woff2", "application/zip", "text",
	    "application/octet-stream", "video/mp4", "text/", "+json", "application/jsonx"};
	struct compress_rules r = rules();

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(compress_type_is_listed(&r, slice_from(yes[i])));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(compress_type_is_listed(&r, slice_from(no[i])));
	assert_false(compress_type_is_listed(&r, SLICE_NONE));
	assert_true(compress_type_is_events(SLICE_LIT("text/event-stream;charset=utf-8")));
	assert_false(compress_type_is_events(SLICE_LIT("text/html")));
}

static void
a_list_of_types_of_ones_own_takes_three_forms(void **state)
{
	static const char *const bad[] = {"", "*", "*/*x y", "text", "/", "text/", "a b/c", "+",
	    "a/b/c", "text/html; charset=utf-8", "a/+json,"};
	struct compress_rules r = rules();
	const struct slice types[] = {
	    SLICE_LIT("model/*"), SLICE_LIT("+cbor"), SLICE_LIT("application/x-tar")};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(compress_type_is_valid(slice_from(bad[i])));
	for (size_t i = 0; i < 3; i++)
		assert_true(compress_type_is_valid(types[i]));
	r.types = types;
	r.type_count = 3;
	assert_true(compress_type_is_listed(&r, SLICE_LIT("model/obj")));
	assert_true(compress_type_is_listed(&r, SLICE_LIT("application/a+cbor")));
	assert_true(compress_type_is_listed(&r, SLICE_LIT("application/X-Tar")));
	assert_false(compress_type_is_listed(&r, SLICE_LIT("text/html")));
}

static void
assert_head_becomes(const struct compress_plan *p, const char *origin_lines, const char *expected)
{
	struct head origin = head_of(origin_lines);
	struct buf out = {0};

	for (uint16_t i = 0; i < origin.count; i++) {
		const struct field *f = &origin.fields[i];

		if (!compress_replaces(p, f->id))
			buf_printf(&out, "%.*s: %.*s\r\n", SLICE_FMT(field_name(&origin, f)),
			    SLICE_FMT(field_value(&origin, f)));
	}
	compress_add_fields(p, &origin, &out);
	buf_add_char(&out, '\0');
	assert_string_equal(out.p, expected);
	buf_fini(&out);
}

static void
an_encoded_response_keeps_no_field_that_is_no_longer_true(void **state)
{
	struct compress_plan p = choose(&json, "gzip");

	assert_head_becomes(&p,
	    "Content-Type: application/json\nContent-Length: 5000\nAccept-Ranges: bytes\n"
	    "ETag: \"abc\"\nContent-MD5: x\nDigest: y\nContent-Digest: z\nRepr-Digest: z\n"
	    "Last-Modified: then\n",
	    "Content-Type: application/json\r\nLast-Modified: then\r\n"
	    "Content-Encoding: gzip\r\nETag: W/\"abc\"\r\nVary: Accept-Encoding\r\n");
	assert_head_becomes(&p, "etag: W/\"abc\"\n",
	    "Content-Encoding: gzip\r\nETag: W/\"abc\"\r\nVary: Accept-Encoding\r\n");
	assert_head_becomes(
	    &p, "ETag: abc\n", "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n");
}

static void
a_decoded_response_has_no_content_encoding(void **state)
{
	struct compress_facts f = json;
	struct compress_plan p;

	f.origin_coding = ENC_BR;
	p = choose(&f, "");
	assert_head_becomes(&p,
	    "Content-Encoding: br\nContent-Length: 9\nETag: \"a\"\nVary: Origin\n",
	    "ETag: W/\"a\"\r\nVary: Origin, Accept-Encoding\r\n");
}

static void
vary_names_accept_encoding_exactly_once(void **state)
{
	struct compress_plan p = choose(&json, "");

	assert_head_becomes(&p, "ETag: \"a\"\nContent-Length: 5000\n",
	    "ETag: \"a\"\r\nContent-Length: 5000\r\nVary: Accept-Encoding\r\n");
	assert_head_becomes(&p, "Vary: accept-encoding\n", "Vary: accept-encoding\r\n");
	assert_head_becomes(&p, "Vary: Origin\nVary: Accept-Encoding, Cookie\n",
	    "Vary: Origin, Accept-Encoding, Cookie\r\n");
	assert_head_becomes(&p, "Vary: *\n", "Vary: *\r\n");
	assert_head_becomes(&p, "Vary: ,\n", "Vary: Accept-Encoding\r\n");
	p.has_vary = false;
	assert_head_becomes(&p, "Vary: Origin\n", "Vary: Origin\r\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_best_coding_the_client_takes_is_chosen),
	    cmocka_unit_test(a_client_that_takes_no_coding_gets_none_and_vary),
	    cmocka_unit_test(the_routes_order_decides_between_equals),
	    cmocka_unit_test(what_has_no_body_or_is_a_part_is_left_alone),
	    cmocka_unit_test(a_range_counts_in_the_stored_form),
	    cmocka_unit_test(no_transform_is_obeyed_in_both_directions),
	    cmocka_unit_test(short_bodies_stay_plain_and_unknown_lengths_do_not),
	    cmocka_unit_test(nothing_is_coded_twice),
	    cmocka_unit_test(who_does_not_take_the_origins_coding_gets_it_decoded),
	    cmocka_unit_test(a_route_without_compression_still_decodes),
	    cmocka_unit_test(event_streams_are_flushed_and_take_the_light_coding),
	    cmocka_unit_test(what_is_coded_for_each_client_anew_takes_the_quick_coding),
	    cmocka_unit_test(text_like_types_are_listed_by_default),
	    cmocka_unit_test(a_list_of_types_of_ones_own_takes_three_forms),
	    cmocka_unit_test(an_encoded_response_keeps_no_field_that_is_no_longer_true),
	    cmocka_unit_test(a_decoded_response_has_no_content_encoding),
	    cmocka_unit_test(vary_names_accept_encoding_exactly_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

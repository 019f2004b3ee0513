/* LINK: server/accessrecord server/accessring server/accessline server/clientip server/observe server/observe_read base/metric base/buf base/mem http/cachestatus http/sf http/sf_bare http/head http/fields */
#include "server/accessrecord.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOON_MS 1795262400123 /* 2026-11-21T12:00:00.123Z */
#define SMALL_RING ((size_t)2 * ACCESS_RECORD_MAX)

static uint32_t seed = 1;

static uint32_t
draw(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

/* Mostly plain, at times with what must be escaped, at times UTF-8, at times anything. */
static void
fill_noise(char *p, size_t n)
{
	static const char odd[] = "\"\\\x7f\n\xc3\xa9\xe2\x82\xac\xff\x80 @:/?#";
	unsigned kind = draw(4);

	for (size_t i = 0; i < n; i++) {
		if (kind == 3)
			p[i] = (char)draw(256);
		else if (kind > 0 && draw(kind == 1 ? 40 : 4) == 0)
			p[i] = odd[draw(sizeof(odd) - 1)];
		else
			p[i] = (char)('a' + draw(26));
	}
}

/* Short as a rule; every fifth about as long as its share or longer. NUL-terminated. */
static struct slice
a_text(size_t share)
{
	size_t n = draw(5) > 0 ? draw(60) : share - 30 + draw(60), from = 0;
	char *p = malloc(n + 12000);

	if (draw(6) == 0)
		n += draw(9000);
	fill_noise(p, n);
	if (draw(3) == 0 && n > 20) { /* a URL, perhaps with a user */
		memcpy(p, draw(2) == 0 ? "http://ab" : "https://u", 9);
		from = 9 + draw((uint32_t)n - 9);
		for (size_t i = 9; i < from; i++)
			if (p[i] == '/' || p[i] == '?' || p[i] == '#')
				p[i] = '@';
		if (draw(2) == 0)
			p[from] = '@';
	} else if (draw(2) == 0 && n > 0) {
		p[0] = '/';
	}
	p[n] = '\0';
	return slice_of(p, n);
}

static const char *
a_string(size_t share)
{
	struct slice s = a_text(share);
	char *p = (char *)(uintptr_t)s.p;

	for (size_t i = 0; i < s.n; i++)
		if (p[i] == '\0')
			p[i] = '0';
	return p;
}

static struct outcome
an_odd_request(void)
{
	struct outcome out = {.version_major = draw(2) * 2,
	    .version_minor = draw(2),
	    .status = (int)draw(1000),
	    .cache_word = (enum cache_word)draw(CACHE_WORD_COUNT),
	    .tier = (enum tier)draw(TIER_COUNT),
	    .end = (enum request_end)draw(END_COUNT),
	    .tries = draw(5),
	    .started_wall_ms = NOON_MS + draw(5000),
	    .total_us = (int64_t)draw(1u << 24) * draw(1u << 24),
	    .wait_us = draw(1000),
	    .origin_us = draw(2) * draw(100000),
	    .bytes_in = draw(1u << 24),
	    .bytes_out = (uint64_t)draw(1u << 24) * draw(100),
	    .client = {.kind = (uint8_t)draw(4)}};

	for (unsigned i = 0; i < 16; i++)
		out.client.bytes[i] = (uint8_t)draw(256);
#define TEXT_slice a_text
#define TEXT_url a_text
#define TEXT_string a_string
#define X(name, kind, share, least) out.name = TEXT_##kind(share);
	ACCESS_TEXTS(X)
#undef X
	if (draw(4) == 0) {
		free((char *)(uintptr_t)out.referer.p);
		out.referer = SLICE_NONE;
	}
	if (draw(4) == 0) {
		free((char *)(uintptr_t)out.fetch_end);
		out.fetch_end = NULL;
	}
	return out;
}

static void
request_free(struct outcome *out)
{
#define FREE_slice(v) free((char *)(uintptr_t)(v).p)
#define FREE_url(v) free((char *)(uintptr_t)(v).p)
#define FREE_string(v) free((char *)(uintptr_t)(v))
#define X(name, kind, share, least) FREE_##kind(out->name);
	ACCESS_TEXTS(X)
#undef X
}

static size_t
line_of_record(char *at, struct access_ring *r, struct access_stamp *stamp)
{
	const struct access_frame *f = access_ring_first(r, access_ring_until(r));
	struct outcome out;
	enum access_format format;
	size_t n;

	assert_non_null(f);
	format = access_record_read(f, &out);
	n = access_line(at, format, stamp, &out);
	access_ring_drop(r, f);
	return n;
}

static void
a_record_makes_the_line_that_its_request_makes(void **state)
{
	static char direct[ACCESS_LINE_MAX], recorded[ACCESS_LINE_MAX], room[ACCESS_RECORD_ROOM];
	struct access_stamp stamps[2] = {0};
	struct access_ring r;

	access_ring_init(&r, SMALL_RING);
	for (unsigned round = 0; round < 6000; round++) {
		enum access_format format = (enum access_format)(round % 3);
		struct outcome out = an_odd_request();
		size_t n = access_line(direct, format, &stamps[0], &out);

		assert_true(n <= ACCESS_LINE_MAX);
		assert_true(access_record_put(&r, format, &out, room));
		assert_int_equal(line_of_record(recorded, &r, &stamps[1]), n);
		assert_memory_equal(recorded, direct, n);
		assert_true(access_ring_is_empty(&r));
		request_free(&out);
	}
	access_ring_fini(&r);
}

static struct outcome
a_request_for(const char *agent)
{
	return (struct outcome){.method_text = SLICE_LIT("GET"),
	    .target = SLICE_LIT("/"),
	    .status = 200,
	    .version_minor = 1,
	    .started_wall_ms = NOON_MS,
	    .user_agent = slice_from(agent)};
}

static void
a_record_keeps_the_format_it_was_made_for(void **state)
{
	struct outcome out = a_request_for("a");
	struct access_stamp stamp = {0};
	char line[ACCESS_LINE_MAX], room[ACCESS_RECORD_ROOM];
	struct access_ring r;

	access_ring_init(&r, SMALL_RING);
	access_record_put(&r, ACCESS_COMBINED, &out, room);
	access_record_put(&r, ACCESS_JSON, &out, room);
	access_record_put(&r, ACCESS_EXTENDED, &out, room);
	line_of_record(line, &r, &stamp);
	assert_memory_equal(line, "- - - [", 7);
	line_of_record(line, &r, &stamp);
	assert_int_equal(line[0], '{');
	line_of_record(line, &r, &stamp);
	assert_memory_equal(line, "- - - [", 7);
	access_ring_fini(&r);
}

static void
a_password_is_cut_out_of_a_url_however_long(void **state)
{
	static char url[20000], line[ACCESS_LINE_MAX], room[ACCESS_RECORD_ROOM];
	struct outcome out = a_request_for("a");
	struct access_stamp stamp = {0};
	struct access_ring r;

	memset(url, 's', sizeof(url) - 1);
	memcpy(url, "http://anna:", 12);
	strcpy(url + 15000, "@example.com/page");
	out.target = slice_from(url);
	access_ring_init(&r, SMALL_RING);
	assert_true(access_record_put(&r, ACCESS_COMBINED, &out, room));
	line[line_of_record(line, &r, &stamp)] = '\0';
	assert_non_null(strstr(line, "\"GET http://example.com/page HTTP/1.1\""));
	access_ring_fini(&r);
}

/* What is put is taken out again in order, through many rounds of a ring that is mostly full. */
static void
records_come_in_order_and_a_full_ring_takes_no_more(void **state)
{
	static char agent[3000], room[ACCESS_RECORD_ROOM], line[ACCESS_LINE_MAX];
	unsigned put = 0, taken = 0, refused = 0;
	struct access_stamp stamp = {0};
	char wanted[32];
	struct access_ring r;

	memset(agent, 'a', sizeof(agent) - 1);
	access_ring_init(&r, SMALL_RING);
	while (taken < 20000) {
		struct outcome out = a_request_for(agent + draw(sizeof(agent)));

		out.bytes_out = put;
		if (access_record_put(&r, ACCESS_COMBINED, &out, room)) {
			put++;
			continue;
		}
		refused++;
		for (unsigned n = draw(40); n > 0 && taken < put; n--) {
			line[line_of_record(line, &r, &stamp)] = '\0';
			snprintf(wanted, sizeof(wanted), "\" 200 %u \"", taken++);
			if (strstr(line, wanted) == NULL)
				fail_msg("not %s: %s", wanted, line);
		}
	}
	assert_true(refused > 100);
	while (taken < put)
		line_of_record(line, &r, &stamp), taken++;
	assert_true(access_ring_is_empty(&r));
	assert_null(access_ring_first(&r, access_ring_until(&r)));
	access_ring_fini(&r);
}

/* The largest record there can be finds room in the smallest ring, wherever that ring stands. */
static void
an_empty_ring_has_room_for_any_record(void **state)
{
	static char longest[20000], room[ACCESS_RECORD_ROOM], line[ACCESS_LINE_MAX];
	struct access_stamp stamp = {0};
	struct access_ring r;
	struct outcome out = a_request_for("");

	memset(longest, 'a', sizeof(longest) - 1);
#define LONG_slice slice_from(longest)
#define LONG_url slice_from(longest)
#define LONG_string longest
#define X(name, kind, share, least) out.name = LONG_##kind;
	access_ring_init(&r, SMALL_RING);
	for (unsigned i = 0; i < 3000; i++) {
		ACCESS_TEXTS(X)
		assert_true(access_record_put(&r, ACCESS_JSON, &out, room));
		line_of_record(line, &r, &stamp);
		out = a_request_for(longest + sizeof(longest) - 1 - draw(64));
		assert_true(access_record_put(&r, ACCESS_COMBINED, &out, room));
		line_of_record(line, &r, &stamp);
	}
#undef X
	access_ring_fini(&r);
}

/* The escaping as it is meant: byte by byte, but that eight plain bytes go together, which shows where a text is cut. */
static size_t
escaped_plainly(char *at, struct slice s, size_t share)
{
	char *start = at, *end = at + share - 11;

	while (s.n > 0 && at < end) {
		size_t plain = 0;

		while (plain < 8 && plain < s.n && s.p[plain] >= 0x20 && s.p[plain] < 0x7f &&
		    s.p[plain] != '"' && s.p[plain] != '\\')
			plain++;
		if (plain == 0) {
			at += sprintf(at, "\\x%02x", (unsigned char)s.p[0]);
			s = slice_skip(s, 1);
			continue;
		}
		plain = plain == 8 ? 8 : 1;
		memcpy(at, s.p, plain);
		at += plain;
		s = slice_skip(s, plain);
	}
	if (s.n > 0) {
		memcpy(at, "\xe2\x80\xa6", 3);
		at += 3;
	}
	return (size_t)(at - start);
}

static void
texts_are_escaped_as_byte_by_byte(void **state)
{
	static char line[ACCESS_LINE_MAX], plainly[ACCESS_LINE_MAX];
	struct access_stamp stamp = {0};

	for (unsigned round = 0; round < 20000; round++) {
		struct slice s = a_text(ACCESS_SHARE_NAME);
		struct outcome out = {.method_text = s, .started_wall_ms = NOON_MS};
		size_t n = access_line(line, ACCESS_COMBINED, &stamp, &out);
		const char *begin = memmem(line, n, "] \"", 3);

		if (s.n > 0) {
			n = escaped_plainly(plainly, s, ACCESS_SHARE_NAME);
			assert_memory_equal(begin + 3, plainly, n);
			assert_memory_equal(begin + 3 + n, "  HTTP/1.0\"", 11);
		}
		free((char *)(uintptr_t)s.p);
	}
}

static void
an_address_is_written_as_the_system_writes_it(void **state)
{
	char text[CLIENT_IP_TEXT_MAX], wanted[INET6_ADDRSTRLEN];

	for (unsigned round = 0; round < 5000; round++) {
		struct address a = {.len = sizeof(a.u.in4)};
		bool is_v6 = round % 2 == 1;
		uint8_t *bytes = is_v6 ? a.u.in6.sin6_addr.s6_addr : (uint8_t *)&a.u.in4.sin_addr;
		struct client_ip ip;

		a.u.sa.sa_family = is_v6 ? AF_INET6 : AF_INET;
		for (unsigned i = 0; i < (is_v6 ? 16 : 4); i++)
			bytes[i] =
			    draw(3) == 0 ? 0 : (uint8_t)(round < 512 ? round / 2 : draw(256));
		ip = client_ip_of(&a);
		inet_ntop(a.u.sa.sa_family, bytes, wanted, sizeof(wanted));
		assert_true(slice_eq(client_ip_text(text, &ip), slice_from(wanted)));
	}
}

static void
an_address_in_other_clothes_is_itself(void **state)
{
	struct address mapped = {.u.in6 = {.sin6_family = AF_INET6}, .len = sizeof(mapped.u.in6)};
	struct address local = {.u.un = {.sun_family = AF_UNIX}, .len = 2}, none = {0};
	char text[CLIENT_IP_TEXT_MAX];
	struct client_ip ip;

	inet_pton(AF_INET6, "::ffff:192.0.2.7", &mapped.u.in6.sin6_addr);
	ip = client_ip_of(&mapped);
	assert_true(slice_eq(client_ip_text(text, &ip), SLICE_LIT("192.0.2.7")));
	ip = client_ip_of(&local);
	assert_true(slice_eq(client_ip_text(text, &ip), SLICE_LIT("unix")));
	ip = client_ip_of(&none);
	assert_int_equal(client_ip_text(text, &ip).n, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_record_makes_the_line_that_its_request_makes),
	    cmocka_unit_test(a_record_keeps_the_format_it_was_made_for),
	    cmocka_unit_test(a_password_is_cut_out_of_a_url_however_long),
	    cmocka_unit_test(records_come_in_order_and_a_full_ring_takes_no_more),
	    cmocka_unit_test(an_empty_ring_has_room_for_any_record),
	    cmocka_unit_test(texts_are_escaped_as_byte_by_byte),
	    cmocka_unit_test(an_address_is_written_as_the_system_writes_it),
	    cmocka_unit_test(an_address_in_other_clothes_is_itself),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

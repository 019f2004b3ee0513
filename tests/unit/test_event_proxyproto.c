/* LINK: event/proxyproto base/mem base/log base/clock */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "event/proxyproto.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static struct proxy_header got;
static const char *why;

/* Parsed from memory of exactly that size, so that a sanitizer sees each byte read beyond it. */
static enum proxy_answer
parse(const void *p, size_t n)
{
	char *exact = malloc(n + (n == 0));
	enum proxy_answer a;

	memcpy(exact, p, n);
	a = proxy_parse(slice_of(exact, n), &got, &why);
	free(exact);
	return a;
}

static enum proxy_answer
parse_line(const char *line)
{
	return parse(line, strlen(line));
}

static const char *
text_of(const struct address *a)
{
	static char text[80];
	char host[INET6_ADDRSTRLEN];

	if (a->u.sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->u.in4.sin_addr, host, sizeof(host));
		snprintf(text, sizeof(text), "%s:%u", host, ntohs(a->u.in4.sin_port));
	} else {
		inet_ntop(AF_INET6, &a->u.in6.sin6_addr, host, sizeof(host));
		snprintf(text, sizeof(text), "[%s]:%u", host, ntohs(a->u.in6.sin6_port));
	}
	return text;
}

/* A header of version 2 with that command, family and content. */
static size_t
v2(unsigned char *out, unsigned command, unsigned family, const void *rest, size_t n)
{
	memcpy(out, SIGNATURE, 12);
	out[12] = (unsigned char)command;
	out[13] = (unsigned char)family;
	out[14] = (unsigned char)(n >> 8);
	out[15] = (unsigned char)n;
	memcpy(out + 16, rest, n);
	return 16 + n;
}

static void
a_line_of_version_1_names_both_ends(void **state)
{
	const char *line = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET / HTTP/1.1\r\n";

	assert_int_equal(parse_line(line), PROXY_WHOLE);
	assert_true(got.has_addresses);
	assert_int_equal(got.size, strstr(line, "GET") - line);
	assert_string_equal(text_of(&got.from), "192.0.2.1:56324");
	assert_string_equal(text_of(&got.to), "198.51.100.2:443");
	assert_int_equal(parse_line("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"), PROXY_WHOLE);
	assert_string_equal(text_of(&got.from), "[2001:db8::1]:0");
	assert_string_equal(text_of(&got.to), "[::1]:65535");
}

static void
unknown_leaves_the_connection_to_speak_for_itself(void **state)
{
	assert_int_equal(parse_line("PROXY UNKNOWN\r\n"), PROXY_WHOLE);
	assert_false(got.has_addresses);
	assert_int_equal(got.size, 15);
	assert_int_equal(parse_line("PROXY UNKNOWN ffff::1 whatever 1 2 3\r\n"), PROXY_WHOLE);
	assert_false(got.has_addresses);
	assert_int_equal(parse_line("PROXY UNKNOWNS\r\n"), PROXY_BAD);
}

static void
every_beginning_of_a_header_is_partial(void **state)
{
	static const char line[] = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
				   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
	unsigned char h[64];
	size_t n = v2(h, 0x21, 0x11, "\1\2\3\4\5\6\7\10\0\120\1\273", 12);

	for (size_t i = 0; i < sizeof(line) - 1; i++)
		assert_int_equal(parse(line, i), PROXY_PARTIAL);
	assert_int_equal(parse(line, sizeof(line) - 1), PROXY_WHOLE);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(parse(h, i), PROXY_PARTIAL);
	assert_int_equal(parse(h, n), PROXY_WHOLE);
	assert_int_equal(got.size, n);
}

static void
what_is_almost_a_line_of_version_1_is_bad(void **state)
{
	static const char *const lines[] = {
	    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
	    "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
	    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
	    "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
	    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
	    "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
	    "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
	    "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
	    "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
	    "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
	    "PROXY TCP4 ::1 ::1 1 2\r\n",
	    "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
	    "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
	    "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
	    "PROXY TCP4 a-name-that-is-longer-than-any-address-could-be.example 192.0.2.2 1 2\r\n",
	    "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
	    "PROXY\r\n",
	    "PROXY \r\n",
	    "POST / HTTP/1.1\r\n",
	    "GET / HTTP/1.1\r\n",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		if (parse_line(lines[i]) != PROXY_BAD)
			fail_msg("taken: %s", lines[i]);
		assert_true(why[0] != '\0');
	}
}

static void
a_line_longer_than_107_bytes_is_bad_before_it_ends(void **state)
{
	char line[120] = "PROXY UNKNOWN ";

	memset(line + 14, 'x', sizeof(line) - 14);
	assert_int_equal(parse(line, 106), PROXY_PARTIAL);
	assert_int_equal(parse(line, 107), PROXY_BAD);
	memcpy(line + 105, "\r\n", 2);
	assert_int_equal(parse(line, 107), PROXY_WHOLE);
	memcpy(line + 105, "x\r\n", 3);
	assert_int_equal(parse(line, 108), PROXY_BAD);
}

static void
version_2_names_both_ends(void **state)
{
	unsigned char h[128];
	char six[36] = {0};
	size_t n = v2(h, 0x21, 0x11, "\300\0\2\1\306\63\144\2\0\120\1\273", 12);

	assert_int_equal(parse(h, n), PROXY_WHOLE);
	assert_true(got.has_addresses);
	assert_string_equal(text_of(&got.from), "192.0.2.1:80");
	assert_string_equal(text_of(&got.to), "198.51.100.2:443");
	six[15] = 1, six[31] = 2, six[33] = 7, six[35] = 9;
	n = v2(h, 0x21, 0x21, six, 36);
	assert_int_equal(parse(h, n), PROXY_WHOLE);
	assert_string_equal(text_of(&got.from), "[::1]:7");
	assert_string_equal(text_of(&got.to), "[::2]:9");
}

static void
local_unix_sockets_and_datagrams_leave_the_connection_to_speak_for_itself(void **state)
{
	static const struct {
		unsigned command, family;
		size_t n;
	} cases[] = {{0x20, 0x00, 0}, {0x20, 0x11, 12}, {0x20, 0xff, 5}, {0x21, 0x00, 0},
	    {0x21, 0x31, 216}, {0x21, 0x12, 12}, {0x21, 0x00, 3}};
	static char zeros[216];
	unsigned char h[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size_t n = v2(h, cases[i].command, cases[i].family, zeros, cases[i].n);

		assert_int_equal(parse(h, n), PROXY_WHOLE);
		assert_false(got.has_addresses);
		assert_int_equal(got.size, n);
	}
}

static void
what_is_almost_a_header_of_version_2_is_bad(void **state)
{
	static const struct {
		unsigned command, family;
		size_t n;
	} cases[] = {{0x11, 0x11, 12}, {0x31, 0x11, 12}, {0x22, 0x11, 12}, {0x21, 0x41, 12},
	    {0x21, 0x13, 12}, {0x21, 0x11, 11}, {0x21, 0x21, 35}, {0x21, 0x31, 215},
	    {0x21, 0x11, 13}, {0x21, 0x11, 14}};
	static char zeros[256];
	unsigned char h[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(
		    parse(h, v2(h, cases[i].command, cases[i].family, zeros, cases[i].n)),
		    PROXY_BAD);
	assert_int_equal(parse("\r\n\r\nGET", 7), PROXY_BAD);
	memcpy(h, SIGNATURE "\x21\x11\xff\xff", 16);
	assert_int_equal(parse(h, 16), PROXY_BAD); /* 64 KiB to come */
}

static void
tlvs_are_passed_over_when_they_fill_the_header(void **state)
{
	static const char rest[] = "\300\0\2\1\306\63\144\2\0\120\1\273"
				   "\x01\0\2h2"
				   "\x04\0\0"
				   "\x05\0\1i";
	unsigned char h[128];
	size_t n = v2(h, 0x21, 0x11, rest, sizeof(rest) - 1);

	assert_int_equal(parse(h, n), PROXY_WHOLE);
	assert_true(got.has_addresses);
	h[16 + 12 + 2] = 200; /* the first is longer than what is left */
	assert_int_equal(parse(h, n), PROXY_BAD);
}

/* The sum is made here another way, by a table. */
static void
a_checksum_must_be_right(void **state)
{
	static const char rest[] = "\177\0\0\1\177\0\0\1\0\1\0\2"
				   "\x03\0\4\0\0\0\0";
	unsigned char h[64];
	size_t n = v2(h, 0x21, 0x11, rest, sizeof(rest) - 1);
	uint32_t table[256], crc = UINT32_MAX;

	for (uint32_t i = 0; i < 256; i++) {
		table[i] = i;
		for (int b = 0; b < 8; b++)
			table[i] = table[i] & 1 ? table[i] >> 1 ^ 0x82f63b78u : table[i] >> 1;
	}
	for (size_t i = 0; i < n; i++)
		crc = table[(crc ^ h[i]) & 255] ^ crc >> 8;
	crc = htonl(~crc);
	assert_int_equal(parse(h, n), PROXY_BAD);
	memcpy(h + n - 4, &crc, 4);
	assert_int_equal(parse(h, n), PROXY_WHOLE);
	assert_true(got.has_addresses);
	h[n - 8] ^= 1; /* the port */
	assert_int_equal(parse(h, n), PROXY_BAD);
}

static struct address
address(const char *host, unsigned port)
{
	struct address a = {0};

	if (inet_pton(AF_INET, host, &a.u.in4.sin_addr) == 1) {
		a.u.in4.sin_family = AF_INET;
		a.u.in4.sin_port = htons((uint16_t)port);
		a.len = sizeof(a.u.in4);
		return a;
	}
	assert_int_equal(inet_pton(AF_INET6, host, &a.u.in6.sin6_addr), 1);
	a.u.in6.sin6_family = AF_INET6;
	a.u.in6.sin6_port = htons((uint16_t)port);
	a.len = sizeof(a.u.in6);
	return a;
}

static void
expect_line(const char *from, const char *to, const char *seen_from, const char *seen_to)
{
	struct address a = address(from, 1000), b = address(to, 80);
	struct proxy_line line;

	proxy_line_make(&line, &a, &b);
	assert_int_equal(parse(line.bytes, line.n), PROXY_WHOLE);
	assert_int_equal(got.size, line.n);
	assert_true(got.has_addresses);
	assert_string_equal(text_of(&got.from), seen_from);
	assert_string_equal(text_of(&got.to), seen_to);
}

static void
what_we_send_says_what_was_meant(void **state)
{
	struct address un = {.u.un.sun_family = AF_UNIX, .len = sizeof(un.u.un)};
	struct address ip = address("192.0.2.1", 1);
	struct proxy_line line, same;

	expect_line("192.0.2.1", "192.0.2.2", "192.0.2.1:1000", "192.0.2.2:80");
	expect_line("::ffff:192.0.2.1", "192.0.2.2", "192.0.2.1:1000", "192.0.2.2:80");
	expect_line("2001:db8::1", "::1", "[2001:db8::1]:1000", "[::1]:80");
	expect_line("192.0.2.1", "::1", "[::ffff:192.0.2.1]:1000", "[::1]:80");
	expect_line("192.0.2.1", "::", "192.0.2.1:1000", "0.0.0.0:80");
	proxy_line_make(&line, &ip, &un);
	assert_int_equal(parse(line.bytes, line.n), PROXY_WHOLE);
	assert_string_equal(text_of(&got.from), "192.0.2.1:1");
	assert_string_equal(text_of(&got.to), "0.0.0.0:0");
	proxy_line_make(&line, &un, &ip);
	assert_int_equal(parse(line.bytes, line.n), PROXY_WHOLE);
	assert_false(got.has_addresses);
	proxy_line_make(&same, NULL, &ip);
	assert_true(proxy_line_eq(&line, &same));
	proxy_line_make(&same, &ip, &ip);
	assert_false(proxy_line_eq(&line, &same));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_line_of_version_1_names_both_ends),
	    cmocka_unit_test(unknown_leaves_the_connection_to_speak_for_itself),
	    cmocka_unit_test(every_beginning_of_a_header_is_partial),
	    cmocka_unit_test(what_is_almost_a_line_of_version_1_is_bad),
	    cmocka_unit_test(a_line_longer_than_107_bytes_is_bad_before_it_ends),
	    cmocka_unit_test(version_2_names_both_ends),
	    cmocka_unit_test(
		local_unix_sockets_and_datagrams_leave_the_connection_to_speak_for_itself),
	    cmocka_unit_test(what_is_almost_a_header_of_version_2_is_bad),
	    cmocka_unit_test(tlvs_are_passed_over_when_they_fill_the_header),
	    cmocka_unit_test(a_checksum_must_be_right),
	    cmocka_unit_test(what_we_send_says_what_was_meant),
	};

	return cmocka_run_group_tests_name("event/proxyproto", tests, NULL, NULL);
}

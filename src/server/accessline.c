#include "server/accessline.h"

#include <assert.h>
#include <endian.h>
#include <time.h>

#include "base/buf.h"
#include "base/utf8.h"

#define SHARE_FIXED 512
static_assert(12 * ACCESS_SHARE_NAME + ACCESS_SHARE_HOST + 2 * ACCESS_SHARE_ROUTE +
	    2 * ACCESS_SHARE_AGENT + ACCESS_SHARE_TARGET + SHARE_FIXED <=
	ACCESS_LINE_MAX,
    "every line fits");

#define ELLIPSIS "\xe2\x80\xa6"
#define REPLACEMENT "\xef\xbf\xbd"
#define ESCAPE_MAX 6 /* \u001f */

static char *
put_three_digits(char *at, unsigned v)
{
	*at++ = (char)('0' + v / 100 % 10);
	*at++ = (char)('0' + v / 10 % 10);
	*at++ = (char)('0' + v % 10);
	return at;
}

static char *
put_ms(char *at, int64_t us)
{
	if (us < 0)
		us = 0;
	at = u64_write(at, (uint64_t)us / 1000);
	*at++ = '.';
	return put_three_digits(at, (unsigned)(us % 1000));
}

/* Most often it is written where it belongs, and not a literal. */
static char *
put_client(char *at, const struct client_ip *ip)
{
	struct slice s = client_ip_text(at, ip);

	return s.p == at ? at + s.n : bytes_write(at, s.p, s.n);
}

/* The first eight bytes, the first of them lowest; blanks behind the end of s, which is not empty. */
static inline uint64_t
first_eight(struct slice s)
{
	const uint64_t blanks = 0x2020202020202020u;
	const unsigned char *p = (const unsigned char *)s.p;
	uint32_t low, high;
	uint64_t x;

	if (s.n >= 8) {
		memcpy(&x, p, 8);
		return le64toh(x);
	}
	if (s.n >= 4) {
		memcpy(&low, p, 4);
		memcpy(&high, p + s.n - 4, 4);
		x = le32toh(low) | (uint64_t)le32toh(high) << (8 * (s.n - 4));
	} else {
		x = p[0] | (uint64_t)p[s.n / 2] << (8 * (s.n / 2)) |
		    (uint64_t)p[s.n - 1] << (8 * (s.n - 1));
	}
	return x | blanks << (8 * s.n);
}

/* The highest bit of the first byte that is not ASCII which stands for itself in both formats; 0: all are. (A borrow may make
 * bytes behind that one look odd, too.) */
static inline uint64_t
odd_ones(uint64_t x)
{
	const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
	uint64_t quote = x ^ ones * '"', backslash = x ^ ones * '\\', del = x ^ ones * 0x7f;

	return (x | (x - ones * 0x20) | (quote - ones) | (backslash - ones) | (del - ones)) & highs;
}

static char *
put_hex(char *at, const char *prefix, size_t n, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	at = bytes_write(at, prefix, n);
	*at++ = hex[c >> 4];
	*at++ = hex[c & 15];
	return at;
}

/* What *s begins with, which is not plain, for a JSON string. */
static char *
put_json_odd(char *at, struct slice *s)
{
	unsigned char c = (unsigned char)s->p[0];
	size_t n = utf8_length(*s);

	if (n == 0)
		at = LIT_WRITE(at, REPLACEMENT);
	else if (n > 1)
		at = bytes_write(at, s->p, n);
	else if (c == '"' || c == '\\')
		at = bytes_write(at, c == '"' ? "\\\"" : "\\\\", 2);
	else
		at = put_hex(at, "\\u00", 4, c);
	*s = slice_skip(*s, n == 0 ? 1 : n);
	return at;
}

static char *
put_combined_odd(char *at, struct slice *s)
{
	at = put_hex(at, "\\x", 2, (unsigned char)s->p[0]);
	*s = slice_skip(*s, 1);
	return at;
}

/* With something odd, or longer than its share: cut to the byte, but for eight plain ones, for which there is room. */
static inline char *
put_odd_text(char *at, struct slice s, char *end, char *(*odd)(char *, struct slice *))
{
	while (s.n > 0 && at < end) {
		uint64_t x = first_eight(s), found = odd_ones(x), written = htole64(x);
		size_t n = found == 0 ? 8 : (size_t)__builtin_ctzll(found) / 8;

		memcpy(at, &written, 8);
		if (n < 8 || s.n < 8) {
			n = n < s.n ? n : s.n;
			n = n < (size_t)(end - at) ? n : (size_t)(end - at);
		}
		at += n;
		s = slice_skip(s, n);
		if (found != 0 && s.n > 0 && at < end)
			at = odd(at, &s);
	}
	return s.n == 0 ? at : LIT_WRITE(at, ELLIPSIS);
}

static inline char *
put_escaped(char *at, struct slice s, size_t share, char *(*odd)(char *, struct slice *))
{
	char *end = at + share - (sizeof(ELLIPSIS) - 1) - 8;
	uint64_t x;

	for (; s.n >= 8 && at < end; at += 8, s = slice_skip(s, 8)) {
		memcpy(&x, s.p, 8);
		if (odd_ones(x) != 0)
			return put_odd_text(at, s, end, odd);
		memcpy(at, &x, 8);
	}
	if (s.n == 0)
		return at;
	x = first_eight(s);
	if (odd_ones(x) != 0 || end - at < 8)
		return put_odd_text(at, s, end, odd);
	x = htole64(x);
	memcpy(at, &x, 8);
	return at + s.n;
}

#define SCHEME_MAX 16

struct slice
access_url_user(struct slice url)
{
	const char *authority;
	struct slice rest;
	size_t n;

	if (url.n == 0 || url.p[0] == '/' || slice_index(url, ':') == url.n ||
	    (authority = memmem(url.p, url.n, "://", 3)) == NULL || authority - url.p > SCHEME_MAX)
		return slice_of(url.p, 0);
	rest = slice_skip(url, (size_t)(authority - url.p) + 3);
	for (n = 0; n < rest.n && rest.p[n] != '/' && rest.p[n] != '?' && rest.p[n] != '#';)
		n++;
	while (n > 0 && rest.p[n - 1] != '@')
		n--;
	return slice_of(rest.p, n);
}

/* Without the user and password of an absolute URL. */
static char *
put_url(char *at, struct slice s, size_t share, char *(*odd)(char *, struct slice *))
{
	struct slice user;
	size_t before;

	if (s.n == 0 || s.p[0] == '/' || (user = access_url_user(s)).n == 0)
		return put_escaped(at, s, share, odd);
	before = (size_t)(user.p - s.p);
	at = put_escaped(at, slice_of(s.p, before), ACCESS_SHARE_NAME, odd);
	return put_escaped(at, slice_skip(s, before + user.n), share - ACCESS_SHARE_NAME, odd);
}

/* Time */

static void
stamp_second(struct access_stamp *stamp, int64_t second)
{
	time_t t = second;
	struct tm tm;

	gmtime_r(&t, &tm);
	stamp->iso_len = strftime(stamp->iso, sizeof(stamp->iso), "%Y-%m-%dT%H:%M:%S", &tm);
	localtime_r(&t, &tm);
	stamp->combined_len =
	    strftime(stamp->combined, sizeof(stamp->combined), "%d/%b/%Y:%H:%M:%S %z", &tm);
	stamp->second = second;
}

/* JSON */

static char *
put_json(char *at, struct slice s, size_t share)
{
	*at++ = '"';
	at = put_escaped(at, s, share - 2, put_json_odd);
	*at++ = '"';
	return at;
}

static char *
put_json_url(char *at, struct slice s, size_t share)
{
	*at++ = '"';
	at = put_url(at, s, share - 2, put_json_odd);
	*at++ = '"';
	return at;
}

static char *
put_json_client(char *at, const struct client_ip *ip)
{
	*at++ = '"';
	at = put_client(at, ip);
	*at++ = '"';
	return at;
}

static char *
put_json_time(char *at, const struct access_stamp *stamp, int64_t wall_ms)
{
	*at++ = '"';
	memcpy(at, stamp->iso, sizeof(stamp->iso));
	at += stamp->iso_len;
	*at++ = '.';
	at = put_three_digits(at, (unsigned)(wall_ms % 1000));
	return LIT_WRITE(at, "Z\"");
}

static char *
put_version(char *at, const struct outcome *out)
{
	if (out->version_major == 2)
		return LIT_WRITE(at, "HTTP/2");
	at = LIT_WRITE(at, "HTTP/1.");
	*at++ = (char)('0' + out->version_minor % 10);
	return at;
}

static char *
put_json_version(char *at, const struct outcome *out)
{
	*at++ = '"';
	at = put_version(at, out);
	*at++ = '"';
	return at;
}

#define JSON_time(at, v) put_json_time(at, stamp, v)
#define JSON_client(at, v) put_json_client(at, v)
#define JSON_name(at, v) put_json(at, v, ACCESS_SHARE_NAME)
#define JSON_host(at, v) put_json(at, v, ACCESS_SHARE_HOST)
#define JSON_route(at, v) put_json(at, v, ACCESS_SHARE_ROUTE)
#define JSON_agent(at, v) put_json_url(at, v, ACCESS_SHARE_AGENT)
#define JSON_target(at, v) put_json_url(at, v, ACCESS_SHARE_TARGET)
#define JSON_version(at, v) put_json_version(at, v)
#define JSON_number(at, v) u64_write(at, v)
#define JSON_ms(at, v) put_ms(at, v)
#define JSON_origin(at, v) ((v) > 0 ? put_ms(at, v) : LIT_WRITE(at, "null"))

static char *
put_json_line(char *at, const struct access_stamp *stamp, const struct outcome *out)
{
	char *start = at;

#define X(name, kind, value, text)             \
	at = LIT_WRITE(at, ",\"" #name "\":"); \
	at = JSON_##kind(at, value);
	ACCESS_MEMBERS(X)
#undef X
	*start = '{';
	return LIT_WRITE(at, "}\n");
}

/* Combined */

static char *
put_quoted(char *at, struct slice s, size_t share)
{
	*at++ = '"';
	at = s.n == 0 ? LIT_WRITE(at, "-") : put_url(at, s, share - 2, put_combined_odd);
	*at++ = '"';
	return at;
}

static char *
put_request_line(char *at, const struct outcome *out)
{
	if (out->method_text.n == 0)
		return LIT_WRITE(at, "\"-\"");
	*at++ = '"';
	at = put_escaped(at, out->method_text, ACCESS_SHARE_NAME, put_combined_odd);
	*at++ = ' ';
	at = put_url(at, out->target, ACCESS_SHARE_TARGET, put_combined_odd);
	*at++ = ' ';
	at = put_version(at, out);
	*at++ = '"';
	return at;
}

static char *
put_combined_line(char *at, const struct access_stamp *stamp, const struct outcome *out)
{
	at = out->client.kind == CLIENT_IP_NONE ? LIT_WRITE(at, "-") : put_client(at, &out->client);
	at = LIT_WRITE(at, " - - [");
	memcpy(at, stamp->combined, sizeof(stamp->combined));
	at += stamp->combined_len;
	at = LIT_WRITE(at, "] ");
	at = put_request_line(at, out);
	*at++ = ' ';
	at = put_three_digits(at, (unsigned)out->status);
	*at++ = ' ';
	at = u64_write(at, out->bytes_out);
	*at++ = ' ';
	at = put_quoted(at, out->referer, ACCESS_SHARE_AGENT);
	*at++ = ' ';
	return put_quoted(at, out->user_agent, ACCESS_SHARE_AGENT);
}

/* Extended */

static char *
put_extra_text(char *at, struct slice s)
{
	return s.n == 0 ? LIT_WRITE(at, "-")
			: put_escaped(at, s, ACCESS_SHARE_NAME, put_combined_odd);
}

#define EXTRA_name(at, v) put_extra_text(at, v)
#define EXTRA_number(at, v) u64_write(at, v)
#define EXTRA_ms(at, v) put_ms(at, v)
#define EXTRA_origin(at, v) ((v) > 0 ? put_ms(at, v) : LIT_WRITE(at, "-"))

static char *
put_extras(char *at, const struct outcome *out)
{
#define X(name, kind, value, text) \
	*at++ = ' ';               \
	at = EXTRA_##kind(at, value);
	ACCESS_EXTRAS(X)
#undef X
	return at;
}

static char *
put_text_line(char *at, enum access_format format, const struct access_stamp *stamp,
    const struct outcome *out)
{
	at = put_combined_line(at, stamp, out);
	if (format == ACCESS_EXTENDED)
		at = put_extras(at, out);
	*at++ = '\n';
	return at;
}

size_t
access_line(
    char *at, enum access_format format, struct access_stamp *stamp, const struct outcome *out)
{
	int64_t second = out->started_wall_ms / 1000;
	char *end;

	if (second != stamp->second || stamp->iso[0] == '\0')
		stamp_second(stamp, second);
	end = format == ACCESS_JSON ? put_json_line(at, stamp, out)
				    : put_text_line(at, format, stamp, out);
	return (size_t)(end - at);
}

#include "server/accessline.h"

#include <assert.h>
#include <time.h>

#include "base/utf8.h"

/* Shares of a line, in bytes as written. With what is fixed they stay below ACCESS_LINE_MAX. */
#define SHARE_NAME 256
#define SHARE_HOST 512
#define SHARE_ROUTE 1024
#define SHARE_AGENT 2048
#define SHARE_TARGET 6144
#define SHARE_FIXED 512
static_assert(
    12 * SHARE_NAME + SHARE_HOST + 2 * SHARE_ROUTE + 2 * SHARE_AGENT + SHARE_TARGET + SHARE_FIXED <=
	ACCESS_LINE_MAX,
    "every line fits");

#define ELLIPSIS "\xe2\x80\xa6"
#define REPLACEMENT "\xef\xbf\xbd"
#define ESCAPE_MAX 6 /* \u001f */

static char *
put(char *at, const char *p, size_t n)
{
	memcpy(at, p, n);
	return at + n;
}

#define PUT_LIT(at, s) put((at), (s), sizeof(s) - 1)

static char *
put_number(char *at, uint64_t v)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	return put(at, digits + i, sizeof(digits) - i);
}

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
	at = put_number(at, (uint64_t)us / 1000);
	*at++ = '.';
	return put_three_digits(at, (unsigned)(us % 1000));
}

/* Whether eight bytes are ASCII that stands for itself in both formats. (Now and then it says no to bytes that are,
 * which only costs time.) */
static inline bool
are_plain(const char *p)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
	uint64_t x, quote, backslash, del;

	memcpy(&x, p, 8);
	quote = x ^ ones * '"';
	backslash = x ^ ones * '\\';
	del = x ^ ones * 0x7f;
	return ((x | (x - ones * 0x20) | (quote - ones) | (backslash - ones) | (del - ones)) &
		   high) == 0;
}

static inline bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static char *
put_hex(char *at, const char *prefix, size_t n, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	at = put(at, prefix, n);
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
		at = PUT_LIT(at, REPLACEMENT);
	else if (n > 1)
		at = put(at, s->p, n);
	else if (c == '"' || c == '\\')
		at = put(at, c == '"' ? "\\\"" : "\\\\", 2);
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

static inline char *
put_escaped(char *at, struct slice s, size_t share, char *(*odd)(char *, struct slice *))
{
	char *end = at + share - (sizeof(ELLIPSIS) - 1) - 8;

	while (s.n > 0 && at < end) {
		if (s.n >= 8 && are_plain(s.p)) {
			memcpy(at, s.p, 8);
			at += 8;
			s = slice_skip(s, 8);
		} else if (is_plain((unsigned char)s.p[0])) {
			*at++ = s.p[0];
			s = slice_skip(s, 1);
		} else {
			at = odd(at, &s);
		}
	}
	return s.n == 0 ? at : PUT_LIT(at, ELLIPSIS);
}

#define SCHEME_MAX 16

/* Without the user and password of an absolute URL. */
static char *
put_url(char *at, struct slice s, size_t share, char *(*odd)(char *, struct slice *))
{
	const char *authority;
	struct slice rest;
	size_t n;

	if (s.n == 0 || s.p[0] == '/' || slice_index(s, ':') == s.n ||
	    (authority = memmem(s.p, s.n, "://", 3)) == NULL || authority - s.p > SCHEME_MAX)
		return put_escaped(at, s, share, odd);
	rest = slice_skip(s, (size_t)(authority - s.p) + 3);
	for (n = 0; n < rest.n && rest.p[n] != '/' && rest.p[n] != '?' && rest.p[n] != '#';)
		n++;
	while (n > 0 && rest.p[n - 1] != '@')
		n--;
	if (n == 0)
		return put_escaped(at, s, share, odd);
	at = put_escaped(at, slice_of(s.p, (size_t)(rest.p - s.p)), SHARE_NAME, odd);
	return put_escaped(at, slice_skip(rest, n), share - SHARE_NAME, odd);
}

/* Time */

static void
stamp_second(struct access_stamp *stamp, int64_t second)
{
	time_t t = second;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(stamp->iso, sizeof(stamp->iso), "%Y-%m-%dT%H:%M:%S", &tm);
	localtime_r(&t, &tm);
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
put_json_time(char *at, const struct access_stamp *stamp, int64_t wall_ms)
{
	*at++ = '"';
	at = put(at, stamp->iso, strlen(stamp->iso));
	*at++ = '.';
	at = put_three_digits(at, (unsigned)(wall_ms % 1000));
	return PUT_LIT(at, "Z\"");
}

static char *
put_version(char *at, const struct outcome *out)
{
	if (out->version_major == 2)
		return PUT_LIT(at, "HTTP/2");
	at = PUT_LIT(at, "HTTP/1.");
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
#define JSON_name(at, v) put_json(at, v, SHARE_NAME)
#define JSON_host(at, v) put_json(at, v, SHARE_HOST)
#define JSON_route(at, v) put_json(at, v, SHARE_ROUTE)
#define JSON_agent(at, v) put_json_url(at, v, SHARE_AGENT)
#define JSON_target(at, v) put_json_url(at, v, SHARE_TARGET)
#define JSON_version(at, v) put_json_version(at, v)
#define JSON_number(at, v) put_number(at, v)
#define JSON_ms(at, v) put_ms(at, v)
#define JSON_origin(at, v) ((v) > 0 ? put_ms(at, v) : PUT_LIT(at, "null"))

static char *
put_json_line(char *at, const struct access_stamp *stamp, const struct outcome *out)
{
	char *start = at;

#define X(name, kind, value, text)           \
	at = PUT_LIT(at, ",\"" #name "\":"); \
	at = JSON_##kind(at, value);
	ACCESS_MEMBERS(X)
#undef X
	*start = '{';
	return PUT_LIT(at, "}\n");
}

/* Combined */

static char *
put_quoted(char *at, struct slice s, size_t share)
{
	*at++ = '"';
	at = s.n == 0 ? PUT_LIT(at, "-") : put_url(at, s, share - 2, put_combined_odd);
	*at++ = '"';
	return at;
}

static char *
put_request_line(char *at, const struct outcome *out)
{
	if (out->method_text.n == 0)
		return PUT_LIT(at, "\"-\"");
	*at++ = '"';
	at = put_escaped(at, out->method_text, SHARE_NAME, put_combined_odd);
	*at++ = ' ';
	at = put_url(at, out->target, SHARE_TARGET, put_combined_odd);
	*at++ = ' ';
	at = put_version(at, out);
	*at++ = '"';
	return at;
}

static char *
put_combined_line(char *at, const struct access_stamp *stamp, const struct outcome *out)
{
	struct slice client = out->client.n == 0 ? SLICE_LIT("-") : out->client;

	at = put_escaped(at, client, SHARE_NAME, put_combined_odd);
	at = PUT_LIT(at, " - - [");
	at = put(at, stamp->combined, strlen(stamp->combined));
	at = PUT_LIT(at, "] ");
	at = put_request_line(at, out);
	*at++ = ' ';
	at = put_three_digits(at, (unsigned)out->status);
	*at++ = ' ';
	at = put_number(at, out->bytes_out);
	*at++ = ' ';
	at = put_quoted(at, out->referer, SHARE_AGENT);
	*at++ = ' ';
	return put_quoted(at, out->user_agent, SHARE_AGENT);
}

/* Extended */

static char *
put_extra_text(char *at, struct slice s)
{
	return s.n == 0 ? PUT_LIT(at, "-") : put_escaped(at, s, SHARE_NAME, put_combined_odd);
}

#define EXTRA_name(at, v) put_extra_text(at, v)
#define EXTRA_number(at, v) put_number(at, v)
#define EXTRA_ms(at, v) put_ms(at, v)
#define EXTRA_origin(at, v) ((v) > 0 ? put_ms(at, v) : PUT_LIT(at, "-"))

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

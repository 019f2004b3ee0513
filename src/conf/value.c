#include "conf/value.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "base/slice.h"

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit durations[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000},
    {"d", 86400000}, {"w", 604800000}, {NULL, 0}};

static const struct unit sizes[] = {{"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
    {"TiB", (int64_t)1 << 40}, {"KB", 1000}, {"MB", 1000000}, {"GB", 1000000000},
    {"TB", 1000000000000}, {NULL, 0}};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t
digits(struct slice s)
{
	size_t n = 0;

	while (n < s.n && is_digit(s.p[n]))
		n++;
	return n;
}

/* Takes the digits at the front of s. */
static enum conf_value_result
take_number(struct slice *s, int64_t *out)
{
	size_t n = digits(*s);
	uint64_t v;

	if (n == 0)
		return CONF_VALUE_BAD;
	if (!slice_to_u64(slice_of(s->p, n), &v) || v > INT64_MAX)
		return CONF_VALUE_TOO_LARGE;
	*s = slice_skip(*s, n);
	*out = (int64_t)v;
	return CONF_VALUE_OK;
}

static enum conf_value_result
add_scaled(int64_t *sum, int64_t n, int64_t factor)
{
	int64_t product;

	if (__builtin_mul_overflow(n, factor, &product) ||
	    __builtin_add_overflow(*sum, product, sum))
		return CONF_VALUE_TOO_LARGE;
	return CONF_VALUE_OK;
}

static const struct unit *
take_unit(struct slice *s, const struct unit *units)
{
	size_t n = 0;

	while (n < s->n && !is_digit(s->p[n]))
		n++;
	for (; units->name != NULL; units++)
		if (slice_ieq(slice_of(s->p, n), slice_from(units->name))) {
			*s = slice_skip(*s, n);
			return units;
		}
	return NULL;
}

/* Numbers with units, each unit smaller than the one before. */
static enum conf_value_result
scaled(struct slice s, const struct unit *units, int64_t *out)
{
	int64_t sum = 0, n, last = INT64_MAX;
	enum conf_value_result r = CONF_VALUE_BAD;

	while (s.n > 0) {
		const struct unit *u;

		if ((r = take_number(&s, &n)) != CONF_VALUE_OK)
			return r;
		if (s.n == 0)
			return n == 0 ? CONF_VALUE_OK : CONF_VALUE_NO_UNIT;
		if ((u = take_unit(&s, units)) == NULL || u->factor >= last)
			return CONF_VALUE_BAD;
		if ((r = add_scaled(&sum, n, u->factor)) != CONF_VALUE_OK)
			return r;
		last = u->factor;
	}
	*out = sum;
	return r;
}

static bool
take_char(struct slice *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = slice_skip(*s, 1);
	return true;
}

/* The digits after the point of a TimeSpan, as ms; finer ones are dropped. */
static bool
take_fraction(struct slice *s, int64_t *ms)
{
	size_t n = digits(*s);
	int64_t weight = 100;

	if (n == 0 || n > 7 || n != s->n)
		return false;
	for (size_t i = 0; i < n; i++, weight /= 10)
		*ms += (s->p[i] - '0') * weight;
	*s = slice_skip(*s, n);
	return true;
}

static enum conf_value_result
time_span(struct slice s, int64_t *ms_out)
{
	static const int64_t below[] = {24, 60, 60}, factor[] = {3600000, 60000, 1000};
	int64_t sum = 0, n;
	size_t dot = slice_index(s, '.'), colon = slice_index(s, ':');

	if (dot < colon) {
		if (take_number(&s, &n) != CONF_VALUE_OK || !take_char(&s, '.'))
			return CONF_VALUE_BAD;
		if (add_scaled(&sum, n, 86400000) != CONF_VALUE_OK)
			return CONF_VALUE_TOO_LARGE;
	}
	for (size_t i = 0; i < 3; i++) {
		size_t width = digits(s);

		if ((i > 0 && width != 2) || width > 2 || take_number(&s, &n) != CONF_VALUE_OK ||
		    n >= below[i] || (i < 2 && !take_char(&s, ':')))
			return CONF_VALUE_BAD;
		if (add_scaled(&sum, n, factor[i]) != CONF_VALUE_OK)
			return CONF_VALUE_TOO_LARGE;
	}
	n = 0;
	if (s.n > 0 && (!take_char(&s, '.') || !take_fraction(&s, &n)))
		return CONF_VALUE_BAD;
	*ms_out = sum;
	return add_scaled(ms_out, n, 1);
}

enum conf_value_result
conf_value_bool(const char *s, bool *out)
{
	static const char *const words[] = {"no", "yes", "false", "true", "off", "on"};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcasecmp(s, words[i]) == 0) {
			*out = i % 2 == 1;
			return CONF_VALUE_OK;
		}
	return CONF_VALUE_BAD;
}

enum conf_value_result
conf_value_int(const char *s, int64_t *out)
{
	struct slice rest = slice_from(s);
	bool is_negative = take_char(&rest, '-');
	enum conf_value_result r;
	int64_t n;

	if ((r = take_number(&rest, &n)) != CONF_VALUE_OK)
		return r;
	if (rest.n > 0)
		return CONF_VALUE_BAD;
	*out = is_negative ? -n : n;
	return CONF_VALUE_OK;
}

enum conf_value_result
conf_value_duration(const char *s, int64_t *ms_out)
{
	struct slice text = slice_from(s);

	return strchr(s, ':') != NULL ? time_span(text, ms_out) : scaled(text, durations, ms_out);
}

enum conf_value_result
conf_value_size(const char *s, int64_t *bytes_out)
{
	return scaled(slice_from(s), sizes, bytes_out);
}

enum conf_value_result
conf_value_ratio(const char *s, double *out)
{
	struct slice rest = slice_from(s);
	double v = 0, weight = 0.1;

	if (digits(rest) == 0 || digits(rest) > 9)
		return CONF_VALUE_BAD;
	for (; rest.n > 0 && is_digit(rest.p[0]); rest = slice_skip(rest, 1))
		v = v * 10 + (rest.p[0] - '0');
	if (take_char(&rest, '.')) {
		if (digits(rest) == 0)
			return CONF_VALUE_BAD;
		for (; rest.n > 0 && is_digit(rest.p[0]); rest = slice_skip(rest, 1), weight /= 10)
			v += (rest.p[0] - '0') * weight;
	}
	if (take_char(&rest, '%'))
		v /= 100;
	if (rest.n > 0)
		return CONF_VALUE_BAD;
	*out = v;
	return CONF_VALUE_OK;
}

static bool
is_port(struct slice s)
{
	uint64_t v = 0;

	return s.n <= 5 && slice_to_u64(s, &v) && v >= 1 && v <= 65535;
}

static bool
is_v6(struct slice s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr a;

	s.n = slice_index(s, '%'); /* a zone may follow */
	if (s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(AF_INET6, text, &a) == 1;
}

static bool
is_v4(struct slice s)
{
	char text[INET_ADDRSTRLEN];
	struct in_addr a;

	if (s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(AF_INET, text, &a) == 1;
}

/* Letters, digits, hyphens and underscores between dots; all digits and dots must be an address. */
static bool
is_host(struct slice s)
{
	bool is_number = true;

	if (s.n == 0 || (s.n == 1 && s.p[0] == '*'))
		return true;
	if (s.n > 253 || s.p[0] == '.' || s.p[0] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = ascii_lower((unsigned char)s.p[i]);
		bool is_letter = (c >= 'a' && c <= 'z') || c == '-' || c == '_';

		if (!is_letter && !is_digit((char)c) && c != '.')
			return false;
		if (c == '.' && i > 0 && s.p[i - 1] == '.')
			return false;
		is_number &= !is_letter;
	}
	return !is_number || is_v4(s);
}

bool
conf_value_is_address(const char *s)
{
	struct slice text = slice_from(s);
	size_t colon, close;

	if (slice_starts(text, SLICE_LIT("unix:")))
		return text.n > 5 && text.n - 5 < sizeof(((struct sockaddr_un *)0)->sun_path);
	if (text.n > 0 && text.p[0] == '[') {
		close = slice_index(text, ']');
		return close + 1 < text.n && text.p[close + 1] == ':' &&
		    is_v6(slice_of(text.p + 1, close - 1)) && is_port(slice_skip(text, close + 2));
	}
	colon = slice_index(text, ':');
	return colon < text.n && is_host(slice_of(text.p, colon)) &&
	    is_port(slice_skip(text, colon + 1));
}

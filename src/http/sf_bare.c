#include "http/sf_priv.h"

static bool
is_alpha(char c)
{
	return sf_is_lower((char)ascii_lower((unsigned char)c));
}

/* tchar of RFC 9110, ":" and "/" */
static bool
is_token_rest(char c)
{
	static const bool is_rest[256] = {['0' ... '9'] = true,
	    ['A' ... 'Z'] = true,
	    ['a' ... 'z'] = true,
	    ['!'] = true,
	    ['#'] = true,
	    ['$'] = true,
	    ['%'] = true,
	    ['&'] = true,
	    ['\''] = true,
	    ['*'] = true,
	    ['+'] = true,
	    ['-'] = true,
	    ['.'] = true,
	    ['^'] = true,
	    ['_'] = true,
	    ['`'] = true,
	    ['|'] = true,
	    ['~'] = true,
	    [':'] = true,
	    ['/'] = true};

	return is_rest[(unsigned char)c];
}

/* Section 4.2.4: at most 15 digits, of which with a point at most 12 before and 1 to 3 behind it. */
static bool
read_number(struct sf_walk *w, struct sf_value *v)
{
	bool is_negative = sf_take(w, '-');
	int before = 0, behind = 0;

	v->type = SF_INTEGER;
	v->number = 0;
	for (; w->at < w->end && sf_is_digit(*w->at); w->at++) {
		if (++before > 15)
			return false;
		v->number = v->number * 10 + (*w->at - '0');
	}
	if (before == 0)
		return false;
	if (sf_take(w, '.')) {
		if (before > 12)
			return false;
		v->type = SF_DECIMAL;
		for (; w->at < w->end && sf_is_digit(*w->at); w->at++) {
			if (++behind > 3)
				return false;
			v->number = v->number * 10 + (*w->at - '0');
		}
		if (behind == 0)
			return false;
		for (; behind < 3; behind++)
			v->number *= 10;
	}
	if (is_negative)
		v->number = -v->number;
	return true;
}

static bool
read_string(struct sf_walk *w, struct sf_value *v)
{
	const char *from = ++w->at;

	for (; w->at < w->end; w->at++) {
		unsigned char c = (unsigned char)*w->at;
		if (c == '"') {
			v->type = SF_STRING;
			v->text = slice_of(from, (size_t)(w->at++ - from));
			return true;
		}
		if (c == '\\') {
			if (++w->at == w->end || (*w->at != '"' && *w->at != '\\'))
				return false;
		} else if (c < 0x20 || c > 0x7e) {
			return false;
		}
	}
	return false;
}

static bool
read_token(struct sf_walk *w, struct sf_value *v)
{
	const char *from = w->at;

	while (w->at < w->end && is_token_rest(*w->at))
		w->at++;
	v->type = SF_TOKEN;
	v->text = slice_of(from, (size_t)(w->at - from));
	return true;
}

static int
base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (sf_is_lower(c))
		return c - 'a' + 26;
	if (sf_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Padding may be missing (section 4.2.7), but what is there must end the sequence. */
static bool
is_base64(struct slice s)
{
	size_t n = s.n;

	while (n > 0 && s.p[n - 1] == '=')
		n--;
	if (n % 4 == 1 || (s.n > n && s.n % 4 != 0) || s.n - n > 2)
		return false;
	for (size_t i = 0; i < n; i++)
		if (base64_digit(s.p[i]) < 0)
			return false;
	return true;
}

static bool
read_bytes(struct sf_walk *w, struct sf_value *v)
{
	struct slice rest = slice_of(w->at + 1, (size_t)(w->end - w->at - 1));
	size_t n = slice_index(rest, ':');

	if (n == rest.n)
		return false;
	v->type = SF_BYTES;
	v->text = slice_of(rest.p, n);
	w->at += n + 2;
	return is_base64(v->text);
}

static bool
read_boolean(struct sf_walk *w, struct sf_value *v)
{
	w->at++;
	v->type = SF_BOOLEAN;
	v->number = w->at < w->end && *w->at == '1';
	return sf_take(w, '1') || sf_take(w, '0');
}

static bool
read_date(struct sf_walk *w, struct sf_value *v)
{
	w->at++;
	if (!read_number(w, v) || v->type != SF_INTEGER)
		return false;
	v->type = SF_DATE;
	return true;
}

/* 0 to 15 of a lower-case hexadecimal digit, or -1. */
static int
hex_digit(char c)
{
	return sf_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether this byte may come next in UTF-8 (RFC 3629). state counts the bytes that must follow; least and most
 * bound the next of them, which keeps out long forms, surrogates and what is beyond U+10FFFF. */
struct utf8 {
	int missing;
	unsigned least, most;
};

static bool
utf8_take(struct utf8 *u, unsigned c)
{
	if (u->missing > 0) {
		bool fits = c >= u->least && c <= u->most;
		*u = (struct utf8){u->missing - 1, 0x80, 0xbf};
		return fits;
	}
	*u = (struct utf8){0, 0x80, 0xbf};
	if (c < 0x80)
		return true;
	if (c < 0xc2 || c > 0xf4)
		return false;
	u->missing = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	if (c == 0xe0 || c == 0xf0)
		u->least = c == 0xe0 ? 0xa0 : 0x90;
	if (c == 0xed || c == 0xf4)
		u->most = c == 0xed ? 0x9f : 0x8f;
	return true;
}

static bool
read_display(struct sf_walk *w, struct sf_value *v)
{
	struct utf8 u = {0, 0x80, 0xbf};

	w->at++;
	if (!sf_take(w, '"'))
		return false;
	for (const char *from = w->at; w->at < w->end; w->at++) {
		unsigned c = (unsigned char)*w->at;
		if (c == '"') {
			v->type = SF_DISPLAY;
			v->text = slice_of(from, (size_t)(w->at++ - from));
			return u.missing == 0;
		}
		if (c < 0x20 || c > 0x7e)
			return false;
		if (c == '%') {
			if (w->end - w->at < 3 || hex_digit(w->at[1]) < 0 ||
			    hex_digit(w->at[2]) < 0)
				return false;
			c = (unsigned)(hex_digit(w->at[1]) * 16 + hex_digit(w->at[2]));
			w->at += 2;
		}
		if (!utf8_take(&u, c))
			return false;
	}
	return false;
}

bool
sf_read_bare(struct sf_walk *w, struct sf_value *v)
{
	*v = (struct sf_value){0};
	if (w->at == w->end)
		return false;
	char c = *w->at;
	if (c == '-' || sf_is_digit(c))
		return read_number(w, v);
	if (is_alpha(c) || c == '*')
		return read_token(w, v);
	switch (c) {
	case '"':
		return read_string(w, v);
	case ':':
		return read_bytes(w, v);
	case '?':
		return read_boolean(w, v);
	case '@':
		return read_date(w, v);
	case '%':
		return read_display(w, v);
	default:
		return false;
	}
}

size_t
sf_string_copy(const struct sf_value *v, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < v->text.n; i++) {
		if (v->text.p[i] == '\\' && i + 1 < v->text.n)
			i++;
		out[n++] = v->text.p[i];
	}
	return n;
}

bool
sf_bytes_copy(const struct sf_value *v, uint8_t *out, size_t *n_out)
{
	uint32_t bits = 0;
	int held = 0;

	*n_out = 0;
	if (!is_base64(v->text))
		return false;
	for (size_t i = 0; i < v->text.n && v->text.p[i] != '='; i++) {
		bits = bits << 6 | (uint32_t)base64_digit(v->text.p[i]);
		held += 6;
		if (held >= 8) {
			held -= 8;
			out[(*n_out)++] = (uint8_t)(bits >> held);
		}
	}
	return true;
}

bool
sf_is_token(struct slice s)
{
	if (s.n == 0 || !(is_alpha(s.p[0]) || s.p[0] == '*'))
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!is_token_rest(s.p[i]))
			return false;
	return true;
}

void
sf_write_string(struct buf *b, struct slice s)
{
	buf_add_char(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			buf_add_char(b, '\\');
		buf_add_char(b, c < 0x20 || c > 0x7e ? '?' : (char)c);
	}
	buf_add_char(b, '"');
}

void
sf_write_token_or_string(struct buf *b, struct slice s)
{
	if (sf_is_token(s))
		buf_add_slice(b, s);
	else
		sf_write_string(b, s);
}

void
sf_write_bytes(struct buf *b, const void *p, size_t n)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *from = p;

	buf_add_char(b, ':');
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)from[i] << 16;
		v |= i + 1 < n ? (uint32_t)from[i + 1] << 8 : 0;
		v |= i + 2 < n ? from[i + 2] : 0;
		char four[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63], '=', '='};
		if (i + 1 < n)
			four[2] = alphabet[v >> 6 & 63];
		if (i + 2 < n)
			four[3] = alphabet[v & 63];
		buf_add(b, four, 4);
	}
	buf_add_char(b, ':');
}

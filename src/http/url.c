#include "http/url.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "http/scan.h"

const char *
url_fault_text(enum url_fault f)
{
	static const char *const texts[] = {
#define X(name, text) [URL_##name] = text,
	    URL_FAULTS(X)
#undef X
	};
	return texts[f];
}

/* --- path --- */

/* What may stand in a path as it is (pchar and "/"), and what of it is unreserved. */
enum { IS_PATH = 1, IS_UNRESERVED = 2 };

/* clang-format off */
static const uint8_t classes[256] = {
    ['a' ... 'z'] = 3, ['A' ... 'Z'] = 3, ['0' ... '9'] = 3, ['-'] = 3, ['.'] = 3, ['_'] = 3, ['~'] = 3,
    ['!'] = IS_PATH, ['$'] = IS_PATH, ['&'] = IS_PATH, ['\''] = IS_PATH, ['('] = IS_PATH, [')'] = IS_PATH,
    ['*'] = IS_PATH, ['+'] = IS_PATH, [','] = IS_PATH, [';'] = IS_PATH, ['='] = IS_PATH, [':'] = IS_PATH,
    ['@'] = IS_PATH, ['/'] = IS_PATH,
};
/* clang-format on */

/* What a host's name may have, in lower case; 0: not that. */
/* clang-format off */
static const uint8_t host_chars[256] = {
#define LETTER(upper, lower) [upper] = lower, [lower] = lower
    LETTER('A', 'a'), LETTER('B', 'b'), LETTER('C', 'c'), LETTER('D', 'd'), LETTER('E', 'e'), LETTER('F', 'f'), LETTER('G', 'g'),
    LETTER('H', 'h'), LETTER('I', 'i'), LETTER('J', 'j'), LETTER('K', 'k'), LETTER('L', 'l'), LETTER('M', 'm'), LETTER('N', 'n'),
    LETTER('O', 'o'), LETTER('P', 'p'), LETTER('Q', 'q'), LETTER('R', 'r'), LETTER('S', 's'), LETTER('T', 't'), LETTER('U', 'u'),
    LETTER('V', 'v'), LETTER('W', 'w'), LETTER('X', 'x'), LETTER('Y', 'y'), LETTER('Z', 'z'),
#undef LETTER
    ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9',
    ['-'] = '-', ['.'] = '.', ['_'] = '_',
};
/* clang-format on */

static inline bool
is_unreserved(unsigned char c)
{
	return (classes[c] & IS_UNRESERVED) != 0;
}

static inline bool
is_path_char(unsigned char c)
{
	return (classes[c] & IS_PATH) != 0;
}

static int
hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t
put_escape(char *out, unsigned char c)
{
	static const char digits[] = "0123456789ABCDEF";

	out[0] = '%';
	out[1] = digits[c >> 4];
	out[2] = digits[c & 15];
	return 3;
}

/* Escapes in normal form. Returns the length written, or -1. */
static ssize_t
normal_escapes(struct slice path, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < path.n; i++) {
		unsigned char c = (unsigned char)path.p[i];
		int high, low;

		if (c == '\0')
			return -1;
		if (c != '%') {
			n += is_path_char(c) ? (size_t)(out[n] = (char)c, 1)
					     : put_escape(out + n, c);
			continue;
		}
		if (path.n - i < 3 || (high = hex_digit((unsigned char)path.p[i + 1])) < 0 ||
		    (low = hex_digit((unsigned char)path.p[i + 2])) < 0)
			return -1;
		c = (unsigned char)(high << 4 | low);
		if (c == '\0')
			return -1;
		n += is_unreserved(c) ? (size_t)(out[n] = (char)c, 1) : put_escape(out + n, c);
		i += 2;
	}
	return (ssize_t)n;
}

/* RFC 3986 section 5.2.4, in place. Returns the length, or -1 when it climbs above the root. */
static ssize_t
remove_dot_segments(char *p, size_t n)
{
	size_t out = 0, at = 0;

	while (at < n) {
		size_t end = at + 1, len;

		while (end < n && p[end] != '/')
			end++;
		len = end - at; /* with its leading slash */
		if (len == 2 && p[at + 1] == '.') {
			if (end == n)
				p[out++] = '/';
		} else if (len == 3 && p[at + 1] == '.' && p[at + 2] == '.') {
			if (out == 0)
				return -1;
			while (p[--out] != '/')
				;
			if (end == n)
				p[out++] = '/';
		} else {
			memmove(p + out, p + at, len);
			out += len;
		}
		at = end;
	}
	return (ssize_t)out;
}

/* How many of the first bytes are a path in normal form, for certain: what follows may have to be written anew. */
static size_t
normal_length(struct slice path)
{
	size_t i = 0;

	for (;;) {
		i += scan_path(path.p + i, path.n - i);
		/* A dot is none of a dot segment where no slash is before it. */
		if (i == path.n || path.p[i] != '.' || i == 0 || path.p[i - 1] == '/')
			return i;
		i++;
	}
}

/* At out, 3 * path.n bytes of room. */
static enum url_fault
write_normal(struct slice path, char *out, size_t *n_out)
{
	ssize_t n = normal_escapes(path, out);

	if (n < 0)
		return URL_ESCAPE;
	n = remove_dot_segments(out, (size_t)n);
	if (n < 0)
		return URL_CLIMB;
	*n_out = (size_t)n;
	return URL_GOOD;
}

enum url_fault
url_path_normal(struct slice path, char *space, struct slice *out)
{
	enum url_fault fault;
	size_t n;

	if (path.n == 0 || path.p[0] != '/')
		return URL_FORM;
	*out = path;
	if (normal_length(path) == path.n)
		return URL_GOOD;
	if ((fault = write_normal(path, space, &n)) == URL_GOOD)
		*out = slice_of(space, n);
	return fault;
}

/* --- host --- */

/* An address in brackets, in the one spelling of RFC 5952 (at most six bytes longer than it came). Returns its length, 0
 * if it is none. Zones and future kinds of address are not for Host. */
static size_t
put_ipv6(struct slice s, char *out)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (s.n < 4 || s.n - 2 >= sizeof text || s.p[s.n - 1] != ']' ||
	    memchr(s.p, '\0', s.n) != NULL)
		return 0;
	memcpy(text, s.p + 1, s.n - 2);
	text[s.n - 2] = '\0';
	if (inet_pton(AF_INET6, text, &address) != 1 ||
	    inet_ntop(AF_INET6, &address, text, sizeof text) == NULL)
		return 0;
	out[0] = '[';
	stpcpy(stpcpy(out + 1, text), "]");
	return strlen(text) + 2;
}

/* A name or an address in lower case, without its final dot. Returns its length, 0 if it is none. */
static size_t
put_host(struct slice s, char *out)
{
	if (s.n == 0 || s.n > 255 || s.p[0] == '.')
		return 0;
	if (s.p[0] == '[')
		return put_ipv6(s, out);
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = host_chars[(unsigned char)s.p[i]];

		if (c == 0 || (c == '.' && s.p[i - 1] == '.'))
			return 0;
		out[i] = (char)c;
	}
	return s.p[s.n - 1] == '.' ? s.n - 1 : s.n;
}

/* Where the port's colon is, or the length. */
static size_t
port_colon(struct slice authority)
{
	size_t close = authority.p[0] == '[' ? slice_index(authority, ']') : 0;

	if (close == authority.n)
		return authority.n;
	return close + slice_index(slice_skip(authority, close), ':');
}

static enum url_fault
take_authority(struct slice authority, uint64_t own, char **space, struct url *out)
{
	uint64_t port = 0;
	size_t colon, n;
	char *p = *space;

	if (authority.n == 0)
		return URL_HOST;
	colon = port_colon(authority);
	if (colon + 1 < authority.n &&
	    (!slice_to_u64(slice_skip(authority, colon + 1), &port) || port > 65535 || port == 0))
		return URL_PORT;
	n = put_host(slice_of(authority.p, colon), p);
	if (n == 0)
		return URL_HOST;
	out->host = slice_of(p, n);
	if (port != 0 && port != own) {
		char digits[5];
		size_t d = 0;

		p[n++] = ':';
		for (; port > 0; port /= 10)
			digits[d++] = (char)('0' + port % 10);
		while (d > 0)
			p[n++] = digits[--d];
	}
	out->authority = slice_of(p, n);
	*space = p + n;
	return URL_GOOD;
}

/* --- the whole --- */

/* The path three times as long, "https://", "localhost", an address in another spelling, "?", NUL. */
size_t
url_space(const struct head *h)
{
	return 3 * (size_t)h->target_len + head_value(h, FIELD_HOST).n + 32;
}

static bool
skip_scheme(struct slice *target)
{
	struct slice start = slice_of(target->p, target->n < 8 ? target->n : 8);

	if (start.n >= 7 && slice_ieq(slice_of(start.p, 7), SLICE_LIT("http://")))
		*target = slice_skip(*target, 7);
	else if (start.n == 8 && slice_ieq(start, SLICE_LIT("https://")))
		*target = slice_skip(*target, 8);
	else
		return false;
	return true;
}

/* The target from its path on, which may be empty: path and query, at space. Most paths are in normal form already. */
static enum url_fault
take_path(struct slice target, char **space, struct url *out)
{
	size_t n = normal_length(target);
	char *at = *space;
	enum url_fault fault;

	if (n == 0) {
		*at = '/';
		out->path = slice_of(at, 1);
	} else if (n == target.n || target.p[n] == '?') {
		memcpy(at, target.p, n);
		out->path = slice_of(at, n);
	} else {
		size_t written;

		n = slice_index(target, '?');
		fault = write_normal(slice_of(target.p, n), at, &written);
		if (fault != URL_GOOD)
			return fault;
		out->path = slice_of(at, written);
	}
	at += out->path.n;
	out->has_query = n < target.n;
	if (out->has_query) {
		out->query = slice_of(at + 1, target.n - n - 1);
		at = bytes_write(at, target.p + n, target.n - n);
	}
	*space = at;
	return URL_GOOD;
}

enum url_fault
url_of_request(const struct head *h, struct slice scheme, char *space, struct url *out)
{
	struct slice target = head_target(h), authority = head_value(h, FIELD_HOST);
	bool is_tls = slice_eq(scheme, SLICE_LIT("https"));
	char *at = is_tls ? bytes_write(space, "https://", 8) : bytes_write(space, "http://", 7);
	enum url_fault fault;

	*out = (struct url){0};
	if (target.p[0] != '/' &&
	    !(target.n == 1 && target.p[0] == '*' && h->method == METHOD_OPTIONS)) {
		size_t n;

		if (!skip_scheme(&target))
			return URL_FORM;
		for (n = 0; n < target.n && target.p[n] != '/' && target.p[n] != '?'; n++)
			;
		authority = slice_of(target.p, n);
		target = slice_skip(target, n);
	} else if (authority.n == 0 && h->minor == 0)
		authority = SLICE_LIT("localhost"); /* HTTP/1.0 may come without */
	fault = take_authority(authority, is_tls ? 443 : 80, &at, out);
	if (fault != URL_GOOD)
		return fault;
	fault = take_path(target, &at, out);
	out->whole = slice_of(space, (size_t)(at - space));
	*at = '\0';
	return fault;
}

/* --- query --- */

struct param {
	struct slice whole, name;
	size_t place;
};

/* The byte of a name at *at as the origin will read it, or -1 at its end. */
static int
next_decoded(struct slice name, size_t *at)
{
	int high, low, c;

	if (*at == name.n)
		return -1;
	c = (unsigned char)name.p[(*at)++];
	if (c == '+')
		return ' ';
	if (c != '%' || name.n - *at < 2 || (high = hex_digit((unsigned char)name.p[*at])) < 0 ||
	    (low = hex_digit((unsigned char)name.p[*at + 1])) < 0)
		return c;
	*at += 2;
	return high << 4 | low;
}

static int
compare_names(struct slice a, struct slice b)
{
	size_t i = 0, j = 0;
	int c, d;

	do {
		c = next_decoded(a, &i);
		d = next_decoded(b, &j);
	} while (c == d && c >= 0);
	return c - d;
}

/* listed: as a user writes it in the configuration, plainly. */
static bool
is_name(struct slice name, struct slice listed)
{
	size_t at = 0, i;

	for (i = 0; i < listed.n; i++) {
		if (i + 1 == listed.n && listed.p[i] == '*')
			return true;
		if (next_decoded(name, &at) != (unsigned char)listed.p[i])
			return false;
	}
	return at == name.n;
}

static bool
is_listed(struct slice name, const char *const *names, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (is_name(name, slice_from(names[i])))
			return true;
	return false;
}

/* To some origins a semicolon separates as well: then more than one name may be in there, and it counts. */
static bool
is_kept(const struct param *p, const struct query_rules *r)
{
	if (slice_index(p->whole, ';') < p->whole.n)
		return true;
	if (r->keep == QUERY_KEEP_LISTED)
		return is_listed(p->name, r->names, r->names_count);
	return !is_listed(p->name, r->also_dropped, r->also_dropped_count) &&
	    (r->keep == QUERY_KEEP_ALL || !is_listed(p->name, r->names, r->names_count));
}

static int
compare_params(const void *va, const void *vb)
{
	const struct param *a = va, *b = vb;
	int c = compare_names(a->name, b->name);

	if (c != 0)
		return c;
	return a->place < b->place ? -1 : a->place > b->place;
}

#define SORTED_MAX 256 /* a query of more parameters keeps its order */

void
url_query_filter(struct slice query, const struct query_rules *r, struct buf *out)
{
	struct param params[SORTED_MAX];
	size_t count = 0, place = 0;
	bool first = true;
	struct slice rest = query;

	while (rest.n > 0) {
		size_t end = slice_index(rest, '&');
		struct param p = {.whole = slice_of(rest.p, end), .place = place};

		place++;
		p.name = slice_of(p.whole.p, slice_index(p.whole, '='));
		rest = slice_skip(rest, end < rest.n ? end + 1 : end);
		if (!is_kept(&p, r))
			continue;
		if (r->sorted && count < SORTED_MAX) {
			params[count++] = p;
			continue;
		}
		if (!first)
			buf_add_char(out, '&');
		first = false;
		buf_add_slice(out, p.whole);
	}
	qsort(params, count, sizeof(*params), compare_params);
	for (size_t i = 0; i < count; i++) {
		if (!first)
			buf_add_char(out, '&');
		first = false;
		buf_add_slice(out, params[i].whole);
	}
}

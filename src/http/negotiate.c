#include "http/negotiate.h"

static const struct {
	uint8_t bit;
	struct slice token;
} encodings[ENC_KNOWN] = {
#define X(coding, bit, token) {bit, {token, sizeof(token) - 1}},
    ENCODINGS(X)
#undef X
};

struct slice
encoding_token(enum encoding e)
{
	for (int i = 0; i < ENC_KNOWN; i++)
		if (encodings[i].bit == e)
			return encodings[i].token;
	return SLICE_LIT("");
}

enum encoding
encoding_of_token(struct slice token)
{
	for (int i = 0; i < ENC_KNOWN; i++)
		if (slice_ieq(encodings[i].token, token))
			return (enum encoding)encodings[i].bit;
	return slice_ieq(token, SLICE_LIT("x-gzip")) ? ENC_GZIP : ENC_OTHER;
}

/* Section 12.4.2: "0" with up to three digits, "1" with up to three zeros. In thousandths, or -1. */
static int
parse_q(struct slice s)
{
	int q, weight = 100;

	if (s.n == 0 || s.n > 5 || (s.p[0] != '0' && s.p[0] != '1') || (s.n > 1 && s.p[1] != '.'))
		return -1;
	q = (s.p[0] - '0') * Q_MAX;
	for (size_t i = 2; i < s.n; i++, weight /= 10) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
		q += (s.p[i] - '0') * weight;
	}
	return q <= Q_MAX ? q : -1;
}

bool
preference_read(struct slice member, struct preference *out)
{
	size_t n = slice_index(member, ';');

	*out = (struct preference){.what = slice_trim(slice_of(member.p, n)), .q = Q_MAX};
	while (n < member.n) {
		struct slice rest = slice_skip(member, n + 1);
		struct slice param = slice_trim(slice_of(rest.p, slice_index(rest, ';')));
		n += 1 + slice_index(rest, ';');
		if (param.n >= 2 && ascii_lower((unsigned char)param.p[0]) == 'q' &&
		    param.p[1] == '=') {
			if ((out->q = parse_q(slice_skip(param, 2))) < 0)
				return false;
		} else if (param.n > 0) {
			out->has_params = true;
		}
	}
	return out->what.n > 0;
}

_Static_assert(ENC_IDENTITY == 1, "identity is the first of ENCODINGS");

static int
index_of(enum encoding e)
{
	for (int i = 0; i < ENC_KNOWN; i++)
		if (encodings[i].bit == e)
			return i;
	return -1;
}

void
accept_encoding_read(const struct head *request, struct accept_encoding *out)
{
	struct list_walk w = {0};
	struct slice member;
	struct preference p;
	bool listed[ENC_KNOWN] = {false}, has_any = false;

	*out = (struct accept_encoding){.present = head_has(request, FIELD_ACCEPT_ENCODING)};
	if (!out->present) {
		out->q[0] = 1; /* identity, as below */
		out->accepted = ENC_IDENTITY;
		return;
	}
	while (head_list_next(request, FIELD_ACCEPT_ENCODING, &w, &member)) {
		if (!preference_read(member, &p))
			continue;
		int i = index_of(encoding_of_token(p.what));
		if (i >= 0 && !listed[i]) {
			listed[i] = true;
			out->q[i] = (uint16_t)p.q;
		} else if (slice_eq(p.what, SLICE_LIT("*")) && !has_any) {
			has_any = true;
			out->any_q = (uint16_t)p.q;
		}
	}
	for (int i = 0; i < ENC_KNOWN; i++) {
		if (!listed[i] && has_any)
			out->q[i] = out->any_q;
		else if (!listed[i] && encodings[i].bit == ENC_IDENTITY)
			out->q[i] = 1; /* acceptable, and after everything that was asked for */
		if (out->q[i] > 0)
			out->accepted |= encodings[i].bit;
	}
}

enum encoding
accept_encoding_choose(const struct accept_encoding *a, const uint8_t *order, uint8_t available)
{
	enum encoding best = ENC_IDENTITY;
	unsigned best_q = 0;

	for (; *order != 0; order++) {
		int i = index_of((enum encoding) * order);
		if (i > 0 && (available & *order) != 0 && a->q[i] > best_q) {
			best = (enum encoding) * order;
			best_q = a->q[i];
		}
	}
	/* identity wins only where the client prefers it in so many words */
	return (available & ENC_IDENTITY) != 0 && a->q[0] > best_q ? ENC_IDENTITY : best;
}

/* What does not fit is counted all the same. */
static size_t
add_member(char *out, size_t n, struct slice token)
{
	size_t need = token.n + (n > 0 ? 2 : 0);

	if (n + need > ACCEPT_ENCODING_MAX)
		return ACCEPT_ENCODING_MAX + 1;
	if (n > 0) {
		out[n++] = ',';
		out[n++] = ' ';
	}
	for (size_t i = 0; i < token.n; i++)
		out[n++] = (char)ascii_lower((unsigned char)token.p[i]);
	return n;
}

static int
compare_tokens(struct slice a, struct slice b)
{
	for (size_t i = 0; i < a.n && i < b.n; i++) {
		int d = ascii_lower((unsigned char)a.p[i]) - ascii_lower((unsigned char)b.p[i]);
		if (d != 0)
			return d;
	}
	return a.n < b.n ? -1 : a.n > b.n;
}

#define OTHERS_MAX 16 /* codings beyond those we know */

/* Inserts in order, each once; OTHERS_MAX + 1 if there is no room. */
static unsigned
insert_other(struct slice *others, unsigned n, struct slice token)
{
	unsigned at = 0;

	while (at < n && compare_tokens(others[at], token) < 0)
		at++;
	if (at < n && compare_tokens(others[at], token) == 0)
		return n;
	if (n == OTHERS_MAX)
		return OTHERS_MAX + 1;
	memmove(others + at + 1, others + at, (n - at) * sizeof(*others));
	others[at] = token;
	return n + 1;
}

static bool
is_coding(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = (char)ascii_lower((unsigned char)s.p[i]);
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
			return false;
	}
	return true;
}

/* Those that are accepted, or those that are refused. */
static unsigned
collect_others(const struct head *request, bool accepted, struct slice others[OTHERS_MAX])
{
	struct list_walk w = {0};
	struct slice member;
	struct preference p;
	unsigned n = 0;

	while (n <= OTHERS_MAX && head_list_next(request, FIELD_ACCEPT_ENCODING, &w, &member))
		if (preference_read(member, &p) && (p.q > 0) == accepted && is_coding(p.what) &&
		    encoding_of_token(p.what) == ENC_OTHER)
			n = insert_other(others, n, p.what);
	return n;
}

static size_t
add_refused(char *out, size_t n, struct slice token)
{
	if ((n = add_member(out, n, token)) + 4 > ACCEPT_ENCODING_MAX)
		return ACCEPT_ENCODING_MAX + 1;
	memcpy(out + n, ";q=0", 4);
	return n + 4;
}

/* Refusals mean something only where a "*" would let the coding in; that of identity always does. */
static size_t
add_all_refused(const struct head *request, const struct accept_encoding *a, char *out, size_t n)
{
	struct slice others[OTHERS_MAX];
	unsigned others_n = a->any_q > 0 ? collect_others(request, false, others) : 0;

	if (others_n > OTHERS_MAX)
		return ACCEPT_ENCODING_MAX + 1;
	for (int i = 0; i < ENC_KNOWN && n <= ACCEPT_ENCODING_MAX; i++)
		if (a->q[i] == 0 && (i == 0 || a->any_q > 0))
			n = add_refused(out, n, encodings[i].token);
	for (unsigned i = 0; i < others_n && n <= ACCEPT_ENCODING_MAX; i++)
		n = add_refused(out, n, others[i]);
	return n;
}

size_t
accept_encoding_normal(const struct head *request, char out[ACCEPT_ENCODING_MAX])
{
	struct accept_encoding a;
	struct slice others[OTHERS_MAX];
	unsigned others_n = collect_others(request, true, others);
	size_t n = 0;

	if (others_n > OTHERS_MAX)
		return ACCEPT_ENCODING_MAX + 1;
	accept_encoding_read(request, &a);
	for (int i = 1; i < ENC_KNOWN; i++)
		if (a.q[i] > 0)
			n = add_member(out, n, encodings[i].token);
	for (unsigned i = 0; i < others_n && n <= ACCEPT_ENCODING_MAX; i++)
		n = add_member(out, n, others[i]);
	return n <= ACCEPT_ENCODING_MAX ? add_all_refused(request, &a, out, n) : n;
}

enum encoding
encoding_of_body(const struct head *response)
{
	struct list_walk w = {0};
	struct slice member;
	enum encoding found = ENC_IDENTITY;

	while (head_list_next(response, FIELD_CONTENT_ENCODING, &w, &member)) {
		enum encoding e = encoding_of_token(member);
		if (e == ENC_IDENTITY)
			continue;
		if (e == ENC_OTHER || found != ENC_IDENTITY)
			return ENC_OTHER;
		found = e;
	}
	return found;
}

struct slice
media_type_of(struct slice content_type)
{
	return slice_trim(slice_of(content_type.p, slice_index(content_type, ';')));
}

bool
media_type_matches(struct slice type, struct slice pattern)
{
	if (slice_eq(pattern, SLICE_LIT("*")) || slice_eq(pattern, SLICE_LIT("*/*")))
		return type.n > 0;
	if (pattern.n > 0 && pattern.p[0] == '+')
		return type.n > pattern.n &&
		    slice_ieq(slice_skip(type, type.n - pattern.n), pattern);
	if (slice_ends(pattern, SLICE_LIT("/*")))
		return type.n >= pattern.n &&
		    slice_ieq(slice_of(type.p, pattern.n - 1), slice_of(pattern.p, pattern.n - 1));
	return slice_ieq(type, pattern);
}

/* 3 for the type itself, 2 for its family, 1 for everything. */
static int
specificity(struct slice range)
{
	if (slice_eq(range, SLICE_LIT("*/*")))
		return 1;
	return slice_ends(range, SLICE_LIT("/*")) ? 2 : 3;
}

unsigned
accept_quality(const struct head *request, struct slice type)
{
	struct list_walk w = {0};
	struct slice member;
	struct preference p;
	int best = 0, q = 0;

	if (!head_has(request, FIELD_ACCEPT))
		return Q_MAX;
	while (head_list_next(request, FIELD_ACCEPT, &w, &member)) {
		if (!preference_read(member, &p) || p.has_params ||
		    !media_type_matches(type, p.what))
			continue;
		if (specificity(p.what) > best) {
			best = specificity(p.what);
			q = p.q;
		}
	}
	return (unsigned)q;
}

bool
accept_prefers_html(const struct head *request)
{
	unsigned html = accept_quality(request, SLICE_LIT("text/html"));
	unsigned problem = accept_quality(request, SLICE_LIT("application/problem+json"));
	unsigned json = accept_quality(request, SLICE_LIT("application/json"));

	return html > problem && html > json;
}

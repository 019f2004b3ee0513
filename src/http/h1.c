#include "http/h1.h"

#include "http/headrules.h"
#include "http/scan.h"

const struct h1_fault_row h1_faults[H1_FAULT_COUNT] = {
#define X(name, status, text) [H1_FAULT_##name] = {#name, status, text},
    H1_FAULTS(X)
#undef X
};

bool
h1_is_token(struct slice s)
{
	return s.n > 0 && scan_plain(s.p, s.n, SCAN_TOKEN) == s.n;
}

/* --- lines --- */

static bool
bad(struct h1_parser *p, enum h1_fault fault, size_t at)
{
	p->fault = fault;
	p->fault_at = (uint32_t)at;
	return false;
}

/* "HTTP/1.x": 0 or 1 for x, -1: another version, -2: no version at all. */
static int
version_of(const char *s, size_t n)
{
	if (n != 8 || memcmp(s, "HTTP/", 5) != 0 || s[5] < '0' || s[5] > '9' || s[6] != '.' ||
	    s[7] < '0' || s[7] > '9')
		return -2;
	if (s[5] != '1')
		return -1;
	return s[7] == '0' ? 0 : 1;
}

static bool
take_version(
    struct h1_parser *p, struct head *h, const char *s, size_t n, size_t at, enum h1_fault no)
{
	int minor = n == 8 && memcmp(s, "HTTP/1.1", 8) == 0 ? 1 : version_of(s, n);

	if (minor < 0)
		return bad(p, minor == -1 ? H1_FAULT_version : no, at);
	h->minor = (uint8_t)minor;
	return true;
}

/* partial() relies on it that only the target can make a request line long. */
static bool
take_request_line(struct h1_parser *p, struct head *h, const char *b, size_t at, size_t end)
{
	bool is_get = end - at > 4 && memcmp(b + at, "GET ", 4) == 0; /* almost every request */
	size_t n = is_get ? 3 : scan_plain(b + at, end - at, SCAN_TOKEN), target;
	enum h1_fault fault = head_put_method(h, at, n);

	if (fault != H1_FAULT_none || at + n >= end || b[at + n] != ' ')
		return bad(p, H1_FAULT_start_line, at + n);
	target = at + n + 1;
	n = scan_target(b + target, p->have - target); /* at most to the CR */
	fault = head_put_target(h, target, n, p->limits.target_bytes);
	if (fault != H1_FAULT_none)
		return bad(p, fault, target);
	if (target + n >= end)
		return bad(p, H1_FAULT_start_line, target);
	if (b[target + n] != ' ')
		return bad(p, H1_FAULT_target, target + n);
	at = target + n + 1;
	return take_version(p, h, b + at, end - at, at, H1_FAULT_start_line);
}

/* The reason may be empty or missing with its blank, as real servers write it. */
static bool
take_status_line(struct h1_parser *p, struct head *h, const char *b, size_t at, size_t end)
{
	const char *s = b + at;
	size_t n = end - at;

	if (n < 12 || s[8] != ' ')
		return bad(p, H1_FAULT_status_line, at);
	if (!take_version(p, h, s, 8, at, H1_FAULT_status_line))
		return false;
	for (int i = 9; i < 12; i++)
		if (s[i] < '0' || s[i] > '9')
			return bad(p, H1_FAULT_status_line, at + 9);
	h->status = (uint16_t)((s[9] - '0') * 100 + (s[10] - '0') * 10 + (s[11] - '0'));
	if (h->status < 100 || (n > 12 && s[12] != ' '))
		return bad(p, H1_FAULT_status_line, at + 9);
	h->reason_at = (uint32_t)(at + (n > 12 ? 13 : 12));
	h->reason_len = (uint16_t)(n > 12 ? n - 13 : 0);
	if (!p->is_clean && scan_value(b + h->reason_at, h->reason_len) != h->reason_len)
		return bad(p, H1_FAULT_status_line, h->reason_at);
	return true;
}

static bool
take_field(struct h1_parser *p, struct head *h, const char *b, size_t at, size_t end)
{
	size_t name = scan_colon(b + at, end - at, p->have - at), value, bad_at;
	enum field_id id = field_id_of(slice_of(b + at, name));
	enum h1_fault fault;

	if (id == FIELD_OTHER) /* the characters of a known name are good */
		name = scan_plain(b + at, end - at, SCAN_TOKEN);
	value = at + name + 1;
	if (b[at] == ' ' || b[at] == '\t')
		return bad(p, H1_FAULT_folded, at);
	if (at + name >= end || b[at + name] != ':')
		return bad(p, H1_FAULT_field_name, at + name);
	bad_at = p->is_clean ? end : value + scan_value(b + value, end - value);
	if (bad_at != end)
		return bad(p, H1_FAULT_field_value, bad_at);
	while (value < end && (b[value] == ' ' || b[value] == '\t'))
		value++;
	while (end > value && (b[end - 1] == ' ' || b[end - 1] == '\t'))
		end--;
	fault = head_put_field(h, id, at, name, value, end - value);
	return fault == H1_FAULT_none || bad(p, fault, at);
}

/* --- the whole head --- */

/* Fields that Connection cannot take away (design, section 11.6). A client's wish takes away nothing that has a row: the
 * origin must see what the key, Vary and the access rules saw, or one client fills the cache for another. */
static bool
is_vital(enum field_id id, enum h1_kind kind)
{
	switch (id) {
	case FIELD_CONTENT_LENGTH:
	case FIELD_CONTENT_TYPE:
	case FIELD_CONTENT_ENCODING:
	case FIELD_CONTENT_RANGE:
		return true;
	default:
		return kind == H1_REQUEST && id != FIELD_OTHER;
	}
}

/* Each name costs a look at each field, so there are only so many. */
#define CONNECTION_NAMES_MAX 64

static bool
mark_hops(struct h1_parser *p, struct head *h)
{
	struct list_walk walk = {0};
	struct slice member;
	unsigned names = 0;

	if (!head_has(h, FIELD_CONNECTION))
		return true;
	while (head_list_next(h, FIELD_CONNECTION, &walk, &member)) {
		if (++names > CONNECTION_NAMES_MAX)
			return bad(p, H1_FAULT_connection, walk.field->value_at);
		for (unsigned i = 0; i < h->count; i++)
			if (slice_ieq(field_name(h, &h->fields[i]), member) &&
			    !is_vital((enum field_id)h->fields[i].id, p->kind))
				h->fields[i].is_hop = true;
	}
	return true;
}

static bool
judge_whole(struct h1_parser *p, struct head *h)
{
	enum h1_fault fault;

	if (!mark_hops(p, h))
		return false;
	if (p->kind == H1_RESPONSE)
		return true;
	fault = head_judge_host(h);
	return fault == H1_FAULT_none || bad(p, fault, 0);
}

void
h1_parser_init(struct h1_parser *p, enum h1_kind kind, const struct h1_limits *limits)
{
	*p = (struct h1_parser){.kind = kind, .limits = *limits};
}

static void
head_begin(struct head *h)
{
	memset(h, 0, offsetof(struct head, fields));
}

/* A line without its end: start line, field, or nothing. *done: it was the empty one. */
static bool
take_line(struct h1_parser *p, struct head *h, const char *b, size_t end, bool *done)
{
	size_t at = p->line_at;

	*done = false;
	if (p->has_start) {
		*done = at == end;
		return *done || take_field(p, h, b, at, end);
	}
	if (at == end && p->kind == H1_REQUEST && !p->skipped) {
		p->skipped = true;
		return true;
	}
	p->has_start = true;
	head_begin(h);
	h->base = b;
	return p->kind == H1_REQUEST ? take_request_line(p, h, b, at, end)
				     : take_status_line(p, h, b, at, end);
}

/* The first byte can begin no method: TLS on a plain port, most often. Its line may never end. */
static bool
speaks_something_else(const struct h1_parser *p, const char *bytes, size_t n)
{
	return p->kind == H1_REQUEST && !p->has_start && n > p->line_at &&
	    bytes[p->line_at] != '\r' &&
	    !(scan_classes[(unsigned char)bytes[p->line_at]] & SCAN_TOKEN);
}

static enum h1_result
partial(struct h1_parser *p, const char *bytes, size_t n)
{
	p->scanned = (uint32_t)n;
	if (speaks_something_else(p, bytes, n))
		bad(p, H1_FAULT_start_line, p->line_at);
	else if (!p->has_start && p->kind == H1_REQUEST &&
	    n - p->line_at > p->limits.target_bytes + 64u)
		bad(p, H1_FAULT_target_too_long, p->line_at);
	else if (n >= p->limits.head_bytes)
		bad(p, H1_FAULT_head_too_large, n);
	return p->fault == H1_FAULT_none ? H1_PARTIAL : H1_BAD;
}

/* Where the line's LF is, or n: none has come. The usual line, seen for the first time, is found by its characters: what
 * stops them is its end, and nobody needs to look at them again. */
static size_t
line_end(struct h1_parser *p, const char *bytes, size_t n)
{
	const char *lf;
	size_t cr;

	if (p->scanned == p->line_at) {
		cr = p->line_at + scan_value(bytes + p->line_at, n - p->line_at);
		p->is_clean = n - cr >= 2 && bytes[cr] == '\r' && bytes[cr + 1] == '\n';
		if (p->is_clean)
			return cr + 1;
	}
	p->is_clean = false;
	lf = n > p->scanned ? memchr(bytes + p->scanned, '\n', n - p->scanned) : NULL;
	return lf == NULL ? n : (size_t)(lf - bytes);
}

enum h1_result
h1_parse(struct h1_parser *p, struct head *h, const char *bytes, size_t n)
{
	h->base = bytes;
	p->have = (uint32_t)n;
	for (;;) {
		size_t end = line_end(p, bytes, n);
		bool done;

		if (end == n)
			return partial(p, bytes, n);
		if (end + 1 > p->limits.head_bytes) {
			bad(p, H1_FAULT_head_too_large, end);
			return H1_BAD;
		}
		if (end == p->line_at || bytes[end - 1] != '\r') {
			bad(p, H1_FAULT_bare_lf, end);
			return H1_BAD;
		}
		if (!take_line(p, h, bytes, end - 1, &done))
			return H1_BAD;
		p->line_at = p->scanned = (uint32_t)(end + 1);
		if (!done)
			continue;
		h->size = p->line_at;
		return judge_whole(p, h) ? H1_WHOLE : H1_BAD;
	}
}

bool
head_of_stored(struct head *h, struct slice text)
{
	static const struct h1_limits limits = {.head_bytes = UINT32_MAX};
	struct h1_parser p;

	h1_parser_init(&p, H1_RESPONSE, &limits);
	return h1_parse(&p, h, text.p, text.n) == H1_WHOLE;
}

/* --- framing --- */

static bool
length_of(const struct head *h, uint64_t *out)
{
	const struct field *f = head_find(h, FIELD_CONTENT_LENGTH);

	return head_next(h, f) == NULL && slice_to_u64(field_value(h, f), out) && *out <= INT64_MAX;
}

/* Whether the transfer codings are chunked and nothing else; *fault if they are worse than unknown. */
static bool
is_plain_chunked(const struct head *h, enum h1_fault *fault)
{
	struct list_walk walk = {0};
	struct slice member;
	unsigned members = 0, chunked = 0;
	bool last_is_chunked = false;

	while (head_list_next(h, FIELD_TRANSFER_ENCODING, &walk, &member)) {
		members++;
		last_is_chunked = slice_ieq(member, SLICE_LIT("chunked"));
		chunked += last_is_chunked;
	}
	if (members == 1 && last_is_chunked)
		return true;
	*fault = members == 0 || chunked > 1 || (chunked == 1 && !last_is_chunked)
	    ? H1_FAULT_coding
	    : H1_FAULT_coding_unknown;
	return false;
}

bool
h1_request_framing(const struct head *h, struct framing *out, enum h1_fault *fault)
{
	*out = (struct framing){.kind = FRAMING_NONE};
	if (head_has(h, FIELD_TRANSFER_ENCODING)) {
		*fault = H1_FAULT_coding_in_10;
		if (h->minor == 0)
			return false;
		*fault = H1_FAULT_length_and_coding;
		if (head_has(h, FIELD_CONTENT_LENGTH))
			return false;
		out->kind = FRAMING_CHUNKED;
		return is_plain_chunked(h, fault);
	}
	if (!head_has(h, FIELD_CONTENT_LENGTH))
		return true;
	*fault = H1_FAULT_length;
	out->kind = FRAMING_LENGTH;
	return length_of(h, &out->length);
}

/* Whether one of the transfer codings is registered (RFC 9112 section 7.2, or chunked): then the bytes are in it. */
static bool
names_a_coding(const struct head *h)
{
	static const struct slice registered[] = {{"chunked", 7}, {"gzip", 4}, {"x-gzip", 6},
	    {"deflate", 7}, {"compress", 8}, {"x-compress", 10}};

	for (size_t i = 0; i < sizeof(registered) / sizeof(*registered); i++)
		if (head_list_has(h, FIELD_TRANSFER_ENCODING, registered[i]))
			return true;
	return false;
}

bool
h1_response_framing(
    const struct head *h, enum method method, struct framing *out, enum h1_fault *fault)
{
	bool coded = head_has(h, FIELD_TRANSFER_ENCODING);

	*out = (struct framing){.kind = FRAMING_CLOSE};
	*fault = H1_FAULT_length;
	if (head_has(h, FIELD_CONTENT_LENGTH)) {
		out->kind = FRAMING_LENGTH;
		if (!length_of(h, &out->length))
			return false;
	}
	*fault = H1_FAULT_length_and_coding;
	if (coded && out->kind == FRAMING_LENGTH)
		return false;
	if (method == METHOD_HEAD || h->status < 200 || h->status == 204 || h->status == 304) {
		*out = (struct framing){.kind = FRAMING_NONE};
		return true;
	}
	if (!coded)
		return true;
	*fault = H1_FAULT_coding_in_10;
	if (h->minor == 0)
		return false;
	if (is_plain_chunked(h, fault))
		out->kind = FRAMING_CHUNKED;
	else if (*fault == H1_FAULT_coding)
		return false;
	else
		out->is_coded = names_a_coding(h);
	return true;
}

bool
h1_keeps_alive(const struct head *h)
{
	if (!head_has(h, FIELD_CONNECTION))
		return h->minor >= 1;
	if (head_list_has(h, FIELD_CONNECTION, SLICE_LIT("close")))
		return false;
	return h->minor >= 1 || head_list_has(h, FIELD_CONNECTION, SLICE_LIT("keep-alive"));
}

/* --- chunks --- */

enum { AT_SIZE, AT_DATA, AT_DATA_END, AT_TRAILERS };

void
h1_chunked_init(struct h1_chunked *c)
{
	*c = (struct h1_chunked){.state = AT_SIZE};
}

/* The line at the front, without its CR LF. CHUNK_MORE: not whole yet. */
static enum chunk_result
front_line(struct slice bytes, size_t max, struct slice *line)
{
	size_t lf = slice_index(bytes, '\n');

	if (lf == bytes.n)
		return bytes.n > max ? CHUNK_BAD : CHUNK_MORE;
	if (lf == 0 || bytes.p[lf - 1] != '\r' || lf > max)
		return CHUNK_BAD;
	*line = slice_of(bytes.p, lf - 1);
	return CHUNK_DATA;
}

/* Hex digits alone, at most 16 and below 2^63; then nothing, or extensions, of which only the characters are judged. */
static bool
parse_size(struct slice line, uint64_t *out)
{
	uint64_t v = 0;
	size_t i = 0;

	for (; i < line.n && i < 16; i++) {
		unsigned char c = ascii_lower((unsigned char)line.p[i]);

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			break;
	}
	if (i == 0 || v > INT64_MAX || scan_value(line.p, line.n) != line.n)
		return false;
	*out = v;
	line = slice_skip(line, i);
	return line.n == 0 || slice_trim(line).n == 0 ? line.n == 0 : slice_trim(line).p[0] == ';';
}

/* Fields that mean nothing, or mischief, behind a body. */
bool
h1_trailer_passes(enum field_id id)
{
	if (field_is(id, F_HOP) || field_is(id, F_FORGED))
		return false;
	switch (id) {
	case FIELD_HOST:
	case FIELD_CONTENT_LENGTH:
	case FIELD_CONTENT_ENCODING:
	case FIELD_CONTENT_TYPE:
	case FIELD_CONTENT_RANGE:
	case FIELD_CACHE_CONTROL:
	case FIELD_EXPIRES:
	case FIELD_DATE:
	case FIELD_LOCATION:
	case FIELD_VARY:
	case FIELD_AGE:
	case FIELD_SET_COOKIE:
	case FIELD_COOKIE:
	case FIELD_AUTHORIZATION:
	case FIELD_EXPECT:
	case FIELD_RANGE:
		return false;
	default:
		return true;
	}
}

static bool
take_trailer(struct slice line, struct buf *out)
{
	size_t name = scan_plain(line.p, line.n, SCAN_TOKEN);
	struct slice value;

	if (name == 0 || name == line.n || line.p[name] != ':' ||
	    scan_value(line.p + name, line.n - name) != line.n - name)
		return false;
	if (!h1_trailer_passes(field_id_of(slice_of(line.p, name))))
		return true;
	value = slice_trim(slice_skip(line, name + 1));
	buf_add(out, line.p, name);
	buf_add_lit(out, ": ");
	buf_add_slice(out, value);
	buf_add_lit(out, "\r\n");
	return true;
}

static enum chunk_result
take_size_line(struct h1_chunked *c, struct slice bytes, size_t *used)
{
	struct slice line;
	enum chunk_result r = front_line(bytes, H1_CHUNK_LINE_MAX, &line);

	if (r != CHUNK_DATA)
		return r;
	if (!parse_size(line, &c->left))
		return CHUNK_BAD;
	*used += line.n + 2;
	c->state = c->left == 0 ? AT_TRAILERS : AT_DATA;
	return CHUNK_DATA;
}

static enum chunk_result
take_trailer_line(struct h1_chunked *c, struct slice bytes, size_t *used, struct buf *trailers)
{
	struct slice line;
	enum chunk_result r = front_line(bytes, H1_TRAILERS_MAX - c->trailers, &line);

	if (r != CHUNK_DATA)
		return r;
	*used += line.n + 2;
	c->trailers += (unsigned)line.n + 2;
	if (line.n == 0)
		return CHUNK_END;
	return take_trailer(line, trailers) ? CHUNK_DATA : CHUNK_BAD;
}

enum chunk_result
h1_chunked_next(struct h1_chunked *c, struct slice bytes, struct slice *payload_out,
    size_t *used_out, struct buf *trailers)
{
	size_t *used = used_out;
	enum chunk_result r;

	*used = 0;
	for (;;) {
		struct slice rest = slice_skip(bytes, *used);

		switch (c->state) {
		case AT_SIZE:
			r = take_size_line(c, rest, used);
			break;
		case AT_DATA:
			if (rest.n == 0)
				return CHUNK_MORE;
			*payload_out =
			    slice_of(rest.p, rest.n < c->left ? rest.n : (size_t)c->left);
			*used += payload_out->n;
			c->left -= payload_out->n;
			c->state = c->left == 0 ? AT_DATA_END : AT_DATA;
			return CHUNK_DATA;
		case AT_DATA_END:
			if (rest.n > 0 && rest.p[0] != '\r')
				return CHUNK_BAD;
			if (rest.n < 2)
				return CHUNK_MORE;
			if (rest.p[1] != '\n')
				return CHUNK_BAD;
			*used += 2;
			c->state = AT_SIZE;
			r = CHUNK_DATA;
			break;
		default:
			r = take_trailer_line(c, rest, used, trailers);
			break;
		}
		if (r != CHUNK_DATA)
			return r;
	}
}

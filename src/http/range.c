#include "http/range.h"

#include <inttypes.h>

/* One range-spec against the length. -1: malformed; 0: cannot be satisfied; 1: *out. */
static int
read_spec(struct slice s, uint64_t length, struct byte_range *out)
{
	size_t dash = slice_index(s, '-');
	struct slice first = slice_of(s.p, dash);
	uint64_t from, to, last = length - 1; /* unused while length is 0 */

	if (dash == s.n)
		return -1;
	struct slice behind = slice_skip(s, dash + 1);
	if (first.n == 0) {
		if (!slice_to_u64(behind, &to))
			return -1;
		if (to == 0 || length == 0)
			return 0;
		*out = (struct byte_range){to >= length ? 0 : length - to, last};
		return 1;
	}
	if (!slice_to_u64(first, &from))
		return -1;
	if (behind.n == 0)
		to = UINT64_MAX;
	else if (!slice_to_u64(behind, &to) || to < from)
		return -1;
	if (from >= length)
		return 0;
	*out = (struct byte_range){from, to > last ? last : to};
	return 1;
}

static bool
touches(const struct byte_range *a, const struct byte_range *b)
{
	return a->from <= b->to + 1 && b->from <= a->to + 1;
}

/* Joins r with all that it touches; the union stands where the first of them stood (section 15.3.7.2). */
static void
add_range(struct ranges *rs, struct byte_range r)
{
	unsigned place = rs->count;

	for (unsigned i = 0; i < rs->count;) {
		if (!touches(&rs->at[i], &r)) {
			i++;
			continue;
		}
		r.from = rs->at[i].from < r.from ? rs->at[i].from : r.from;
		r.to = rs->at[i].to > r.to ? rs->at[i].to : r.to;
		place = i < place ? i : place;
		memmove(&rs->at[i], &rs->at[i + 1], (--rs->count - i) * sizeof(r));
		i = 0; /* it is larger now: what was passed may touch it */
	}
	place = place < rs->count ? place : rs->count;
	memmove(&rs->at[place + 1], &rs->at[place], (rs->count++ - place) * sizeof(r));
	rs->at[place] = r;
}

enum range_answer
range_judge(struct slice range, uint64_t length, struct ranges *out)
{
	size_t unit = slice_index(range, '=');
	unsigned specs = 0;

	out->count = 0;
	if (unit == range.n || !slice_ieq(slice_of(range.p, unit), SLICE_LIT("bytes")))
		return RANGE_WHOLE;
	if (length == 0)
		return RANGE_WHOLE; /* no part of nothing can be named in Content-Range */
	for (struct slice rest = slice_skip(range, unit + 1); rest.n > 0;) {
		size_t n = slice_index(rest, ',');
		struct slice spec = slice_trim(slice_of(rest.p, n));
		struct byte_range r = {0, 0};
		rest = slice_skip(rest, n < rest.n ? n + 1 : n);
		if (spec.n == 0)
			continue;
		int found = read_spec(spec, length, &r);
		if (found < 0 || ++specs > RANGES_MAX)
			return RANGE_WHOLE;
		if (found == 0)
			continue;
		add_range(out, r);
	}
	if (specs == 0)
		return RANGE_WHOLE;
	return out->count > 0 ? RANGE_PARTS : RANGE_UNSATISFIABLE;
}

enum range_answer
range_judge_request(const struct head *request, uint64_t length, struct ranges *out)
{
	const struct field *f = head_find(request, FIELD_RANGE);

	out->count = 0;
	if (f == NULL || (request->method != METHOD_GET && request->method != METHOD_QUERY) ||
	    head_next(request, f) != NULL)
		return RANGE_WHOLE;
	return range_judge(field_value(request, f), length, out);
}

void
content_range_write(struct buf *b, const struct byte_range *r, uint64_t length)
{
	buf_printf(b, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", r->from,
	    r->to, length);
}

void
content_range_write_unsatisfied(struct buf *b, uint64_t length)
{
	buf_printf(b, "Content-Range: bytes */%" PRIu64 "\r\n", length);
}

void
multipart_type_write(struct buf *b, struct slice boundary)
{
	buf_add_lit(b, "Content-Type: multipart/byteranges; boundary=");
	buf_add_slice(b, boundary);
	buf_add_lit(b, "\r\n");
}

void
multipart_part_head(struct buf *b, bool is_first, struct slice boundary, struct slice content_type,
    const struct byte_range *r, uint64_t length)
{
	if (!is_first)
		buf_add_lit(b, "\r\n");
	buf_add_lit(b, "--");
	buf_add_slice(b, boundary);
	buf_add_lit(b, "\r\n");
	if (content_type.n > 0) {
		buf_add_lit(b, "Content-Type: ");
		buf_add_slice(b, content_type);
		buf_add_lit(b, "\r\n");
	}
	content_range_write(b, r, length);
	buf_add_lit(b, "\r\n");
}

void
multipart_end(struct buf *b, struct slice boundary)
{
	buf_add_lit(b, "\r\n--");
	buf_add_slice(b, boundary);
	buf_add_lit(b, "--\r\n");
}

static unsigned
digits_of(uint64_t v)
{
	unsigned n = 1;

	for (; v >= 10; v /= 10)
		n++;
	return n;
}

uint64_t
multipart_length(
    const struct ranges *rs, struct slice boundary, struct slice content_type, uint64_t length)
{
	uint64_t total = strlen("\r\n----\r\n") + boundary.n; /* the end */

	for (unsigned i = 0; i < rs->count; i++) {
		const struct byte_range *r = &rs->at[i];
		total += i > 0 ? 2 : 0;
		total += strlen("--\r\n") + boundary.n;
		total += content_type.n > 0 ? strlen("Content-Type: \r\n") + content_type.n : 0;
		total += strlen("Content-Range: bytes -/\r\n\r\n");
		total += digits_of(r->from) + digits_of(r->to) + digits_of(length);
		total += r->to - r->from + 1;
	}
	return total;
}

bool
content_range_parse(struct slice value, struct content_range *out)
{
	size_t space = slice_index(value, ' ');

	*out = (struct content_range){0};
	if (space == value.n || !slice_ieq(slice_of(value.p, space), SLICE_LIT("bytes")))
		return false;
	struct slice rest = slice_skip(value, space + 1);
	size_t slash = slice_index(rest, '/');
	if (slash == rest.n)
		return false;
	struct slice span = slice_of(rest.p, slash), length = slice_skip(rest, slash + 1);
	out->has_length = !slice_eq(length, SLICE_LIT("*"));
	if (out->has_length && !slice_to_u64(length, &out->length))
		return false;
	if (slice_eq(span, SLICE_LIT("*")))
		return out->has_length;
	size_t dash = slice_index(span, '-');
	out->has_range = true;
	return dash < span.n && slice_to_u64(slice_of(span.p, dash), &out->range.from) &&
	    slice_to_u64(slice_skip(span, dash + 1), &out->range.to) &&
	    out->range.from <= out->range.to && (!out->has_length || out->range.to < out->length);
}

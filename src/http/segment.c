#include "http/segment.h"

#include "http/conditional.h"

struct byte_range
segment_range(uint64_t size, uint64_t number, uint64_t length)
{
	uint64_t from = number * size, to = from + size - 1;

	return (struct byte_range){from, to < length ? to : length - 1};
}

uint64_t
segment_wanted(const struct head *request, uint64_t size)
{
	struct ranges rs;

	/* Against the largest length, what counts from the end lies where no segment can be. */
	if (range_judge_request(request, INT64_MAX, &rs) != RANGE_PARTS ||
	    rs.at[0].from > INT64_MAX / 2)
		return 0;
	return rs.at[0].from / size;
}

struct segment_version
segment_version_of(struct slice etag, int64_t modified_s, uint64_t length)
{
	bool is_strong = etag_matches_strongly(etag, etag);

	return (struct segment_version){etag, is_strong ? DATE_NONE : modified_s, length};
}

static bool
is_strong(const struct segment_version *v, int64_t date_s)
{
	if (etag_matches_strongly(v->etag, v->etag))
		return true;
	return v->modified_s != DATE_NONE && date_s != DATE_NONE && date_s - v->modified_s >= 1;
}

bool
segment_read(const struct head *response, const struct byte_range *asked, int64_t now_s,
    struct segment_version *out)
{
	const struct field *f = head_find(response, FIELD_CONTENT_RANGE);
	struct content_range cr;
	uint64_t last;

	if (response->status != 206 || f == NULL || head_next(response, f) != NULL ||
	    !content_range_parse(field_value(response, f), &cr) || !cr.has_range || !cr.has_length)
		return false;
	last = asked->to < cr.length ? asked->to : cr.length - 1;
	if (cr.range.from != asked->from || cr.range.to != last)
		return false;
	*out = segment_version_of(head_value(response, FIELD_ETAG),
	    date_parse(head_value(response, FIELD_LAST_MODIFIED), now_s), cr.length);
	return is_strong(out, date_parse(head_value(response, FIELD_DATE), now_s));
}

bool
segment_is_same_version(const struct segment_version *a, const struct segment_version *b)
{
	return slice_eq(a->etag, b->etag) && a->modified_s == b->modified_s &&
	    a->length == b->length;
}

void
segment_whole_head(const struct head *part, unsigned status, uint64_t length, struct buf *out)
{
	buf_printf(out, "HTTP/1.1 %u %s\r\n", status, status == 206 ? "Partial Content" : "OK");
	for (const struct field *f = part->fields; f < part->fields + part->count; f++) {
		if (f->is_hop || f->id == FIELD_CONTENT_RANGE || f->id == FIELD_CONTENT_LENGTH)
			continue;
		buf_add_slice(out, field_name(part, f));
		buf_add_lit(out, ": ");
		buf_add_slice(out, field_value(part, f));
		buf_add_lit(out, "\r\n");
	}
	if (status == 206)
		content_range_write_unsatisfied(out, length);
	else {
		buf_add_lit(out, "Content-Length: ");
		buf_add_u64(out, length);
		buf_add_lit(out, "\r\n");
	}
	buf_add_lit(out, "\r\n");
}

bool
segment_outline_length(const struct head *outline, uint64_t *out)
{
	struct content_range cr;

	if (!content_range_parse(head_value(outline, FIELD_CONTENT_RANGE), &cr) || !cr.has_length ||
	    cr.length == 0)
		return false;
	*out = cr.length;
	return true;
}

#include "http/conditional.h"

/* An entity tag taken apart. */
struct etag {
	bool is_tag; /* written as one */
	bool is_weak;
	struct slice opaque; /* with its quotes; all of it when it is no tag */
};

static struct etag
etag_read(struct slice s)
{
	struct etag t = {.opaque = s};
	bool weak = slice_starts(s, SLICE_LIT("W/\""));
	struct slice quoted = weak ? slice_skip(s, 2) : s;

	if (quoted.n < 2 || quoted.p[0] != '"' ||
	    slice_index(slice_skip(quoted, 1), '"') != quoted.n - 2)
		return t;
	return (struct etag){.is_tag = true, .is_weak = weak, .opaque = quoted};
}

bool
etag_matches_weakly(struct slice a, struct slice b)
{
	struct etag x = etag_read(a), y = etag_read(b);

	return x.is_tag == y.is_tag && slice_eq(x.opaque, y.opaque);
}

bool
etag_matches_strongly(struct slice a, struct slice b)
{
	struct etag x = etag_read(a), y = etag_read(b);

	return x.is_tag && y.is_tag && !x.is_weak && !y.is_weak && slice_eq(x.opaque, y.opaque);
}

static bool
names_etag(const struct head *request, struct slice etag)
{
	struct list_walk w = {0};
	struct slice member;

	while (head_list_next(request, FIELD_IF_NONE_MATCH, &w, &member))
		if (slice_eq(member, SLICE_LIT("*")) ||
		    (etag.n > 0 && etag_matches_weakly(member, etag)))
			return true;
	return false;
}

/* Without Last-Modified, the date counts (RFC 9111 section 4.3.2). A condition that is no date is none. */
static bool
is_modified(const struct head *request, const struct validators *v, int64_t now_s)
{
	int64_t since_s = date_parse(head_value(request, FIELD_IF_MODIFIED_SINCE), now_s);
	int64_t changed_s = v->modified_s != DATE_NONE ? v->modified_s : v->date_s;

	return since_s == DATE_NONE || changed_s > since_s;
}

enum condition
condition_judge(
    const struct head *request, const struct validators *v, uint16_t stored_status, int64_t now_s)
{
	if (head_has(request, FIELD_IF_MATCH) || head_has(request, FIELD_IF_UNMODIFIED_SINCE))
		return CONDITION_FORWARD;
	if (stored_status < 200 || stored_status > 299)
		return CONDITION_SEND;
	if (head_has(request, FIELD_IF_NONE_MATCH))
		return names_etag(request, v->etag) ? CONDITION_NOT_MODIFIED : CONDITION_SEND;
	if (head_has(request, FIELD_IF_MODIFIED_SINCE) && !is_modified(request, v, now_s))
		return CONDITION_NOT_MODIFIED;
	return CONDITION_SEND;
}

/* Section 13.1.5. A Last-Modified is strong when it lies at least a second before Date (section 8.8.2.2). */
bool
range_condition_holds(const struct head *request, const struct validators *v, int64_t now_s)
{
	struct slice condition = head_value(request, FIELD_IF_RANGE);

	if (condition.p == NULL)
		return true;
	if (etag_read(condition).is_tag)
		return etag_matches_strongly(condition, v->etag);
	int64_t s = date_parse(condition, now_s);
	return s != DATE_NONE && s == v->modified_s && v->date_s - s >= 1;
}

bool
field_goes_in_304(const struct head *response, const struct field *f)
{
	switch (f->id) {
	case FIELD_CONTENT_LENGTH:
	case FIELD_CONTENT_TYPE:
	case FIELD_CONTENT_ENCODING:
	case FIELD_CONTENT_LANGUAGE:
	case FIELD_CONTENT_RANGE:
	case FIELD_CONTENT_MD5:
	case FIELD_CONTENT_DIGEST:
	case FIELD_CONTENT_DISPOSITION:
	case FIELD_DIGEST:
	case FIELD_REPR_DIGEST:
	case FIELD_ACCEPT_RANGES:
	case FIELD_TRAILER:
	case FIELD_TRANSFER_ENCODING:
		return false;
	case FIELD_LAST_MODIFIED:
		return !head_has(response, FIELD_ETAG);
	default:
		return true;
	}
}

static void
write_line(struct buf *b, struct slice name, struct slice value)
{
	buf_add_slice(b, name);
	buf_add_lit(b, ": ");
	buf_add_slice(b, value);
	buf_add_lit(b, "\r\n");
}

bool
conditional_write(const struct head *stored, struct buf *b)
{
	struct slice etag = head_value(stored, FIELD_ETAG);
	struct slice modified = head_value(stored, FIELD_LAST_MODIFIED);

	if (etag.n > 0)
		write_line(b, SLICE_LIT("If-None-Match"), etag);
	if (modified.n > 0)
		write_line(b, SLICE_LIT("If-Modified-Since"), modified);
	return etag.n > 0 || modified.n > 0;
}

bool
not_modified_is_about(const struct head *stored, const struct head *not_modified)
{
	struct slice etag = head_value(not_modified, FIELD_ETAG);
	struct slice ours = head_value(stored, FIELD_ETAG);

	if (etag.n > 0)
		return ours.n == 0 || etag_matches_weakly(etag, ours);
	struct slice modified = head_value(not_modified, FIELD_LAST_MODIFIED);
	struct slice our_modified = head_value(stored, FIELD_LAST_MODIFIED);
	return ours.n > 0 || modified.n == 0 || our_modified.n == 0 ||
	    slice_eq(modified, our_modified);
}

/* 1: both say the same, -1: they differ, 0: the answer does not say. */
static int
compare_field(const struct head *stored, const struct head *answer, enum field_id id)
{
	struct slice says = head_value(answer, id);

	if (says.n == 0)
		return 0;
	return slice_eq(says, head_value(stored, id)) ? 1 : -1;
}

enum head_verdict
head_judge(const struct head *stored, uint64_t stored_bytes, const struct head *answer)
{
	struct slice length = head_value(answer, FIELD_CONTENT_LENGTH);
	uint64_t bytes = 0;
	int etag = compare_field(stored, answer, FIELD_ETAG);
	int modified = compare_field(stored, answer, FIELD_LAST_MODIFIED);
	bool has_other_length = stored_bytes != LENGTH_UNKNOWN && length.n > 0 &&
	    (!slice_to_u64(length, &bytes) || bytes != stored_bytes);

	if (answer->status != 200 || stored->status != 200)
		return HEAD_SAYS_NOTHING;
	if (etag < 0 || modified < 0 || has_other_length)
		return HEAD_SAYS_CHANGED;
	return etag > 0 || modified > 0 ? HEAD_SAYS_SAME : HEAD_SAYS_NOTHING;
}

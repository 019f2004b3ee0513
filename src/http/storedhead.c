#include "http/storedhead.h"

#include "http/date.h"

bool
field_is_stored(const struct field *f, struct slice name, const struct cache_control *cc,
    const struct stored_rules *r)
{
	if (f->is_hop || field_is((enum field_id)f->id, F_UNSTORED) || f->id == FIELD_AGE)
		return false;
	if (r->drop_set_cookie && (f->id == FIELD_SET_COOKIE || f->id == FIELD_SET_COOKIE2))
		return false;
	return cc->name_lists == 0 || !cache_control_names(cc, name);
}

static void
write_start(const struct head *h, struct buf *b)
{
	buf_printf(b, "HTTP/1.1 %u ", (unsigned)h->status);
	buf_add_slice(b, head_reason(h));
	buf_add_lit(b, "\r\n");
}

static void
write_field(const struct head *h, const struct field *f, struct buf *b)
{
	buf_add_slice(b, field_name(h, f));
	buf_add_lit(b, ": ");
	buf_add_slice(b, field_value(h, f));
	buf_add_lit(b, "\r\n");
}

/* Section 6.6.1 of RFC 9110: who receives a response without Date notes when. */
static void
write_end(bool has_date, const struct stored_rules *r, struct buf *b)
{
	char date[DATE_LEN];

	if (!has_date) {
		date_format(r->now_ms / 1000, date);
		buf_add_lit(b, "Date: ");
		buf_add(b, date, DATE_LEN);
		buf_add_lit(b, "\r\n");
	}
	buf_add_lit(b, "\r\n");
}

void
stored_head_write(const struct head *response, const struct cache_control *cc,
    const struct stored_rules *r, struct buf *b)
{
	write_start(response, b);
	for (const struct field *f = response->fields; f < response->fields + response->count; f++)
		if (field_is_stored(f, field_name(response, f), cc, r))
			write_field(response, f, b);
	write_end(head_has(response, FIELD_DATE), r, b);
}

/* Section 3.2 of RFC 9111: fields on which our copy of the body depends. */
static bool
is_bound_to_body(const struct field *f)
{
	return f->id == FIELD_CONTENT_LENGTH || f->id == FIELD_CONTENT_ENCODING ||
	    f->id == FIELD_CONTENT_RANGE;
}

/* Whether the newer head has a value in place of this field. */
static bool
is_replaced(struct slice name, const struct field *f, const struct head *fresh,
    const struct cache_control *cc, const struct stored_rules *r)
{
	if (f->id == FIELD_DATE)
		return true; /* by its Date, or by now */
	if (is_bound_to_body(f))
		return false;
	const struct field *newer = f->id != FIELD_OTHER ? head_find(fresh, (enum field_id)f->id)
							 : head_find_name(fresh, name);
	return newer != NULL && field_is_stored(newer, name, cc, r);
}

void
stored_head_merge(const struct head *stored, const struct head *fresh,
    const struct cache_control *cc, const struct stored_rules *r, struct buf *b)
{
	const struct field *f;

	write_start(stored, b);
	for (f = stored->fields; f < stored->fields + stored->count; f++) {
		struct slice name = field_name(stored, f);
		if (field_is_stored(f, name, cc, r) && !is_replaced(name, f, fresh, cc, r))
			write_field(stored, f, b);
	}
	for (f = fresh->fields; f < fresh->fields + fresh->count; f++)
		if (!is_bound_to_body(f) && field_is_stored(f, field_name(fresh, f), cc, r))
			write_field(fresh, f, b);
	write_end(head_has(fresh, FIELD_DATE), r, b);
}

#include "http/storedhead.h"

#include "http/date.h"
#include "http/fieldrun.h"
#include "http/statusline.h"

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

#define LINES_BYTES 96 /* a head may become longer by: its status line, a Date */

/* as is what is being written, as a parser would see it when it is done: nobody has to look at it again. */
static void
write_start(const struct head *h, struct buf *b, struct head *as)
{
	memset(as, 0, offsetof(struct head, fields));
	buf_room(b, h->size + LINES_BYTES);
	as->minor = 1;
	as->status = h->status;
	status_line_begin(b, h->status);
	as->reason_at = (uint32_t)b->n;
	as->reason_len = h->reason_len;
	buf_add_slice(b, head_reason(h));
	buf_add_lit(b, "\r\n");
}

static void
write_line(struct slice name, uint8_t id, struct slice value, struct buf *b, struct head *as)
{
	if (as->count == HEAD_FIELDS_MAX) {
		as->base = ""; /* one too many */
		return;
	}
	as->fields[as->count++] = (struct field){.name_at = (uint32_t)b->n,
	    .name_len = (uint16_t)name.n,
	    .value_at = (uint32_t)(b->n + name.n + 2),
	    .value_len = (uint16_t)value.n,
	    .id = id};
	head_index_last(as);
	buf_add_slice(b, name);
	buf_add_lit(b, ": ");
	buf_add_slice(b, value);
	buf_add_lit(b, "\r\n");
}

static void
write_field(const struct head *h, const struct field *f, struct buf *b, struct head *as)
{
	write_line(field_name(h, f), f->id, field_value(h, f), b, as);
}

/* The same, as it will be when the run has ended. A head has no more fields than another has room for. */
static void
run_field(struct field_run *run, const struct field *f, struct head *as)
{
	uint32_t at = field_run_add(run, f);

	as->fields[as->count++] = (struct field){.name_at = at,
	    .name_len = f->name_len,
	    .value_at = at + f->name_len + 2,
	    .value_len = f->value_len,
	    .id = f->id};
	head_index_last(as);
}

/* False: it has more fields than a head can. */
static bool
write_end(struct buf *b, struct head *as)
{
	if (as->base != NULL)
		return false;
	buf_add_lit(b, "\r\n");
	as->size = (uint32_t)b->n;
	as->base = b->p;
	return true;
}

/* Section 6.6.1 of RFC 9110: who receives a response without Date notes when. */
static void
write_date(const struct stored_rules *r, struct buf *b, struct head *as)
{
	char date[DATE_LEN];

	date_format(r->now_ms / 1000, date);
	write_line(SLICE_LIT("Date"), FIELD_DATE, slice_of(date, DATE_LEN), b, as);
}

/* Each line is the one that we would write, with nothing between them. */
static bool
is_as_written(const struct head *h)
{
	static const char start[] = "HTTP/1.1 200 ";
	uint32_t at = sizeof(start) - 1 + h->reason_len;

	if (h->reason_at != sizeof(start) - 1 || h->size < at + 4 ||
	    memcmp(h->base, start, 9) != 0 || h->base[12] != ' ' ||
	    memcmp(h->base + at, "\r\n", 2) != 0)
		return false;
	at += 2;
	for (const struct field *f = h->fields; f < h->fields + h->count; f++) {
		if (f->name_at != at || !field_is_plain(h, f))
			return false;
		at = f->value_at + f->value_len + 2;
	}
	return h->size == at + 2 && memcmp(h->base + at, "\r\n", 2) == 0;
}

bool
passing_head_is(const struct head *response, struct head *as)
{
	for (const struct field *f = response->fields; f < response->fields + response->count; f++)
		if (f->is_hop || f->id == FIELD_AGE)
			return false;
	if (!is_as_written(response))
		return false;
	head_copy(as, response);
	return true;
}

bool
stored_head_write(const struct head *response, const struct cache_control *cc,
    const struct stored_rules *r, struct buf *b, struct head *as)
{
	struct field_run run = {response, b, 0, 0};

	write_start(response, b, as);
	for (const struct field *f = response->fields; f < response->fields + response->count; f++)
		if (field_is_stored(f, field_name(response, f), cc, r))
			run_field(&run, f, as);
	field_run_end(&run);
	if (!head_has(response, FIELD_DATE))
		write_date(r, b, as);
	return write_end(b, as);
}

void
passing_head_write(const struct head *response, struct buf *b, struct head *as)
{
	struct field_run run = {response, b, 0, 0};

	write_start(response, b, as);
	for (const struct field *f = response->fields; f < response->fields + response->count; f++)
		if (!f->is_hop && f->id != FIELD_AGE)
			run_field(&run, f, as);
	field_run_end(&run);
	write_end(b, as);
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

bool
stored_head_merge(const struct head *stored, const struct head *fresh,
    const struct cache_control *cc, const struct stored_rules *r, struct buf *b, struct head *as)
{
	const struct field *f;

	write_start(stored, b, as);
	for (f = stored->fields; f < stored->fields + stored->count; f++) {
		struct slice name = field_name(stored, f);
		if (field_is_stored(f, name, cc, r) && !is_replaced(name, f, fresh, cc, r))
			write_field(stored, f, b, as);
	}
	for (f = fresh->fields; f < fresh->fields + fresh->count; f++)
		if (!is_bound_to_body(f) && field_is_stored(f, field_name(fresh, f), cc, r))
			write_field(fresh, f, b, as);
	if (!head_has(fresh, FIELD_DATE))
		write_date(r, b, as);
	return write_end(b, as);
}

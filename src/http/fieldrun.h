/* http/fieldrun.h - fields of one head that go on as they are: those that stand beside each other, and are written as we
 * write, by one copy.
 *
 * What comes out is "Name: value" CRLF for each, whichever way it was written and wherever the head came from.
 */
#ifndef HTTP_FIELDRUN_H
#define HTTP_FIELDRUN_H

#include "base/buf.h"
#include "http/head.h"

struct field_run {
	const struct head *from;
	struct buf *to;
	uint32_t at, end; /* of from's bytes: taken, and not yet copied */
};

/* What has been taken is in the buf from now on. */
static inline void
field_run_end(struct field_run *r)
{
	buf_add(r->to, r->from->base + r->at, r->end - r->at);
	r->at = r->end;
}

/* The field's line is the one that we would write. */
static inline bool
field_is_plain(const struct head *h, const struct field *f)
{
	const char *colon = h->base + f->name_at + f->name_len;
	uint32_t end = f->value_at + f->value_len;

	return f->value_at == f->name_at + f->name_len + 2 && end + 2 <= h->size &&
	    memcmp(colon, ": ", 2) == 0 && memcmp(h->base + end, "\r\n", 2) == 0;
}

/* One line, of any name. */
static inline void
field_line_add(struct buf *to, struct slice name, struct slice value)
{
	buf_add_slice(to, name);
	buf_add_lit(to, ": ");
	buf_add_slice(to, value);
	buf_add_lit(to, "\r\n");
}

static inline void
field_write(const struct head *h, const struct field *f, struct buf *to)
{
	field_line_add(to, field_name(h, f), field_value(h, f));
}

/* Returns where in the buf its name will be. */
static inline uint32_t
field_run_add(struct field_run *r, const struct field *f)
{
	uint32_t to;

	if (!field_is_plain(r->from, f)) {
		field_run_end(r);
		to = (uint32_t)r->to->n;
		field_write(r->from, f, r->to);
		return to;
	}
	if (f->name_at != r->end) {
		field_run_end(r);
		r->at = f->name_at;
	}
	to = (uint32_t)r->to->n + (f->name_at - r->at);
	r->end = f->value_at + f->value_len + 2;
	return to;
}

#endif

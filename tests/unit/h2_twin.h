/* The same request by both ways: what HTTP/1.1 would have sent for fields of HTTP/2, as text, and whether its parser makes of that the
 * head that the fields became, or refuses it for the same. For unit tests and fuzz targets. */
#ifndef TESTS_H2_TWIN_H
#define TESTS_H2_TWIN_H

#include "http/h2head.h"

struct twin_field {
	struct slice name, value;
};

static inline struct slice
twin_value(const struct twin_field *fields, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (slice_eq(fields[i].name, slice_from(name)))
			return fields[i].value;
	return SLICE_NONE;
}

static inline bool
twin_has(const struct twin_field *fields, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (slice_eq(fields[i].name, slice_from(name)))
			return true;
	return false;
}

static inline void
twin_line(struct buf *b, struct slice name, struct slice value)
{
	buf_add_slice(b, name);
	buf_add_lit(b, ": ");
	buf_add_slice(b, value);
	buf_add_lit(b, "\r\n");
}

/* Fields that stand for something else, or for nothing, behind HTTP/1.1. */
static inline bool
twin_drops(const struct twin_field *f, bool has_authority, bool is_websocket)
{
	return f->name.p[0] == ':' || slice_eq(f->name, SLICE_LIT("te")) ||
	    slice_eq(f->name, SLICE_LIT("cookie")) ||
	    (has_authority && slice_eq(f->name, SLICE_LIT("host"))) ||
	    (is_websocket && slice_eq(f->name, SLICE_LIT("sec-websocket-key")));
}

static inline void
twin_write(
    struct buf *b, const struct twin_field *fields, unsigned n, bool is_websocket, struct slice key)
{
	bool has_authority = twin_has(fields, n, ":authority");
	struct slice host = twin_value(fields, n, ":authority");
	struct buf cookie = {0};

	buf_add_slice(b, is_websocket ? SLICE_LIT("GET") : twin_value(fields, n, ":method"));
	buf_add_char(b, ' ');
	buf_add_slice(b, twin_has(fields, n, ":path") ? twin_value(fields, n, ":path") : host);
	buf_add_lit(b, " HTTP/1.1\r\n");
	if (has_authority)
		twin_line(b, SLICE_LIT("host"), host);
	for (unsigned i = 0; i < n; i++) {
		if (slice_eq(fields[i].name, SLICE_LIT("cookie"))) {
			if (cookie.n > 0 && fields[i].value.n > 0)
				buf_add_lit(&cookie, "; ");
			buf_add_slice(&cookie, fields[i].value);
		} else if (!twin_drops(&fields[i], has_authority, is_websocket))
			twin_line(b, fields[i].name, fields[i].value);
	}
	if (cookie.n > 0)
		twin_line(b, SLICE_LIT("cookie"), buf_slice(&cookie));
	if (is_websocket) {
		buf_add_lit(b, "connection: upgrade\r\nupgrade: websocket\r\n");
		twin_line(b, SLICE_LIT("sec-websocket-key"), key);
	}
	buf_add_lit(b, "\r\n");
	buf_fini(&cookie);
}

static inline bool
twin_is_same(const struct head *a, const struct head *b)
{
	if (a->method != b->method || !slice_eq(head_method(a), head_method(b)) ||
	    !slice_eq(head_target(a), head_target(b)) || a->minor != b->minor ||
	    a->count != b->count || memcmp(a->first, b->first, sizeof(a->first)) != 0)
		return false;
	for (unsigned i = 0; i < a->count; i++) {
		const struct field *f = &a->fields[i], *g = &b->fields[i];

		if (f->id != g->id || f->is_hop != g->is_hop ||
		    !slice_eq(field_name(a, f), field_name(b, g)) ||
		    !slice_eq(field_value(a, f), field_value(b, g)))
			return false;
	}
	return true;
}

/* h: what became of the fields, all of which it has seen. */
static inline bool
twin_agrees(const struct h2_head *h, const struct twin_field *fields, unsigned n, struct slice key)
{
	const struct h1_limits limits = {
	    .head_bytes = UINT32_MAX, .target_bytes = (uint32_t)h->target_bytes};
	struct buf text = {0};
	struct h1_parser p;
	static struct head as_text;
	enum h1_result result;
	bool agrees;

	if (h->fault != H2_FAULT_none && h->fault != H2_FAULT_as_http1)
		return h2_fault_status(h->fault, h->shared) >= 400;
	twin_write(&text, fields, n, h->is_connect, key);
	h1_parser_init(&p, H1_REQUEST, &limits);
	result = h1_parse(&p, &as_text, text.p, text.n);
	if (h->fault == H2_FAULT_none)
		agrees = result == H1_WHOLE && as_text.size == text.n &&
		    h->head->size == h->text.n && twin_is_same(h->head, &as_text);
	else
		agrees = result == H1_BAD &&
		    h1_faults[p.fault].status == h2_fault_status(h->fault, h->shared);
	buf_fini(&text);
	return agrees;
}

static inline void
twin_read(struct h2_head *h, const struct twin_field *fields, unsigned n, struct slice key)
{
	for (unsigned i = 0; i < n; i++) {
		struct h2_field f = {.name = fields[i].name, .value = fields[i].value};

		h2_field_judge_name(&f);
		h2_field_judge_value(&f);
		h2_head_field(h, &f);
	}
	h2_head_end(h, key);
}

#endif

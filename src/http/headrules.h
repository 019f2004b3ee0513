/* http/headrules.h - what the head of a request must be, whichever version of HTTP brought it.
 *
 * The parser of HTTP/1.1 (http/h1.c) and the fields of HTTP/2 (http/h2head.c) put into a head what these let pass, and nothing
 * else: so no request is good by one way and bad by the other. Characters are judged by http/scan.h: a method and a field's
 * name are SCAN_TOKEN, a target SCAN_TARGET, a value SCAN_VALUE without blanks around it; whoever puts something here has
 * looked. Positions are offsets from the head's base. tests/unit/test_http_h2head.c and tests/fuzz/fuzz_http_h2head.c hold the
 * two ways against each other.
 */
#ifndef HTTP_HEADRULES_H
#define HTTP_HEADRULES_H

#include "http/h1.h"

#define METHOD_BYTES_MAX 32

static inline enum h1_fault
head_put_method(struct head *h, size_t at, size_t n)
{
	if (n == 0 || n > METHOD_BYTES_MAX)
		return H1_FAULT_start_line;
	h->method_at = (uint32_t)at;
	h->method_len = (uint16_t)n;
	h->method = method_of(slice_of(h->base + at, n));
	return H1_FAULT_none;
}

static inline enum h1_fault
head_put_target(struct head *h, size_t at, size_t n, size_t bytes_max)
{
	if (n > bytes_max)
		return H1_FAULT_target_too_long;
	if (n == 0)
		return H1_FAULT_start_line;
	h->target_at = (uint32_t)at;
	h->target_len = (uint32_t)n;
	return H1_FAULT_none;
}

/* Behind the others; id: of its name. */
static inline enum h1_fault
head_put_field(struct head *h, enum field_id id, size_t name_at, size_t name_n, size_t value_at,
    size_t value_n)
{
	struct field *f = &h->fields[h->count];

	if (name_n == 0 || name_n > UINT16_MAX)
		return H1_FAULT_field_name;
	if (h->count == HEAD_FIELDS_MAX)
		return H1_FAULT_too_many_fields;
	if (value_n > UINT16_MAX)
		return H1_FAULT_head_too_large;
	*f = (struct field){.name_at = (uint32_t)name_at,
	    .value_at = (uint32_t)value_at,
	    .name_len = (uint16_t)name_n,
	    .value_len = (uint16_t)value_n,
	    .id = (uint8_t)id,
	    .is_hop = field_is(id, F_HOP)};
	h->count++;
	head_index_last(h);
	return H1_FAULT_none;
}

/* All fields are in: RFC 9112 section 3.2. */
static inline enum h1_fault
head_judge_host(const struct head *h)
{
	const struct field *host = head_find(h, FIELD_HOST);

	if (host == NULL)
		return h->minor == 0 ? H1_FAULT_none : H1_FAULT_no_host;
	return head_next(h, host) == NULL ? H1_FAULT_none : H1_FAULT_repeated_host;
}

#endif

/* Heads for the unit tests of http/: from text, one field a line, without the parsers. */
#ifndef TESTS_HTTP_USUAL_H
#define TESTS_HTTP_USUAL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/head.h"

#define NOON_S INT64_C(1795003200) /* Wed, 18 Nov 2026 12:00:00 GMT */
#define NOON_MS (NOON_S * 1000)

static inline void
head_add(struct head *h, struct slice line)
{
	struct field *f = &h->fields[h->count++];
	size_t colon = slice_index(line, ':');
	struct slice value = slice_trim(slice_skip(line, colon + 1));

	assert_true(colon < line.n);
	*f = (struct field){.name_at = (uint32_t)(line.p - h->base), .name_len = (uint16_t)colon};
	f->value_at = (uint32_t)(value.p - h->base);
	f->value_len = (uint16_t)value.n;
	f->id = (uint8_t)field_id_of(field_name(h, f));
	f->is_hop = field_is((enum field_id)f->id, F_HOP);
	if (f->id != FIELD_OTHER && h->first[f->id] == 0)
		h->first[f->id] = (uint8_t)h->count;
}

/* Lines end in LF. The text must outlive the head. */
static inline struct head
head_of(const char *text)
{
	struct head h = {.base = text, .method = METHOD_GET, .status = 200, .minor = 1};
	struct slice rest = slice_from(text);

	while (rest.n > 0) {
		size_t n = slice_index(rest, '\n');
		head_add(&h, slice_of(rest.p, n));
		rest = slice_skip(rest, n < rest.n ? n + 1 : n);
	}
	for (unsigned i = 0; i < h.count; i++)
		if (head_list_has(&h, FIELD_CONNECTION, field_name(&h, &h.fields[i])))
			h.fields[i].is_hop = true;
	return h;
}

static inline struct head
response_of(uint16_t status, const char *text)
{
	struct head h = head_of(text);

	h.status = status;
	return h;
}

static inline void
expect_text(struct slice got, const char *want)
{
	if (!slice_eq(got, slice_from(want)))
		fail_msg("got \"%.*s\", want \"%s\"", SLICE_FMT(got), want);
}

#endif

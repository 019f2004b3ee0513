/* The cast of the tests of the second tier: responses to be stored and requests to ask with. */
#ifndef UNIT_L2_CAST_H
#define UNIT_L2_CAST_H

#include <stdlib.h>
#include <string.h>

#include "cache/object.h"
#include "http/date.h"
#include "http/head.h"
#include "http/negotiate.h"

#define MINUTE_MS 60000

/* A response with a life of a minute from now_ms on; body: NULL for none. */
static inline struct object *
response_of(struct slice key, struct slice vary, struct slice body, int64_t now_ms)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
				   "ETag: \"abc\"\r\nContent-Type: text/html\r\n\r\n";
	struct object_parts parts = {
	    .hash = 4711,
	    .key = key,
	    .vary = vary,
	    .tags = slice_of("products\0user:7", 16),
	    .head = SLICE_LIT(head),
	    .facts = {.born_ms = now_ms - 1000,
		.age_ms = 500,
		.life_ms = MINUTE_MS,
		.swr_ms = 2000,
		.fetch_ms = 350,
		.sie_ms = 3000,
		.date_s = 784111777,
		.modified_s = DATE_NONE,
		.log_pos = 99,
		.etag_at = 60,
		.etag_len = 5,
		.status = 200,
		.encoding = ENC_IDENTITY,
		.is_text = true,
		.immutable = true,
		.life_by_route = true},
	    .body = body_of(NULL, body),
	};
	struct object *o = object_new(NULL, &parts);

	body_unref(&parts.body);
	return o;
}

/* n bytes of text that packs well, or that does not. */
static inline char *
text_of(size_t n, bool packs)
{
	char *p = malloc(n);
	uint32_t x = 2463534242u;

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		p[i] = packs ? "<li class=\"item\">"[i % 17] : (char)x;
	}
	return p;
}

static inline struct slice
body_text(const struct object *o, char *out, size_t size)
{
	struct body_cursor c = {0};
	struct iovec iov;
	size_t n = 0;

	while (body_peek(o->body, &c, &iov, 1, UINT64_MAX) > 0 && n + iov.iov_len <= size) {
		memcpy(out + n, iov.iov_base, iov.iov_len);
		n += iov.iov_len;
		body_advance(&c, iov.iov_len);
	}
	return slice_of(out, n);
}

/* A GET whose fields are these lines, "Name: value\n" each. */
static inline void
request_of(struct head *h, const char *lines)
{
	struct slice rest = slice_from(lines);

	*h = (struct head){.base = lines, .method = METHOD_GET, .minor = 1};
	while (rest.n > 0) {
		size_t colon = slice_index(rest, ':'), end = slice_index(rest, '\n');
		struct field *f = &h->fields[h->count++];
		struct slice value = slice_trim(slice_of(rest.p + colon + 1, end - colon - 1));

		f->name_at = (uint32_t)(rest.p - lines);
		f->name_len = (uint16_t)colon;
		f->value_at = (uint32_t)(value.p - lines);
		f->value_len = (uint16_t)value.n;
		f->id = (uint8_t)field_id_of(slice_of(rest.p, colon));
		if (h->first[f->id] == 0)
			h->first[f->id] = (uint8_t)h->count;
		rest = slice_skip(rest, end + 1);
	}
}

#endif

/* LINK: cache/l2value cache/l2value_read cache/l2wire cache/object cache/body cache/slab http/negotiate http/head http/fields base/buf base/mem base/hash base/clock base/log */
/* Any bytes as a value from Redis, and values that were sound before somebody who knows the checksum
 * changed them: each is refused, or makes an object that can be walked from end to end. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "cache/l2value.h"

#include "http/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct l2_clocks now = {5000000, 1785585600000};
static const struct l2_seal seals[2] = {{NULL, 0}, {"rosebud", 7}};
static volatile unsigned walked; /* what was read was not read in vain */

/* Reads every byte, so that the sanitizer sees each. */
static unsigned
walk(struct slice s)
{
	unsigned sum = 0;

	for (size_t i = 0; i < s.n; i++)
		sum = sum * 31 + (unsigned char)s.p[i];
	return sum;
}

static void
read_value(struct slice bytes, const struct l2_seal *seal)
{
	struct body_cursor c = {0};
	struct l2_value v;
	struct object *o;
	struct iovec iov;
	struct body *body;
	unsigned sum;

	if (l2_value_read(bytes, &now, seal, &v) != L2_FLAW_none)
		return;
	sum = walk(v.key) + walk(v.vary);
	walked = sum;
	if (v.is_index || (body = l2_value_body(&v, NULL)) == NULL)
		return;
	o = l2_value_object(&v, body, 1, NULL);
	body_unref(&body);
	if (o == NULL)
		return;
	sum += walk(object_head(o)) + walk(object_tags(o)) + walk(object_etag(o));
	while (body_peek(o->body, &c, &iov, 1, UINT64_MAX) > 0) {
		sum += walk(slice_of(iov.iov_base, iov.iov_len));
		body_advance(&c, iov.iov_len);
	}
	if (body_length(o->body) != v.body_bytes || body_state(o->body) != BODY_WHOLE)
		abort();
	walked = sum;
	object_unref(&o);
}

/* Bytes of ours with a seal that holds. */
static void
read_sealed(const uint8_t *data, size_t n)
{
	char *copy = malloc(n + 8);
	uint64_t h = XXH3_64bits(data, n);

	memcpy(copy, data, n);
	for (int i = 0; i < 8; i++)
		copy[n + (size_t)i] = (char)(h >> 8 * i);
	read_value(slice_of(copy, n + 8), &seals[0]);
	free(copy);
}

static struct object *
object_from(const uint8_t *data, size_t n)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nETag: \"a\"\r\n\r\n";
	struct object_parts parts = {.hash = 1,
	    .key = SLICE_LIT("http://h/"),
	    .tags = slice_of("t", 2),
	    .head = SLICE_LIT(head),
	    .facts = {.born_ms = 4999000,
		.life_ms = 60000,
		.modified_s = DATE_NONE,
		.etag_at = 23,
		.etag_len = 3,
		.status = 200,
		.encoding = 1,
		.is_text = true},
	    .body = body_of(NULL, slice_of(data, n))};
	struct object *o = object_new(NULL, &parts);

	body_unref(&parts.body);
	return o;
}

/* A sound value, changed where the input says (two bytes of place, one of what), sealed again. */
static void
read_changed(const uint8_t *data, size_t n)
{
	size_t changes = n > 0 ? data[0] % 8 : 0;
	struct object *o;
	struct buf b;

	if (n < 1 + 3 * changes)
		return;
	o = object_from(data + 1 + 3 * changes, n - 1 - 3 * changes);
	if (l2_value_write(o, &now, &(struct l2_stamp){1, 1}, &seals[0], &b) != 0)
		abort();
	for (size_t i = 0; i < changes; i++) {
		const uint8_t *at = data + 1 + 3 * i;
		b.p[(size_t)(at[0] | at[1] << 8) % (b.n - 8)] ^= (char)at[2];
	}
	read_sealed((const uint8_t *)b.p, b.n - 8);
	buf_fini(&b);
	object_unref(&o);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	read_value(slice_of(data, n), &seals[0]);
	read_value(slice_of(data, n), &seals[1]);
	read_sealed(data, n);
	read_changed(data, n);
	return 0;
}

/* LINK: cache/snapshot_read cache/snapshot_write cache/key cache/object cache/body cache/slab http/h1 http/head http/fields base/buf base/mem base/hash */
/* Any bytes as a snapshot; as the records of one, sealed by somebody who knows how; and sound records changed here and there and
 * sealed again: each is refused, or every object that comes of it can be walked from end to end. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/hash.h"
#include "cache/key.h"
#include "cache/slab.h"
#include "cache/snapshot.h"
#include "cache/snapshot_wire.h"
#include "http/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define HEAD "HTTP/1.1 200 OK\r\nETag: \"a\"\r\n\r\n"
#define VARIANT_CODING 4

static const struct snapshot_clocks saved = {1785585600000, 5000000, "this boot"};
static const struct snapshot_clocks later = {1785585700000, 7000, "the next boot"};
static const struct l2_stamp stamp = {1, 1};
static struct slab *slab;
static int fd;
static volatile unsigned walked; /* what was read was not read in vain */

static unsigned
walk(struct slice s)
{
	unsigned sum = 0;

	for (size_t i = 0; i < s.n; i++)
		sum = sum * 31 + (unsigned char)s.p[i];
	return sum;
}

static unsigned
walk_body(const struct body *b)
{
	struct body_cursor at = {0};
	struct iovec iov;
	unsigned sum = walk(body_trailers(b));

	if (body_state(b) != BODY_WHOLE)
		abort();
	while (body_peek(b, &at, &iov, 1, UINT64_MAX) > 0) {
		sum += walk(slice_of(iov.iov_base, iov.iov_len));
		body_advance(&at, iov.iov_len);
	}
	return sum;
}

static void
walk_object(struct object *o)
{
	unsigned sum = walk(object_key(o)) + walk(object_vary(o)) + walk(object_tags(o)) +
	    walk(object_head(o)) + walk(object_etag(o)) + walk_body(o->body);

	for (const struct object_variant *v = o->variants; v != NULL; v = v->next)
		sum += walk_body(v->body);
	walked = sum + (unsigned)object_life_ms(o) + (unsigned)object_age_ms(o, later.mono_ms);
}

static void
read_snapshot(const struct snapshot_clocks *now)
{
	struct snapshot_reader *r = NULL;
	struct snapshot_item item;

	if (snapshot_open(fd, now, &r) != SNAPSHOT_none)
		return;
	for (uint64_t count = 0; snapshot_next(r, false, &item); count++) {
		struct object *o = snapshot_object(r, &item, slab, 0);

		if (count == snapshot_count(r))
			abort();
		walked = (unsigned)item.left_ms + walk(item.key) + walk(item.tags);
		if (o != NULL)
			walk_object(o);
		object_unref(&o);
	}
	snapshot_close(&r);
}

static void
put(const void *p, size_t n, off_t at)
{
	if (pwrite(fd, p, n, at) != (ssize_t)n)
		abort();
}

/* The head and the seals of records that are there; there may be any number of them. */
static void
seal_and_read(char *records, size_t n, uint64_t count)
{
	struct snapshot_head h = {.magic = SNAPSHOT_MAGIC,
	    .version = SNAPSHOT_VERSION,
	    .record_bytes = sizeof(struct snapshot_record),
	    .facts = snapshot_facts_seal(),
	    .wall_ms = saved.wall_ms,
	    .mono_ms = saved.mono_ms,
	    .count = count,
	    .bytes = n};
	char sealed[offsetof(struct snapshot_head, seal) + sizeof(uint64_t)];
	uint64_t seal = XXH3_64bits(records, n);

	memcpy(h.boot, saved.boot, sizeof(h.boot));
	memcpy(sealed, &h, sizeof(sealed));
	memcpy(sealed + offsetof(struct snapshot_head, seal), &seal, sizeof(seal));
	h.seal = XXH3_64bits(sealed, n > 0 ? sizeof(sealed) : offsetof(struct snapshot_head, seal));
	put(&h, sizeof(h), 0);
	put(records, n, SNAPSHOT_HEAD_BYTES);
	if (n > 0)
		put(&seal, sizeof(seal), (off_t)(SNAPSHOT_HEAD_BYTES + n));
	if (ftruncate(fd, (off_t)(SNAPSHOT_HEAD_BYTES + n + (n > 0 ? sizeof(seal) : 0))) != 0)
		abort();
	read_snapshot(&saved);
	read_snapshot(&later);
}

static void
write_sound(const uint8_t *data, size_t n)
{
	struct snapshot_writer *w;
	struct body *coded = body_of(slab, slice_of(data, n / 2));
	struct object_parts parts = {.key = SLICE_LIT("http\na.test\n/"),
	    .vary = SLICE_LIT("accept\1x\n"),
	    .tags = slice_of("t", 2),
	    .head = SLICE_LIT(HEAD),
	    .facts = {.born_ms = 4999000,
		.life_ms = 60000,
		.slide_ms = 1000,
		.modified_s = DATE_NONE,
		.etag_at = 23,
		.etag_len = 3,
		.status = 200},
	    .body = body_of(slab, slice_of(data, n))};
	struct object *o = object_new(slab, &parts);

	body_unref(&parts.body);
	object_add_variant(o, VARIANT_CODING, &coded);
	if (ftruncate(fd, 0) != 0)
		abort();
	w = snapshot_begin(fd);
	for (uint32_t i = 0; i < 2; i++)
		snapshot_add(w, o, i, true);
	if (snapshot_end(&w, &saved, &stamp) != 0)
		abort();
	object_unref(&o);
}

/* Two bytes of place, one of what. */
static void
read_changed(const uint8_t *data, size_t n)
{
	size_t changes = n > 0 ? data[0] % 8 : 0, bytes;
	struct snapshot_head h;
	char *records;

	if (n < 1 + 3 * changes)
		return;
	write_sound(data + 1 + 3 * changes, n - 1 - 3 * changes);
	if (pread(fd, &h, sizeof(h), 0) != sizeof(h))
		abort();
	bytes = h.bytes;
	records = malloc(bytes);
	if (pread(fd, records, bytes, SNAPSHOT_HEAD_BYTES) != (ssize_t)bytes)
		abort();
	for (size_t i = 0; i < changes; i++) {
		const uint8_t *at = data + 1 + 3 * i;

		records[(size_t)(at[0] | at[1] << 8) % bytes] ^= (char)at[2];
	}
	seal_and_read(records, bytes, h.count);
	free(records);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *copy;

	if (slab == NULL) {
		hash_seed();
		slab = slab_new((size_t)64 << 20);
		fd = memfd_create("snapshot", MFD_CLOEXEC);
	}
	if (n > 60000)
		return 0;
	copy = malloc(n + 1);
	memcpy(copy, data, n);
	if (ftruncate(fd, (off_t)n) != 0)
		abort();
	put(copy, n, 0);
	read_snapshot(&saved);
	seal_and_read(copy, n, n > 0 ? data[0] : 0);
	read_changed(data, n);
	free(copy);
	return 0;
}

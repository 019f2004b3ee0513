#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/buf.h"
#include "base/mem.h"
#include "cache/snapshot.h"
#include "cache/snapshot_wire.h"

#define PIECES 16

struct snapshot_writer {
	int fd;
	int error;
	char *block;
	size_t n; /* bytes in it */
	uint64_t bytes, count;
	struct buf seals;
};

struct snapshot_writer *
snapshot_begin(int fd)
{
	struct snapshot_writer *w = must_calloc(1, sizeof(*w));

	w->fd = fd;
	w->block = must_malloc(SNAPSHOT_BLOCK_BYTES);
	if (lseek(fd, SNAPSHOT_HEAD_BYTES, SEEK_SET) == -1)
		w->error = errno;
	return w;
}

static void
write_all(struct snapshot_writer *w, const char *p, size_t n)
{
	while (n > 0 && w->error == 0) {
		ssize_t went = write(w->fd, p, n);

		if (went == -1 && errno != EINTR)
			w->error = errno;
		else if (went > 0) {
			p += went;
			n -= (size_t)went;
		}
	}
}

static void
flush_block(struct snapshot_writer *w)
{
	uint64_t seal = XXH3_64bits(w->block, w->n);

	buf_add(&w->seals, &seal, sizeof(seal));
	write_all(w, w->block, w->n);
	w->n = 0;
}

static void
put(struct snapshot_writer *w, const void *p, size_t n)
{
	const char *from = p;

	w->bytes += n;
	while (n > 0) {
		size_t room = SNAPSHOT_BLOCK_BYTES - w->n, part = n < room ? n : room;

		memcpy(w->block + w->n, from, part);
		w->n += part;
		from += part;
		n -= part;
		if (w->n == SNAPSHOT_BLOCK_BYTES)
			flush_block(w);
	}
}

static void
put_slice(struct snapshot_writer *w, struct slice s)
{
	if (s.n > 0)
		put(w, s.p, s.n);
}

static void
put_body(struct snapshot_writer *w, const struct body *b)
{
	struct body_cursor at = {0};
	struct iovec iov[PIECES];
	int n;

	while ((n = body_peek(b, &at, iov, PIECES, UINT64_MAX)) > 0)
		for (int i = 0; i < n; i++) {
			put(w, iov[i].iov_base, iov[i].iov_len);
			body_advance(&at, iov[i].iov_len);
		}
}

/* --- a record --- */

static struct snapshot_record
record_of(const struct object *o, uint32_t rank, bool is_main)
{
	struct object_facts f = object_facts(o);
	bool is_soft = atomic_load_explicit(&o->soft_purged, memory_order_relaxed);
	struct snapshot_record r = {.rank = rank,
	    .hit_count = atomic_load_explicit(&o->hit_count, memory_order_relaxed),
	    .head_len = o->head_len,
	    .slide_ms = f.slide_ms,
	    .fetch_ms = f.fetch_ms,
	    .key_len = o->key_len,
	    .vary_len = o->vary_len,
	    .tags_len = o->tags_len,
	    .hits = atomic_load_explicit(&o->hits, memory_order_relaxed),
	    .flags = (uint8_t)((is_main ? SNAPSHOT_IS_MAIN : 0) |
		(is_soft ? SNAPSHOT_IS_SOFT_PURGED : 0))};

	if (o->facts.slides)
		r.used_ms = atomic_load_explicit(&object_sliding(o)->used_ms, memory_order_relaxed);
#define X(type, name, kept, bits) r.facts.name = (int64_t)f.name;
	OBJECT_FACTS(X)
#undef X
	return r;
}

static struct object_variant *
first_variant(const struct object *o)
{
	return atomic_load_explicit(&o->variants, memory_order_acquire);
}

static struct object_variant *
next_variant(const struct object_variant *v)
{
	return atomic_load_explicit(&v->next, memory_order_acquire);
}

/* The record's lengths, once all is known that belongs to it. Returns the padding. */
static size_t
measure(struct snapshot_record *r, const struct object *o)
{
	uint64_t bytes = sizeof(*r) + r->key_len + r->vary_len + r->tags_len + r->head_len;
	size_t padding;

	if (o->body != NULL) {
		r->body_bytes = body_length(o->body);
		r->trailers_len = (uint32_t)body_trailers(o->body).n;
	}
	bytes += r->body_bytes + r->trailers_len;
	for (const struct object_variant *v = first_variant(o); v != NULL; v = next_variant(v)) {
		r->variants++;
		bytes += sizeof(struct snapshot_variant) + body_length(v->body);
	}
	padding = (SNAPSHOT_ALIGN - bytes % SNAPSHOT_ALIGN) % SNAPSHOT_ALIGN;
	r->record_bytes = bytes + padding;
	return padding;
}

int
snapshot_add(struct snapshot_writer *w, const struct object *o, uint32_t rank, bool is_main)
{
	static const char zeros[SNAPSHOT_ALIGN];
	struct snapshot_record r = record_of(o, rank, is_main);
	size_t padding = measure(&r, o);

	put(w, &r, sizeof(r));
	put_slice(w, object_key(o));
	put_slice(w, object_vary(o));
	put_slice(w, object_tags(o));
	put_slice(w, object_head(o));
	if (o->body != NULL) {
		put_slice(w, body_trailers(o->body));
		put_body(w, o->body);
	}
	for (const struct object_variant *v = first_variant(o); v != NULL; v = next_variant(v)) {
		struct snapshot_variant about = {.bytes = body_length(v->body),
		    .encoding = v->encoding,
		    .effort = atomic_load_explicit(&v->effort, memory_order_relaxed)};

		put(w, &about, sizeof(about));
		put_body(w, v->body);
	}
	put(w, zeros, padding);
	w->count++;
	errno = w->error;
	return w->error == 0 ? 0 : -1;
}

/* --- the end --- */

uint64_t
snapshot_facts_seal(void)
{
	static const char names[] =
#define X(type, name, kept, bits) #name " "
	    OBJECT_FACTS(X)
#undef X
	    ;

	return XXH3_64bits(names, sizeof(names));
}

static uint64_t
seal_whole(struct snapshot_head *h, struct slice seals)
{
	XXH3_state_t *s = XXH3_createState();
	uint64_t seal;

	if (s == NULL)
		bug("no memory for a seal");
	XXH3_64bits_reset(s);
	XXH3_64bits_update(s, h, offsetof(struct snapshot_head, seal));
	XXH3_64bits_update(s, seals.p, seals.n);
	seal = XXH3_64bits_digest(s);
	XXH3_freeState(s);
	return seal;
}

static void
write_head(
    struct snapshot_writer *w, const struct snapshot_clocks *now, const struct l2_stamp *stamp)
{
	struct snapshot_head h = {.magic = SNAPSHOT_MAGIC,
	    .version = SNAPSHOT_VERSION,
	    .record_bytes = sizeof(struct snapshot_record),
	    .facts = snapshot_facts_seal(),
	    .wall_ms = now->wall_ms,
	    .mono_ms = now->mono_ms,
	    .epoch = stamp->epoch,
	    .seq = stamp->seq,
	    .count = w->count,
	    .bytes = w->bytes};

	memcpy(h.boot, now->boot, sizeof(h.boot));
	h.seal = seal_whole(&h, buf_slice(&w->seals));
	if (w->error == 0 && pwrite(w->fd, &h, sizeof(h), 0) != sizeof(h))
		w->error = errno;
}

int
snapshot_end(
    struct snapshot_writer **wp, const struct snapshot_clocks *now, const struct l2_stamp *stamp)
{
	struct snapshot_writer *w = *wp;
	int error;

	*wp = NULL;
	if (w->n > 0)
		flush_block(w);
	write_all(w, w->seals.p, w->seals.n);
	write_head(w, now, stamp);
	error = w->error;
	buf_fini(&w->seals);
	free(w->block);
	free(w);
	errno = error;
	return error == 0 ? 0 : -1;
}

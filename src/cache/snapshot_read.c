#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/mem.h"
#include "cache/key.h"
#include "cache/snapshot.h"
#include "cache/snapshot_wire.h"
#include "http/h1.h"

#define CLOCK_BITS 50
#define LET_GO_BYTES ((uint64_t)8 << 20)

const char *const snapshot_flaw_texts[] = {
#define X(flaw, text) [SNAPSHOT_##flaw] = text,
    SNAPSHOT_FLAWS(X)
#undef X
};

struct snapshot_reader {
	int fd;
	const char *map;
	size_t map_bytes;
	struct snapshot_head head;
	int64_t shift_ms; /* from the monotonic clock it was written by to ours */
	int64_t now_ms;
	uint64_t at;	 /* of the next record */
	uint64_t let_go; /* up to there it is not held in memory by us; from the file's beginning */
};

void
snapshot_boot(char out[40])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	memset(out, 0, 40);
	if (f == NULL)
		return;
	if (fgets(out, 40, f) == NULL)
		memset(out, 0, 40);
	fclose(f);
}

/* --- whether it is whole --- */

static uint64_t
blocks_of(const struct snapshot_head *h)
{
	return (h->bytes + SNAPSHOT_BLOCK_BYTES - 1) / SNAPSHOT_BLOCK_BYTES;
}

static const char *
records(const struct snapshot_reader *r)
{
	return r->map + SNAPSHOT_HEAD_BYTES;
}

static enum snapshot_flaw
judge_head(struct snapshot_reader *r)
{
	struct snapshot_head *h = &r->head;
	uint64_t room;

	if (r->map_bytes < SNAPSHOT_HEAD_BYTES)
		return SNAPSHOT_foreign;
	memcpy(h, r->map, sizeof(*h));
	if (h->magic != SNAPSHOT_MAGIC)
		return SNAPSHOT_foreign;
	if (h->version != SNAPSHOT_VERSION || h->record_bytes != sizeof(struct snapshot_record) ||
	    h->facts != snapshot_facts_seal())
		return SNAPSHOT_version;
	room = r->map_bytes - SNAPSHOT_HEAD_BYTES;
	if (h->bytes > room || blocks_of(h) * sizeof(uint64_t) != room - h->bytes)
		return SNAPSHOT_damaged;
	return SNAPSHOT_none;
}

static bool
whole_seal_holds(const struct snapshot_reader *r)
{
	XXH3_state_t *s = XXH3_createState();
	uint64_t seal;

	if (s == NULL)
		bug("no memory for a seal");
	XXH3_64bits_reset(s);
	XXH3_64bits_update(s, &r->head, offsetof(struct snapshot_head, seal));
	XXH3_64bits_update(s, records(r) + r->head.bytes, blocks_of(&r->head) * sizeof(uint64_t));
	seal = XXH3_64bits_digest(s);
	XXH3_freeState(s);
	return seal == r->head.seal;
}

/* What has been looked at, up to that position of the records, need not count as our memory. Returns how much of the file that is,
 * if it is worth it. */
static uint64_t
let_go(struct snapshot_reader *r, uint64_t at)
{
	uint64_t upto = (SNAPSHOT_HEAD_BYTES + at) / SNAPSHOT_HEAD_BYTES * SNAPSHOT_HEAD_BYTES;
	uint64_t bytes = upto - r->let_go;

	if (bytes < LET_GO_BYTES)
		return 0;
	madvise((void *)(uintptr_t)(r->map + r->let_go), bytes, MADV_DONTNEED);
	r->let_go = upto;
	return bytes;
}

static bool
block_seals_hold(struct snapshot_reader *r)
{
	const char *seals = records(r) + r->head.bytes;

	for (uint64_t i = 0; i < blocks_of(&r->head); i++) {
		uint64_t at = i * SNAPSHOT_BLOCK_BYTES, left = r->head.bytes - at, seal;

		memcpy(&seal, seals + i * sizeof(seal), sizeof(seal));
		if (XXH3_64bits(records(r) + at,
			left < SNAPSHOT_BLOCK_BYTES ? left : SNAPSHOT_BLOCK_BYTES) != seal)
			return false;
		let_go(r, at);
	}
	r->let_go = 0;
	return true;
}

static bool
fits_signed(int64_t v, unsigned bits)
{
	int64_t most = (int64_t)(UINT64_MAX >> (65 - bits));

	return v >= -most - 1 && v <= most;
}

static bool
fits_unsigned(int64_t v, unsigned bits)
{
	return (uint64_t)v >> bits == 0;
}

/* They come from an object, so an object can hold them; and times of that size can be added up. */
static bool
facts_fit(const struct snapshot_record *rec)
{
#define X(type, name, kept, bits)                \
	if (!fits_##kept(rec->facts.name, bits)) \
		return false;
	OBJECT_FACTS(X)
#undef X
	return true;
}

/* What the record at that position holds must lie within it. */
static bool
record_fits(const struct snapshot_reader *r, uint64_t at)
{
	struct snapshot_record rec;
	uint64_t left = r->head.bytes - at, need = sizeof(rec);

	if (left < sizeof(rec))
		return false;
	memcpy(&rec, records(r) + at, sizeof(rec));
	if (!facts_fit(&rec))
		return false;
	need +=
	    (uint64_t)rec.key_len + rec.vary_len + rec.tags_len + rec.head_len + rec.trailers_len;
	if (rec.record_bytes > left || rec.record_bytes % SNAPSHOT_ALIGN != 0 ||
	    need > rec.record_bytes || rec.body_bytes > rec.record_bytes - need)
		return false;
	need += rec.body_bytes;
	for (unsigned i = 0; i < rec.variants; i++) {
		struct snapshot_variant v;

		if (rec.record_bytes - need < sizeof(v))
			return false;
		memcpy(&v, records(r) + at + need, sizeof(v));
		need += sizeof(v);
		if (v.bytes > rec.record_bytes - need)
			return false;
		need += v.bytes;
	}
	return true;
}

static bool
records_fit(struct snapshot_reader *r)
{
	uint64_t at = 0, count = 0, bytes;

	for (; at < r->head.bytes; at += bytes, count++) {
		if (!record_fits(r, at))
			return false;
		memcpy(&bytes, records(r) + at, sizeof(bytes));
		let_go(r, at);
	}
	r->let_go = 0;
	return count == r->head.count;
}

/* How the times in it are to be read. */
static bool
set_clock(struct snapshot_reader *r, const struct snapshot_clocks *now)
{
	int64_t passed_ms;

	if (!fits_signed(r->head.wall_ms, CLOCK_BITS) || !fits_signed(r->head.mono_ms, CLOCK_BITS))
		return false;
	passed_ms = now->wall_ms - r->head.wall_ms;
	r->now_ms = now->mono_ms;
	if (now->boot[0] != '\0' && memcmp(now->boot, r->head.boot, sizeof(r->head.boot)) == 0)
		return now->mono_ms >= r->head.mono_ms;
	r->shift_ms = now->mono_ms - passed_ms - r->head.mono_ms;
	return passed_ms >= 0;
}

static enum snapshot_flaw
judge(struct snapshot_reader *r, const struct snapshot_clocks *now)
{
	enum snapshot_flaw flaw = judge_head(r);

	if (flaw != SNAPSHOT_none)
		return flaw;
	if (!whole_seal_holds(r) || !block_seals_hold(r) || !records_fit(r))
		return SNAPSHOT_damaged;
	return set_clock(r, now) ? SNAPSHOT_none : SNAPSHOT_clock;
}

enum snapshot_flaw
snapshot_open(int fd, const struct snapshot_clocks *now, struct snapshot_reader **out)
{
	struct snapshot_reader *r = must_calloc(1, sizeof(*r));
	enum snapshot_flaw flaw;
	struct stat st;
	void *map;

	r->fd = fd;
	if (fstat(fd, &st) == -1) {
		free(r);
		return SNAPSHOT_unread;
	}
	if (st.st_size < SNAPSHOT_HEAD_BYTES) {
		free(r);
		return SNAPSHOT_foreign;
	}
	r->map_bytes = (size_t)st.st_size;
	map = mmap(NULL, r->map_bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		free(r);
		return SNAPSHOT_unread;
	}
	r->map = map;
	madvise(map, r->map_bytes, MADV_SEQUENTIAL); /* a hint; without it it is slower */
	if ((flaw = judge(r, now)) != SNAPSHOT_none) {
		snapshot_close(&r);
		return flaw;
	}
	*out = r;
	return SNAPSHOT_none;
}

int
snapshot_use_up(int fd)
{
	static const uint64_t none;

	return pwrite(fd, &none, sizeof(none), offsetof(struct snapshot_head, magic)) ==
		sizeof(none)
	    ? 0
	    : -1;
}

void
snapshot_close(struct snapshot_reader **rp)
{
	struct snapshot_reader *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	munmap((void *)(uintptr_t)r->map, r->map_bytes);
	free(r);
}

uint64_t
snapshot_count(const struct snapshot_reader *r)
{
	return r->head.count;
}

uint64_t
snapshot_bytes(const struct snapshot_reader *r)
{
	return r->head.bytes;
}

struct l2_stamp
snapshot_stamp(const struct snapshot_reader *r)
{
	return (struct l2_stamp){.epoch = r->head.epoch, .seq = r->head.seq};
}

/* --- its records --- */

static void
give_back(struct snapshot_reader *r)
{
	uint64_t bytes = let_go(r, r->at);

	/* Where the file cannot have holes its memory is free when all is read. */
	if (bytes > 0)
		(void)fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		    (off_t)(r->let_go - bytes), (off_t)bytes);
}

static struct slice
take(const char **at, uint64_t n)
{
	struct slice s = slice_of(*at, n);

	*at += n;
	return s;
}

static int64_t
born_ms(const struct snapshot_reader *r, const struct snapshot_record *rec)
{
	return rec->facts.born_ms + r->shift_ms;
}

static int64_t
left_ms(const struct snapshot_reader *r, const struct snapshot_record *rec)
{
	int64_t resident_ms = r->now_ms - born_ms(r, rec);
	int64_t stale_ms =
	    rec->facts.swr_ms > rec->facts.sie_ms ? rec->facts.swr_ms : rec->facts.sie_ms;
	int64_t life_ms = rec->facts.life_ms;

	if (rec->slide_ms > 0)
		life_ms = life_slid_ms(
		    rec->facts.age_ms + rec->used_ms, rec->slide_ms, rec->facts.life_ms);
	return life_ms + (rec->facts.no_stale ? 0 : stale_ms) - rec->facts.age_ms -
	    (resident_ms > 0 ? resident_ms : 0);
}

bool
snapshot_next(struct snapshot_reader *r, bool gives_back, struct snapshot_item *out)
{
	const struct snapshot_record *rec;
	const char *at;

	if (gives_back)
		give_back(r);
	else
		let_go(r, r->at);
	if (r->at >= r->head.bytes)
		return false;
	at = records(r) + r->at;
	rec = (const struct snapshot_record *)(const void *)at;
	r->at += rec->record_bytes;
	at += sizeof(*rec);
	*out = (struct snapshot_item){.rank = rec->rank,
	    .is_main = rec->flags & SNAPSHOT_IS_MAIN,
	    .left_ms = left_ms(r, rec),
	    .record = rec};
	out->key = take(&at, rec->key_len);
	out->vary = take(&at, rec->vary_len);
	out->tags = take(&at, rec->tags_len);
	out->head = take(&at, rec->head_len);
	return true;
}

static struct body *
make_body(struct slab *slab, struct slice trailers, struct slice bytes)
{
	struct body *b;

	if (trailers.n == 0)
		return body_of(slab, bytes);
	if ((b = body_new(slab, BODY_LENGTH_UNKNOWN)) == NULL)
		return NULL;
	if (body_append(b, bytes) != 0 || b->is_passing) {
		body_unref(&b);
		return NULL;
	}
	body_set_trailers(b, trailers);
	body_end(b, BODY_WHOLE);
	return b;
}

static bool
facts_are_possible(const struct object_facts *f, const struct snapshot_item *item)
{
	struct head parsed;

	return (uint64_t)f->etag_at + f->etag_len <= item->head.n &&
	    (item->tags.n == 0 || item->tags.p[item->tags.n - 1] == '\0') &&
	    head_of_stored(&parsed, item->head) && parsed.status == f->status;
}

/* Where there is no room for one, it is made again when somebody asks. */
static void
add_variants(struct object *o, const struct snapshot_record *rec, const char *at, struct slab *slab)
{
	for (unsigned i = 0; i < rec->variants; i++) {
		struct snapshot_variant v;
		struct body *b;

		memcpy(&v, at, sizeof(v));
		at += sizeof(v);
		b = body_of(slab, slice_of(at, v.bytes));
		at += v.bytes;
		if (b == NULL || object_add_variant(o, v.encoding, &b) != 0)
			return;
		if (v.effort == VARIANT_STRONGEST)
			atomic_store_explicit(&object_find_variant(o, v.encoding)->effort,
			    VARIANT_STRONGEST, memory_order_relaxed);
	}
}

struct object *
snapshot_object(const struct snapshot_reader *r, const struct snapshot_item *item,
    struct slab *slab, uint64_t log_pos)
{
	const struct snapshot_record *rec = item->record;
	const char *at = item->head.p + item->head.n;
	struct slice trailers = take(&at, rec->trailers_len), bytes = take(&at, rec->body_bytes);
	struct object_parts parts = {.hash = cache_key_of(item->key).hash,
	    .key = item->key,
	    .vary = item->vary,
	    .tags = item->tags,
	    .head = item->head,
	    .facts = {.slide_ms = rec->slide_ms,
		.fetch_ms = rec->fetch_ms,
#define X(type, name, kept, bits) .name = (type)rec->facts.name,
		OBJECT_FACTS(X)
#undef X
	    }};
	struct object *o;

	parts.facts.born_ms = born_ms(r, rec);
	parts.facts.log_pos = log_pos;
	if (!facts_are_possible(&parts.facts, item) ||
	    (parts.body = make_body(slab, trailers, bytes)) == NULL)
		return NULL;
	o = object_new(slab, &parts);
	body_unref(&parts.body);
	if (o == NULL)
		return NULL;
	atomic_init(&o->hits, rec->hits);
	atomic_init(&o->hit_count, rec->hit_count);
	atomic_init(&o->soft_purged, (rec->flags & SNAPSHOT_IS_SOFT_PURGED) != 0);
	if (o->facts.slides)
		atomic_init(&object_sliding(o)->used_ms, rec->used_ms);
	add_variants(o, rec, at, slab);
	return o;
}

/* Names and values of the dynamic table lie behind one another in the order in which they came; what has been evicted is left
 * in front until room is needed. Positions are counted on for ever, modulo 2^32, so entries need not be told when bytes move. */
#include "http/hpack.h"

#include <endian.h>
#include <stdlib.h>

#include "base/mem.h"
#include "http/hpack_codes.h"
#include "http/hpack_static.h"

#define ENTRY_BYTES 32	/* RFC 7541 section 4.1 */
#define ENTRIES_FIRST 8 /* a power of two, as all that follow */

struct fixed {
	const char *text; /* name and value */
	uint8_t name_n, value_n, pseudo, id, judged;
};

static const struct fixed fixed[] = {
#define X(name, value, pseudo, id, judged) \
	{name value, sizeof(name) - 1, sizeof(value) - 1, H2_PSEUDO_##pseudo, FIELD_##id, judged},
    HPACK_STATIC(X)
#undef X
};
#define FIXED_COUNT (sizeof(fixed) / sizeof(*fixed))
_Static_assert(FIXED_COUNT == 61, "RFC 7541 appendix A has 61 rows");

void
hpack_init(struct hpack *d)
{
	*d = (struct hpack){.size_max = HPACK_TABLE_BYTES};
}

void
hpack_sleep(struct hpack *d)
{
	buf_fini(&d->scratch);
}

void
hpack_fini(struct hpack *d)
{
	hpack_sleep(d);
	buf_fini(&d->bytes);
	free(d->ring);
	d->ring = NULL;
}

void
hpack_begin(struct hpack *d)
{
	d->may_resize = true;
}

/* --- the table --- */

/* The n-th newest, from 0 on. */
static inline struct hpack_entry *
entry_of(const struct hpack *d, unsigned n)
{
	return &d->ring[(d->next - 1 - n) & (d->cap - 1)];
}

static inline uint32_t
entry_size(const struct hpack_entry *e)
{
	return (uint32_t)e->name_n + e->value_n + ENTRY_BYTES;
}

static void
shrink(struct hpack *d, size_t size_max)
{
	while (d->size > size_max)
		d->size -= entry_size(entry_of(d, --d->count));
}

/* What was evicted leaves the front when it is at least half of all. */
static void
make_room(struct hpack *d, size_t n)
{
	size_t dead = d->bytes.n;

	if (d->count > 0)
		dead = entry_of(d, d->count - 1)->at - d->bytes_at;
	if (d->bytes.cap - d->bytes.n >= n || dead < d->bytes.n - dead)
		return;
	buf_eat(&d->bytes, dead);
	d->bytes_at += (uint32_t)dead;
}

static void
grow_ring(struct hpack *d)
{
	unsigned cap = d->cap == 0 ? ENTRIES_FIRST : d->cap * 2;
	struct hpack_entry *ring;

	if (d->count < d->cap)
		return;
	ring = must_malloc(cap * sizeof(*ring));
	for (unsigned i = 0; i < d->count; i++)
		ring[d->count - 1 - i] = *entry_of(d, i);
	free(d->ring);
	d->ring = ring;
	d->cap = cap;
	d->next = d->count;
}

/* RFC 7541 section 4.4. f's bytes are not the table's. */
static void
insert(struct hpack *d, const struct h2_field *f)
{
	size_t n = f->name.n + f->value.n, size = n + ENTRY_BYTES;

	if (size > d->size_max) {
		shrink(d, 0);
		return;
	}
	shrink(d, d->size_max - size);
	make_room(d, n);
	buf_room(&d->bytes, n + 1); /* an empty field has a place, too */
	grow_ring(d);
	d->ring[d->next++ & (d->cap - 1)] =
	    (struct hpack_entry){.at = d->bytes_at + (uint32_t)d->bytes.n,
		.name_n = (uint16_t)f->name.n,
		.value_n = (uint16_t)f->value.n,
		.pseudo = f->pseudo,
		.id = f->id,
		.judged = f->judged};
	buf_add_slice(&d->bytes, f->name);
	buf_add_slice(&d->bytes, f->value);
	d->size += (uint32_t)size;
	d->count++;
}

/* False: there is no such entry. */
static inline bool
look_up(const struct hpack *d, uint32_t index, struct h2_field *f)
{
	if (index - 1 < FIXED_COUNT) {
		const struct fixed *e = &fixed[index - 1];

		*f = (struct h2_field){slice_of(e->text, e->name_n),
		    slice_of(e->text + e->name_n, e->value_n), e->pseudo, e->id, e->judged};
		return true;
	}
	if (index != 0 && index - 1 - FIXED_COUNT < d->count) {
		const struct hpack_entry *e = entry_of(d, index - 1 - (unsigned)FIXED_COUNT);
		const char *text = d->bytes.p + (e->at - d->bytes_at);

		*f = (struct h2_field){slice_of(text, e->name_n),
		    slice_of(text + e->name_n, e->value_n), e->pseudo, e->id, e->judged};
		return true;
	}
	return false;
}

/* --- what a block is made of --- */

/* RFC 7541 section 5.1, up to 2^32 - 1 and five bytes behind the first; there is a first byte. */
static inline bool
read_int(struct slice *block, unsigned bits, uint32_t *out)
{
	uint32_t most = (1u << bits) - 1, v = (unsigned char)block->p[0] & most;
	size_t at = 1;

	if (v == most)
		for (unsigned shift = 0;; shift += 7) {
			unsigned char byte;

			if (at == block->n || shift > 28)
				return false;
			byte = (unsigned char)block->p[at++];
			if ((byte & 127u) > UINT32_MAX >> shift ||
			    (uint32_t)(byte & 127u) << shift > UINT32_MAX - v)
				return false;
			v += (uint32_t)(byte & 127u) << shift;
			if (byte < 128)
				break;
		}
	*block = slice_skip(*block, at);
	*out = v;
	return true;
}

/* The code at the front of the bits, which is longer than eight of them. *symbol_out is 256 for EOS. */
static unsigned
long_code(uint64_t bits, unsigned *symbol_out)
{
	uint64_t front = bits >> 32;
	unsigned row = 0;

	while (front >= long_codes[row].end)
		row++;
	*symbol_out = long_symbols[long_codes[row].at + (front >> (32 - long_codes[row].length)) -
	    long_codes[row].first];
	return long_codes[row].length;
}

/* RFC 7541 section 5.2: what is left are less than eight bits, the front of EOS. */
static inline bool
is_padding(uint64_t bits, unsigned have)
{
	return have == 0 || (have < 8 && bits >> (64 - have) == (1u << have) - 1);
}

/* To at least 56 bits, or all there are. */
static inline void
refill(const unsigned char **p, const unsigned char *end, uint64_t *bits, unsigned *have)
{
	uint64_t word;

	if (end - *p >= 8) {
		memcpy(&word, *p, sizeof(word));
		*bits |= be64toh(word) >> *have;
		*p += (63 - *have) / 8;
		*have |= 56;
		/* What lies behind the bits that are had comes again. */
		*bits &= ~(uint64_t)0 << (64 - *have);
		return;
	}
	for (; *have <= 56 && *p < end; *have += 8, (*p)++)
		*bits |= (uint64_t) * *p << (56 - *have);
}

/* Unfolds a text in Huffman's code; there is room for twice its bytes. NULL: it is none. Returns where the text ends. */
static char *
unfold(char *to, struct slice coded)
{
	const unsigned char *p = (const unsigned char *)coded.p, *end = p + coded.n;
	uint64_t bits = 0; /* from the top */
	unsigned have = 0;

	for (;;) {
		unsigned length, symbol;

		if (have < 30 && p < end)
			refill(&p, end, &bits, &have);
		length = short_codes[bits >> 56].length;
		if (length != 0 && length <= have)
			*to++ = (char)short_codes[bits >> 56].symbol;
		else {
			if (length == 0)
				length = long_code(bits, &symbol);
			if (length > have)
				return is_padding(bits, have) ? to : NULL;
			if (symbol > 255)
				return NULL;
			*to++ = (char)symbol;
		}
		bits <<= length;
		have -= length;
	}
}

/* One text, where it lies or in scratch, which has room. */
static bool
read_text(struct hpack *d, struct slice *block, struct slice *out)
{
	bool is_coded;
	uint32_t n;
	char *to, *end;

	if (block->n == 0)
		return false;
	is_coded = (block->p[0] & 0x80) != 0;
	if (!read_int(block, 7, &n) || n > block->n)
		return false;
	*out = slice_of(block->p, n);
	*block = slice_skip(*block, n);
	if (!is_coded)
		return true;
	to = d->scratch.p + d->scratch.n;
	end = unfold(to, *out);
	if (end == NULL)
		return false;
	*out = slice_of(to, (size_t)(end - to));
	d->scratch.n += out->n;
	return true;
}

/* RFC 7541 section 6.2: the name is an entry's, or told. */
static bool
read_literal(struct hpack *d, struct slice *block, bool is_kept, struct h2_field *f)
{
	uint32_t index;

	if (!read_int(block, is_kept ? 6 : 4, &index))
		return false;
	buf_room(&d->scratch, 2 * block->n + HPACK_TABLE_BYTES);
	if (index == 0) {
		if (!read_text(d, block, &f->name))
			return false;
		h2_field_judge_name(f);
	} else if (!look_up(d, index, f))
		return false;
	else if (is_kept && index > FIXED_COUNT) {
		/* What is inserted may evict whose name it has. */
		buf_add_slice(&d->scratch, f->name);
		f->name.p = d->scratch.p + d->scratch.n - f->name.n;
	}
	if (!read_text(d, block, &f->value))
		return false;
	h2_field_judge_value(f);
	if (is_kept)
		insert(d, f);
	return true;
}

/* RFC 7541 section 6.3. */
static bool
resize(struct hpack *d, struct slice *block)
{
	uint32_t size_max;

	if (!d->may_resize || !read_int(block, 5, &size_max) || size_max > HPACK_TABLE_BYTES)
		return false;
	d->size_max = size_max;
	shrink(d, size_max);
	return true;
}

enum hpack_result
hpack_next(struct hpack *d, struct slice *block, struct h2_field *f)
{
	uint32_t index;

	d->scratch.n = 0;
	while (block->n > 0) {
		unsigned char first = (unsigned char)block->p[0];

		if ((first & 0xe0) == 0x20) {
			if (!resize(d, block))
				return HPACK_BAD;
			continue;
		}
		d->may_resize = false;
		if (first & 0x80)
			return read_int(block, 7, &index) && look_up(d, index, f) ? HPACK_FIELD
										  : HPACK_BAD;
		return read_literal(d, block, (first & 0x40) != 0, f) ? HPACK_FIELD : HPACK_BAD;
	}
	return HPACK_END;
}

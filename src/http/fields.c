#include "http/fields.h"

#include "http/fields_slots.h"

struct row {
	const char *spelling;
	uint8_t len, flags;
};

static const struct row rows[FIELD_COUNT] = {[FIELD_OTHER] = {"", 0, 0},
#define X(id, spelling, flags) [FIELD_##id] = {spelling, sizeof(spelling) - 1, flags},
    FIELDS(X)
#undef X
};

/* The same sum as in fields_slots.py. */
static inline unsigned
slot_of(const char *p, size_t n)
{
	uint32_t word = (uint32_t)(unsigned char)p[0] | (uint32_t)(unsigned char)p[n / 2] << 8 |
	    (uint32_t)(unsigned char)p[n * 7 / 8] << 16 | (uint32_t)(unsigned char)p[n - 1] << 24;

	return ((word | 0x20202020) + (uint32_t)n * 0x9E3779) * SLOT_MUL >> SLOT_SHIFT;
}

/* Eight bytes at a time; only where the known name has a letter (bit 0x40) does the case bit not count, so that no
 * control byte passes for a hyphen. */
static inline bool
word_differs(const char *known, const char *other)
{
	uint64_t a, b;

	memcpy(&a, known, sizeof a);
	memcpy(&b, other, sizeof b);
	return ((a ^ b) & ~((a & 0x4040404040404040) >> 1)) != 0;
}

/* The same of four. */
static inline bool
half_differs(const char *known, const char *other)
{
	uint32_t a, b;

	memcpy(&a, known, sizeof a);
	memcpy(&b, other, sizeof b);
	return ((a ^ b) & ~((a & 0x40404040) >> 1)) != 0;
}

static inline bool
name_is(const struct row *r, const char *p)
{
	size_t n = r->len;

	if (n < 4)
		return slice_ieq(slice_of(r->spelling, n), slice_of(p, n));
	if (n < 8)
		return !half_differs(r->spelling, p) &&
		    !half_differs(r->spelling + n - 4, p + n - 4);
	for (size_t i = 0; i + 8 < n; i += 8)
		if (word_differs(r->spelling + i, p + i))
			return false;
	return !word_differs(r->spelling + n - 8, p + n - 8);
}

enum field_id
field_id_of(struct slice name)
{
	enum field_id id;

	if (name.n == 0)
		return FIELD_OTHER;
	id = slots[slot_of(name.p, name.n)];
	if (rows[id].len != name.n || !name_is(&rows[id], name.p))
		return FIELD_OTHER;
	return id;
}

struct slice
field_spelling(enum field_id id)
{
	return slice_of(rows[id].spelling, rows[id].len);
}

unsigned
field_flags(enum field_id id)
{
	return rows[id].flags;
}

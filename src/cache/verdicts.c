#include "cache/verdicts.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"

#define ENTRIES 32768 /* a power of two */
/* A word, from its low bits: source, verdict, status, seconds, and the rest of the hash; 0 is no entry, since no status is 0. */
#define SOURCE_BITS 2
#define VERDICT_BITS 6
#define STATUS_BITS 10
#define TIME_BITS 24
#define BEFORE_HASH (SOURCE_BITS + VERDICT_BITS + STATUS_BITS + TIME_BITS)

struct verdicts {
	_Atomic uint64_t entries[ENTRIES];
};

static const struct {
	const char *name, *text;
} sources[] = {
#define X(source, text) {#source, text},
    SOURCES(X)
#undef X
};

const char *
source_name(enum source s)
{
	return sources[s].name;
}

const char *
source_text(enum source s)
{
	return sources[s].text;
}

struct verdicts *
verdicts_new(void)
{
	return must_calloc(1, sizeof(struct verdicts));
}

void
verdicts_free(struct verdicts **vp)
{
	free(*vp);
	*vp = NULL;
}

static uint64_t
mask(unsigned bits)
{
	return (UINT64_C(1) << bits) - 1;
}

static uint64_t
fingerprint(uint64_t hash)
{
	return hash >> BEFORE_HASH;
}

void
verdicts_note(struct verdicts *v, uint64_t hash, const struct verdict_note *note)
{
	uint64_t word = fingerprint(hash);

	word = word << TIME_BITS | ((uint64_t)note->at_s & mask(TIME_BITS));
	word = word << STATUS_BITS | (note->status & mask(STATUS_BITS));
	word = word << VERDICT_BITS | (note->verdict & mask(VERDICT_BITS));
	word = word << SOURCE_BITS | note->source;
	atomic_store_explicit(&v->entries[hash % ENTRIES], word, memory_order_relaxed);
}

static uint64_t
take(uint64_t *word, unsigned bits)
{
	uint64_t part = *word & mask(bits);

	*word >>= bits;
	return part;
}

bool
verdicts_recall(struct verdicts *v, uint64_t hash, struct verdict_note *out)
{
	uint64_t word = atomic_load_explicit(&v->entries[hash % ENTRIES], memory_order_relaxed);

	if (word == 0)
		return false;
	out->source = (enum source)take(&word, SOURCE_BITS);
	out->verdict = (unsigned)take(&word, VERDICT_BITS);
	out->status = (unsigned)take(&word, STATUS_BITS);
	out->at_s = (int64_t)take(&word, TIME_BITS);
	return word == fingerprint(hash);
}

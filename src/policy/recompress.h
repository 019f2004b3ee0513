/* policy/recompress.h - what is stored compressed and often asked for is compressed again, as small as its coding makes it, when
 * there is nothing else to do.
 *
 * The story of a variant. Coded while it streamed to the first client that takes the coding, it is kept with its object
 * (cache/object.h), and noted here: hash and body, as much as a table has room for, without a reference, since what leaves
 * the store is not to be held back. The thread "recompress" looks at what is noted, a part of it four times a second, drops what is
 * gone, and of the rest takes the one that is worth most: asked for often enough since it was stored, likely to be as often
 * again before it expires, longest. A copy of its body goes to the press (policy/press.h), which works only while nobody else
 * wants the processor and knows nothing of the cache. When it is done, the object is looked up again: there must still be one with
 * that body. A clone of it with the smaller variant takes its place in the store (store_swap) in one step: who asks from then on
 * gets the smaller one, who is being sent the other keeps the old object until he is through. Nothing that can be read ever changes.
 *
 * Only the body is held meanwhile, which makes sure that what is found afterwards is the same; the object may be validated,
 * replaced, purged or evicted. Where no listed object has that body any more, the press is stopped at its next piece.
 */
#ifndef POLICY_RECOMPRESS_H
#define POLICY_RECOMPRESS_H

#include "cache/purgelog.h"
#include "cache/store.h"
#include "http/negotiate.h"

struct recompress;

struct recompress_rules {
	bool is_on;
	uint32_t hits_least;	/* before, and expected */
	uint32_t share_percent; /* of one processor */
	size_t max_bytes;	/* of the bare body */
};

/* clang-format off */
/*    why         what the metric's label says, and docs */
#define RECOMPRESS_DROPS(X)                                                             \
	X(gone,     "purged, replaced or evicted before it was done")                   \
	X(larger,   "it came out no smaller")                                           \
	X(memory,   "no memory for it, in the cache or beside it")                      \
	X(crowded,  "noted, and displaced by what was noted later")
/* clang-format on */

enum recompress_drop {
#define X(name, text) RECOMPRESS_DROP_##name,
	RECOMPRESS_DROPS(X)
#undef X
	    RECOMPRESS_DROP_COUNT
};
extern const char *const recompress_drop_names[RECOMPRESS_DROP_COUNT];

struct recompress_counts {
	uint64_t done[ENC_KNOWN]; /* variants that were replaced, in the order of ENCODINGS */
	uint64_t dropped[RECOMPRESS_DROP_COUNT];
	uint64_t saved_bytes; /* by how much less they are */
	double cpu_seconds;   /* of the press, for what was of use and what was not */
};

/* Off until recompress_rule. Store and log must outlive it. */
struct recompress *recompress_new(struct store *s, struct purgelog *l);
/* From now on, as after a reload. */
void recompress_rule(struct recompress *r, const struct recompress_rules *rules);
/* Any thread: o has got a variant that was made while it streamed. The threads begin with the first. */
void recompress_note(struct recompress *r, const struct object *o);
struct recompress_counts recompress_counts(struct recompress *r);
/* Waits for a step of the thread's at most, not for the press. What comes later is not noted; nothing of the store is held. */
void recompress_stop(struct recompress *r);
/* NULL is allowed; sets *rp to NULL. */
void recompress_free(struct recompress **rp);

/* What is worth doing: pure. */

struct recompress_view {
	uint32_t hits;	    /* since it was stored */
	int64_t kept_ms;    /* how long that is */
	int64_t left_ms;    /* until it expires */
	size_t coded_bytes; /* of the variant as it is */
};
/* 0: not worth it; else the more the better. */
uint64_t recompress_worth(const struct recompress_rules *r, const struct recompress_view *v);

#endif

/* cache/verdicts.h - what became of the last response for a key, for those who ask why it is not in the cache.
 *
 * A table of fixed size, one word for each entry: a newer key takes the place of an older one. A memory for explanations,
 * nothing depends on it. Any thread, without a lock.
 */
#ifndef CACHE_VERDICTS_H
#define CACHE_VERDICTS_H

#include <stdbool.h>
#include <stdint.h>

struct verdicts;

/* clang-format off */
#define SOURCES(X)                                                      \
	X(origin,    "the origin's response")                           \
	X(validated, "the origin said that the stored one is still good") \
	X(redis,     "found in Redis")
/* clang-format on */
enum source {
#define X(source, text) SOURCE_##source,
	SOURCES(X)
#undef X
};

struct verdict_note {
	enum source source;
	unsigned verdict; /* enum store_verdict (http/storable.h) */
	unsigned status;
	int64_t at_s; /* since the table was made */
};

struct verdicts *verdicts_new(void);
void verdicts_free(struct verdicts **vp);
/* hash: of the key. */
void verdicts_note(struct verdicts *v, uint64_t hash, const struct verdict_note *note);
/* False: nothing is known of it (any more). */
bool verdicts_recall(struct verdicts *v, uint64_t hash, struct verdict_note *out);
const char *source_name(enum source s);
const char *source_text(enum source s);

#endif

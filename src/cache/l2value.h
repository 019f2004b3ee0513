/* cache/l2value.h - one stored response as the bytes that lie in Redis.
 *
 * A fixed head (magic, version, lengths, facts), then key, vary key, tags, canonical head, body and
 * a seal: XXH3 over all before it, or HMAC-SHA256 where a secret is configured, so that who can
 * write to Redis cannot make us serve something. Times are on the wall clock there. What does not
 * verify in every respect is not used: a flaw says why.
 *
 * A second kind, the index, lies at the key of a URL whose responses vary: it names the request
 * fields they vary on, and nothing else.
 *
 * Text is stored as brotli: as the variant the object has already, or packed here, of the fastest kind. What is longer than
 * L2_AT_ONCE_BYTES would hold a loop for too long, both ways: that is for helpers (cache/l2crew.h). Writing and reading are
 * pure, but for the memory a body is made in: any thread may do both.
 */
#ifndef CACHE_L2VALUE_H
#define CACHE_L2VALUE_H

#include "base/buf.h"
#include "cache/object.h"

#define L2_PACK_LEAST_BYTES 1024
#define L2_AT_ONCE_BYTES 65536
#define L2_BODY_MOST_BYTES ((size_t)8 << 20) /* no body unpacks to more */
#define L2_SKEW_MS 5000			     /* clocks of instances may differ by so much */
/* Both clocks at one moment. */
struct l2_clocks {
	int64_t mono_ms, wall_ms;
};

/* What the instance that fetched a response had applied of the shared purge log when the fetch began
 * (cache/sharedlog.h). */
struct l2_stamp {
	uint64_t epoch; /* of the log; 0: not known, and the value is of no use */
	uint64_t seq;	/* the run of Redis, and the number of the newest entry */
};

struct l2_seal {
	const void *secret; /* NULL: none, XXH3 only */
	size_t secret_bytes;
};

/* clang-format off */
/*        flaw        text */
#define L2_FLAWS(X)                                                          \
	X(none,       "sound")                                               \
	X(foreign,    "not a value of Forebay")                              \
	X(version,    "of another version of Forebay")                       \
	X(length,     "its length is not what it says")                      \
	X(unsealed,   "sealed without the secret, or with one we do not have") \
	X(seal,       "its seal is broken")                                  \
	X(facts,      "it says what cannot be")                              \
	X(head,       "its head is not well-formed")                         \
	X(skewed,     "written by a clock that is ahead of ours")            \
	X(expired,    "expired")
/* clang-format on */
enum l2_flaw {
#define X(flaw, text) L2_FLAW_##flaw,
	L2_FLAWS(X)
#undef X
};
const char *l2_flaw_text(enum l2_flaw flaw);

/* What the bytes hold; slices point into them. */
struct l2_value {
	bool is_index;
	struct slice key;
	struct slice vary; /* an object's vary key; an index': names, as in Vary */
	struct slice tags, head, body;
	bool is_packed;
	uint64_t body_bytes; /* unpacked */
	struct l2_stamp stamp;
	struct object_facts facts;
};

/* How long the object is of use to anybody from now on, stale windows included; 0: it is not. Of a sliding life that is
 * how long Redis is to keep it unless somebody uses it (l2_touch), and no longer than it is fresh: what is found there is
 * taken for used in time. Its value says when its cap is reached. */
int64_t l2_value_life_ms(const struct object *o, int64_t mono_ms);
/* Writes o into a fresh *out, whose memory is malloc's. 0; -1: no memory, or the body is not
 * whole. */
int l2_value_write(const struct object *o, const struct l2_clocks *now,
    const struct l2_stamp *stamp, const struct l2_seal *seal, struct buf *out);
/* Writes an index for the key, with the names that the vary key holds. */
int l2_index_write(struct slice key, struct slice vary, const struct l2_clocks *now,
    const struct l2_seal *seal, struct buf *out);
/* How many bytes must be gone through to read it: its own, or those its body says it unpacks to. Not verified, but never
 * more than L2_BODY_MOST_BYTES beyond its own. */
size_t l2_value_work_bytes(struct slice bytes);
/* Reads and judges. Unless the flaw is none, *out means nothing. */
enum l2_flaw l2_value_read(struct slice bytes, const struct l2_clocks *now,
    const struct l2_seal *seal, struct l2_value *out);
/* Its body, whole, in that slab (NULL: malloc), with one reference. NULL: no memory for it, or it does not unpack to
 * body_bytes. */
struct body *l2_value_body(const struct l2_value *v, struct slab *slab);
/* The object around that body, which is only borrowed; with one reference. NULL: no memory for it. */
struct object *l2_value_object(
    const struct l2_value *v, struct body *body, uint64_t hash, struct slab *slab);

#endif

/* cache/object.h - one stored response: the origin's canonical head, what was worked out from it,
 * its body and what was derived from them.
 *
 * An object is complete and constant from the moment it is made, but for the counters that say how
 * often it was asked for, the derived variants hung on it and the position up to which it was found
 * valid: all of them atomic. One slab allocation holds the struct, the key, the vary key, the tags
 * and the head. Reference-counted; the store holds one reference.
 */
#ifndef CACHE_OBJECT_H
#define CACHE_OBJECT_H

#include <stdatomic.h>

#include "base/list.h"
#include "base/slice.h"
#include "cache/body.h"
#include "http/refresh.h"

struct slab;

/* What freshness and validation need, worked out once (RFC 9111). Clocks are monotonic ms (base/clock.h).
 * kept: how an object holds it, in how many bits; what does not fit is held as near as it goes (17 years at least).
 *
 *     type      name          kept            what */
/* clang-format off */
#define OBJECT_FACTS(X)                                                                                                                 \
	X(int64_t,  born_ms,       signed,   42) /* when the response was received, or last validated */                                       \
	X(int64_t,  age_ms,        signed,   42) /* corrected initial age at born_ms (section 4.2.3) */                                        \
	X(int64_t,  life_ms,       signed,   42) /* freshness lifetime (section 4.2.1); of a sliding life, its cap: object_life_ms */          \
	X(int64_t,  swr_ms,        signed,   40) /* may be served stale while it is refreshed, for so long beyond life (RFC 5861) */           \
	X(int64_t,  sie_ms,        signed,   40) /* may be served stale when the origin fails, for so long beyond life */                      \
	X(int64_t,  date_s,        signed,   40) /* Date, or when it was received: wall clock, seconds since 1970 */                           \
	X(int64_t,  modified_s,    signed,   40) /* Last-Modified, or DATE_NONE */                                                             \
	X(uint64_t, log_pos,       unsigned, 59) /* position in the purge log at which its fetch began (cache/purgelog.h) */                   \
	X(uint32_t, etag_at,       unsigned, 20) /* in the head */                                                                             \
	X(uint16_t, etag_len,      unsigned, 13) /* 0: none, or too long or too far behind to be held */                                       \
	X(uint16_t, status,        unsigned, 10)                                                                                               \
	X(uint8_t,  encoding,      unsigned, 4)  /* content coding of the body: enum of http/negotiate.h bits; 0 or identity, or other = opaque */\
	X(bool,     no_cache,      unsigned, 1)  /* must be validated before each use */                                                       \
	X(bool,     no_stale,      unsigned, 1)  /* must-revalidate and its kin: never served stale */                                         \
	X(bool,     life_by_route, unsigned, 1)  /* the life is the route's or a guess: not for requests with cookies unless the route says so */\
	X(bool,     is_text,       unsigned, 1)  /* worth compressing by the route's type list */                                              \
	X(bool,     no_transform,  unsigned, 1)                                                                                                \
	X(bool,     immutable,     unsigned, 1)  /* a reload by the client does not make it be validated (RFC 8246) */
/* clang-format on */

struct object_facts {
	uint32_t slide_ms; /* each use gives it so much life again, up to life_ms; 0: it is fixed */
	uint16_t
	    fetch_ms; /* what fetching it took, at most a minute: for early refreshes; known last */
#define X(type, name, kept, bits) type name;
	OBJECT_FACTS(X)
#undef X
};

struct object_kept_facts {
	uint16_t fetch_ms;
#define X(type, name, kept, bits) kept long name : bits;
	OBJECT_FACTS(X)
#undef X
	unsigned long slides : 1; /* a struct object_sliding follows the head */
	unsigned long
	    is_in_slab : 1; /* where the object, and its variants, lie; else they are malloc's */
} __attribute__((packed, aligned(4)));

/* What few objects need. */
struct object_sliding {
	uint32_t slide_ms;
	_Atomic uint32_t used_ms; /* last use, ms since born_ms */
};

/* A body in another coding, made from the object's own. Hung on the object when it is done, never
 * removed before it. Lies where the object lies. */
struct object_variant {
	struct object_variant *_Atomic next;
	struct body *body;
	uint8_t encoding;
	_Atomic uint8_t effort; /* enum variant_effort */
};

/* VARIANT_STRONGEST: nothing smaller is to be had, or nobody has time for it. */
enum variant_effort { VARIANT_STREAMED, VARIANT_STRONGEST };

/* What comes last is what a look-up compares, beside the key it compares with: two lines of the processor's cache at most times,
 * wherever the object lies. */
struct object {
	struct link in_queue;	/* the store's */
	struct object *chain;	/* the store's: next behind the same full bucket of its index */
	uint32_t charged_bytes; /* the store's: what it was counted with (slots of object, body
				   chunks, variants) */
	_Atomic uint16_t
	    refresh_failed_s; /* when a refresh came to nothing: s since born_ms, cut; 0: never */
	uint16_t tags_len;
	struct object_variant *_Atomic variants;
	_Atomic uint64_t rendered;  /* server's: which rendered heads are its own */
	_Atomic uint64_t valid_pos; /* found valid up to this position of the purge log */
	struct object_kept_facts facts;
	uint32_t head_len;
	struct body *body; /* own reference */
	uint64_t hash;	   /* of the key */
	_Atomic uint32_t refs;
	_Atomic uint32_t hit_count; /* how often it answered: whoever answers counts */
	_Atomic uint8_t hits;	    /* S3-FIFO's counter, stops at 3 */
	uint8_t queue;		    /* the store's: which queue it is in; 0 none */
	_Atomic bool refreshing;    /* somebody revalidates it behind a stale answer */
	_Atomic bool soft_purged;   /* counts as stale from now on */
	uint16_t key_len, vary_len;
	char bytes[]; /* key, vary key, tags, head; of some a struct object_sliding */
};

/* That it will be looked at: all of its lines come at once, and not one after the other as each is read. */
static inline void
object_prefetch(const struct object *o)
{
	const char *p = (const char *)o;

	__builtin_prefetch(p);
	__builtin_prefetch(p + 64);
	__builtin_prefetch(p + 128);
}

static inline struct slice
object_key(const struct object *o)
{
	return slice_of(o->bytes, o->key_len);
}

/* Names and values of the request fields its Vary names (http/vary.h); empty if there is none. */
static inline struct slice
object_vary(const struct object *o)
{
	return slice_of(o->bytes + o->key_len, o->vary_len);
}

/* Its tags, each followed by a NUL. */
static inline struct slice
object_tags(const struct object *o)
{
	return slice_of(o->bytes + o->key_len + o->vary_len, o->tags_len);
}

/* The canonical head: status line, fields as "Name: value", CRLF each, and the empty line. */
static inline struct slice
object_head(const struct object *o)
{
	return slice_of(o->bytes + o->key_len + o->vary_len + o->tags_len, o->head_len);
}

static inline struct slice
object_etag(const struct object *o)
{
	return slice_of(object_head(o).p + o->facts.etag_at, o->facts.etag_len);
}

/* All of them, as they were given. */
struct object_facts object_facts(const struct object *o);
/* Whose memory it lies in; NULL: malloc's. */
struct slab *object_slab(const struct object *o);

/* Of what is found under a whole's key (cache/segmentkey.h): an outline has no body, but the head that its segments have in
 * common, and the length of the whole in Content-Range as a 416 has it. Nothing else of status 206 is stored. */
static inline bool
object_is_outline(const struct object *o)
{
	return o->facts.status == 206 && o->facts.is_in_slab;
}

struct object_parts {
	uint64_t hash;
	struct slice key, vary, tags, head;
	struct object_facts facts;
	struct body *body; /* a reference is taken */
};

/* One reference for the caller. slab NULL: from malloc, for a response that is only passing. NULL
 * when the memory is full, or a part is longer than an object can hold: key, vary key and tags
 * 64 KiB - 1 each; in the slab all together less than SLAB_ALLOC_MAX. */
struct object *object_new(struct slab *slab, const struct object_parts *parts);
static inline struct object *
object_ref(struct object *o)
{
	atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
	return o;
}
/* Drops the reference and sets *op to NULL. The last one lets go of the body and the variants. */
void object_drop(struct object **op);
/* The same, and NULL is allowed. */
static inline void
object_unref(struct object **op)
{
	if (*op != NULL)
		object_drop(op);
}

/* The variant in that coding, or NULL. Its body lives as long as the caller's reference to o. */
struct object_variant *object_find_variant(const struct object *o, uint8_t encoding);
/* Hangs a variant on the object, taking the caller's reference to *bodyp (NULL afterwards). 0, or
 * -1 when it has one of that coding already or the memory is full: the reference is dropped. */
int object_add_variant(struct object *o, uint8_t encoding, struct body **bodyp);
/* Hangs from's variants on o, which has the same body, but for the one in the coding `except` (0: all of them), sharing their
 * bodies. False: not all found room. */
bool object_copy_variants(struct object *o, const struct object *from, uint8_t except);
/* Another object that is the same to whoever asks, with what has been noted of it so far, but without variants. NULL when
 * the memory is full. */
struct object *object_clone(const struct object *o);
/* Memory held by it, its body and its variants. Only once the body has ended. */
size_t object_memory_bytes(const struct object *o);
/* Says to the slab that all this memory belongs to what is stored under its hash. */
void object_tag(struct object *o);

/* Of an object that slides. */
static inline struct object_sliding *
object_sliding(const struct object *o)
{
	uintptr_t end = (uintptr_t)o->bytes + o->key_len + o->vary_len + o->tags_len + o->head_len;
	uintptr_t align = _Alignof(struct object_sliding);

	return (struct object_sliding *)((end + align - 1) & ~(align - 1));
}

/* Current age in ms at now_ms (RFC 9111 section 4.2.3). */
static inline int64_t
object_age_ms(const struct object *o, int64_t now_ms)
{
	int64_t resident = now_ms - o->facts.born_ms;
	return o->facts.age_ms + (resident > 0 ? resident : 0);
}

/* Its life, as an age, at this moment: a sliding one reaches as far as its last use lets it. */
static inline int64_t
object_life_ms(const struct object *o)
{
	const struct object_sliding *s;

	if (!o->facts.slides)
		return o->facts.life_ms;
	s = object_sliding(o);
	return life_slid_ms(
	    o->facts.age_ms + atomic_load_explicit(&s->used_ms, memory_order_relaxed), s->slide_ms,
	    o->facts.life_ms);
}

/* A fresh object of sliding life is used: its life begins again. True: that is worth telling others; uses shortly after one
 * another are not noted each. */
bool object_slide(struct object *o, int64_t now_ms);
/* A refresh came to nothing; and whether that is so recent that the next had better wait. */
void object_note_failed_refresh(struct object *o, int64_t now_ms);
bool object_refresh_just_failed(const struct object *o, int64_t now_ms);

#endif

/* cache/redis.h - the second tier (L2): responses in Redis, shared by all instances.
 *
 * It makes things faster and never anything else: nobody waits for it beyond timeout_ms, and what it
 * says is used only when it verifies (cache/l2value.h). Each worker has one, with two connections,
 * so that a look-up never stands behind megabytes that are being written: one for look-ups, one for
 * writes. Each has its own breaker: after FAILURES in a row, or when half of the last 32 commands
 * failed, or when Redis says that it will not (OOM, READONLY, NOPERM, ...), nothing is asked any
 * more until a probe, sent again and again with growing distance, is answered as it should be.
 *
 * Keys: "<prefix>:o:<hash of the key>" holds the response; or, where the URL's responses vary, an
 * index that names the request fields they vary on, and the response is at "<prefix>:v:<hash of key
 * and vary key>": two round trips within the one time-out. The hash has 128 bits (XXH3, seeded by
 * the secret); the full key is in the value and compared. The index outlives what it leads to; the
 * newest response decides what it names.
 *
 * What is found is judged by the purge log that instances share (cache/sharedlog.h), and is to be judged by
 * our own from facts.log_pos on (cache/purgelog.h). While this instance does not hear of every purge nothing
 * is read or written. "<prefix>:l:{<key>}" is a lock (cache/fetchlock.h).
 *
 * What is long (L2_AT_ONCE_BYTES) is made and read by the crew (cache/l2crew.h): a look-up goes on meanwhile, within its
 * time; a write follows when it is made, if it is still worth it then.
 */
#ifndef CACHE_REDIS_H
#define CACHE_REDIS_H

#include <stdatomic.h>

#include "cache/key.h"
#include "cache/object.h"
#include "cache/sharedlog.h"
#include "event/redisnet.h"
#include "event/resolver.h"
#include "http/head.h"

struct l2;
struct l2_get; /* a look-up under way */

struct l2_conf {
	const char *url;	/* event/redisurl.h */
	const char *prefix;	/* of every key */
	const char *secret;	/* values are sealed with it (HMAC-SHA256); NULL or "": not */
	int64_t timeout_ms;	/* of a look-up */
	size_t value_max_bytes; /* what is larger in Redis is neither written nor taken */
	size_t write_queue_max_bytes;
	const struct sharedlog *log; /* which purges there were; must outlive it */
	struct slab *slab;	     /* where what is found is made; NULL: malloc */
	struct l2_crew
	    *crew; /* makes and reads what is long, and answers there; both must outlive it */
	struct mailbox *reply_to;
	bool logs; /* tells the log of changes: one worker's does */
};

/* clang-format off */
#define L2_OPS(X) X(get) X(put) X(touch) X(delete) X(probe)
/*        result      text */
#define L2_RESULTS(X)                                                                         \
	X(hit,       "found, and used")                                                       \
	X(miss,      "not there")                                                             \
	X(expired,   "found, but of no use any more")                                         \
	X(purged,    "found or fetched, but purged since; or not asked, since nobody can tell")                \
	X(corrupt,   "found, but it does not verify")                                         \
	X(too_large, "larger than may be stored")                                             \
	X(memory,    "found, but there was no memory for it")                                 \
	X(done,      "carried out")                                                           \
	X(unfit,     "not worth storing, or not whole")                                       \
	X(outdated,  "a newer response has its place, or it was given up while it was made")  \
	X(timeout,   "no answer in time")                                                     \
	X(error,     "refused by Redis, or the connection was lost")                          \
	X(busy,      "not asked, or not read: too much is queued")                            \
	X(breaker,   "not asked: Redis is away or out of order")                              \
	X(cancelled, "answered, but nobody waited any more")
/* clang-format on */

enum l2_op {
#define X(op) L2_OP_##op,
	L2_OPS(X)
#undef X
	    L2_OPS_COUNT
};
enum l2_result {
#define X(result, text) L2_##result,
	L2_RESULTS(X)
#undef X
	    L2_RESULTS_COUNT
};
extern const char *const l2_op_names[L2_OPS_COUNT];
extern const char *const l2_result_names[L2_RESULTS_COUNT];

/* Any thread may read them. */
struct l2_counters {
	_Atomic uint64_t requests[L2_OPS_COUNT][L2_RESULTS_COUNT];
	_Atomic bool reads_up, writes_up; /* connected, and the breaker is closed */
};

/* NULL, and *why_out says what is wrong with the URL. Connects in the background. resolver and slab
 * must outlive it; conf is copied. */
struct l2 *l2_new(
    struct loop *l, struct resolver *resolver, const struct l2_conf *conf, const char **why_out);
/* Look-ups under way find nothing: they are called back before this returns, *lp being NULL already.
 * Writes not yet carried out are lost. Allowed in a callback. */
void l2_free(struct l2 **lp);
const struct l2_counters *l2_counters(const struct l2 *l);
/* Why it is not up, for people: /health, explain. "" when it is. */
const char *l2_trouble(const struct l2 *l);
/* Looks the key up, with the request's fields where responses vary. The callback comes once, never
 * from within this call, at the latest after timeout_ms (and a turn): o is NULL or a response that
 * verifies and is of use (fresh, or within a stale window), good during the callback: object_ref()
 * it. key's text and request stay as they are until then. NULL: it cannot be asked now; no callback
 * comes. */
struct l2_get *l2_get(struct l2 *l, const struct cache_key *key, const struct head *request,
    void (*done)(void *arg, struct object *o), void *arg);
/* The same for who only looks: it is not counted, and what is found takes none of the cache's memory. */
struct l2_get *l2_look(struct l2 *l, const struct cache_key *key, const struct head *request,
    void (*done)(void *arg, struct object *o), void *arg);
/* Whether something has been found, and is being read: asking elsewhere would hardly be quicker. */
bool l2_get_has_found(const struct l2_get *g);
/* No callback will come. Sets *gp to NULL; NULL is allowed. */
void l2_get_cancel(struct l2_get **gp);

/* What l2_put wants of a fetch: noted before its request goes out. */
struct l2_stamp l2_stamp(const struct l2 *l);
/* Writes the response, whose body must be whole, if it is worth it and Redis can be written to;
 * nobody is told. Copies what it needs, or keeps a reference until what is long has been made. */
void l2_put(struct l2 *l, struct object *o, const struct l2_stamp *fetched);
/* A response of sliding life was used: Redis keeps it so much longer, if it has it. */
void l2_touch(struct l2 *l, const struct object *o);
/* Takes the key's response out, all variants of it; nobody is told. What must never come back is
 * purged; this only makes room. */
void l2_delete(struct l2 *l, const struct cache_key *key);
/* --- for what else this room keeps there (cache/fetchlock.h) --- */

#define L2_KEY_BYTES 128 /* prefix, kind, hash, NUL */
enum l2_link { L2_LINK_reads, L2_LINK_writes };
/* Ends before the tier does. */
struct l2_guest {
	struct link link;
	void (*on_l2_gone)(struct l2_guest *g); /* with all its commands; off the list already */
	struct link waits;
	void (*on_put)(struct l2_guest *g); /* what it waits for has been sent, or never will be */
};
void l2_join(struct l2 *l, struct l2_guest *g);
/* No callback comes any more. */
void l2_part(struct l2_guest *g);
/* True: something is being made to be written for a key of that hash, and on_put will be called behind it, or on_l2_gone. */
bool l2_wait_for_put(struct l2 *l, uint64_t hash, struct l2_guest *g);
#define L2_LOCK_BYTES (2 * L2_KEY_BYTES + 8)
/* Where the key's lock lies, in out: in a cluster, in the slot of its response. */
struct slice l2_lock_name(const struct l2 *l, struct slice key, char out[L2_LOCK_BYTES]);
/* As redisnet_send, within the link's time-out at the latest; REDISIO_DOWN while its breaker is open. */
enum redisio_sent l2_send(struct l2 *l, enum l2_link link, const struct slice *argv, unsigned argc,
    int64_t most_ms, void (*done)(void *arg, enum redisio_end end, const struct redis_reply *reply),
    void *arg, struct redisnet_call **call_out);

#endif

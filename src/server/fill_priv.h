/* server/fill_priv.h - the insides of a fill, shared by the files that are its parts: fill.c (its beginning, its end, the
 * origin), fill_l2.c (Redis), fill_response.c (what a response's head makes of it), fill_segment.c (likewise, of a part of something
 * large), fill_body.c (the body and the store). */
#ifndef SERVER_FILL_PRIV_H
#define SERVER_FILL_PRIV_H

#include "base/clock.h"
#include "cache/fetchlock.h"
#include "cache/redis.h"
#include "http/segment.h"
#include "http/storable.h"
#include "server/exchange_priv.h"
#include "server/purge.h"
#include "upstream/hedge.h"

#define FILL_UNSHARED_MS 10000 /* a key that proved not to be shared is not gathered for */

struct fill {
	struct worker *worker;
	struct errand errand;
	struct site *site; /* own reference */
	const struct route *route;
	struct flight *flight; /* own reference */
	struct exchange *x;    /* the leader, while it rides; NULL for a refresh */
	struct fetch *fetch;
	struct hedge hedge; /* of that fetch; {0} where it has none */
	/* What the request was, for the verdicts */
	bool has_authorization, has_cookie, is_shared;
	bool keeps_post; /* its answer is kept for GET, if it says so */
	enum method method;
	struct slice affinity;	    /* the token the client brought, or none */
	uint64_t balance_key;	    /* which server it belongs to */
	struct proxy_line announce; /* for whom, to the server */
	struct buf tags;	    /* the route's */
	struct buf all_tags;	    /* and the response's */
	struct purge_set purges; /* what the route declared, expanded before the request went out */
	uint64_t log_pos;
	/* What is validated, its head below; own reference */
	struct object *stale;
	struct object *described;	/* what a HEAD is about; own reference */
	bool is_refresh, has_refreshed; /* the store has what it brought */
	/* For who asks later (cache/verdicts.h) */
	unsigned status; /* of the response; 0: none */
	enum source source;
	/* A part is asked for (server/segments.h) */
	struct {
		bool is_asked;
		struct byte_range range;
		struct object *outline; /* what it is a part of; NULL: not known yet; own ref */
		struct segment_version version; /* the outline's */
	} segment;
	/* The response */
	int64_t sent_us, head_us;
	enum store_verdict verdict;
	struct object *object; /* for the store; own reference */
	struct body *body;     /* own reference */
	bool windowed, done;
	struct timer stall, l2_silence;
	struct l2_get *l2;
	struct fetchlock *lock; /* of all instances on the key; NULL: not asked for, or no more */
	bool has_asked_lock;
	struct l2_stamp l2_stamp; /* {0}: what is fetched is not written there */
	struct task start;	  /* from a clean stack */
	/* Not cleared: the memory goes to the next one */
	struct arena mem;   /* of the texts above, and of head */
	struct buf request; /* the head that goes upstream */
	/* Each is written before it is read */
	struct cache_control cc, response_cc; /* the request's; the response's */
	struct request_key keyed;
	struct cache_key key;	/* what is flown for */
	struct head head;	/* the request's */
	struct head stale_head; /* base NULL: there is none */
	struct head own_head;	/* of the object that was made last; borrows nothing that lasts */
};

static inline struct loop *
fill_loop(const struct fill *f)
{
	return f->worker->loop;
}

/* How long it had taken then, since the request went out; at most a minute. */
static inline uint16_t
fill_ms_until(const struct fill *f, int64_t then_us)
{
	int64_t ms = (then_us - f->sent_us) / 1000;

	return (uint16_t)(ms < 0 ? 0 : ms > 60000 ? 60000 : ms);
}

/* fill.c */
/* Sends the request, unless it has been sent. */
void fill_ask_origin(struct fill *f);
/* The fetch ends, if there is one: what has come of it, or may come, is of no use. */
void fill_drop_fetch(struct fill *f);
/* Tells the leader's exchange whom the fetch asks. */
void fill_note_server(struct fill *f);
/* No response will come: the riders are told, a write in doubt purges, and the fill is freed. */
void fill_fail(struct fill *f, enum fetch_end end);
void fill_free(struct fill *f);
/* From now on it is about what is stored under that key, with these tags. */
void fill_rename(struct fill *f, const struct cache_key *key, struct slice tags);

/* fill_l2.c: asks Redis, then the origin, too, if that is silent. */
void fill_ask_l2(struct fill *f);
void on_l2_silence(void *arg);

/* fill_response.c */
struct body *on_fill_head(void *arg, const struct head *h, const struct framing *framing);
/* The same for a head that is taken as it is. */
struct body *fill_take_head(struct fill *f, const struct head *h, const struct framing *framing);
/* Whether h may be stored as the answer to that method, and for how long it lives. */
enum store_verdict fill_judge(struct fill *f, const struct head *h, enum method method,
    int64_t body_bytes, struct life *life);
/* An object of this canonical head, parsed. slab NULL: it only passes. NULL: no room. */
struct object *fill_make_object(struct fill *f, const struct head *h, const struct life *life,
    struct slab *slab, struct body *body);
/* The same as it is stored, and in the cache's memory. */
struct object *fill_make_stored(
    struct fill *f, const struct head *h, const struct life *life, struct body *body);
/* Tells the riders, when the response has its object; others share it while it is fresh. */
void fill_announce(struct fill *f, struct object *o, const struct life *life);
/* Asks once more, without conditions and for all of it (part NULL), or fails where nobody is there any more whose request it was. */
void fill_ask_again(struct fill *f, const struct byte_range *part);

/* fill_segment.c: on_fill_head where a part was asked for. */
struct body *fill_take_part(struct fill *f, const struct head *h, const struct framing *framing);

/* fill_post.c: whether the answer to a POST is kept for GET; before its purges are carried out, and after. */
struct post_claim {
	bool holds;
	uint64_t pos;	/* of the purge log */
	unsigned taken; /* of the fill's own purges */
};
struct post_claim fill_post_claim(const struct fill *f, const struct head *h);
void fill_post_settle(struct fill *f, const struct post_claim *c);

/* fill_body.c */
void on_fill_body(void *arg);
/* A rider has read on: there may be room for more. */
void on_fill_room(void *owner);
void on_fill_stall(void *arg);
/* The whole body is here: into the store, and to Redis. */
void fill_store(struct fill *f);
/* Puts an object whose body has ended there. */
void fill_put(struct fill *f, struct object *o);

#endif

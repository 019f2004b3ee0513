/* server/exchange_priv.h - the insides of an exchange, shared by the files that are its steps: exchange.c (the walk),
 * admit.c (route, access), limit.c (rate limits), key.c, lookup.c (the cache), board.c (the flight), respond.c (the head), deliver.c (the body),
 * segments.c (a body in parts), tunnel.c. */
#ifndef SERVER_EXCHANGE_PRIV_H
#define SERVER_EXCHANGE_PRIV_H

#include "base/arena.h"
#include "http/cachecontrol.h"
#include "http/cachestatus.h"
#include "http/negotiate.h"
#include "http/conditional.h"
#include "http/range.h"
#include "http/reuse.h"
#include "http/segment.h"
#include "http/url.h"
#include "http/vary.h"
#include "policy/codec.h"
#include "policy/limitkey.h"
#include "server/exchange.h"
#include "server/fill.h"
#include "server/purge.h"
#include "server/worker.h"
#include "upstream/hedge.h"

/* clang-format off */
/* The steps, in the order a request meets them: exchange.c's loop runs them.
 *        step       what it does, and what it may wait for */
#define EXCHANGE_STEPS(X)                                                                         \
	X(route,     "the URL in normal form, and the route it belongs to")                       \
	X(admit,     "methods, sizes")                                                            \
	X(limit,     "rate limits; waits in their queues")                                        \
	X(lookup,    "the cache: fresh, stale or nothing")                                        \
	X(board,     "joins the flight for the key, or leads one")                                \
	X(await,     "waits for the response's head")                                             \
	X(respond,   "conditional request, range, coding; the head")                              \
	X(deliver,   "the body, as it comes and as the client takes it")                          \
	X(finish,    "log, counters, everything given back")
/* clang-format on */

enum exchange_step {
#define X(name, text) STEP_##name,
	EXCHANGE_STEPS(X)
#undef X
};

/* A request's own key, and where in it the query stands, "?" and all. */
struct request_key {
	struct cache_key exact;
	uint32_t query_at, query_n;
};

enum exchange_next { EXCHANGE_GO, EXCHANGE_WAIT, EXCHANGE_OVER };

/* What the exchange is to answer from. */
enum answer_kind {
	ANSWER_NONE,
	ANSWER_OBJECT, /* a response of the origin: stored, or on its way */
	ANSWER_OWN,    /* made here: fixed answers, redirects, errors */
};

struct exchange {
	/* who */
	struct client *client; /* NULL once it has gone or is done */
	struct worker *worker;
	bool
	    is_https; /* of the client's connection, or by a trusted proxy's word, of its client's */
	bool is_own;  /* nobody's request: no limits, no log */
	unsigned http_major; /* as the client's */
	bool is_dry;	     /* only to see what it would get (server/dryrun.h) */
	unsigned listener_slot;
	struct site *site;	   /* own reference */
	const struct route *route; /* NULL before STEP_route has found one */
	enum exchange_step step;
	bool walking, woken; /* in the loop; woken meanwhile */
	bool is_over;
	struct task retire; /* frees it when the turn ends */

	/* the request */
	struct url url;
	struct slice client_ip; /* as text, through trusted proxies; in mem */
	struct slice request_id;
	bool peer_is_trusted;
	bool has_cookie, has_authorization;
	bool is_upgrade;
	struct upload upload; /* wraps the client's, counting */
	uint64_t upload_bytes;
	bool upload_too_large, upload_is_bad;
	bool is_collecting, is_collected; /* all of the upload into this: */
	struct buf collected;
	bool is_query;	 /* that is what it asks by: part of the key, and sent with the head */
	bool replays;	 /* it goes upstream before the rest of the upload */
	size_t replayed; /* so far */
	bool closes;	 /* the connection serves no other request after this one */

	/* limits */
	unsigned met_count; /* of met, below */
	bool is_queued;
	bool
	    waiter_is_out; /* the table still has the waiter: the exchange must stand until its wake */
	struct letter limit_letter;
	int64_t queued_us, queue_began_us;

	/* the cache */
	struct request_key keyed; /* what the request says; in mem */
	struct cache_key
	    key; /* what is looked for and flown for: keyed.exact, or what a rule of the origin makes of it; in mem */
	int8_t offered[ROUTE_OFFERS_MAX]; /* what of the route's offers was chosen; OFFER_NONE */
	bool keeps_post;		  /* its answer may be kept for GET, under key */
	bool is_reduced;	/* fields that count only in part are sent as far as they count */
	struct slice tags;	/* the route's for this URL, NUL after each; in mem */
	bool is_shared;		/* may be answered from the cache and by others' flights */
	bool asks_identity;	/* the origin is asked for the bare form; we do the coding */
	bool passes_conditions; /* the client's own go to the origin as they came */
	struct object *object;	/* what is answered from; own reference */
	struct object *stale;	/* may stand in, or be validated; own reference */
	enum reuse reuse;	/* why stale is not served as it is */
	struct flight_rider rider;
	struct purge_ticket
	    told;	    /* a writer is not answered before his purges have come far enough */
	bool has_been_told; /* they have: as far as told.level */
	unsigned restarts;  /* fetched anew because a flight was not for us */
	struct slice
	    variant; /* of the key: its vary key, as far as another variant told what it varies on; in mem */
	unsigned boardings; /* taken another flight because one was of no use to anybody */
	enum cache_word word;
	enum cache_fwd fwd;
	enum tier tier;
	bool is_collapsed;
	enum store_verdict verdict; /* of the response fetched for it */
	const char *reason;	    /* a literal: why */
	const char *detail;	    /* likewise: the same, short; empty where word and fwd say it */

	/* the answer */
	enum answer_kind answer;
	unsigned status;
	struct buf own_body;
	const char *own_type;
	struct buf own_fields;	  /* further lines of an answer of our own */
	size_t fixed_len;	  /* of out: what is the same for every hit */
	bool is_rendered;	  /* that part was found with the object */
	struct object *origin_of; /* whose head origin is already; own reference */
	struct body *source;	  /* own reference; NULL: no body */
	bool borrows_source;	  /* it is the object's, and the reference to that keeps it */
	struct body_cursor cursor;
	bool seeks; /* the cursor is not where it is to send from: at seek_to */
	uint64_t seek_to;
	uint64_t
	    send_until; /* position in what is sent, as seek_to; BODY_LENGTH_UNKNOWN: its end */
	bool replied;	/* the client has been given the head */
	size_t hinted_bytes; /* of interim responses passed on */
	bool source_ended;   /* everything of the body has been handed over */
	/* The body comes segment by segment (segments.h): x->source is the present one's, while is_open. */
	struct segments {
		bool is_on;
		bool is_open,
		    is_asked; /* the segment number is at hand; the rider is in its flight */
		uint64_t size, number;
		uint64_t
		    at; /* position in the whole of the source's first byte; 0 without segments */
		struct segment_version version; /* the outline's: borrows from x->object */
		uint64_t asked_again; /* number + 1 of what broke off and was asked for again */
		int fault;     /* why it was lost: an enum fetch_end; FETCH_done: another version */
		unsigned anew; /* times the whole was asked for anew */
		uint64_t ahead_number; /* which has been seen to; at hand, or fetched by us: */
		struct object *ahead_object; /* own reference */
		struct flight *ahead_flight; /* own reference */
	} segments;
	/* several ranges: parts between which heads are put */
	struct range_part {
		struct slice head; /* in mem; the last part is the closing boundary alone */
		struct byte_range range;
	} * parts;
	unsigned parts_count, part;
	struct slice part_head; /* not yet sent of the present part's head */
	/* another coding than the source's */
	struct codec *codec;
	struct body *coded;	   /* what the codec makes; read by the client */
	struct body_cursor coding; /* how far the codec has read the source */
	bool coded_is_kept;	   /* coded becomes a variant of the object */
	bool codec_flushes, codec_done;
	enum encoding coded_as;
	struct task turn; /* go on in the next turn: a long coding lets others in */

	char affinity[AFFINITY_TOKEN_LEN + 2]; /* to be set as a cookie; empty: no */

	/* for the log */
	int64_t started_us, origin_us;
	int64_t started_wall_ms; /* where the site has a log */
	uint64_t bytes_out;
	enum request_end end;
	const char *fetch_end; /* NULL: the origin did not fail */
	struct slice upstream_name;
	struct upstream *upstream; /* that upstream_name lies in; own reference */
	struct slice server_name;  /* who answered, or failed last; in mem */
	unsigned tries;		   /* times that servers were asked for it */
	enum hedge_outcome hedged; /* whether a second one was, in time */

	/* Memory that the next exchange inherits: */
	struct arena mem;
	struct buf out; /* the rendered head, without what frames it */

	/* Large, and not cleared: each is written before it is read, what STEP_admit writes by nobody before. */
	struct address client_address;
	struct captures captures;      /* its count is cleared */
	struct cache_control cc;       /* the request's; by STEP_admit */
	struct accept_encoding accept; /* likewise */
	struct limit_waiter waiter;
	struct head head;   /* the request's */
	struct head origin; /* the object's, parsed, unless is_rendered; see exchange_read_head() */
	struct rate_verdict met[ROUTE_LIMITS_MAX];
	struct limit_key limit_keys[ROUTE_LIMITS_MAX];
};

static inline enum exchange_next
exchange_to(struct exchange *x, enum exchange_step step)
{
	x->step = step;
	return EXCHANGE_GO;
}

/* Why the cache does what it does with this request: short, and in a sentence. Literals. */
static inline void
exchange_because(struct exchange *x, const char *detail, const char *reason)
{
	x->detail = detail;
	x->reason = reason;
}

/* Each file's steps. */
enum exchange_next step_route(struct exchange *x);
enum exchange_next step_admit(struct exchange *x);
enum exchange_next step_limit(struct exchange *x);
enum exchange_next step_lookup(struct exchange *x);
enum exchange_next step_board(struct exchange *x);
enum exchange_next step_await(struct exchange *x);
enum exchange_next step_respond(struct exchange *x);
enum exchange_next step_deliver(struct exchange *x);

/* What the route does, now that the request may pass. */
enum exchange_next exchange_act(struct exchange *x);
/* Says when to come back: for an answer that is a 503 for want of room. */
void exchange_add_retry_after(struct exchange *x);
/* An answer of our own: goes to STEP_respond. why stands in logs (a literal). A 503 is for want of room. */
enum exchange_next exchange_own(struct exchange *x, unsigned status, const char *why);
/* A QUERY's content (query.c). */
enum query_content { QUERY_IS_HERE, QUERY_IS_COMING, QUERY_PASSES, QUERY_IS_BAD };
enum query_content exchange_collect_query(struct exchange *x);
void exchange_key_add_query(const struct exchange *x, struct buf *key);
/* Takes in what has come of the upload, into x->collected. True: it is all there. False: exchange_wake will come, or
 * upload_is_bad or upload_too_large says that it is of no use. */
bool exchange_collect(struct exchange *x);
/* The same for a failed flight, which is left, with the error for Proxy-Status. */
enum exchange_next exchange_answer_fault(
    struct exchange *x, unsigned status, const char *text, const char *proxy_status);
/* Back to STEP_board: what was got is not for this request, which fetches for itself. */
enum exchange_next exchange_restart(struct exchange *x, const char *why);
/* Gets off its flight, if it is on one; a fill that it leads hears of it. */
void exchange_leave_flight(struct exchange *x);
/* What is stored under key for this request, purged or not, with a reference; and takes it out, with the reference. */
struct object *exchange_find(
    const struct exchange *x, const struct cache_key *key, bool *others_out);
void exchange_discard(const struct exchange *x, struct object **op);
/* o's head is h, whatever h borrows: it need not be read again if o is what is answered from. */
void exchange_has_head(struct exchange *x, struct object *o, const struct head *h);
/* For a dry run that has come to an object: the status of the answer, and what the cache would do. */
void exchange_foresee(struct exchange *x);
/* Whether it takes part in no flight for its key, whatever is known of that. */
bool exchange_goes_alone(const struct exchange *x);
/* What is stored and may answer this request as fresh, or NULL; a reference. */
struct object *exchange_find_fresh(struct exchange *x);
/* Answers with that, as if it had been found at once; takes the reference. */
enum exchange_next exchange_use_stored(struct exchange *x, struct object *o);
/* The object answers; takes over the reference. */
void exchange_use_object(struct exchange *x, struct object *o);
/* What reuse_judge is told of o and of the request. soft: a purge made it stale. */
struct reuse_stored exchange_stored_facts(
    const struct exchange *x, const struct object *o, bool soft);
struct reuse_request exchange_request_facts(const struct exchange *x);
/* What the store may be asked with: the request as the origin would see it. */
void exchange_expand_tags(struct exchange *x);
/* Leaves limits' queues, giving back what is left of the request's hold on them. True: nothing of it is elsewhere. */
bool exchange_leave_limits(struct exchange *x);
/* Runs the codec as far as the source, this turn and the client allow. False: the exchange cannot go on. */
bool exchange_code(struct exchange *x);
/* 101: the connection to the origin and the client's become a tunnel. */
void tunnel_start(struct exchange *x, const struct head *h, struct upconn *conn, struct slice rest);
/* 103 and its like, passed on as they come. */
void exchange_interim(struct exchange *x, const struct head *h);
/* Appends the key under which a response with that rule for queries is stored (http/searchrule.h). False: the query is beyond
 * rules; what is in out then means nothing. */
bool key_loosen(const struct request_key *k, struct slice rule, struct buf *out);
/* Whether what is stored under that key is for this request's URL. */
bool exchange_key_fits(const struct exchange *x, struct slice key);
/* x->keyed and x->key, for the route of the exchange (key.c). */
/* The method PURGE (purgemethod.c). */
enum exchange_next exchange_purge(struct exchange *x);
/* x->key, for the route of the exchange (key.c). */
void exchange_make_key(struct exchange *x);
/* Appends the query with its "?" as the route's query rules leave it. */
void exchange_add_query(const struct exchange *x, const struct route *r, struct buf *out);
/* The route that a GET of the same URL takes, or NULL: its rules say what an answer is stored under. */
const struct route *exchange_route_of_get(const struct exchange *x);
/* The named cookie's values, in the order of the Cookie lines: those of a browser have one, a forger's may have more. Begins
 * with walk {0}, not used again after false. */
struct cookie_walk {
	const struct field *line;
	struct slice rest;
};
bool cookie_next(
    const struct head *h, struct slice name, struct cookie_walk *w, struct slice *value_out);
/* The client's address as text; made when somebody asks. */
void exchange_name_upstream(struct exchange *x);
struct slice exchange_client_ip(struct exchange *x);
struct slice exchange_scheme(const struct exchange *x);
const char *status_phrase(unsigned status);

#endif

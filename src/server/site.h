/* server/site.h - one generation of the configuration, compiled for use: constant from the moment it is published.
 *
 * The workers share it. Each exchange notes the site it began with and keeps it to its end, so a reload changes nothing
 * under a request. Reference-counted: the daemon holds the current one, each worker one while it uses it. What outlives a reload (the store, upstreams whose
 * settings did not change, limiters) is referenced from here and found again by name.
 */
#ifndef SERVER_SITE_H
#define SERVER_SITE_H

#include <stdatomic.h>

#include "base/arena.h"
#include "conf/table.h"
#include "event/stream.h"
#include "http/head.h"
#include "http/storable.h"
#include "policy/compress.h"
#include "policy/headers.h"
#include "policy/limitkey.h"
#include "policy/ratefields.h"
#include "policy/ratelimit.h"
#include "server/pattern.h"
#include "upstream/target.h"

#define ROUTE_LIMITS_MAX 8

enum route_action { ROUTE_PROXY, ROUTE_RESPOND, ROUTE_REDIRECT, ROUTE_HANDLER };

struct exchange;
/* An answer of our own (the admin listener's): fills the reply by exchange_answer(). Any worker's thread; must not block. */
typedef void route_handler(struct exchange *x, void *arg);

/* What a route does about cookies in requests (design: Cookies). */
enum cookies_rule {
	COOKIES_GUARD,	/* a life of ours never applies to a request with a Cookie */
	COOKIES_IGNORE, /* the page is the same for everybody */
	COOKIES_STRIP,	/* and the origin does not even see them */
	COOKIES_KEY,	/* the named cookies are part of the key */
};
enum query_rule { QUERY_ALL, QUERY_NONE, QUERY_ALLOW, QUERY_DROP };

struct names {
	unsigned count;
	const char *const *items;
};

/* A field that is reduced to the best of these values before it counts (http/offer.h). */
#define ROUTE_OFFERS_MAX 8
struct route_offer {
	const char *name; /* in lower case */
	struct names values;
};

struct route_cache {
	bool is_on;
	struct life_policy life; /* lives where the origin states none, or over its word */
	struct store_policy store;
	int64_t fetch_lock_ms; /* longest wait for another instance's fetch; 0: none */
	int64_t l2_fill_ms;    /* longest life in memory of what came from Redis */
	unsigned jitter_percent;
	unsigned early_percent; /* of refreshes before the end of a life; 0: none */
	int64_t sliding_ms;	/* up to that age a ttl begins again with each use; 0: never */
	enum cookies_rule cookies;
	struct names cookie_names; /* for COOKIES_KEY */
	enum query_rule query;
	bool query_sorted;
	bool drops_tracking; /* parameters of http/tracking.h are not part of it */
	struct names query_names;
	struct names key_headers;
	unsigned offers_count;
	const struct route_offer *offers;
	bool keeps_post;      /* answers to POST may be kept for GET */
	uint64_t slice_bytes; /* what is larger is kept in segments of this size; 0: never */
	bool obey_request;    /* clients may force revalidation and forbid storing */
	unsigned tags_count;
	struct template **tags;
	bool hides_tags; /* clients get none of the origin's */
};

struct route_purge {
	unsigned tags_count, tag_patterns_count, urls_count, prefixes_count, patterns_count;
	struct template **tags, **tag_patterns, **urls, **prefixes, **patterns;
	bool soft;
};

struct header_condition {
	const char *name;
	const char *value; /* NULL: present, whatever it says */
	bool is_regex;
	struct pattern_regex *regex;
};

struct route_limit {
	struct limiter *limiter; /* own reference */
	const char *name;
	struct rate_label label;
	unsigned parts_count;
	struct limit_part {
		enum limit_key_kind kind;
		const char *name; /* of the header, cookie or claim */
	} * parts;
};

struct route {
	const char *name; /* the match as written: the label in metrics and logs */
	unsigned
	    slot; /* of its name in the counters; the same name has the same slot in every generation */
	/* When it applies */
	uint32_t methods;	    /* bit per enum method; 0: any */
	struct names other_methods; /* tokens that are none of METHODS */
	struct names hosts;	    /* canonical; "*.example.com" too; none: any */
	struct pattern *path;	    /* never NULL */
	unsigned conditions_count;
	struct header_condition *conditions;
	/* What it does */
	enum route_action action;
	struct upstream *upstream; /* own reference; ROUTE_PROXY */
	route_handler *handler;	   /* ROUTE_HANDLER */
	void *handler_arg;
	int status;	       /* of the fixed answer or redirect */
	struct template *text; /* body, or the Location */
	const char *content_type;
	const char *strip_prefix, *add_prefix; /* NULL: none */
	struct route_cache cache;
	struct route_purge purge;
	struct compress_rules compress;
	struct headers *headers; /* compiled security headers; owned */
	unsigned limits_count;
	struct route_limit limits[ROUTE_LIMITS_MAX];
	int64_t body_size;	/* most bytes of a request's body */
	bool wants_certificate; /* of the client; 403 without */
	bool buffer_off;	/* reserved by the table for event streams: flush at once */
};

struct cidr {
	uint8_t bytes[16]; /* IPv4 as mapped */
	unsigned bits;
};

/* Who must say by the PROXY protocol whom he speaks for, on a listener. */
struct site_proxies {
	const char *address; /* the listener's, as configured */
	unsigned count;
	struct cidr *from;
	int64_t timeout_ms; /* for the whole header */
};

/* A listener that sends its clients to https. */
struct site_sender {
	const char *address; /* as configured */
	unsigned port;	     /* of https */
};

struct site {
	_Atomic unsigned refs;
	unsigned generation;
	struct arena mem; /* everything constant below */
	unsigned routes_count;
	struct route *routes;
	struct route_index *routes_index; /* NULL: none */
	unsigned upstreams_count;
	struct upstream **upstreams;
	/* limits: */
	uint32_t head_size;
	uint32_t target_size;
	int64_t body_size;
	int64_t head_timeout_ms, body_timeout_ms, keepalive_timeout_ms, drain_timeout_ms;
	int64_t tunnel_timeout_ms; /* silence in both directions that ends a tunnel */
	unsigned streams;	   /* of HTTP/2 on one connection, at a time */
	unsigned connections;	   /* at most, all workers together */
	unsigned trusted_count;
	struct cidr *trusted; /* whose word about clients is believed */
	unsigned proxies_count;
	struct site_proxies *proxies; /* of those listeners that have any */
	unsigned senders_count;
	struct site_sender *senders;
	const char *challenges; /* directory of answers to ACME; NULL: none */
	bool takes_purges;	/* the PURGE method, from: */
	unsigned purgers_count;
	struct cidr *purgers;
	enum rate_style rate_style;
	const char *name;	 /* in Via, Cache-Status and error pages: "forebay" */
	struct slice hit_lines;	 /* what every hit says of the cache, up to its ttl's number */
	struct slice via[3];	 /* the same behind 1.0, 1.1 and 2, which it came by */
	struct headers *headers; /* for answers that no route gives; owned */
	struct rendered_table
	    *rendered; /* heads of hits; owned, and the one thing here that grows */
	bool access_log;
	void *conf; /* the filled configuration it was made from (server/conf.h) */
};

struct site *site_ref(struct site *s);
void site_unref(struct site **sp);

#endif

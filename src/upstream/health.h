/* upstream/health.h - what is known of a server's health: from the requests it gets (passive), from checks
 * (upstream/check.h), from an operator; and how often a request may be sent again.
 *
 * States. A server is fit unless checks say it is down, an operator drains it, or it is ejected. Ejected for
 * ejection.time after ejection.errors failures in a row, or for answering ejection.latency times as slowly as the
 * median of the others; each further time as long again, up to ejection.max_time, until it has been well as long as it
 * was away. Back from an ejection one failure ejects it again; an answer clears that. At most ejection.share of an
 * upstream's servers are ejected at a time; and when less than panic of them are fit, all are asked as if they were:
 * then it is not the servers.
 *
 * Everything here takes the upstream's lock for some instructions; log lines are written after it. Time is an argument.
 */
#ifndef UPSTREAM_HEALTH_H
#define UPSTREAM_HEALTH_H

#include "upstream/target.h"

/* Whether it may be asked, with the lock held. Ends an ejection that is over (slow start begins). */
bool server_is_fit(struct server *s, int64_t now_ms);
/* It answered, that long after it was asked, with that status. */
void server_answered(struct server *s, unsigned status, int64_t us, int64_t now_ms);
/* It did not: no connection, no response head, none in time, or a body that broke off. us: how long that was waited for. */
void server_failed(struct server *s, int64_t us, int64_t now_ms);
/* Another server was asked as well and answered first; this one had us, so it takes at least that long. Counts as a failure only where
 * it has answered nothing for timeouts.try (or response). */
void server_outrun(struct server *s, int64_t us, int64_t now_ms);
/* Checks have come to a verdict. */
void server_checked(struct server *s, bool is_up, const char *why, int64_t now_ms);
/* An operator's word about the server of that name, or about all addresses of a name: no new requests; or again. What
 * is on its way there goes on. */
struct drain_order {
	const char *server;
	bool is_drained;
	bool is_forced; /* though nobody who is up is left */
};
enum drain_verdict {
	DRAIN_done,
	DRAIN_unknown,	 /* there is no such server */
	DRAIN_last,	 /* no other server is up: not done */
	DRAIN_with_name, /* an address is put back, but its whole name is drained: it stays so */
};
enum drain_verdict upstream_drain(struct upstream *u, const struct drain_order *o, int64_t now_ms);
/* For status pages and metrics; takes the lock. */
enum server_state {
	SERVER_STATE_up,
	SERVER_STATE_down,
	SERVER_STATE_ejected,
	SERVER_STATE_drained,
	SERVER_STATE_leaving,
};
const char *server_state_word(enum server_state s);
/* With the lock held. */
enum server_state server_state(const struct server *s, int64_t now_ms);

/* Whether the budget has a retry left, and takes it. */
bool upstream_take_retry(struct upstream *u, int64_t now_ms);
/* A request that may be asked twice begins: after how long that is; -1: it is not, too little is known. */
int64_t upstream_hedge_after_ms(struct upstream *u);
/* Whether the budget for that has one left, and takes it. */
bool upstream_take_hedge(struct upstream *u);
#endif

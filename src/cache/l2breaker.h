/* cache/l2breaker.h - whether it is worth asking: opens when too much fails, and closes by itself
 * once a probe succeeds.
 *
 * It sends nothing itself: its owner is called when a probe is due, and tells how every command
 * ended. Belongs to one loop.
 */
#ifndef CACHE_L2BREAKER_H
#define CACHE_L2BREAKER_H

#include "event/loop.h"

#define BREAKER_FAILURES 5 /* in a row open it */
#define BREAKER_SAMPLES 32 /* and so do BREAKER_SAMPLES_BAD among so many */
#define BREAKER_SAMPLES_BAD 16
#define BREAKER_PROBE_LEAST_MS 250
#define BREAKER_PROBE_MOST_MS 5000

struct breaker {
	struct loop *loop;
	bool is_open;
	unsigned failures;  /* in a row */
	uint32_t history;   /* a bit for each of the last commands; set: it failed */
	unsigned samples;   /* bits in history */
	int64_t wait_ms;    /* before the next probe */
	struct timer probe; /* armed: waits with the breaker open */
	void (*on_probe)(void *arg);
	void *arg;
};

/* Open; no probe is due until breaker_probe_now. */
void breaker_init(struct breaker *b, struct loop *l, void (*on_probe)(void *arg), void *arg);
void breaker_fini(struct breaker *b);
/* A command succeeded. */
void breaker_success(struct breaker *b);
/* A command failed. True if that opened it; a probe is due later then. */
bool breaker_failure(struct breaker *b);
/* Opens it, if it is not. True if it was closed. A probe is due later. */
bool breaker_open(struct breaker *b);
/* There is no connection: open, and no probe is due until breaker_probe_now. */
void breaker_disconnect(struct breaker *b);
/* There is a connection: calls on_probe. */
void breaker_probe_now(struct breaker *b);
/* How the probe ended. True if that closed it; otherwise the next is due later. */
bool breaker_probed(struct breaker *b, bool is_fine);

#endif

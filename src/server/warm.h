/* server/warm.h - asks for pages before clients do, so that they find them in the cache.
 *
 * A run has a plan: pages, sitemaps whose pages are asked for too, and bounds on rate, number at a time and duration. It visits
 * (server/visit.h) on one worker, slower when an upstream has half of its connections in use or somebody waits for
 * one: it never competes with clients. One run at a time. What is cached already costs a look-up.
 *
 * warmer_claim, _release, _run, _stop and _read may be called from any thread, the others from the worker's.
 */
#ifndef SERVER_WARM_H
#define SERVER_WARM_H

#include "base/buf.h"
#include "server/worker.h"

#define WARM_PAGES_MAX 100000		  /* in one run */
#define WARM_BYTES_MAX ((size_t)16 << 20) /* of their addresses */
#define WARM_SITEMAPS_MAX 1000

struct warmer;

struct warm_plan {
	char *
	    base; /* "https://www.example.com": what addresses that begin with "/" belong to; malloc's; NULL: there must be none */
	struct buf pages, sitemaps; /* addresses, NUL after each */
	unsigned rate;		    /* at most so many a second */
	unsigned concurrency;
	int64_t time_ms; /* at most so long */
	/* the warmer's */
	struct letter letter;
	struct warmer *warmer;
};

/* clang-format off */
/*        state       text */
#define WARM_STATES(X)                                                             \
	X(idle,       "there has been no run")                                     \
	X(starting,   "a run is about to begin")                                   \
	X(running,    "a run is under way")                                        \
	X(done,       "the last run asked for everything")                         \
	X(stopped,    "the last run was stopped")                                  \
	X(out_of_time, "the last run ended because its time was over")
/*        count       text */
#define WARM_COUNTS(X)                                                             \
	X(found,      "addresses of pages known so far")                           \
	X(fetched,    "pages the origin was asked for, and are cached now")        \
	X(cached,     "pages that were cached already")                            \
	X(passed,     "pages that are not cached, whoever asks")                   \
	X(failed,     "pages without an answer, or with an error")                 \
	X(skipped,    "addresses that name nothing here: another host, not http, not valid") \
	X(sitemaps,   "sitemaps read")                                             \
	X(sitemaps_failed, "sitemaps that could not be read")
/* clang-format on */
enum warm_state {
#define X(state, text) WARM_##state,
	WARM_STATES(X)
#undef X
};
struct warm_progress {
	enum warm_state state;
	int64_t began_wall_ms, took_ms;
#define X(count, text) uint64_t count;
	WARM_COUNTS(X)
#undef X
	char trouble[256]; /* the last thing that went wrong; "" */
};
const char *warm_state_name(enum warm_state s);

struct warmer *warmer_new(struct worker *w);
/* The worker's loop has ended. Sets *wp to NULL; NULL is allowed. */
void warmer_free(struct warmer **wp);
/* Whether a run may begin now: then it must, by warmer_run, or be called off by warmer_release. */
bool warmer_claim(struct warmer *wm);
void warmer_release(struct warmer *wm);
/* Begins the claimed run; takes over the plan (NULL afterwards). */
void warmer_run(struct warmer *wm, struct warm_plan **planp);
void warmer_stop(struct warmer *wm);
void warmer_read(struct warmer *wm, struct warm_progress *out);

struct warm_plan *warm_plan_new(const char *base);
void warm_plan_add(struct buf *list, struct slice address);
void warm_plan_free(struct warm_plan **pp);

#endif

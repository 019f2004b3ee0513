/* cache/flight.h - many askers, one fetch.
 *
 * The story: the first request that misses a key leads a flight; requests for the same key that
 * come while it is under way, on whichever worker, ride along. The leader's side (server/fill*.c)
 * asks the origin, publishes the response as an object whose body is still growing, and ends.
 * Riders are woken on their own workers, at most once per worker and turn, and read the object as
 * if it had been found in the cache. If the response turns out not to be for everybody, the flight
 * is disbanded: its riders fetch for themselves, in parallel, and the key is remembered for a while
 * so that the next burst does not gather (hit-for-miss).
 *
 * A flight that serves one request only (not cacheable) is the same thing without a place in the
 * table.
 *
 * Threads: the leader's worker alone publishes and ends. Riders sit in one seat per worker, a list
 * which only that worker touches; across workers there are atomics and letters (event/mailbox.h is
 * reached through flight_post, so that this room knows no loop).
 */
#ifndef CACHE_FLIGHT_H
#define CACHE_FLIGHT_H

#include <stdatomic.h>

#include "base/list.h"
#include "cache/key.h"
#include "cache/object.h"
#include "cache/purgelog.h"
#include "event/mailbox.h"

struct flight;
struct flights;

enum flight_state {
	FLIGHT_WAITING,	  /* no response yet */
	FLIGHT_RESPONSE,  /* flight_object is there; its body tells how far it is */
	FLIGHT_DISBANDED, /* not for everybody: riders fetch for themselves. The leader's own rider
			     reads on */
	FLIGHT_FAILED,	  /* no response will come: flight_fault says why */
};

/* One asker. Embedded in what rides; belongs to one worker. */
struct flight_rider {
	struct link link;
	struct flight *flight; /* own reference while aboard; NULL otherwise */
	unsigned worker;
	bool is_leader;
	uint64_t at; /* how far it has read; the leader lets go of nothing beyond it */
	void (*wake)(
	    struct flight_rider *r); /* something has happened: look at the flight. May leave it. */
};

/* How to reach each worker. The arrays stay the caller's and live as long as the flights. */
struct flight_world {
	unsigned workers;
	struct loop **loops;
	struct mailbox **mailboxes;
};

struct flights *flights_new(const struct flight_world *world);
void flights_free(struct flights **fp);

enum flight_role { FLIGHT_LEADS, FLIGHT_RIDES, FLIGHT_ALONE };
/* Joins the flight of that key, and of that variant of it (its vary key, http/vary.h; empty: none is known yet), or begins one, noting the purge log's position. A flight that began before a purge of its
 * key or of tags (NUL after each) is not joined: it flies on for those aboard, and a new one begins. The rider is aboard
 * in any case; FLIGHT_ALONE: the key is known not to be shared, the flight is private. */
enum flight_role flight_board(struct flights *fs, const struct cache_key *key, struct slice variant,
    struct flight_rider *r, int64_t now_ms, struct purgelog *purges, struct slice tags);
/* A flight outside the table with this one rider; r NULL: a refresh nobody waits for. */
struct flight *flight_private(
    struct flights *fs, unsigned worker, struct flight_rider *r, struct purgelog *purges);
/* A flight in the table without riders (a refresh); NULL if the key is in flight already. The
 * reference is the caller's. */
struct flight *flight_background(struct flights *fs, const struct cache_key *key,
    struct slice variant, unsigned worker, struct purgelog *purges);
/* The rider gets off; safe when it is not aboard. */
void flight_leave(struct flight_rider *r);

struct flight *flight_ref(struct flight *f);
void flight_unref(struct flight **fp);
enum flight_state flight_state(const struct flight *f);
/* The response: set in FLIGHT_RESPONSE and, for the leader's rider, FLIGHT_DISBANDED. Borrowed. */
struct object *flight_object(const struct flight *f);
/* The purge log's position when it began. */
uint64_t flight_log_pos(const struct flight *f);
/* Whether its response came from Redis (flight_from_redis, by the leader before it publishes). */
bool flight_is_from_redis(const struct flight *f);
void flight_from_redis(struct flight *f);
/* The leader's reason, a number of its own, in FLIGHT_FAILED. */
int flight_fault(const struct flight *f);
/* Riders aboard at this moment, all workers. */
unsigned flight_riders(const struct flight *f);
/* Whether it is outside the table: nobody can board. */
bool flight_is_private(const struct flight *f);
unsigned flight_leader_worker(const struct flight *f);
/* What the leader hung on it (server/fill*.c); the leader's worker only. */
void *flight_owner(const struct flight *f);

/* --- the leader's side, on its worker --- */
/* The response is there (a reference is taken). Everybody may read. */
void flight_publish(struct flight *f, struct object *o);
/* The response is there but not for everybody; the key is remembered until forget_ms, 0: it is not. Leaves the
 * table. */
void flight_disband(struct flight *f, struct object *o, int64_t forget_ms);
/* The same before there is a response. */
void flight_fail(struct flight *f, int fault);
/* The body has grown or ended: wakes the riders. */
void flight_progress(struct flight *f);
/* New askers are not taken aboard any more: the object is in the store, or will not be. */
void flight_close(struct flight *f);
/* The position below which every rider has read; UINT64_MAX if nobody rides. */
uint64_t flight_read_by_all(const struct flight *f);
/* The position up to which the first of them has; 0 if nobody rides. */
uint64_t flight_read_by_any(const struct flight *f);
/* Has on_room(owner) called on the leader's worker once flight_read_by_all has grown beyond
 * position. */
void flight_await_room(struct flight *f, uint64_t position);
void flight_set_owner(struct flight *f, void *owner, void (*on_room)(void *owner));
/* Riders that have not read up to position are to give up. */
void flight_expel(struct flight *f, uint64_t position);

/* --- the riders' side --- */
/* The rider has read up to at. */
void flight_moved(struct flight_rider *r, uint64_t at);
/* Whether the leader gave this rider up. */
bool flight_is_expelled(const struct flight_rider *r);

/* Whether the key was disbanded lately and is not worth gathering for. */
bool flights_is_unshared(const struct flights *fs, uint64_t hash, int64_t now_ms);
/* It is not, until then. */
void flights_remember_unshared(struct flights *fs, uint64_t hash, int64_t until_ms);
/* What it answers was stored: it is gathered for again. */
void flights_share_again(struct flights *fs, uint64_t hash);

#endif

#include "cache/fetchlock.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "cache/redis.h"

#define LOOK_FIRST_MS 5
#define LOOK_PART 32 /* of the time waited lies between two looks */
#define TOKEN_BYTES 33
#define MARK "-"

/* KEYS: the lock. ARGV: our token, and 0 or how long the mark is to stand. */
static const char let_go[] = "if redis.call('GET',KEYS[1])~=ARGV[1] then return 0 end "
			     "if ARGV[2]=='0' then return redis.call('DEL',KEYS[1]) end "
			     "redis.call('SET',KEYS[1],'" MARK "','PX',ARGV[2]) return 1";

struct fetchlock {
	struct l2_guest guest;
	struct l2 *l2; /* NULL: it has gone */
	struct loop *loop;
	struct redisnet_call *call;
	struct timer look; /* or the end of the wait */
	int64_t began_ms, due_ms, wait_ms;
	bool is_asking; /* whether it is ours is on its way to us */
	bool is_mine;
	/* Nobody's any more: lets go of the lock as soon as it is known to be ours, or what it was for has been written. */
	bool lingers;
	uint64_t hash;					 /* of the key */
	void (*done)(void *arg, enum fetchlock_end end); /* NULL: has been called */
	void *arg;
	char name[L2_LOCK_BYTES];
	char token[TOKEN_BYTES];
};

static void
lock_end(struct fetchlock *k, enum fetchlock_end end)
{
	void (*done)(void *, enum fetchlock_end) = k->done;

	timer_disarm(&k->look);
	redisnet_cancel(&k->call);
	k->is_mine = end == FETCHLOCK_MINE;
	k->done = NULL;
	if (done != NULL)
		done(k->arg, end);
}

static int64_t
left_ms(const struct fetchlock *k)
{
	return k->due_ms - loop_now_ms(k->loop);
}

static bool
lock_send(struct fetchlock *k, const struct slice *argv, unsigned argc,
    void (*done)(void *arg, enum redisio_end end, const struct redis_reply *reply))
{
	int64_t most_ms = left_ms(k);

	return most_ms > 0 &&
	    l2_send(k->l2, L2_LINK_reads, argv, argc, most_ms, done, k, &k->call) == REDISIO_SENT;
}

/* --- letting go --- */

static void
lock_free(struct fetchlock *k)
{
	timer_disarm(&k->look);
	if (k->l2 != NULL)
		redisnet_cancel(&k->call);
	l2_part(&k->guest);
	free(k);
}

static void
on_let_go(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	/* What was not let go expires. */
}

/* On the line for writes, behind what was written; or on the one it was asked for on, behind that. */
static void
lock_let_go(struct fetchlock *k, enum l2_link link, int64_t mark_ms)
{
	char mark[24];
	const struct slice argv[5] = {SLICE_LIT("EVAL"), slice_from(let_go), SLICE_LIT("1"),
	    slice_from(k->name), slice_of(k->token, TOKEN_BYTES - 1)};
	struct slice words[6];

	if (!k->is_mine || k->l2 == NULL)
		return;
	k->is_mine = false;
	memcpy(words, argv, sizeof(argv));
	words[5] = slice_of(mark, (size_t)snprintf(mark, sizeof(mark), "%lld", (long long)mark_ms));
	l2_send(k->l2, link, words, 6, k->wait_ms, on_let_go, NULL, NULL);
}

/* --- waiting for another's --- */

/* Ever more rarely; the last look is when the time is over. */
static void
look_later(struct fetchlock *k)
{
	int64_t now_ms = loop_now_ms(k->loop);
	int64_t at_ms = now_ms + LOOK_FIRST_MS + (now_ms - k->began_ms) / LOOK_PART;

	timer_arm(k->loop, &k->look, at_ms < k->due_ms ? at_ms : k->due_ms);
}

static void
on_look_answer(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct fetchlock *k = arg;

	k->call = NULL;
	if (end != REDISIO_ANSWERED)
		lock_end(k, FETCHLOCK_NONE);
	else if (reply->type == REPLY_NIL)
		lock_end(k, FETCHLOCK_OVER);
	else if (reply->type != REPLY_STRING)
		lock_end(k, FETCHLOCK_NONE);
	else if (slice_eq(reply->text, SLICE_LIT(MARK)))
		lock_end(k, FETCHLOCK_UNSHARED);
	else
		look_later(k);
}

static void
on_look_due(void *arg)
{
	struct fetchlock *k = arg;
	const struct slice argv[2] = {SLICE_LIT("GET"), slice_from(k->name)};

	if (!lock_send(k, argv, 2, on_look_answer))
		lock_end(k, FETCHLOCK_NONE);
}

/* --- asking for it --- */

static void
on_ask_answer(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct fetchlock *k = arg;
	bool is_mine = end == REDISIO_ANSWERED && reply->type == REPLY_STATUS;

	k->call = NULL;
	k->is_asking = false;
	if (is_mine || end == REDISIO_TIMEOUT) /* then it may become ours yet */
		k->is_mine = true;
	if (k->lingers) {
		lock_let_go(k, L2_LINK_reads, 0);
		lock_free(k);
	} else if (is_mine)
		lock_end(k, FETCHLOCK_MINE);
	else if (end == REDISIO_ANSWERED && reply->type == REPLY_NIL)
		on_look_due(k); /* whose it is, or that nobody's is of use */
	else {
		lock_let_go(k, L2_LINK_reads, 0);
		lock_end(k, FETCHLOCK_NONE);
	}
}

static void
on_l2_gone(struct l2_guest *g)
{
	struct fetchlock *k = CONTAINER_OF(g, struct fetchlock, guest);

	k->l2 = NULL;
	if (k->lingers) {
		lock_free(k);
		return;
	}
	k->call = NULL; /* dead with its connection */
	k->is_asking = k->is_mine = false;
	lock_end(k, FETCHLOCK_NONE);
}

static void on_put(struct l2_guest *g);

static void
make_token(struct fetchlock *k)
{
	uint64_t random[2];

	random_bytes(random, sizeof(random));
	snprintf(k->token, sizeof(k->token), "%016llx%016llx", (unsigned long long)random[0],
	    (unsigned long long)random[1]);
}

struct fetchlock *
fetchlock_ask(struct l2 *l2, struct loop *loop, const struct cache_key *key, int64_t wait_ms,
    void (*done)(void *arg, enum fetchlock_end end), void *arg)
{
	struct fetchlock *k = must_calloc(1, sizeof(*k));
	char life[24];
	const struct slice argv[6] = {SLICE_LIT("SET"), l2_lock_name(l2, key->text, k->name),
	    slice_of(k->token, TOKEN_BYTES - 1), SLICE_LIT("NX"), SLICE_LIT("PX"),
	    slice_of(life, (size_t)snprintf(life, sizeof(life), "%lld", (long long)wait_ms))};

	k->l2 = l2;
	k->loop = loop;
	k->began_ms = loop_now_ms(loop);
	k->due_ms = k->began_ms + wait_ms;
	k->wait_ms = wait_ms;
	k->done = done;
	k->arg = arg;
	timer_init(&k->look, on_look_due, k);
	make_token(k);
	k->hash = key->hash;
	k->guest.on_l2_gone = on_l2_gone;
	k->guest.on_put = on_put;
	l2_join(l2, &k->guest);
	k->is_asking = lock_send(k, argv, 6, on_ask_answer);
	if (!k->is_asking)
		fetchlock_free(&k);
	return k;
}

/* --- who asked has done --- */

void
fetchlock_disband(struct fetchlock *k, int64_t mark_ms)
{
	lock_let_go(k, L2_LINK_writes, mark_ms);
}

static void
on_put(struct l2_guest *g)
{
	struct fetchlock *k = CONTAINER_OF(g, struct fetchlock, guest);

	lock_let_go(k, L2_LINK_writes, 0);
	lock_free(k);
}

void
fetchlock_free(struct fetchlock **kp)
{
	struct fetchlock *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	k->lingers = k->is_asking ||
	    (k->is_mine && k->l2 != NULL && l2_wait_for_put(k->l2, k->hash, &k->guest));
	if (k->lingers)
		return;
	lock_let_go(k, L2_LINK_writes, 0);
	lock_free(k);
}

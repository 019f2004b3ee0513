/* What the clerk says to Redis: HELLO on each connection, before anything else counts; then appends, and a
 * renewal of the lease twice a second and whenever something was applied. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/clerk_priv.h"

#define CONNECT_MS 1000
#define SILENT_MS 1000
#define RETRY_MOST_MS 1000 /* others wait for who knows what a lost Redis knew: LOG_SETTLE_MS */
#define ANSWER_MS 1500
#define REPLY_BYTES 65536
#define QUEUE_BYTES ((size_t)8 << 20)
#define IN_FLIGHT_MAX 16384
#define STUCK_MOST 4 /* renewals that find the same entries not applied: then it reads anew */
#define REFUSAL_AGAIN_MS 60000
#define POLL_FIRST_MS 1
#define POLL_MOST_MS 20
#define MISSED_MOST \
	1024 /* entries between us and the end of the epoch before that others still know */

static bool
talk_send(
    struct clerk *c, void (*done)(void *arg, enum redisio_end end, const struct redis_reply *reply))
{
	return c->talk != NULL &&
	    redisnet_send(c->talk,
		&(struct redisio_command){.argv = c->command.argv,
		    .argc = c->command.argc,
		    .timeout_ms = ANSWER_MS,
		    .done = done,
		    .arg = c},
		NULL) == REDISIO_SENT;
}

static void
on_nothing(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
}

void
talk_send_and_forget(struct clerk *c)
{
	if (c->is_greeted)
		talk_send(c, on_nothing);
}

void
talk_note_refusal(struct clerk *c, const struct redis_reply *reply)
{
	int n = reply->text.n > 120 ? 120 : (int)reply->text.n;
	int64_t now_ms = loop_now_ms(c->loop);
	char text[160];

	snprintf(text, sizeof(text), "%.*s", n, n > 0 ? reply->text.p : "");
	if (strcmp(text, c->refusal) != 0 || now_ms - c->refusal_told_ms >= REFUSAL_AGAIN_MS) {
		log_warn("purge log %s: refused: %s", redisnet_name(c->talk), text);
		memcpy(c->refusal, text, sizeof(text));
		c->refusal_told_ms = now_ms;
	}
	clerk_look(c, text);
}

static void
drop_memory(struct clerk *c, const char *why)
{
	pthread_mutex_lock(&c->lock);
	sharedlog_purge_memory(c->log);
	pthread_mutex_unlock(&c->lock);
	clerk_count(&c->count.dropped, 1);
	log_warn("purge log: %s: everything in memory is purged", why);
}

/* --- renewal --- */

/* Somebody came later and knows that the epoch before went on longer than was known when we kept our memory. */
static void
look_back(struct clerk *c, const struct redis_reply *reply)
{
	if (c->kept_epoch != c->me.epoch || log_prev_last_of(reply) <= c->kept_at + MISSED_MOST)
		return;
	c->kept_epoch = 0;
	drop_memory(c, "Redis has lost entries that this instance had not read");
}

static void
on_renewed(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct clerk *c = arg;
	uint64_t last;

	c->is_renewing = false;
	if (end != REDISIO_ANSWERED)
		return;
	if (reply->type == REPLY_ERROR) {
		talk_note_refusal(c, reply);
		return;
	}
	if (!c->is_greeted || c->renewed_epoch != c->me.epoch)
		return;
	if (log_answer_of(reply, &last) != LOG_YES) {
		talk_hello(c);
		return;
	}
	look_back(c, reply);
	atomic_store(&c->last, last);
	pthread_mutex_lock(&c->lock);
	sharedlog_grant(c->log, c->renew_sent_ms, last);
	pthread_mutex_unlock(&c->lock);
	clerk_look(c, NULL);
	if (c->renews_again)
		talk_renew(c);
}

/* The clock is read before the renewal is sent: Redis counts from later. */
void
talk_renew(struct clerk *c)
{
	uint64_t chance;

	c->renews_again = c->is_renewing;
	if (!c->is_greeted || c->is_renewing || c->is_stopping)
		return;
	c->renew_sent_ms = clock_mono_ms();
	random_bytes(&chance, sizeof(chance));
	log_say_renew(&c->command, &c->keys, &c->me, chance);
	c->renewed_epoch = c->me.epoch;
	c->is_renewing = talk_send(c, on_renewed);
}

/* Entries are there that do not come to us: the connection they should come by is of no use. */
static void
watch_reading(struct clerk *c)
{
	if (atomic_load(&c->last) <= c->me.applied || c->me.applied != c->stuck_at)
		c->stuck = 0;
	c->stuck_at = c->me.applied;
	if (++c->stuck > STUCK_MOST) {
		c->stuck = 0;
		talk_hello(c);
	}
}

static void
on_tick(void *arg)
{
	struct clerk *c = arg;

	timer_arm(c->loop, &c->tick, loop_now_ms(c->loop) + LEASE_RENEW_MS);
	clerk_look(c, NULL);
	if (c->is_greeted) {
		if (atomic_load(&c->last) > c->me.applied)
			watch_reading(c);
		talk_renew(c);
		talk_append(c);
	} else if (c->talk != NULL && redisnet_is_up(c->talk))
		talk_hello(c);
	clerk_settle_waits(c);
}

/* --- appending --- */

static void
on_appended(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct clerk *c = arg;
	uint64_t last, told = 0;

	c->is_appending = false;
	if (end != REDISIO_ANSWERED)
		return; /* sent again: with the next tick, or on the next connection */
	if (reply->type == REPLY_ERROR) {
		talk_note_refusal(c, reply);
		return;
	}
	if (!c->is_greeted || c->batch_epoch != c->me.epoch)
		return;
	if (log_answer_of(reply, &last) != LOG_YES) {
		talk_hello(c);
		return;
	}
	pthread_mutex_lock(&c->lock);
	told = logbook_pending(c->book);
	logbook_told(c->book, &c->batch);
	told -= logbook_pending(c->book);
	pthread_mutex_unlock(&c->lock);
	clerk_count(&c->count.appended, told);
	if (last > atomic_load(&c->last))
		atomic_store(&c->last, last);
	c->acked_number = last;
	if (!c->batch.is_again)
		c->acked = c->batch.serial;
	clerk_note_told(c);
	clerk_settle_waits(c);
	talk_append(c);
}

void
talk_append(struct clerk *c)
{
	uint64_t chance;
	bool has_some;

	if (!c->is_greeted || c->is_appending)
		return;
	random_bytes(&chance, sizeof(chance));
	pthread_mutex_lock(&c->lock);
	has_some = logbook_next(c->book, &c->batch);
	if (has_some) {
		log_say_append(&c->command, &c->keys, &c->me, chance, &c->batch);
		c->batch_epoch = c->me.epoch;
		c->is_appending = talk_send(c, on_appended);
	}
	pthread_mutex_unlock(&c->lock);
}

/* --- who has confirmed --- */

static bool
somebody_waits(const struct clerk *c)
{
	LIST_EACH (w, &c->waits, struct clerk_wait, link)
		if (w->is_everywhere && w->number != 0)
			return true;
	return false;
}

static void
poll_later(struct clerk *c)
{
	if (!somebody_waits(c))
		return;
	timer_arm(c->loop, &c->poll, loop_now_ms(c->loop) + c->poll_wait_ms);
	c->poll_wait_ms = c->poll_wait_ms * 2 < POLL_MOST_MS ? c->poll_wait_ms * 2 : POLL_MOST_MS;
}

static void
on_polled(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct clerk *c = arg;
	uint64_t low;

	c->is_polling = false;
	if (end == REDISIO_ANSWERED && c->is_greeted && c->polled_epoch == c->me.epoch) {
		switch (log_answer_of(reply, &low)) {
		case LOG_YES:
			c->confirmed = low;
			clerk_settle_waits(c);
			break;
		case LOG_OTHER_EPOCH:
			talk_hello(c);
			break;
		case LOG_NONSENSE:
			break;
		}
	}
	poll_later(c);
}

static void
on_poll_due(void *arg)
{
	struct clerk *c = arg;

	if (c->is_polling || !c->is_greeted || !somebody_waits(c))
		return;
	log_say_waiting(&c->command, &c->keys, &c->me);
	c->polled_epoch = c->me.epoch;
	c->is_polling = talk_send(c, on_polled);
}

/* At once: who has just been appended is confirmed soonest by who reads fast. */
void
talk_poll(struct clerk *c)
{
	c->poll_wait_ms = POLL_FIRST_MS;
	if (!timer_is_armed(&c->poll) || c->poll.due_ms > loop_now_ms(c->loop) + POLL_FIRST_MS)
		timer_arm(c->loop, &c->poll, loop_now_ms(c->loop) + POLL_FIRST_MS);
}

/* --- the eviction policy --- */

/* The policy in [name, value, ...], if memory is bounded and keys without a life of their own may go. */
static struct slice
policy_that_evicts(const struct redis_reply *reply)
{
	struct slice policy = SLICE_NONE;
	bool is_bounded = false;

	if (reply->type != REPLY_ARRAY)
		return SLICE_NONE;
	for (size_t i = 0; i + 1 < reply->count; i += 2) {
		struct slice name = reply->items[i].text, value = reply->items[i + 1].text;

		if (slice_eq(name, SLICE_LIT("maxmemory")))
			is_bounded = !slice_eq(value, SLICE_LIT("0"));
		else if (slice_eq(name, SLICE_LIT("maxmemory-policy")) &&
		    slice_starts(value, SLICE_LIT("allkeys-")))
			policy = value;
	}
	return is_bounded ? policy : SLICE_NONE;
}

/* Who may not ask is not told. */
static void
on_policy(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct clerk *c = arg;
	struct slice policy = end == REDISIO_ANSWERED ? policy_that_evicts(reply) : SLICE_NONE;

	if (policy.n == 0 || c->told_policy)
		return;
	c->told_policy = true;
	log_warn("redis %s: maxmemory-policy %.*s may evict %s, which says what was purged, and "
		 "all that is stored in Redis is lost with it; volatile-lfu keeps it, and so does "
		 "a Redis of its own (cache.redis.state_url)",
	    redisnet_name(c->talk), SLICE_FMT(policy), c->keys.log);
}

static void
ask_policy(struct clerk *c)
{
	c->command.argc = 3;
	c->command.argv[0] = SLICE_LIT("CONFIG");
	c->command.argv[1] = SLICE_LIT("GET");
	c->command.argv[2] = SLICE_LIT("maxmemory*");
	if (!c->told_policy)
		talk_send(c, on_policy);
}

/* --- hello --- */

/* Whether nothing can have been purged that we did not hear of and that nobody will tell us again. Under
 * strict coherence: no purge was confirmed by all without us. Else: we were there until the end of the
 * epoch before, or so nearly that the others still know the rest. */
static bool
missed_nothing(struct clerk *c, const struct log_hello *h)
{
	if (atomic_load(&c->is_strict))
		return sharedlog_has_lease(c->log, clock_mono_ms());
	return c->was_leased && h->prev == c->me.epoch &&
	    c->me.applied + MISSED_MOST >= h->prev_last;
}

/* How long others may need to come back and tell what they know. An instance that has nothing in memory
 * from before need not wait for those of an epoch that began with this run of Redis: values of it are
 * younger than whatever was lost. */
static int64_t
settling_ms(const struct clerk *c, const struct log_hello *h)
{
	bool is_younger = h->epoch_age_ms <= h->run_age_ms;
	int64_t age_ms = is_younger ? h->epoch_age_ms : h->run_age_ms;

	if (is_younger && (c->me.epoch == 0 || c->me.epoch == h->epoch))
		return 0;
	return age_ms < LOG_SETTLE_MS ? LOG_SETTLE_MS - age_ms : 0;
}

static void
enter_epoch(struct clerk *c, const struct log_hello *h)
{
	bool is_new_here = c->me.epoch == 0;

	c->kept_epoch = 0;
	if (!is_new_here && !missed_nothing(c, h))
		drop_memory(c, "Redis has lost something, and this instance was not there");
	else if (!is_new_here && !atomic_load(&c->is_strict)) {
		c->kept_epoch = h->epoch;
		c->kept_at = c->me.applied;
	}
	pthread_mutex_lock(&c->lock);
	if (is_new_here && logbook_has_forgotten(c->book)) {
		const struct purge all = {.kind = PURGE_ALL};
		uint64_t serial = sharedlog_take(c->log, &all, true);

		logbook_add_pending(c->book, log_entry_new(c->me.instance, serial, &all));
	}
	if (is_new_here)
		sharedlog_own_all(c->log);
	sharedlog_enter(c->log, h->epoch, h->first);
	logbook_tell_again(c->book);
	pthread_mutex_unlock(&c->lock);
	c->me.epoch = h->epoch;
	c->me.applied = h->first - 1;
	c->me.chance = 0;
	c->confirmed = 0;
	LIST_EACH (w, &c->waits, struct clerk_wait, link)
		w->number = 0;
	clerk_count(&c->count.epochs, 1);
	log_info("purge log %s: epoch %016llx%s, %llu entries", redisnet_name(c->talk),
	    (unsigned long long)h->epoch, h->is_new ? " begun" : "", (unsigned long long)h->last);
}

/* The same epoch as before: what came meanwhile is read, unless it was trimmed. */
static void
go_on(struct clerk *c, const struct log_hello *h)
{
	if (h->first <= c->me.applied + 1)
		return;
	pthread_mutex_lock(&c->lock);
	sharedlog_missed(c->log, h->first);
	pthread_mutex_unlock(&c->lock);
	c->me.applied = h->first - 1;
	c->me.chance = 0;
	clerk_count(&c->count.dropped, 1);
	log_warn("purge log: entries were trimmed before they were read: everything in memory is "
		 "purged");
}

static void
on_hello(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct clerk *c = arg;
	int64_t settle_ms;
	struct log_hello h;

	c->is_greeting = false;
	if (end != REDISIO_ANSWERED)
		return;
	if (reply->type == REPLY_ERROR || !log_hello_of(reply, &h)) {
		talk_note_refusal(c, reply);
		return;
	}
	settle_ms = settling_ms(c, &h);
	if (settle_ms > 0)
		c->settle_until_ms = loop_now_ms(c->loop) + settle_ms;
	sharedlog_settle(c->log, false); /* until clerk_look has looked at what this brings */
	atomic_store(&c->last, h.last);
	c->acked_number = h.last;
	pthread_mutex_lock(&c->lock);
	sharedlog_set_runs(c->log, &h.runs);
	pthread_mutex_unlock(&c->lock);
	if (h.epoch == c->me.epoch)
		go_on(c, &h);
	else
		enter_epoch(c, &h);
	c->is_greeted = true;
	c->stuck = 0;
	follow_open(c);
	ask_policy(c);
	clerk_look(c, NULL);
	talk_renew(c);
	talk_append(c);
	clerk_settle_waits(c);
}

/* From now on nothing is heard. */
static void
stop_hearing(struct clerk *c)
{
	if (c->is_greeted)
		c->was_leased = sharedlog_has_lease(c->log, clock_mono_ms());
	c->is_greeted = false;
	follow_close(c);
}

/* Nothing is read until it is answered: it may be that entries belong to another epoch. Where the last one has not helped the
 * next comes with the tick. */
void
talk_hello(struct clerk *c)
{
	int64_t now_ms = loop_now_ms(c->loop);
	uint64_t epoch = 0;

	if (c->is_greeting || c->is_stopping)
		return;
	stop_hearing(c);
	if (now_ms < c->hello_not_before_ms)
		return;
	c->hello_not_before_ms = now_ms + LEASE_RENEW_MS / 2;
	while (epoch == 0)
		random_bytes(&epoch, sizeof(epoch));
	log_say_hello(&c->command, &c->keys, &c->me, atomic_load(&c->is_strict), epoch);
	c->is_greeting = talk_send(c, on_hello);
}

/* --- the connection --- */

static void
on_talk_up(void *arg)
{
	struct clerk *c = arg;

	c->hello_not_before_ms = 0;
	talk_hello(c);
}

static void
on_talk_down(void *arg, const char *why)
{
	struct clerk *c = arg;

	stop_hearing(c);
	c->is_greeting = c->is_renewing = c->is_appending = c->is_polling = false;
	clerk_look(c, why);
	clerk_journal(c);
}

static const struct redisio_handler talk_handler = {.on_up = on_talk_up, .on_down = on_talk_down};

int
talk_open(struct clerk *c, const struct log_place *me, const char **why_out)
{
	const struct redisio_conf conf = {.url = c->url,
	    .connect_ms = CONNECT_MS,
	    .silent_ms = SILENT_MS,
	    .in_flight_max = IN_FLIGHT_MAX,
	    .queue_max_bytes = QUEUE_BYTES,
	    .reply_max_bytes = REPLY_BYTES,
	    .retry_most_ms = RETRY_MOST_MS};

	timer_init(&c->tick, on_tick, c);
	timer_init(&c->poll, on_poll_due, c);
	c->me = *me;
	c->talk = redisnet_new(c->loop, c->resolver, &conf, &talk_handler, c, why_out);
	if (c->talk == NULL)
		return -1;
	redisnet_set_home(c->talk, slice_from(c->keys.log));
	timer_arm(c->loop, &c->tick, loop_now_ms(c->loop) + LEASE_RENEW_MS);
	return 0;
}

void
talk_close(struct clerk *c)
{
	if (c->talk == NULL)
		return;
	stop_hearing(c);
	redisnet_free(&c->talk);
	timer_disarm(&c->tick);
	timer_disarm(&c->poll);
	c->is_greeting = c->is_renewing = c->is_appending = c->is_polling = false;
	c->told_policy = false;
	c->refusal[0] = '\0';
}

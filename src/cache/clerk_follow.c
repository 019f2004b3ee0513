/* The clerk reads the shared log as it grows: on a connection of its own, which waits in Redis for the next
 * entry. It is made anew after each HELLO, and reads only what belongs to that epoch. */
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/clerk_priv.h"

#define CONNECT_MS 1000
#define SILENT_MS 3000
#define RETRY_MOST_MS 1000
#define REPLY_BYTES ((size_t)8 << 20)
/* An answer comes each LOG_BLOCK_MS. Whether it still does is seen by the renewals, which find entries that
 * were not applied (clerk_talk.c:watch_reading). */
#define ANSWER_MS (24ll * 3600 * 1000)

static void follow_read(struct clerk *c);

static void
note_missed(struct clerk *c, uint64_t number, const char *why)
{
	pthread_mutex_lock(&c->lock);
	sharedlog_missed(c->log, number);
	pthread_mutex_unlock(&c->lock);
	c->me.applied = number - 1;
	c->me.chance = 0;
	clerk_count(&c->count.dropped, 1);
	log_warn("purge log: %s before %llu: everything in memory is purged", why,
	    (unsigned long long)number);
}

static void
apply(struct clerk *c, const struct log_read *e)
{
	bool is_new;

	pthread_mutex_lock(&c->lock);
	is_new = sharedlog_apply(c->log, e->instance, e->serial, &e->purge);
	if (is_new)
		logbook_add_known(c->book, log_entry_new(e->instance, e->serial, &e->purge));
	pthread_mutex_unlock(&c->lock);
	c->me.applied = e->number;
	c->me.chance = e->chance;
	clerk_count(&c->count.received, is_new);
}

/* An entry of this epoch it is not. If Redis says after HELLO that the epoch goes on, and the same entry is there, it was
 * put there by somebody else: nobody can read on, so the log is said to be lost, and a new epoch begins. */
static void
note_strange(struct clerk *c)
{
	bool is_again = c->strange.epoch == c->me.epoch && c->strange.applied == c->me.applied;

	c->strange = c->me;
	if (!is_again)
		return;
	note_missed(c, atomic_load(&c->last) + 2, "there is an entry of nobody's");
}

/* False: what is there does not go on where we stand. */
static bool
take_entry(struct clerk *c, const struct redis_reply *entry)
{
	struct log_read e;

	if (!log_read_of(entry, &e) || e.epoch != c->me.epoch) {
		note_strange(c);
		return false;
	}
	if (e.number <= c->me.applied)
		return true;
	if (e.number > c->me.applied + 1)
		note_missed(c, e.number, "entries were trimmed that were not read");
	apply(c, &e);
	return true;
}

static void
on_read(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct clerk *c = arg;
	const struct redis_reply *entries = NULL;
	uint64_t before = c->me.applied;
	size_t count;

	c->is_reading = false;
	if (end != REDISIO_ANSWERED)
		return; /* the next connection reads on */
	if (!log_entries_of(reply, &entries, &count)) {
		talk_note_refusal(c, reply);
		talk_hello(c);
		return;
	}
	for (size_t i = 0; i < count; i++)
		if (!take_entry(c, &entries[i])) {
			talk_hello(c);
			return;
		}
	if (c->me.applied > atomic_load(&c->last))
		atomic_store(&c->last, c->me.applied);
	follow_read(c);
	if (c->me.applied != before) {
		clerk_look(c, NULL);
		talk_renew(c); /* so that who waits for it hears that it is here */
	}
}

static void
follow_read(struct clerk *c)
{
	if (c->is_reading || c->follow == NULL)
		return;
	log_say_read(&c->command, &c->keys, &c->me);
	c->is_reading = redisnet_send(c->follow,
			    &(struct redisio_command){.argv = c->command.argv,
				.argc = c->command.argc,
				.timeout_ms = ANSWER_MS,
				.done = on_read,
				.arg = c},
			    NULL) == REDISIO_SENT;
}

static void
on_follow_up(void *arg)
{
	follow_read(arg);
}

static void
on_follow_down(void *arg, const char *why)
{
	((struct clerk *)arg)->is_reading = false;
}

static const struct redisio_handler follow_handler = {
    .on_up = on_follow_up, .on_down = on_follow_down};

void
follow_open(struct clerk *c)
{
	const struct redisio_conf conf = {.url = c->url,
	    .connect_ms = CONNECT_MS,
	    .silent_ms = SILENT_MS,
	    .in_flight_max = 4,
	    .queue_max_bytes = 65536,
	    .reply_max_bytes = REPLY_BYTES,
	    .retry_most_ms = RETRY_MOST_MS};
	const char *why;

	follow_close(c);
	c->follow = redisnet_new(c->loop, c->resolver, &conf, &follow_handler, c, &why);
	if (c->follow == NULL)
		bug("a URL that was good is not any more");
	redisnet_set_home(c->follow, slice_from(c->keys.log));
}

void
follow_close(struct clerk *c)
{
	redisnet_free(&c->follow);
	c->is_reading = false;
}

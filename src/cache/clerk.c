#include "cache/clerk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "cache/clerk_priv.h"
#include "event/redisurl.h"

#define STOP_MS 500 /* to tell what is pending when it stops */

const char *const purge_level_names[] = {"here", "journalled", "appended", "everywhere"};
const char *const clerk_state_names[] = {
#define X(state, text) #state,
    CLERK_STATES(X)
#undef X
};
const char *const clerk_state_texts[] = {
#define X(state, text) text,
    CLERK_STATES(X)
#undef X
};

/* --- how things stand --- */

static enum clerk_state
state_of(struct clerk *c, int64_t now_ms)
{
	if (!c->has_redis)
		return CLERK_off;
	if (!c->is_greeted)
		return CLERK_away;
	if (!sharedlog_has_lease(c->log, now_ms))
		return CLERK_behind;
	return sharedlog_is_current(c->log, now_ms) ? CLERK_connected : CLERK_settling;
}

static void
say_state(struct clerk *c, enum clerk_state was, enum clerk_state is)
{
	if (is == CLERK_connected || is == CLERK_settling)
		log_info("purge log: %s, number %llu", clerk_state_texts[is],
		    (unsigned long long)c->me.applied);
	else if (was >= CLERK_settling)
		log_warn("purge log: %s%s%s: purges are %s until it is back", clerk_state_texts[is],
		    c->trouble[0] == '\0' ? "" : ": ", c->trouble,
		    c->journal == NULL ? "kept in memory" : "written to the journal");
}

/* A lapse that is over with the next renewal (the clock was set, the process was stopped) is counted, not told. */
static bool
is_worth_telling(struct clerk *c, enum clerk_state was, enum clerk_state is, int64_t now_ms)
{
	if (is != CLERK_behind || was < CLERK_settling) {
		c->lapsed_ms = 0;
		return was != is;
	}
	if (c->lapsed_ms == 0) {
		c->lapsed_ms = now_ms;
		clerk_count(&c->count.lapses, 1);
	}
	return now_ms - c->lapsed_ms > LEASE_RENEW_MS / 2;
}

void
clerk_look(struct clerk *c, const char *trouble)
{
	int64_t now_ms = clock_mono_ms();
	enum clerk_state was = (enum clerk_state)atomic_load(&c->state), is;

	sharedlog_settle(c->log, c->is_greeted && loop_now_ms(c->loop) >= c->settle_until_ms);
	is = state_of(c, now_ms);
	pthread_mutex_lock(&c->lock);
	if (is == CLERK_connected || is == CLERK_settling)
		c->trouble[0] = '\0';
	else if (trouble != NULL)
		snprintf(c->trouble, sizeof(c->trouble), "%s", trouble);
	pthread_mutex_unlock(&c->lock);
	if (!is_worth_telling(c, was, is, now_ms))
		return;
	atomic_store(&c->state, (int)is);
	say_state(c, was, is);
}

/* --- the journal --- */

/* Marks what is pending as written, or as not; *newest_out: the newest of it. Returns how many were not. */
static unsigned
mark_pending(struct clerk *c, bool is_journalled, uint64_t *newest_out)
{
	unsigned count = 0;

	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < logbook_pending(c->book); i++) {
		struct log_entry *e = logbook_pending_at(c->book, i);
		struct purge p = log_entry_purge(e);

		*newest_out = e->serial;
		if (is_journalled && !e->is_journalled) {
			journal_add(c->journal, &p);
			count++;
		}
		e->is_journalled = is_journalled;
	}
	pthread_mutex_unlock(&c->lock);
	return count;
}

static void
note_journal_error(struct clerk *c)
{
	if (c->count.journal_errors == 0)
		log_error("%s: %s: a purge that Redis does not take is lost if this process ends",
		    journal_path(c->journal), strerror(errno));
	clerk_count(&c->count.journal_errors, 1);
}

/* All that is pending is on the disk when this returns, or cannot be put there: then who waits for that is
 * told so. What could not be written is written again the next time. */
void
clerk_journal(struct clerk *c)
{
	uint64_t newest = 0;
	unsigned count = mark_pending(c, c->journal != NULL, &newest);

	if (c->journal != NULL && (count == 0 || journal_sync(c->journal) == 0)) {
		clerk_count(&c->count.journalled, count);
		if (newest > c->journalled)
			c->journalled = newest;
	} else if (c->journal != NULL) {
		note_journal_error(c);
		mark_pending(c, false, &newest);
	}
	if (newest > c->given_up)
		c->given_up = newest;
	clerk_settle_waits(c);
}

static void
on_journal_date(void *arg)
{
	struct clerk *c = arg;
	unsigned pending;

	clerk_journal(c);
	pthread_mutex_lock(&c->lock);
	pending = logbook_pending(c->book);
	pthread_mutex_unlock(&c->lock);
	if (pending > 0)
		timer_arm(c->loop, &c->journal_date, loop_now_ms(c->loop) + c->timeout_ms);
}

/* --- taking --- */

/* Something is there to be told. */
static void
on_wake(struct letter *l)
{
	struct clerk *c = CONTAINER_OF(l, struct clerk, wake);

	atomic_store(&c->is_woken, false);
	talk_append(c);
	if (!c->is_greeted)
		clerk_journal(c);
	else if (!timer_is_armed(&c->journal_date))
		timer_arm(c->loop, &c->journal_date, loop_now_ms(c->loop) + c->timeout_ms);
}

static uint64_t
take_one(struct clerk *c, const struct purge *p)
{
	uint64_t serial = sharedlog_take(c->log, p, c->has_redis);
	struct log_entry *e = log_entry_new(sharedlog_instance(c->log), serial, p);

	if (!c->has_redis && logbook_pending(c->book) == 0) /* serials stay in order */
		logbook_add_known(c->book, e);
	else if (!logbook_add_pending(c->book, e))
		clerk_count(&c->count.collapsed, 1);
	return serial;
}

uint64_t
clerk_take(struct clerk *c, const struct purge *items, size_t count)
{
	uint64_t serial = 0;
	bool wakes;

	if (count == 0)
		return 0;
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < count; i++)
		serial = take_one(c, &items[i]);
	wakes = c->has_redis && !atomic_exchange(&c->is_woken, true);
	if (wakes)
		mailbox_post(c->mailbox, &c->wake);
	pthread_mutex_unlock(&c->lock);
	clerk_count(&c->count.taken, count);
	return serial;
}

/* --- told --- */

static void stop_now(struct clerk *c);

static void
on_bye(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	stop_now(arg);
}

/* Nobody need wait for our lease to run out. */
static void
say_bye(struct clerk *c)
{
	log_say_bye(&c->command, &c->keys, &c->me);
	if (redisnet_send(c->talk,
		&(struct redisio_command){.argv = c->command.argv,
		    .argc = c->command.argc,
		    .timeout_ms = STOP_MS / 2,
		    .done = on_bye,
		    .arg = c},
		NULL) != REDISIO_SENT)
		stop_now(c);
}

void
clerk_note_told(struct clerk *c)
{
	bool is_all;

	clerk_intents_look(c);
	pthread_mutex_lock(&c->lock);
	is_all = logbook_pending(c->book) == 0 && !logbook_is_telling_again(c->book);
	pthread_mutex_unlock(&c->lock);
	if (!is_all)
		return;
	if (c->journal != NULL && !journal_is_empty(c->journal)) {
		journal_empty(c->journal);
		log_info("purge log: what was in the journal is told");
	}
	if (c->is_stopping)
		say_bye(c);
}

/* --- orders --- */

struct replay {
	struct clerk *clerk;
	unsigned count;
};

/* What the process before us could not tell. */
static void
on_replayed(void *arg, const struct purge *p)
{
	struct replay *r = arg;
	struct clerk *c = r->clerk;
	struct log_entry *e;

	pthread_mutex_lock(&c->lock);
	e = log_entry_new(sharedlog_instance(c->log), sharedlog_take(c->log, p, true), p);
	e->is_journalled = true;
	logbook_add_pending(c->book, e);
	pthread_mutex_unlock(&c->lock);
	r->count++;
}

static void
open_journal(struct clerk *c, const char *directory)
{
	struct replay r = {.clerk = c};

	if (c->journal != NULL || directory == NULL)
		return;
	c->journal = journal_open(directory, on_replayed, &r);
	if (c->journal == NULL)
		log_error("%s/purges.journal: %s: a purge that Redis does not take is lost if this "
			  "process ends",
		    directory, strerror(errno));
	if (r.count > 0)
		log_info("purge log: %u purges out of the journal are told", r.count);
}

static void
set_redis(struct clerk *c, bool has_redis)
{
	pthread_mutex_lock(&c->lock);
	c->has_redis = has_redis;
	pthread_mutex_unlock(&c->lock);
}

static void
leave_redis(struct clerk *c)
{
	talk_close(c);
	free(c->url);
	c->url = NULL;
	pthread_mutex_lock(&c->lock);
	sharedlog_revoke(c->log);
	pthread_mutex_unlock(&c->lock);
	sharedlog_settle(c->log, false);
}

/* The log we are reading already: then it is as if the connection had been lost. */
static bool
is_same_log(const struct clerk *c, const struct clerk_conf *conf)
{
	struct log_keys keys;

	if (c->url == NULL || conf->url == NULL || strcmp(c->url, conf->url) != 0)
		return false;
	log_keys_init(&keys, conf->prefix);
	return strcmp(keys.log, c->keys.log) == 0;
}

static void
use(struct clerk *c, const struct clerk_conf *conf)
{
	struct log_place me = {.instance = sharedlog_instance(c->log)};

	if (is_same_log(c, conf)) {
		me = c->me;
		talk_close(c);
		free(c->url);
	} else
		leave_redis(c);
	atomic_store(&c->is_strict, conf->is_strict && conf->url != NULL);
	if (conf->url == NULL) {
		set_redis(c, false);
		clerk_look(c, NULL);
		clerk_settle_waits(c);
		return;
	}
	c->url = must_strdup(conf->url);
	log_keys_init(&c->keys, conf->prefix);
	c->timeout_ms = conf->timeout_ms > APPEND_LEAST_MS ? conf->timeout_ms : APPEND_LEAST_MS;
	set_redis(c, true);
	open_journal(c, conf->state_dir);
	if (talk_open(c, &me, &c->refused) != 0)
		bug("a URL that was good is not any more");
	clerk_look(c, "not connected yet");
}

static void
stop_now(struct clerk *c)
{
	timer_disarm(&c->stop_date);
	timer_disarm(&c->journal_date);
	clerk_journal(c);
	set_redis(c, false);
	leave_redis(c);
	clerk_settle_waits(c);
	clerk_intents_drop(c);
	loop_stop(c->loop);
}

static void
on_stop_date(void *arg)
{
	stop_now(arg);
}

/* What is pending is told first, if that can be done in a moment. */
static void
begin_stop(struct clerk *c)
{
	c->is_stopping = true;
	if (!c->is_greeted) {
		stop_now(c);
		return;
	}
	timer_arm(c->loop, &c->stop_date, loop_now_ms(c->loop) + STOP_MS);
	talk_append(c);
	if (!c->is_appending)
		clerk_note_told(c);
}

static void
on_order(struct letter *l)
{
	struct clerk *c = CONTAINER_OF(l, struct clerk, order);
	const struct clerk_conf *conf = c->ordered;

	if (conf == NULL)
		begin_stop(c);
	else {
		use(c, conf);
		sem_post(&c->ordered_done);
	}
}

static void *
thread_main(void *arg)
{
	loop_run(((struct clerk *)arg)->loop);
	return NULL;
}

static int
start_thread(struct clerk *c)
{
	if (thread_start(&c->thread, "purge-log", THREAD_PROMPT, thread_main, c) != 0)
		return -1;
	c->is_running = true;
	return 0;
}

static int
check_url(const char *url, const char **why_out)
{
	struct redis_url parsed;
	int r = url == NULL ? 0 : redis_url_parse(url, &parsed, why_out);

	if (url != NULL && r == 0)
		redis_url_fini(&parsed);
	return r;
}

int
clerk_use(struct clerk *c, const struct clerk_conf *conf, const char **why_out)
{
	if (check_url(conf->url, why_out) != 0)
		return -1;
	if (conf->url == NULL && !c->is_running)
		return 0;
	c->ordered = conf;
	if (!c->is_running && start_thread(c) != 0) {
		*why_out = "no thread for the purge log";
		return -1;
	}
	mailbox_post(c->mailbox, &c->order);
	while (sem_wait(&c->ordered_done) != 0)
		;
	return 0;
}

/* --- the whole --- */

struct clerk *
clerk_new(struct purgelog *local)
{
	struct clerk *c = must_calloc(1, sizeof(*c));

	c->loop = loop_new();
	if (c->loop == NULL)
		goto fail;
	c->mailbox = mailbox_new(c->loop);
	if (c->mailbox == NULL)
		goto fail_loop;
	c->resolver = resolver_new(c->loop, NULL);
	if (c->resolver == NULL)
		goto fail_mailbox;
	pthread_mutex_init(&c->lock, NULL);
	sem_init(&c->ordered_done, 0, 0);
	c->log = sharedlog_new(local);
	c->book = logbook_new();
	c->wake.deliver = on_wake;
	c->order.deliver = on_order;
	list_init(&c->waits);
	list_init(&c->intents_over);
	timer_init(&c->journal_date, on_journal_date, c);
	timer_init(&c->stop_date, on_stop_date, c);
	return c;
fail_mailbox:
	mailbox_free(&c->mailbox);
fail_loop:
	loop_free(&c->loop);
fail:
	free(c);
	return NULL;
}

void
clerk_stop(struct clerk *c)
{
	if (!c->is_running)
		return;
	c->ordered = NULL;
	mailbox_post(c->mailbox, &c->order);
	pthread_join(c->thread, NULL);
	c->is_running = false;
	mailbox_settle(c->mailbox); /* letters that came too late are answered */
}

void
clerk_free(struct clerk **cp)
{
	struct clerk *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	clerk_stop(c);
	clerk_intents_drop(c); /* that ended after the thread did */
	journal_close(&c->journal);
	resolver_free(&c->resolver);
	mailbox_free(&c->mailbox);
	loop_free(&c->loop);
	logbook_free(&c->book);
	sharedlog_free(&c->log);
	sem_destroy(&c->ordered_done);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

struct sharedlog *
clerk_log(struct clerk *c)
{
	return c->log;
}

bool
clerk_is_strict(const struct clerk *c)
{
	return atomic_load_explicit(&c->is_strict, memory_order_relaxed);
}

bool
clerk_may_answer(const struct clerk *c)
{
	return !clerk_is_strict(c) || sharedlog_has_lease(c->log, clock_mono_ms());
}

void
clerk_status(struct clerk *c, struct clerk_status *out)
{
	uint64_t last = atomic_load(&c->last), applied = sharedlog_applied(c->log);

	*out = (struct clerk_status){
	    .is_strict = clerk_is_strict(c), .epoch = sharedlog_epoch(c->log)};
#define X(name, kind, series, text) out->metrics.name = atomic_load(&c->count.name);
	CLERK_METRICS(X)
#undef X
	out->state = (enum clerk_state)atomic_load(&c->state);
	if (out->state >= CLERK_settling && !sharedlog_has_lease(c->log, clock_mono_ms()))
		out->state = CLERK_behind; /* found out before the clerk was woken */
	out->metrics.connected = out->state == CLERK_connected;
	out->metrics.applied = applied;
	out->metrics.lag = last > applied ? last - applied : 0;
	pthread_mutex_lock(&c->lock);
	out->metrics.pending = logbook_pending(c->book);
	snprintf(out->trouble, sizeof(out->trouble), "%s", c->trouble);
	pthread_mutex_unlock(&c->lock);
}

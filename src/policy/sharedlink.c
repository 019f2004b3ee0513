#include "policy/sharedlink.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/l2breaker.h"

#define CONNECT_MS 2000
#define NEW_MS 250
#define SILENCE_MS 1000
#define IN_FLIGHT_MAX 8192
#define QUEUE_BYTES ((size_t)4 << 20)
#define REPLY_BYTES 4096
#define BEAT_MS 2000
#define LIFE_MS 10000 /* an instance that has not told for so long is not counted */
#define BEAT_TIMEOUT_MS 1000

enum state { STATE_NONE, STATE_NEW, STATE_UP, STATE_AWAY };

struct shared_link {
	struct loop *loop;
	struct resolver *resolver;
	struct shared_hub *hub;
	bool beats;
	enum state state;
	struct redisnet *io; /* NULL: nowhere to go */
	char *prefix;
	int64_t timeout_ms;
	unsigned instances; /* as configured; 0: counted */
	struct breaker breaker;
	struct timer settled; /* new for no longer */
	struct timer beat;
	struct link calls; /* under way */
	struct shared_call probe;
	bool is_probing;
};

void
shared_hub_init(struct shared_hub *h)
{
	unsigned char id[16];

	*h = (struct shared_hub){0};
	atomic_init(&h->instances, 1);
	atomic_init(&h->serial, 1);
	random_bytes(id, sizeof(id));
	for (unsigned i = 0; i < sizeof(id); i++)
		snprintf(h->id + 2 * i, 3, "%02x", id[i]);
}

static void
count(struct shared_link *k, enum shared_result result)
{
	atomic_fetch_add_explicit(&k->hub->results[result], 1, memory_order_relaxed);
}

/* --- up and away --- */

static void
leave_state(struct shared_link *k)
{
	if (k->state == STATE_UP)
		atomic_fetch_sub(&k->hub->up, 1);
	timer_disarm(&k->settled);
}

static void
set_up(struct shared_link *k)
{
	bool was_away = k->state == STATE_AWAY;

	if (k->state == STATE_UP)
		return;
	leave_state(k);
	k->state = STATE_UP;
	atomic_fetch_add(&k->hub->up, 1);
	if (was_away && atomic_fetch_sub(&k->hub->away, 1) == 1)
		log_info("rate limits: Redis (%s) decides again", redisnet_name(k->io));
}

static void
set_away(struct shared_link *k, const char *why)
{
	unsigned instances = atomic_load(&k->hub->instances);

	if (k->state == STATE_AWAY)
		return;
	leave_state(k);
	k->state = STATE_AWAY;
	if (atomic_fetch_add(&k->hub->away, 1) == 0)
		log_warn("rate limits: Redis (%s) is away (%s): of each shared limit this instance "
			 "applies its share, one of %u",
		    redisnet_name(k->io), why, instances);
}

static void
on_settled(void *arg)
{
	struct shared_link *k = arg;

	set_away(k, redisnet_is_up(k->io) ? "it does not answer" : redisnet_trouble(k->io));
}

/* --- probes: a decision about nobody --- */

static bool send_words(struct shared_link *k, struct shared_call *c, int64_t timeout_ms);

static void
on_probe_answer(struct shared_call *c, const struct limit_grant *g)
{
	struct shared_link *k = CONTAINER_OF(c, struct shared_link, probe);

	k->is_probing = false;
	if (breaker_probed(&k->breaker, g != NULL))
		set_up(k);
}

/* It writes, so that a Redis that takes no writes is not used. */
static void
on_probe_due(void *arg)
{
	struct shared_link *k = arg;
	struct shared_call *c = &k->probe;

	if (k->is_probing)
		return;
	c->rule = (struct window_rule){.kind = WINDOW_FIXED, .limit = 1000, .window_ms = 1};
	c->wish = (struct limit_wish){.want = 1};
	c->done = on_probe_answer;
	c->name_len = (size_t)snprintf(c->name, sizeof(c->name), "{%s:rl:probe}", k->prefix);
	c->is_whole = true;
	k->is_probing = send_words(k, c, k->timeout_ms);
	if (!k->is_probing)
		breaker_probed(&k->breaker, false);
}

/* --- counting instances --- */

static void
on_beat_answer(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct shared_link *k = arg;

	if (end == REDISIO_ANSWERED && reply->type == REPLY_INTEGER && reply->integer > 0 &&
	    k->instances == 0)
		atomic_store(&k->hub->instances, (unsigned)reply->integer);
}

static void
on_beat(void *arg)
{
	struct shared_link *k = arg;
	struct limit_words w;
	char name[LIMIT_SCRIPT_KEY_BYTES];
	size_t n = (size_t)snprintf(name, sizeof(name), "{%s:rl:instances}", k->prefix);

	timer_arm(k->loop, &k->beat, loop_now_ms(k->loop) + BEAT_MS);
	limit_words_beat(&w, slice_of(name, n), slice_from(k->hub->id), LIFE_MS);
	redisnet_send(k->io,
	    &(struct redisio_command){.argv = w.argv,
		.argc = w.argc,
		.timeout_ms = BEAT_TIMEOUT_MS,
		.done = on_beat_answer,
		.arg = k},
	    NULL);
}

/* --- questions --- */

static void
call_end(struct shared_call *c, enum shared_result result, const struct limit_grant *g)
{
	count(c->to, result);
	list_leave(&c->link);
	c->done(c, g);
}

static void
failed(struct shared_link *k, const char *why)
{
	/* a node that fails is left out by itself; the others go on */
	if (!redisnet_has_nodes(k->io) && breaker_failure(&k->breaker))
		set_away(k, why);
}

static void
on_answer(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct shared_call *c = arg;
	struct shared_link *k = c->to;
	int64_t left_ms = c->due_ms - loop_now_ms(k->loop);
	struct limit_grant g;

	if (end == REDISIO_LOST) {
		call_end(c, SHARED_lost, NULL);
	} else if (end == REDISIO_TIMEOUT) {
		failed(k, "it does not answer in time");
		call_end(c, SHARED_timeout, NULL);
	} else if (left_ms < 0) { /* we were held up: what was counted then is not for now */
		call_end(c, SHARED_timeout, NULL);
	} else if (reply_is_error(reply, "NOSCRIPT") && !c->is_whole) {
		c->is_whole = true;
		list_leave(&c->link);
		if (!send_words(k, c, left_ms > 0 ? left_ms : 1))
			call_end(c, SHARED_busy, NULL);
	} else if (!limit_grant_read(reply, &g)) {
		char why[96];

		snprintf(why, sizeof(why), "%.*s", (int)(reply->text.n < 90 ? reply->text.n : 90),
		    reply->type == REPLY_ERROR ? reply->text.p : "");
		failed(k, why);
		call_end(c, SHARED_error, NULL);
	} else {
		breaker_success(&k->breaker);
		call_end(c, SHARED_answered, &g);
	}
}

static bool
send_words(struct shared_link *k, struct shared_call *c, int64_t timeout_ms)
{
	struct limit_words w;

	c->to = k;
	c->due_ms = loop_now_ms(k->loop) + timeout_ms;
	list_init(&c->link);
	limit_words_write(
	    &w, c->is_whole, slice_of(c->name, c->name_len), &c->rule, &c->wish, clock_offset_ms());
	if (redisnet_send(k->io,
		&(struct redisio_command){.argv = w.argv,
		    .argc = w.argc,
		    .timeout_ms = timeout_ms,
		    .done = on_answer,
		    .arg = c},
		NULL) != REDISIO_SENT)
		return false;
	list_push_back(&k->calls, &c->link);
	return true;
}

bool
shared_link_send(struct shared_link *k, struct shared_call *c, const char *limit, struct slice key)
{
	if (k->state != STATE_UP)
		return false;
	c->name_len = limit_script_key(slice_from(k->prefix), limit, &c->rule, key, c->name).n;
	c->is_whole = false;
	if (send_words(k, c, k->timeout_ms))
		return true;
	count(k, SHARED_busy);
	return false;
}

/* --- the connection --- */

static void
on_link_up(void *arg)
{
	struct shared_link *k = arg;

	breaker_probe_now(&k->breaker);
	if (k->beats && k->instances == 0)
		on_beat(k);
}

static void
on_link_down(void *arg, const char *why)
{
	struct shared_link *k = arg;

	breaker_disconnect(&k->breaker);
	timer_disarm(&k->beat);
	set_away(k, why);
}

static const struct redisio_handler handler = {.on_up = on_link_up, .on_down = on_link_down};

struct shared_link *
shared_link_new(struct loop *l, struct resolver *resolver, struct shared_hub *hub, bool beats)
{
	struct shared_link *k = must_calloc(1, sizeof(*k));

	k->loop = l;
	k->resolver = resolver;
	k->hub = hub;
	k->beats = beats;
	list_init(&k->calls);
	timer_init(&k->settled, on_settled, k);
	timer_init(&k->beat, on_beat, k);
	breaker_init(&k->breaker, l, on_probe_due, k);
	return k;
}

static void
hang_up(struct shared_link *k)
{
	if (k->io == NULL)
		return;
	leave_state(k);
	if (k->state == STATE_AWAY)
		atomic_fetch_sub(&k->hub->away, 1);
	k->state = STATE_NONE;
	redisnet_free(&k->io);
	timer_disarm(&k->beat);
	while (!list_is_empty(&k->calls))
		call_end(list_first(&k->calls, struct shared_call, link), SHARED_lost, NULL);
	breaker_disconnect(&k->breaker);
	free(k->prefix);
	k->prefix = NULL;
	atomic_fetch_sub(&k->hub->links, 1);
}

int
shared_link_use(struct shared_link *k, const struct shared_conf *conf, const char **why_out)
{
	hang_up(k);
	if (conf == NULL)
		return 0;
	k->io = redisnet_new(k->loop, k->resolver,
	    &(struct redisio_conf){.url = conf->url,
		.connect_ms = CONNECT_MS,
		.silent_ms = SILENCE_MS,
		.in_flight_max = IN_FLIGHT_MAX,
		.queue_max_bytes = QUEUE_BYTES,
		.reply_max_bytes = REPLY_BYTES},
	    &handler, k, why_out);
	if (k->io == NULL)
		return -1;
	k->prefix = must_strdup(conf->prefix);
	k->timeout_ms = conf->timeout_ms;
	k->instances = conf->instances;
	if (conf->instances > 0)
		atomic_store(&k->hub->instances, conf->instances);
	k->state = STATE_NEW;
	atomic_fetch_add(&k->hub->links, 1);
	timer_arm(k->loop, &k->settled, loop_now_ms(k->loop) + NEW_MS);
	return 0;
}

void
shared_link_free(struct shared_link **kp)
{
	struct shared_link *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	hang_up(k);
	breaker_fini(&k->breaker);
	free(k);
}

bool
shared_link_is_up(const struct shared_link *k)
{
	return k != NULL && k->state == STATE_UP;
}

bool
shared_link_is_new(const struct shared_link *k)
{
	return k != NULL && k->state == STATE_NEW;
}

struct loop *
shared_link_loop(const struct shared_link *k)
{
	return k->loop;
}

struct shared_hub *
shared_link_hub(const struct shared_link *k)
{
	return k->hub;
}

#include "cache/redis_priv.h"

#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/log.h"
#include "base/mem.h"

#define CONNECT_MS 1000
#define SILENCE_TIMEOUTS 4   /* no byte for so many time-outs: a new connection */
#define SILENCE_LEAST_MS 200 /* but not sooner */
#define WRITE_TIMEOUTS 20    /* a write may take so many times as long as a look-up */
#define WRITE_LEAST_MS 1000
#define READS_MAX 1024 /* look-ups under way */
#define WRITES_MAX 256
#define READ_QUEUE_BYTES (1 << 20)
#define PROBE_LIFE_MS "60000"
#define PREFIX_MAX_BYTES 80

const char *const l2_op_names[L2_OPS_COUNT] = {
#define X(op) #op,
    L2_OPS(X)
#undef X
};
const char *const l2_result_names[L2_RESULTS_COUNT] = {
#define X(result, text) #result,
    L2_RESULTS(X)
#undef X
};

/* clang-format off */
/* What Redis refuses with, and what that means. pauses: nothing more is asked until a probe succeeds.
 *        word         pauses  text */
#define REFUSALS(X)                                                                                              \
	X(NOAUTH,      true,  "it wants a password: redis://:PASSWORD@host")                                     \
	X(NOPERM,      true,  "its ACL does not allow this user to read and write the keys of this prefix")       \
	X(OOM,         true,  "its memory is full and nothing is evicted: set maxmemory-policy to volatile-lfu")  \
	X(READONLY,    true,  "it is a replica: the URL must name the primary")                                  \
	X(LOADING,     true,  "it is loading its data")                                                          \
	X(MASTERDOWN,  true,  "it is a replica that has lost its primary")                                       \
	X(MISCONF,     true,  "it refuses writes because it cannot save to disk")                                \
	X(NOREPLICAS,  true,  "it refuses writes because too few replicas are connected")                        \
	X(BUSY,        true,  "a script keeps it busy")                                                          \
	X(MOVED,       true,  "it is part of a cluster, and this key is elsewhere: the URL must begin with redis+cluster://") \
	X(ASK,         true,  "it is part of a cluster that is being moved: the URL must begin with redis+cluster://")     \
	X(CLUSTERDOWN, true,  "its cluster is down")                                                             \
	X(WRONGTYPE,   false, "something else uses keys of this prefix: choose another prefix")
/* clang-format on */

static const struct refusal {
	const char *word;
	bool pauses;
	const char *text;
} refusals[] = {
#define X(word, pauses, text) {#word, pauses, text},
    REFUSALS(X)
#undef X
};
#define REFUSALS_COUNT (sizeof(refusals) / sizeof(refusals[0]))

/* --- keys --- */

struct slice
l2_key_of(
    const struct l2 *l, char kind, struct slice key, struct slice more, char out[L2_KEY_BYTES])
{
	XXH128_hash_t h = XXH3_128bits_withSeed(key.p, key.n, l->hash_seed);
	int n;

	if (more.n > 0) {
		XXH128_hash_t m = XXH3_128bits_withSeed(more.p, more.n, h.low64);
		h.low64 ^= m.low64;
		h.high64 ^= m.high64;
	}
	n = snprintf(out, L2_KEY_BYTES, "%s:%c:%016llx%016llx", l->prefix, kind,
	    (unsigned long long)h.high64, (unsigned long long)h.low64);
	return slice_of(out, (size_t)n);
}

/* --- up and down --- */

static void
set_up(struct side *s, bool is_up)
{
	atomic_store_explicit(s->is_up, is_up, memory_order_relaxed);
}

static void
note_open(struct side *s, const char *why)
{
	snprintf(s->trouble, sizeof(s->trouble), "%s", why);
	set_up(s, false);
	if (s->l2->logs)
		log_warn("redis %s: %s pause: %s", redisnet_name(s->io), s->what, why);
}

void
l2_side_failed(struct side *s, enum redisio_end end)
{
	/* A lost connection has opened the breaker already; of many nodes one is paused alone. */
	if (end == REDISIO_TIMEOUT && !redisnet_has_nodes(s->io) && breaker_failure(&s->breaker))
		note_open(s, "answers do not come in time");
}

static unsigned
find_refusal(const struct redis_reply *reply)
{
	unsigned i = 0;

	while (i < REFUSALS_COUNT && !reply_is_error(reply, refusals[i].word))
		i++;
	return i;
}

/* Said once for each kind until all is well again. */
static void
tell_refusal(struct side *s, unsigned i, const struct redis_reply *reply)
{
	if (!s->l2->logs || (s->told & 1u << i) != 0)
		return;
	s->told |= 1u << i;
	log_warn("redis %s: %s: %s (%.*s)", redisnet_name(s->io), s->what,
	    i < REFUSALS_COUNT ? refusals[i].text : "an error",
	    (int)(reply->text.n > 200 ? 200 : reply->text.n), reply->text.p);
}

void
l2_side_refused(struct side *s, const struct redis_reply *reply)
{
	unsigned i = find_refusal(reply);
	bool was_closed;

	tell_refusal(s, i, reply);
	if (redisnet_has_nodes(s->io))
		return;
	if (i < REFUSALS_COUNT && !refusals[i].pauses) {
		breaker_success(&s->breaker);
		return;
	}
	was_closed = i < REFUSALS_COUNT ? breaker_open(&s->breaker) : breaker_failure(&s->breaker);
	if (was_closed)
		note_open(s, i < REFUSALS_COUNT ? refusals[i].text : "too many errors");
}

static void
on_side_up(void *arg)
{
	struct side *s = arg;

	breaker_probe_now(&s->breaker);
}

static void
on_side_down(void *arg, const char *why)
{
	struct side *s = arg;

	breaker_disconnect(&s->breaker);
	s->trouble[0] = '\0'; /* redisio knows better */
	s->told = s->told_flaws = 0;
	set_up(s, false);
}

static const struct redisio_handler side_handler = {.on_up = on_side_up, .on_down = on_side_down};

/* --- probes --- */

static bool
is_fine_probe(const struct side *s, enum redisio_end end, const struct redis_reply *reply)
{
	if (end != REDISIO_ANSWERED)
		return false;
	return s->is_writing ? reply_is_status(reply, "OK") : reply->type == REPLY_STRING;
}

static void
go_on(struct side *s)
{
	bool had_paused = s->trouble[0] != '\0';

	s->trouble[0] = '\0';
	s->told = s->told_flaws = 0;
	set_up(s, true);
	if (had_paused && s->l2->logs)
		log_info("redis %s: %s go on", redisnet_name(s->io), s->what);
}

static void
on_probe_answer(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct side *s = arg;
	bool is_fine = is_fine_probe(s, end, reply);

	l2_tally(s->l2, L2_OP_probe,
	    is_fine			 ? L2_done
		: end == REDISIO_TIMEOUT ? L2_timeout
					 : L2_error);
	if (end == REDISIO_LOST)
		return; /* the next connection brings the next probe */
	if (!is_fine && end == REDISIO_ANSWERED && reply->type == REPLY_ERROR) {
		tell_refusal(s, find_refusal(reply), reply);
		snprintf(s->trouble, sizeof(s->trouble), "%.*s",
		    (int)(reply->text.n > 120 ? 120 : reply->text.n), reply->text.p);
	}
	if (breaker_probed(&s->breaker, is_fine))
		go_on(s);
}

/* What is asked is what the side is for: a Redis that is full answers PING. Of many nodes each is judged by
 * the commands it is sent (event/redisnet.h): one that failed a probe would stand for all. */
static void
on_probe_due(void *arg)
{
	struct side *s = arg;
	char name[L2_KEY_BYTES];
	struct slice key =
	    slice_of(name, (size_t)snprintf(name, sizeof(name), "%s:probe", s->l2->prefix));
	const struct slice reads[] = {SLICE_LIT("GETRANGE"), key, SLICE_LIT("0"), SLICE_LIT("0")};
	const struct slice writes[] = {
	    SLICE_LIT("PSETEX"), key, SLICE_LIT(PROBE_LIFE_MS), SLICE_LIT("1")};

	if (redisnet_has_nodes(s->io)) {
		breaker_probed(&s->breaker, true);
		go_on(s);
		return;
	}
	if (redisnet_send(s->io,
		&(struct redisio_command){.argv = s->is_writing ? writes : reads,
		    .argc = 4,
		    .timeout_ms = s->timeout_ms,
		    .done = on_probe_answer,
		    .arg = s},
		NULL) == REDISIO_BUSY)
		breaker_probed(&s->breaker, false);
}

/* --- guests --- */

void
l2_join(struct l2 *l, struct l2_guest *g)
{
	list_init(&g->waits);
	list_push_back(&l->guests, &g->link);
}

void
l2_part(struct l2_guest *g)
{
	list_leave(&g->waits);
	list_leave(&g->link);
}

struct slice
l2_lock_name(const struct l2 *l, struct slice key, char out[L2_LOCK_BYTES])
{
	char name[L2_KEY_BYTES];
	struct slice value = l2_key_of(l, 'o', key, SLICE_NONE, name);
	int n = snprintf(out, L2_LOCK_BYTES, "%s:l:{%.*s}", l->prefix, SLICE_FMT(value));

	return slice_of(out, (size_t)n);
}

enum redisio_sent
l2_send(struct l2 *l, enum l2_link link, const struct slice *argv, unsigned argc, int64_t most_ms,
    void (*done)(void *arg, enum redisio_end end, const struct redis_reply *reply), void *arg,
    struct redisnet_call **call_out)
{
	struct side *s = link == L2_LINK_writes ? &l->writes : &l->reads;

	if (s->breaker.is_open)
		return REDISIO_DOWN;
	return redisnet_send(s->io,
	    &(struct redisio_command){.argv = argv,
		.argc = argc,
		.timeout_ms = most_ms < s->timeout_ms ? most_ms : s->timeout_ms,
		.done = done,
		.arg = arg},
	    call_out);
}

static void
guests_tell(struct l2 *l)
{
	struct l2_guest *g;

	while ((g = list_first(&l->guests, struct l2_guest, link)) != NULL) {
		list_leave(&g->link);
		g->on_l2_gone(g);
	}
}

/* --- the whole --- */

static int
side_open(struct side *s, struct resolver *resolver, const struct l2_conf *conf, const char **why)
{
	int64_t silent_ms = SILENCE_TIMEOUTS * conf->timeout_ms;
	const struct redisio_conf io = {.url = conf->url,
	    .connect_ms = CONNECT_MS,
	    .silent_ms = silent_ms > SILENCE_LEAST_MS ? silent_ms : SILENCE_LEAST_MS,
	    .in_flight_max = s->is_writing ? WRITES_MAX : READS_MAX,
	    .queue_max_bytes = s->is_writing ? conf->write_queue_max_bytes : READ_QUEUE_BYTES,
	    .reply_max_bytes = s->is_writing ? 4096 : conf->value_max_bytes + 4096,
	    .logs = conf->logs && !s->is_writing};

	s->io = redisnet_new(s->l2->loop, resolver, &io, &side_handler, s, why);
	return s->io == NULL ? -1 : 0;
}

static void
side_init(struct side *s, struct l2 *l, bool is_writing, int64_t timeout_ms)
{
	s->l2 = l;
	s->is_writing = is_writing;
	s->what = is_writing ? "writes" : "look-ups";
	s->timeout_ms = timeout_ms;
	s->is_up = is_writing ? &l->counters.writes_up : &l->counters.reads_up;
	breaker_init(&s->breaker, l->loop, on_probe_due, s);
}

/* Where a secret is, the places of keys are not to be guessed either. */
static void
set_secret(struct l2 *l, const char *secret)
{
	if (secret == NULL || secret[0] == '\0')
		return;
	l->secret = must_strdup(secret);
	l->seal = (struct l2_seal){.secret = l->secret, .secret_bytes = strlen(l->secret)};
	l->hash_seed = XXH3_64bits(l->secret, l->seal.secret_bytes);
}

struct l2 *
l2_new(
    struct loop *loop, struct resolver *resolver, const struct l2_conf *conf, const char **why_out)
{
	struct l2 *l = must_calloc(1, sizeof(*l));
	int64_t write_ms = WRITE_TIMEOUTS * conf->timeout_ms;

	l->loop = loop;
	l->prefix = must_strndup(conf->prefix, strnlen(conf->prefix, PREFIX_MAX_BYTES));
	set_secret(l, conf->secret);
	l->value_max_bytes = conf->value_max_bytes;
	l->slab = conf->slab;
	l->logs = conf->logs;
	l->crew = conf->crew;
	l->reply_to = conf->reply_to;
	list_init(&l->gets);
	list_init(&l->puts);
	list_init(&l->guests);
	side_init(&l->reads, l, false, conf->timeout_ms);
	side_init(&l->writes, l, true, write_ms > WRITE_LEAST_MS ? write_ms : WRITE_LEAST_MS);
	l->log = conf->log;
	if (side_open(&l->reads, resolver, conf, why_out) != 0 ||
	    side_open(&l->writes, resolver, conf, why_out) != 0) {
		l2_free(&l);
		return NULL;
	}
	return l;
}

void
l2_free(struct l2 **lp)
{
	struct l2 *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	redisnet_free(&l->reads.io);
	redisnet_free(&l->writes.io);
	breaker_fini(&l->reads.breaker);
	breaker_fini(&l->writes.breaker);
	l2_gets_end(l);
	l2_puts_end(l);
	guests_tell(l);
	if (l->secret != NULL)
		explicit_bzero(l->secret, l->seal.secret_bytes);
	free(l->secret);
	free(l->prefix);
	free(l);
}

const struct l2_counters *
l2_counters(const struct l2 *l)
{
	return &l->counters;
}

const char *
l2_trouble(const struct l2 *l)
{
	const struct side *sides[] = {&l->reads, &l->writes};

	for (int i = 0; i < 2; i++) {
		if (redisnet_trouble(sides[i]->io)[0] != '\0')
			return redisnet_trouble(sides[i]->io);
		if (sides[i]->trouble[0] != '\0')
			return sides[i]->trouble;
	}
	return "";
}

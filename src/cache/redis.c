#include "cache/redis.h"

#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/l2breaker.h"
#include "cache/l2value.h"
#include "event/redisnet.h"
#include "http/vary.h"

#define CONNECT_MS 1000
#define SILENCE_TIMEOUTS 4   /* no byte for so many time-outs: a new connection */
#define SILENCE_LEAST_MS 200 /* but not sooner */
#define WRITE_TIMEOUTS 20    /* a write may take so many times as long as a look-up */
#define WRITE_LEAST_MS 1000
#define READS_MAX 1024 /* look-ups under way */
#define WRITES_MAX 256
#define READ_QUEUE_BYTES (1 << 20)
#define WORTH_MS 1000 /* what lives shorter is not written */
#define INDEX_LIFE_MS (30ll * 86400 * 1000)
#define PROBE_LIFE_MS "60000"
#define KEY_BYTES L2_KEY_BYTES
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

/* One of the two connections. */
struct side {
	struct l2 *l2;
	struct redisnet *io;
	struct breaker breaker;
	const char *what; /* for the log */
	bool is_writing;
	int64_t timeout_ms;
	uint32_t told;	     /* refusals the log knows of, a bit each, since all was well */
	uint32_t told_flaws; /* the same for flaws of values */
	_Atomic bool *is_up; /* in the counters */
	char trouble[160];   /* why the breaker is open */
};

struct l2 {
	struct loop *loop;
	char *prefix, *secret;
	struct l2_seal seal;
	uint64_t hash_seed;
	size_t value_max_bytes;
	struct slab *slab;
	bool logs;
	const struct sharedlog *log;
	struct side reads, writes;
	struct link gets; /* under way */
	struct link guests;
	struct l2_counters counters;
};

struct l2_get {
	struct link link;
	struct l2 *l2;
	struct cache_key key;	    /* borrowed */
	const struct head *request; /* borrowed */
	int64_t due_ms;
	char name[KEY_BYTES]; /* of what is asked for now */
	size_t name_len;
	bool is_variant; /* second round trip */
	bool only_looks; /* counts nowhere, takes none of the cache's memory */
	void (*done)(void *arg, struct object *o); /* NULL: cancelled; what is borrowed is gone */
	void *arg;
};

static void
tally(struct l2 *l, enum l2_op op, enum l2_result result)
{
	atomic_fetch_add_explicit(&l->counters.requests[op][result], 1, memory_order_relaxed);
}

static struct l2_clocks
clocks(struct l2 *l)
{
	return (struct l2_clocks){loop_now_ms(l->loop), loop_wall_ms(l->loop)};
}

/* --- keys --- */

/* more: what tells variants of one key from one another. */
static struct slice
key_of(const struct l2 *l, char kind, struct slice key, struct slice more, char out[KEY_BYTES])
{
	XXH128_hash_t h = XXH3_128bits_withSeed(key.p, key.n, l->hash_seed);
	int n;

	if (more.n > 0) {
		XXH128_hash_t m = XXH3_128bits_withSeed(more.p, more.n, h.low64);
		h.low64 ^= m.low64;
		h.high64 ^= m.high64;
	}
	n = snprintf(out, KEY_BYTES, "%s:%c:%016llx%016llx", l->prefix, kind,
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

/* A command failed without an answer. */
static void
side_failed(struct side *s, enum redisio_end end)
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

/* An error is an answer, but not the one that was wanted. */
static void
side_refused(struct side *s, const struct redis_reply *reply)
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

	tally(s->l2, L2_OP_probe,
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
	char name[KEY_BYTES];
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

/* --- look-ups --- */

static void
get_free(struct l2_get *g)
{
	list_leave(&g->link);
	free(g);
}

/* Counts and calls back; the look-up is over, and the tier may be freed in the callback. */
static void
get_end(struct l2_get *g, enum l2_result result, struct object *o)
{
	void (*done)(void *, struct object *) = g->done;
	void *arg = g->arg;

	if (!g->only_looks)
		tally(g->l2, L2_OP_get, done == NULL ? L2_cancelled : result);
	get_free(g);
	if (done != NULL)
		done(arg, o);
	object_unref(&o);
}

static void on_get_answer(void *arg, enum redisio_end end, const struct redis_reply *reply);

/* No more than we would take is asked for: a value that is longer than that by one byte is too large. */
static enum redisio_sent
get_send(struct l2_get *g, int64_t timeout_ms)
{
	struct l2 *l = g->l2;
	char last[24];
	const struct slice argv[] = {SLICE_LIT("GETRANGE"), slice_of(g->name, g->name_len),
	    SLICE_LIT("0"),
	    slice_of(last, (size_t)snprintf(last, sizeof(last), "%zu", l->value_max_bytes))};

	return redisnet_send(l->reads.io,
	    &(struct redisio_command){
		.argv = argv, .argc = 4, .timeout_ms = timeout_ms, .done = on_get_answer, .arg = g},
	    NULL);
}

/* A further round trip, within the same time. */
static void
get_send_again(struct l2_get *g)
{
	int64_t left_ms = g->due_ms - loop_now_ms(g->l2->loop);

	if (left_ms <= 0)
		get_end(g, L2_timeout, NULL);
	else if (get_send(g, left_ms) != REDISIO_SENT)
		get_end(g, L2_busy, NULL);
}

/* The vary key of this request, were the response to say "Vary: <names>". */
static bool
vary_key_of(struct slice names, const struct head *request, struct buf *b)
{
	struct head vary = {.base = names.p, .count = 1, .size = (uint32_t)names.n};

	vary.fields[0] = (struct field){.value_len = (uint16_t)names.n, .id = FIELD_VARY};
	vary.first[FIELD_VARY] = 1;
	return vary_key(&vary, request, b);
}

/* The second round trip, to the variant for this request. */
static void
get_variant(struct l2_get *g, struct slice names)
{
	struct buf vary = {0};

	if (g->is_variant || !vary_key_of(names, g->request, &vary)) {
		get_end(g, L2_corrupt, NULL);
	} else {
		g->is_variant = true;
		g->name_len = key_of(g->l2, 'v', g->key.text, buf_slice(&vary), g->name).n;
		get_send_again(g);
	}
	buf_fini(&vary);
}

/* Each kind of flaw is said once until all has been well again. */
static enum l2_result
result_of_flaw(struct side *s, enum l2_flaw flaw)
{
	if (flaw == L2_FLAW_expired)
		return L2_expired;
	if (s->l2->logs && (s->told_flaws & 1u << flaw) == 0)
		log_warn(
		    "redis %s: a value is not used: %s", redisnet_name(s->io), l2_flaw_text(flaw));
	s->told_flaws |= 1u << flaw;
	return L2_corrupt;
}

/* Bytes were found under the name; whether they are for this request. */
static void
get_value(struct l2_get *g, struct slice bytes)
{
	struct l2 *l = g->l2;
	struct l2_clocks now = clocks(l);
	struct l2_value v;
	enum l2_flaw flaw = l2_value_read(bytes, &now, &l->seal, &v);
	struct object *o;

	if (flaw != L2_FLAW_none) {
		get_end(g, result_of_flaw(&l->reads, flaw), NULL);
		return;
	}
	if (!slice_eq(v.key, g->key.text)) {
		get_end(g, L2_miss, NULL);
		return;
	}
	if (v.is_index) {
		get_variant(g, v.vary);
		return;
	}
	if (!vary_matches(v.vary, g->request)) {
		get_end(g, L2_miss, NULL);
		return;
	}
	if (!sharedlog_judge(l->log, &v.stamp, v.key, v.tags, now.mono_ms, &v.facts.log_pos)) {
		get_end(g, L2_purged, NULL);
		return;
	}
	o = l2_value_object(&v, g->key.hash, g->only_looks ? NULL : l->slab);
	get_end(g, o == NULL ? L2_memory : L2_hit, o);
}

static void
get_found(struct l2_get *g, struct slice bytes)
{
	if (bytes.n == 0 || g->done == NULL)
		get_end(g, L2_miss, NULL);
	else if (bytes.n > g->l2->value_max_bytes)
		get_end(g, L2_too_large, NULL);
	else
		get_value(g, bytes);
}

static void
on_get_answer(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct l2_get *g = arg;
	struct side *s = &g->l2->reads;

	if (end != REDISIO_ANSWERED) {
		side_failed(s, end);
		get_end(g, end == REDISIO_TIMEOUT ? L2_timeout : L2_error, NULL);
	} else if (reply->type == REPLY_ERROR) {
		side_refused(s, reply);
		get_end(g, L2_error, NULL);
	} else {
		breaker_success(&s->breaker);
		if (reply->type == REPLY_STRING)
			get_found(g, reply->text);
		else
			get_end(g, L2_error, NULL);
	}
}

/* Why it cannot be asked now; L2_hit: it can. */
static enum l2_result
get_obstacle(const struct l2 *l)
{
	if (l->reads.breaker.is_open)
		return L2_breaker;
	return sharedlog_is_current(l->log, loop_now_ms(l->loop)) ? L2_hit : L2_purged;
}

/* NULL: it was not sent, *result_out says why. */
static struct l2_get *
get_begin(struct l2 *l, const struct cache_key *key, const struct head *request,
    void (*done)(void *arg, struct object *o), void *arg, enum l2_result *result_out)
{
	struct l2_get *g;
	enum redisio_sent sent;

	if ((*result_out = get_obstacle(l)) != L2_hit)
		return NULL;
	g = must_calloc(1, sizeof(*g));
	g->l2 = l;
	g->key = *key;
	g->request = request;
	g->due_ms = loop_now_ms(l->loop) + l->reads.timeout_ms;
	g->done = done;
	g->arg = arg;
	list_push_back(&l->gets, &g->link);
	g->name_len = key_of(l, 'o', key->text, SLICE_NONE, g->name).n;
	sent = get_send(g, l->reads.timeout_ms);
	if (sent == REDISIO_SENT)
		return g;
	*result_out = sent == REDISIO_BUSY ? L2_busy : L2_breaker;
	get_free(g);
	return NULL;
}

struct l2_get *
l2_get(struct l2 *l, const struct cache_key *key, const struct head *request,
    void (*done)(void *arg, struct object *o), void *arg)
{
	enum l2_result result;
	struct l2_get *g = get_begin(l, key, request, done, arg, &result);

	if (g == NULL)
		tally(l, L2_OP_get, result);
	return g;
}

struct l2_get *
l2_look(struct l2 *l, const struct cache_key *key, const struct head *request,
    void (*done)(void *arg, struct object *o), void *arg)
{
	enum l2_result result;
	struct l2_get *g = get_begin(l, key, request, done, arg, &result);

	if (g != NULL)
		g->only_looks = true;
	return g;
}

void
l2_get_cancel(struct l2_get **gp)
{
	if (*gp != NULL)
		(*gp)->done = NULL; /* it goes on, unheard: the breaker learns from it */
	*gp = NULL;
}

/* --- writes --- */

static void
on_write_answer(
    struct side *s, enum l2_op op, enum redisio_end end, const struct redis_reply *reply)
{
	if (end != REDISIO_ANSWERED) {
		side_failed(s, end);
		tally(s->l2, op, end == REDISIO_TIMEOUT ? L2_timeout : L2_error);
	} else if (reply->type == REPLY_ERROR) {
		side_refused(s, reply);
		tally(s->l2, op, L2_error);
	} else {
		breaker_success(&s->breaker);
		tally(s->l2, op, L2_done);
	}
}

static void
on_put_answer(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	on_write_answer(arg, L2_OP_put, end, reply);
}

static void
on_touch_answer(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	on_write_answer(arg, L2_OP_touch, end, reply);
}

static void
on_delete_answer(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	on_write_answer(arg, L2_OP_delete, end, reply);
}

/* Takes the value over in any case. False when it was not sent. */
static bool
write_value(struct l2 *l, struct slice name, int64_t life_ms, struct buf *value)
{
	char life[24];
	const struct slice argv[3] = {SLICE_LIT("PSETEX"), name,
	    slice_of(life, (size_t)snprintf(life, sizeof(life), "%lld", (long long)life_ms))};
	enum redisio_sent sent = redisnet_send(l->writes.io,
	    &(struct redisio_command){.argv = argv,
		.argc = 3,
		.tail = value,
		.timeout_ms = l->writes.timeout_ms,
		.done = on_put_answer,
		.arg = &l->writes},
	    NULL);

	buf_fini(value);
	if (sent != REDISIO_SENT)
		tally(l, L2_OP_put, sent == REDISIO_BUSY ? L2_busy : L2_breaker);
	return sent == REDISIO_SENT;
}

/* The response goes first: an index that leads nowhere would cost a round trip. */
static void
put_variant(struct l2 *l, const struct object *o, int64_t life_ms, struct buf *value)
{
	struct l2_clocks now = clocks(l);
	struct buf index;
	char name[KEY_BYTES];

	if (!write_value(l, key_of(l, 'v', object_key(o), object_vary(o), name), life_ms, value))
		return;
	if (l2_index_write(object_key(o), object_vary(o), &now, &l->seal, &index) == 0)
		write_value(l, key_of(l, 'o', object_key(o), SLICE_NONE, name),
		    life_ms > INDEX_LIFE_MS ? life_ms : INDEX_LIFE_MS, &index);
}

struct l2_stamp
l2_stamp(const struct l2 *l)
{
	return sharedlog_stamp(l->log, loop_now_ms(l->loop));
}

void
l2_put(struct l2 *l, const struct object *o, const struct l2_stamp *fetched)
{
	struct l2_clocks now = clocks(l);
	int64_t life_ms = l2_value_life_ms(o, now.mono_ms);
	struct buf value;
	char name[KEY_BYTES];

	if (l->writes.breaker.is_open) {
		tally(l, L2_OP_put, L2_breaker);
		return;
	}
	if (o->body != NULL && body_length(o->body) > l->value_max_bytes) {
		tally(l, L2_OP_put, L2_too_large);
		return;
	}
	if (life_ms < WORTH_MS || !sharedlog_is_of_epoch(l->log, fetched) ||
	    l2_value_write(o, &now, fetched, &l->seal, &value) != 0) {
		tally(l, L2_OP_put, L2_unfit);
		return;
	}
	if (value.n > l->value_max_bytes) {
		buf_fini(&value);
		tally(l, L2_OP_put, L2_too_large);
	} else if (o->vary_len > 0) {
		put_variant(l, o, life_ms, &value);
	} else {
		write_value(l, key_of(l, 'o', object_key(o), SLICE_NONE, name), life_ms, &value);
	}
}

void
l2_touch(struct l2 *l, const struct object *o)
{
	char name[KEY_BYTES], life[24];
	int64_t life_ms = l2_value_life_ms(o, loop_now_ms(l->loop));
	const struct slice argv[3] = {SLICE_LIT("PEXPIRE"),
	    key_of(l, o->vary_len > 0 ? 'v' : 'o', object_key(o), object_vary(o), name),
	    slice_of(life, (size_t)snprintf(life, sizeof(life), "%lld", (long long)life_ms))};
	enum redisio_sent sent = REDISIO_DOWN;

	if (!l->writes.breaker.is_open)
		sent = redisnet_send(l->writes.io,
		    &(struct redisio_command){.argv = argv,
			.argc = 3,
			.timeout_ms = l->writes.timeout_ms,
			.done = on_touch_answer,
			.arg = &l->writes},
		    NULL);
	if (sent != REDISIO_SENT)
		tally(l, L2_OP_touch, sent == REDISIO_BUSY ? L2_busy : L2_breaker);
}

void
l2_delete(struct l2 *l, const struct cache_key *key)
{
	char name[KEY_BYTES];
	const struct slice argv[2] = {
	    SLICE_LIT("UNLINK"), key_of(l, 'o', key->text, SLICE_NONE, name)};
	enum redisio_sent sent = REDISIO_DOWN;

	if (!l->writes.breaker.is_open)
		sent = redisnet_send(l->writes.io,
		    &(struct redisio_command){.argv = argv,
			.argc = 2,
			.timeout_ms = l->writes.timeout_ms,
			.done = on_delete_answer,
			.arg = &l->writes},
		    NULL);
	if (sent != REDISIO_SENT)
		tally(l, L2_OP_delete, sent == REDISIO_BUSY ? L2_busy : L2_breaker);
}

/* --- guests --- */

void
l2_join(struct l2 *l, struct l2_guest *g)
{
	list_push_back(&l->guests, &g->link);
}

struct slice
l2_lock_name(const struct l2 *l, struct slice key, char out[L2_LOCK_BYTES])
{
	char name[KEY_BYTES];
	struct slice value = key_of(l, 'o', key, SLICE_NONE, name);
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
	list_init(&l->gets);
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
	while (!list_is_empty(&l->gets))
		get_end(list_first(&l->gets, struct l2_get, link), L2_error, NULL);
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

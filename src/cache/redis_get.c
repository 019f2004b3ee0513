/* Look-ups in Redis: one round trip, or two where responses vary. */
#include "cache/redis_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "http/vary.h"

struct l2_get {
	struct link link;
	struct l2 *l2;
	struct cache_key key;	    /* borrowed */
	const struct head *request; /* borrowed */
	int64_t due_ms;
	char name[L2_KEY_BYTES]; /* of what is asked for now */
	size_t name_len;
	bool is_variant;	    /* second round trip */
	bool only_looks;	    /* counts nowhere, takes none of the cache's memory */
	struct l2_reading *reading; /* what was found is being read by the crew; else NULL */
	struct timer due;	    /* armed meanwhile */
	void (*done)(void *arg, struct object *o); /* NULL: cancelled; what is borrowed is gone */
	void *arg;
};

static void
get_free(struct l2_get *g)
{
	if (g->reading != NULL) {
		g->reading->arg = NULL;
		l2_reading_give_up(g->reading);
	}
	timer_disarm(&g->due);
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
		l2_tally(g->l2, L2_OP_get, done == NULL ? L2_cancelled : result);
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
		g->name_len = l2_key_of(g->l2, 'v', g->key.text, buf_slice(&vary), g->name).n;
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

/* Whether what was found is for this request, and good: v's position in the purge log is ours then. Else the look-up is
 * over, or goes on with a variant. */
static bool
get_accepts(struct l2_get *g, enum l2_flaw flaw, struct l2_value *v)
{
	struct l2 *l = g->l2;

	if (flaw != L2_FLAW_none)
		get_end(g, result_of_flaw(&l->reads, flaw), NULL);
	else if (!slice_eq(v->key, g->key.text))
		get_end(g, L2_miss, NULL);
	else if (v->is_index)
		get_variant(g, v->vary);
	else if (!vary_matches(v->vary, g->request))
		get_end(g, L2_miss, NULL);
	else if (!sharedlog_judge(
		     l->log, &v->stamp, v->key, v->tags, loop_now_ms(l->loop), &v->facts.log_pos))
		get_end(g, L2_purged, NULL);
	else
		return true;
	return false;
}

static struct slab *
slab_for(const struct l2_get *g)
{
	return g->only_looks ? NULL : g->l2->slab;
}

/* body: of that value, or NULL, when there was no memory for it. */
static void
get_hit(struct l2_get *g, const struct l2_value *v, struct body *body)
{
	struct object *o = body == NULL ? NULL : l2_value_object(v, body, g->key.hash, slab_for(g));

	get_end(g, o == NULL ? L2_memory : L2_hit, o);
}

static void
read_now(struct l2_get *g, struct slice bytes)
{
	struct l2_clocks now = l2_now(g->l2);
	struct l2_value v;
	enum l2_flaw flaw = l2_value_read(bytes, &now, &g->l2->seal, &v);
	struct body *body;

	if (!get_accepts(g, flaw, &v))
		return;
	body = l2_value_body(&v, slab_for(g));
	get_hit(g, &v, body);
	body_unref(&body);
}

/* --- what is long --- */

static void
on_read(struct l2_reading *r)
{
	struct l2_get *g = r->arg;

	if (g != NULL) {
		g->reading = NULL;
		timer_disarm(&g->due);
		if (!r->was_read)
			get_end(g, L2_busy, NULL);
		else if (get_accepts(g, r->flaw, &r->value))
			get_hit(g, &r->value, r->body);
	}
	l2_reading_fini(r);
	free(r);
}

static void
on_reading_too_long(void *arg)
{
	get_end(arg, L2_timeout, NULL);
}

/* Takes the bytes out of the reply. */
static void
read_later(struct l2_get *g, const struct redis_reply *reply)
{
	struct l2 *l = g->l2;
	struct l2_reading *r = must_calloc(1, sizeof(*r));

	*r = (struct l2_reading){.bytes = redis_reply_take_text(reply),
	    .now = l2_now(l),
	    .seal = &l->seal,
	    .slab = slab_for(g),
	    .reply_to = l->reply_to,
	    .done = on_read,
	    .arg = g};
	if (!l2_read(l->crew, r)) {
		l2_reading_fini(r);
		free(r);
		get_end(g, L2_busy, NULL);
		return;
	}
	g->reading = r;
	timer_arm(l->loop, &g->due, g->due_ms);
}

static void
get_found(struct l2_get *g, const struct redis_reply *reply)
{
	if (reply->text.n == 0 || g->done == NULL)
		get_end(g, L2_miss, NULL);
	else if (reply->text.n > g->l2->value_max_bytes)
		get_end(g, L2_too_large, NULL);
	else if (l2_value_work_bytes(reply->text) > L2_AT_ONCE_BYTES)
		read_later(g, reply);
	else
		read_now(g, reply->text);
}

static void
on_get_answer(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct l2_get *g = arg;
	struct side *s = &g->l2->reads;

	if (end != REDISIO_ANSWERED) {
		l2_side_failed(s, end);
		get_end(g, end == REDISIO_TIMEOUT ? L2_timeout : L2_error, NULL);
	} else if (reply->type == REPLY_ERROR) {
		l2_side_refused(s, reply);
		get_end(g, L2_error, NULL);
	} else {
		breaker_success(&s->breaker);
		if (reply->type == REPLY_STRING)
			get_found(g, reply);
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
	timer_init(&g->due, on_reading_too_long, g);
	list_push_back(&l->gets, &g->link);
	g->name_len = l2_key_of(l, 'o', key->text, SLICE_NONE, g->name).n;
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
		l2_tally(l, L2_OP_get, result);
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

bool
l2_get_has_found(const struct l2_get *g)
{
	return g->reading != NULL;
}

void
l2_get_cancel(struct l2_get **gp)
{
	struct l2_get *g = *gp;

	*gp = NULL;
	if (g == NULL)
		return;
	g->done = NULL; /* it goes on, unheard: the breaker learns from it */
	if (g->reading != NULL)
		get_end(g, L2_cancelled, NULL); /* which has learnt */
}

void
l2_gets_end(struct l2 *l)
{
	while (!list_is_empty(&l->gets))
		get_end(list_first(&l->gets, struct l2_get, link), L2_error, NULL);
}

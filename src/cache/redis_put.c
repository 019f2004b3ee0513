/* What is written to Redis; nobody waits for it. */
#include "cache/redis_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define WORTH_MS 1000 /* what lives shorter is not written */
#define INDEX_LIFE_MS (30ll * 86400 * 1000)

/* A response whose value is being made by the crew. */
struct put {
	struct l2_making making;
	struct l2 *l2; /* NULL: it has gone */
	struct link link;
	struct link guests; /* who wait for it */
};

static void
on_write_answer(
    struct side *s, enum l2_op op, enum redisio_end end, const struct redis_reply *reply)
{
	if (end != REDISIO_ANSWERED) {
		l2_side_failed(s, end);
		l2_tally(s->l2, op, end == REDISIO_TIMEOUT ? L2_timeout : L2_error);
	} else if (reply->type == REPLY_ERROR) {
		l2_side_refused(s, reply);
		l2_tally(s->l2, op, L2_error);
	} else {
		breaker_success(&s->breaker);
		l2_tally(s->l2, op, L2_done);
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
		l2_tally(l, L2_OP_put, sent == REDISIO_BUSY ? L2_busy : L2_breaker);
	return sent == REDISIO_SENT;
}

/* The response goes first: an index that leads nowhere would cost a round trip. Takes the value over. */
static void
write_response(
    struct l2 *l, const struct object *o, const char *place, int64_t life_ms, struct buf *value)
{
	struct l2_clocks now = l2_now(l);
	struct buf index;
	char name[L2_KEY_BYTES];

	if (value->n > l->value_max_bytes) {
		buf_fini(value);
		l2_tally(l, L2_OP_put, L2_too_large);
		return;
	}
	if (!write_value(l, slice_from(place), life_ms, value) || o->vary_len == 0)
		return;
	if (l2_index_write(object_key(o), object_vary(o), &now, &l->seal, &index) == 0)
		write_value(l, l2_key_of(l, 'o', object_key(o), SLICE_NONE, name),
		    life_ms > INDEX_LIFE_MS ? life_ms : INDEX_LIFE_MS, &index);
}

/* Why it is not to be written now; L2_done: it is. */
static enum l2_result
put_obstacle(
    const struct l2 *l, const struct object *o, const struct l2_stamp *fetched, int64_t life_ms)
{
	if (l->writes.breaker.is_open)
		return L2_breaker;
	if (o->body != NULL && body_length(o->body) > l->value_max_bytes)
		return L2_too_large;
	return life_ms < WORTH_MS || !sharedlog_is_of_epoch(l->log, fetched) ? L2_unfit : L2_done;
}

static void
put_now(struct l2 *l, const struct object *o, const struct l2_stamp *fetched, const char *place)
{
	struct l2_clocks now = l2_now(l);
	struct buf value;

	if (l2_value_write(o, &now, fetched, &l->seal, &value) != 0) {
		l2_tally(l, L2_OP_put, L2_unfit);
		return;
	}
	l2_crew_outdate(l->crew, place);
	write_response(l, o, place, l2_value_life_ms(o, now.mono_ms), &value);
}

/* --- what is long --- */

/* What made it worth writing may have gone while it was made. That it was purged since, its stamp says to whoever reads it;
 * so it need not be written. */
static enum l2_result
made_obstacle(const struct put *p, int64_t life_ms)
{
	const struct l2_making *m = &p->making;
	const struct object *o = m->object;
	enum l2_result result = put_obstacle(p->l2, o, &m->fetched, life_ms);
	uint64_t log_pos;

	if (result != L2_done)
		return result;
	if (!m->is_made)
		return atomic_load(&m->is_given_up) ? L2_outdated : L2_unfit;
	return sharedlog_judge(p->l2->log, &m->fetched, object_key(o), object_tags(o),
		   loop_now_ms(p->l2->loop), &log_pos)
	    ? L2_done
	    : L2_purged;
}

static void
guests_on_put(struct put *p)
{
	struct l2_guest *g;

	while ((g = list_first(&p->guests, struct l2_guest, waits)) != NULL) {
		list_leave(&g->waits);
		g->on_put(g);
	}
}

static void
put_free(struct put *p)
{
	l2_making_fini(&p->making);
	free(p);
}

static void
on_made(struct l2_making *m)
{
	struct put *p = CONTAINER_OF(m, struct put, making);
	struct l2 *l = p->l2;
	enum l2_result result;
	int64_t life_ms;

	if (l != NULL) {
		list_leave(&p->link);
		life_ms = l2_value_life_ms(m->object, loop_now_ms(l->loop));
		result = made_obstacle(p, life_ms);
		if (result == L2_done)
			write_response(l, m->object, m->place, life_ms, &m->value);
		else
			l2_tally(l, L2_OP_put, result);
		guests_on_put(p);
	}
	put_free(p);
}

static void
put_later(struct l2 *l, struct object *o, const struct l2_stamp *fetched, const char *place)
{
	struct put *p = must_calloc(1, sizeof(*p));

	*p = (struct put){.making = {.object = o,
			      .now = l2_now(l),
			      .fetched = *fetched,
			      .seal = &l->seal,
			      .reply_to = l->reply_to,
			      .done = on_made},
	    .l2 = l};
	_Static_assert(L2_PLACE_BYTES >= L2_KEY_BYTES, "a name has room");
	memcpy(p->making.place, place, L2_KEY_BYTES);
	list_init(&p->guests);
	if (!l2_make(l->crew, &p->making)) {
		l2_tally(l, L2_OP_put, L2_busy);
		free(p);
		return;
	}
	list_push_back(&l->puts, &p->link);
}

bool
l2_wait_for_put(struct l2 *l, uint64_t hash, struct l2_guest *g)
{
	for (struct link *at = l->puts.prev; at != &l->puts; at = at->prev) {
		struct put *p = CONTAINER_OF(at, struct put, link);

		if (p->making.object->hash == hash) {
			list_push_back(&p->guests, &g->waits);
			return true;
		}
	}
	return false;
}

void
l2_puts_end(struct l2 *l)
{
	struct put *p;

	while ((p = list_first(&l->puts, struct put, link)) != NULL) {
		l2_making_give_up(&p->making);
		p->l2 = NULL;
		list_leave(&p->link);
		while (!list_is_empty(&p->guests))
			list_leave(p->guests.next);
	}
}

/* --- the interface --- */

struct l2_stamp
l2_stamp(const struct l2 *l)
{
	return sharedlog_stamp(l->log, loop_now_ms(l->loop));
}

void
l2_put(struct l2 *l, struct object *o, const struct l2_stamp *fetched)
{
	enum l2_result result =
	    put_obstacle(l, o, fetched, l2_value_life_ms(o, loop_now_ms(l->loop)));
	char place[L2_KEY_BYTES] = "";

	if (result != L2_done) {
		l2_tally(l, L2_OP_put, result);
		return;
	}
	l2_key_of(l, o->vary_len > 0 ? 'v' : 'o', object_key(o), object_vary(o), place);
	if (o->body != NULL && body_length(o->body) > L2_AT_ONCE_BYTES)
		put_later(l, o, fetched, place);
	else
		put_now(l, o, fetched, place);
}

void
l2_touch(struct l2 *l, const struct object *o)
{
	char name[L2_KEY_BYTES], life[24];
	int64_t life_ms = l2_value_life_ms(o, loop_now_ms(l->loop));
	const struct slice argv[3] = {SLICE_LIT("PEXPIRE"),
	    l2_key_of(l, o->vary_len > 0 ? 'v' : 'o', object_key(o), object_vary(o), name),
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
		l2_tally(l, L2_OP_touch, sent == REDISIO_BUSY ? L2_busy : L2_breaker);
}

void
l2_delete(struct l2 *l, const struct cache_key *key)
{
	char name[L2_KEY_BYTES];
	const struct slice argv[2] = {
	    SLICE_LIT("UNLINK"), l2_key_of(l, 'o', key->text, SLICE_NONE, name)};
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
		l2_tally(l, L2_OP_delete, sent == REDISIO_BUSY ? L2_busy : L2_breaker);
}

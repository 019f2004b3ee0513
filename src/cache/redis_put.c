/* What is written to Redis; nobody waits for it. */
#include "cache/redis_priv.h"

#include <stdio.h>

#define WORTH_MS 1000 /* what lives shorter is not written */
#define INDEX_LIFE_MS (30ll * 86400 * 1000)

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

/* The response goes first: an index that leads nowhere would cost a round trip. */
static void
put_variant(struct l2 *l, const struct object *o, int64_t life_ms, struct buf *value)
{
	struct l2_clocks now = l2_now(l);
	struct buf index;
	char name[L2_KEY_BYTES];

	if (!write_value(l, l2_key_of(l, 'v', object_key(o), object_vary(o), name), life_ms, value))
		return;
	if (l2_index_write(object_key(o), object_vary(o), &now, &l->seal, &index) == 0)
		write_value(l, l2_key_of(l, 'o', object_key(o), SLICE_NONE, name),
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
	struct l2_clocks now = l2_now(l);
	int64_t life_ms = l2_value_life_ms(o, now.mono_ms);
	struct buf value;
	char name[L2_KEY_BYTES];

	if (l->writes.breaker.is_open) {
		l2_tally(l, L2_OP_put, L2_breaker);
		return;
	}
	if (o->body != NULL && body_length(o->body) > l->value_max_bytes) {
		l2_tally(l, L2_OP_put, L2_too_large);
		return;
	}
	if (life_ms < WORTH_MS || !sharedlog_is_of_epoch(l->log, fetched) ||
	    l2_value_write(o, &now, fetched, &l->seal, &value) != 0) {
		l2_tally(l, L2_OP_put, L2_unfit);
		return;
	}
	if (value.n > l->value_max_bytes) {
		buf_fini(&value);
		l2_tally(l, L2_OP_put, L2_too_large);
	} else if (o->vary_len > 0) {
		put_variant(l, o, life_ms, &value);
	} else {
		write_value(l, l2_key_of(l, 'o', object_key(o), SLICE_NONE, name), life_ms, &value);
	}
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

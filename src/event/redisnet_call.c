#include "event/redisnet_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

static void on_answer(void *arg, enum redisio_end end, const struct redis_reply *reply);

/* --- calls --- */

static struct slice *
copy_words(struct redisnet_call *c, const struct redisio_command *command)
{
	char *at = (char *)(c->argv + command->argc);

	for (unsigned i = 0; i < command->argc; i++) {
		memcpy(at, command->argv[i].p, command->argv[i].n);
		c->argv[i] = slice_of(at, command->argv[i].n);
		at += command->argv[i].n;
	}
	c->argc = command->argc;
	c->has_tail = command->tail != NULL;
	if (c->has_tail)
		buf_add(&c->tail, command->tail->p, command->tail->n);
	return c->argv;
}

struct redisnet_call *
net_call_new(struct redisnet *n, const struct redisio_command *command)
{
	bool keeps = net_is_cluster(n) &&
	    (command->tail == NULL || command->tail->n <= REDISNET_TAIL_KEPT_BYTES);
	size_t bytes = sizeof(struct redisnet_call);
	struct redisnet_call *c;

	for (unsigned i = 0; keeps && i < command->argc; i++)
		bytes += sizeof(struct slice) + command->argv[i].n;
	c = must_malloc(bytes);
	*c = (struct redisnet_call){.net = n,
	    .done = command->done,
	    .arg = command->arg,
	    .due_ms = loop_now_ms(n->loop) + command->timeout_ms,
	    .keeps_words = keeps};
	list_init(&c->link);
	if (keeps)
		copy_words(c, command);
	return c;
}

void
net_call_free(struct redisnet_call *c)
{
	list_leave(&c->link);
	buf_fini(&c->tail);
	free(c);
}

/* The last thing that is done: the owner may free us. */
void
net_call_end(struct redisnet_call *c, enum redisio_end end, const struct redis_reply *reply)
{
	void (*done)(void *, enum redisio_end, const struct redis_reply *) = c->done;
	void *arg = c->arg;

	net_call_free(c);
	if (done != NULL)
		done(arg, end, reply);
}

/* c hangs in no list then, or in node->calls. */
enum redisio_sent
net_call_send(struct redisnet_call *c, struct node *node, const struct redisio_command *command)
{
	static const struct slice asking[1] = {SLICE_LIT("ASKING")};
	struct redisio_command own = *command;
	enum redisio_sent sent;

	if (c->is_asking)
		redisio_send(node->io,
		    &(struct redisio_command){
			.argv = asking, .argc = 1, .timeout_ms = own.timeout_ms},
		    NULL);
	own.done = on_answer;
	own.arg = c;
	c->sent_us = clock_mono_us();
	sent = redisio_send(node->io, &own, NULL);
	if (sent == REDISIO_SENT) {
		c->node = node;
		list_push_back(&node->calls, &c->link);
		net_node_measure(node);
	}
	return sent;
}

/* Once more, to another node. */
void
net_call_resend(struct redisnet_call *c, struct node *node)
{
	int64_t left_ms = c->due_ms - loop_now_ms(c->net->loop);
	struct buf tail = {0};

	if (c->has_tail)
		buf_add_slice(&tail, buf_slice(&c->tail));
	if (left_ms <= 0)
		net_call_end(c, REDISIO_TIMEOUT, NULL);
	else if (net_call_send(c, node,
		     &(struct redisio_command){.argv = c->argv,
			 .argc = c->argc,
			 .tail = c->has_tail ? &tail : NULL,
			 .timeout_ms = left_ms}) != REDISIO_SENT)
		net_call_end(c, REDISIO_LOST, NULL);
	buf_fini(&tail);
}

/* --- answers --- */

static void
on_parked_too_long(void *arg)
{
	net_call_end(arg, REDISIO_TIMEOUT, NULL);
}

/* True: it has been sent on, or waits to be. */
static bool
follow(struct redisnet_call *c, const struct redis_redirect *to, const char *told_by)
{
	struct redisnet *n = c->net;
	struct node *node = net_node_at(n, to->host, to->port, told_by);

	if (node == NULL)
		return false;
	if (!to->is_ask) {
		n->slots[to->slot] = node->number;
		net_want_map(n);
	}
	if (c->done == NULL || !c->keeps_words || c->hops++ == REDISNET_HOPS)
		return false;
	c->is_asking = to->is_ask;
	list_leave(&c->link);
	if (node->is_up) {
		net_call_resend(c, node);
		return true;
	}
	c->node = node;
	list_push_back(&node->parked, &c->link);
	timer_init(&c->parked, on_parked_too_long, c);
	timer_arm(n->loop, &c->parked, c->due_ms);
	return true;
}

static enum redis_node_result
result_of(enum redisio_end end, const struct redis_reply *reply, bool is_redirected)
{
	if (end != REDISIO_ANSWERED)
		return end == REDISIO_TIMEOUT ? REDIS_NODE_timeout : REDIS_NODE_lost;
	if (is_redirected)
		return REDIS_NODE_redirected;
	return reply->type == REPLY_ERROR && !reply_is_error(reply, "NOSCRIPT")
	    ? REDIS_NODE_error
	    : REDIS_NODE_answered;
}

static void
on_answer(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct redisnet_call *c = arg;
	struct redisnet *n = c->net;
	struct node *node = c->node;
	struct redis_redirect to;
	bool is_redirected = net_is_cluster(n) && end == REDISIO_ANSWERED &&
	    reply->type == REPLY_ERROR && redis_redirect_read(reply, &to);

	redis_node_count(
	    node->seen, result_of(end, reply, is_redirected), clock_mono_us() - c->sent_us);
	net_enter(n);
	if (net_is_cluster(n))
		net_node_judge(node, end, reply);
	else if (n->url.kind == REDIS_SENTINEL && end == REDISIO_ANSWERED &&
	    reply_is_error(reply, "READONLY"))
		net_want_map(n);
	if (!is_redirected || !follow(c, &to, node->host))
		net_call_end(c, end, reply);
	if (is_redirected)
		net_review(n, "the slot has moved"); /* where home is now may not be up yet */
	net_leave(n);
}

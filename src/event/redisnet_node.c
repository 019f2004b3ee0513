#include "event/redisnet_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

#define PAUSE_TIMEOUTS 5 /* in a row pause a node */
#define PAUSE_LEAST_MS 250
#define PAUSE_MOST_MS 5000
#define MEMORY_REPLY_BYTES 16384 /* far more than Redis says */
#define MEMORY_TIMEOUT_MS 1000

/* --- nodes --- */

static void
node_set_up(struct node *node, bool is_up)
{
	if (node->is_up == is_up)
		return;
	node->is_up = is_up;
	atomic_fetch_add(&node->seen->up, is_up ? 1 : -1);
}

static void
on_node_up(void *arg)
{
	struct node *node = arg;
	struct redisnet *n = node->net;
	struct link parked;

	net_enter(n);
	node_set_up(node, true);
	node->timeouts = 0;
	node->paused_until_ms = 0;
	list_init(&parked);
	list_splice_back(&parked, &node->parked);
	while (!list_is_empty(&parked)) {
		struct redisnet_call *c = list_first(&parked, struct redisnet_call, link);

		list_leave(&c->link);
		timer_disarm(&c->parked);
		if (n->is_closed)
			net_call_free(c);
		else
			net_call_resend(c, node);
	}
	net_review(n, "");
	net_leave(n);
}

static void
on_node_down(void *arg, const char *why)
{
	struct node *node = arg;
	struct redisnet *n = node->net;
	char reason[200];

	net_enter(n);
	node_set_up(node, false);
	snprintf(reason, sizeof(reason), "%s", why); /* the node may go meanwhile */
	if (n->url.kind != REDIS_SINGLE)
		net_want_map(n);
	net_review(n, reason);
	net_leave(n);
}

static void
on_node_failed(void *arg, const char *why)
{
	struct node *node = arg;

	if (node->net->url.kind != REDIS_SINGLE)
		net_want_map(node->net);
}

static const struct redisio_handler node_handler = {
    .on_up = on_node_up, .on_down = on_node_down, .on_failed = on_node_failed};

struct node *
net_node_new(struct redisnet *n, const char *host, uint16_t port)
{
	struct redis_url url;
	struct redisio_conf conf = n->conf;
	struct node *node;
	const char *why;
	unsigned at = 0;

	while (at < n->nodes_count && n->nodes[at] != NULL)
		at++;
	if (at == NODES_MAX)
		return NULL;
	node = must_calloc(1, sizeof(*node));
	node->net = n;
	node->host = must_strdup(host);
	node->port = port;
	node->number = (uint16_t)(at + 1);
	list_init(&node->calls);
	list_init(&node->parked);
	redis_url_server(&n->url, host, port, &url);
	node->seen = redis_node_of(url.shown);
	atomic_fetch_add(&node->seen->wanted, 1);
	conf.server = &url;
	node->io = redisio_new(n->loop, n->resolver, &conf, &node_handler, node, &why);
	redis_url_fini(&url);
	n->nodes[at] = node;
	if (at == n->nodes_count)
		n->nodes_count++;
	return node;
}

/* What is under way there counts as lost; tell_lost tells it. */
void
net_node_free(struct node *node)
{
	struct redisnet *n = node->net;

	redisio_free(&node->io);
	if (n->asked == node)
		n->asked = NULL;
	node_set_up(node, false);
	atomic_fetch_sub(&node->seen->wanted, 1);
	LIST_EACH (c, &node->parked, struct redisnet_call, link)
		timer_disarm(&c->parked);
	list_splice_back(&n->lost, &node->parked);
	list_splice_back(&n->lost, &node->calls);
	for (unsigned i = 0; n->slots != NULL && i < REDIS_SLOTS; i++)
		if (n->slots[i] == node->number)
			n->slots[i] = 0;
	n->nodes[node->number - 1] = NULL;
	free(node->host);
	free(node);
}

static void
on_measured(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	if (end == REDISIO_ANSWERED && reply->type == REPLY_STRING)
		redis_node_take_memory(arg, reply->text);
}

void
net_node_measure(struct node *node)
{
	static const struct slice words[2] = {SLICE_LIT("INFO"), SLICE_LIT("memory")};

	if (node->net->conf.reply_max_bytes >= MEMORY_REPLY_BYTES &&
	    redis_node_wants_memory(node->seen, loop_now_ms(node->net->loop)))
		redisio_send(node->io,
		    &(struct redisio_command){.argv = words,
			.argc = 2,
			.timeout_ms = MEMORY_TIMEOUT_MS,
			.done = on_measured,
			.arg = node->seen},
		    NULL);
}

/* host empty: that of whom we have it from. NULL: there are too many. */
struct node *
net_node_at(struct redisnet *n, struct slice host, uint16_t port, const char *told_by)
{
	char name[256];

	if (host.n == 0)
		host = slice_from(told_by);
	if (host.n >= sizeof(name))
		return NULL;
	for (unsigned i = 0; i < n->nodes_count; i++)
		if (n->nodes[i] != NULL && n->nodes[i]->port == port &&
		    slice_eq(host, slice_from(n->nodes[i]->host)))
			return n->nodes[i];
	snprintf(name, sizeof(name), "%.*s", SLICE_FMT(host));
	return net_node_new(n, name, port);
}

/* The next in turn that is up, or NULL. */
struct node *
net_node_any(struct redisnet *n)
{
	for (unsigned i = 0; i < n->nodes_count; i++) {
		struct node *node = n->nodes[n->turn++ % n->nodes_count];

		if (node != NULL && node->is_up)
			return node;
	}
	return NULL;
}

/* --- pauses: one node of many --- */

bool
net_node_is_paused(struct node *node)
{
	int64_t now_ms = loop_now_ms(node->net->loop);

	if (node->paused_until_ms == 0)
		return false;
	if (now_ms < node->paused_until_ms)
		return true;
	node->paused_until_ms =
	    now_ms + node->pause_ms; /* this one tries; the others wait for it */
	return false;
}

static void
pause_node(struct node *node, const char *why)
{
	bool was_paused = node->paused_until_ms != 0;

	node->pause_ms = was_paused ? node->pause_ms * 2 : PAUSE_LEAST_MS;
	if (node->pause_ms > PAUSE_MOST_MS)
		node->pause_ms = PAUSE_MOST_MS;
	node->paused_until_ms = loop_now_ms(node->net->loop) + node->pause_ms;
	if (!was_paused && node->net->conf.logs)
		log_warn("redis %s: nothing is asked of this node for a while: %s",
		    redisio_name(node->io), why);
	net_want_map(node->net);
}

static bool
is_refusal(const struct redis_reply *reply)
{
	static const char *const words[] = {"OOM", "READONLY", "LOADING", "MASTERDOWN", "MISCONF",
	    "NOREPLICAS", "BUSY", "CLUSTERDOWN", "NOAUTH", "NOPERM"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (reply_is_error(reply, words[i]))
			return true;
	return false;
}

/* What an answer, or none, says about its node. */
void
net_node_judge(struct node *node, enum redisio_end end, const struct redis_reply *reply)
{
	if (end == REDISIO_LOST)
		return; /* its connection tells more */
	if (end == REDISIO_TIMEOUT) {
		if (++node->timeouts >= PAUSE_TIMEOUTS || node->paused_until_ms != 0)
			pause_node(node, "answers do not come in time");
		return;
	}
	node->timeouts = 0;
	if (reply->type == REPLY_ERROR && is_refusal(reply)) {
		char why[120];

		snprintf(why, sizeof(why), "%.*s", (int)(reply->text.n < 110 ? reply->text.n : 110),
		    reply->text.p);
		pause_node(node, why);
	} else if (node->paused_until_ms != 0) {
		node->paused_until_ms = 0;
		if (node->net->conf.logs)
			log_info("redis %s: asked again", redisio_name(node->io));
	}
}

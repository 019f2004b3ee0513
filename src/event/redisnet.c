/* One handle, three kinds. A *node* is one server with its connection. Of a single server there is one,
 * from the beginning; of sentinels there is one at a time, where the scout says; of a cluster there is one
 * for each master of the map, and for each host that a redirection named.
 *
 * A call is sent to a node and its answer judged (on_answer). In a cluster it keeps a copy of its words,
 * so that it can follow a redirection; where that node's connection is not there yet, it is parked until
 * it is, or its time is over.
 *
 * Nothing is told to the owner from within his own calls, and the memory of a net that was freed in a
 * callback goes when the callback returns (enter, leave). */
#include "event/redisnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "event/rediscluster.h"
#include "event/redisnode.h"
#include "event/redisscout.h"
#include "event/redisurl.h"

#define NODES_MAX 1000
#define MAP_REPLY_BYTES ((size_t)4 << 20)
#define SENTINEL_REPLY_BYTES 4096
#define MAP_LEAST_MS 1000 /* the map, or the sentinels, are asked at most so often */
#define MAP_TIMEOUT_MS 1000
#define PAUSE_TIMEOUTS 5 /* in a row pause a node */
#define PAUSE_LEAST_MS 250
#define PAUSE_MOST_MS 5000

struct node {
	struct redisnet *net;
	struct redisio *io;
	char *host;
	uint16_t port;
	uint16_t number;		   /* its place in net->nodes, from 1 on */
	bool is_up, is_wanted;		   /* wanted: it is in the map */
	struct link calls;		   /* under way */
	struct link parked;		   /* wait for the connection */
	unsigned timeouts;		   /* in a row */
	int64_t paused_until_ms, pause_ms; /* 0: not paused; its last length */
	struct redis_node *seen;
};

struct redisnet {
	struct loop *loop;
	struct resolver *resolver;
	struct redis_url url;
	struct redisio_conf conf; /* of a node; without url */
	const struct redisio_handler *handler;
	void *arg;
	unsigned in_callback;
	bool is_closed, was_up;
	struct node *nodes[NODES_MAX]; /* NULL: free place */
	unsigned nodes_count;	       /* places in use, or free below */
	struct link lost;	       /* calls whose node went, to be told so */
	char trouble[320];
	/* Sentinels and cluster */
	struct redisscout *scout;
	struct timer again; /* when they are asked again */
	int64_t asked_ms;
	/* Cluster */
	uint16_t *slots;    /* the number of the node of each; 0: nobody's */
	int home;	    /* slot; -1: none */
	unsigned turn;	    /* which node is asked next for the map, or without a key */
	struct node *asked; /* for the map, and has not answered; or NULL */
};

struct redisnet_call {
	struct link link; /* node->calls, node->parked, net->lost */
	struct redisnet *net;
	struct node *node; /* NULL: in net->lost */
	void (*done)(void *arg, enum redisio_end end, const struct redis_reply *reply);
	void *arg;
	int64_t due_ms, sent_us;
	/* Cluster: to be sent again */
	struct timer parked; /* due while it is */
	unsigned hops, argc;
	bool is_asking, keeps_words;
	struct buf tail;
	bool has_tail;
	struct slice argv[]; /* and their bytes */
};

static void on_answer(void *arg, enum redisio_end end, const struct redis_reply *reply);
static void want_map(struct redisnet *n);

static bool
is_cluster(const struct redisnet *n)
{
	return n->url.kind == REDIS_CLUSTER;
}

/* --- callbacks may free us --- */

static void
net_destroy(struct redisnet *n)
{
	redis_url_fini(&n->url);
	free(n->slots);
	free(n);
}

static void
enter(struct redisnet *n)
{
	n->in_callback++;
}

static void
leave(struct redisnet *n)
{
	if (--n->in_callback == 0 && n->is_closed)
		net_destroy(n);
}

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

static struct redisnet_call *
call_new(struct redisnet *n, const struct redisio_command *command)
{
	bool keeps = is_cluster(n) &&
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

static void
call_free(struct redisnet_call *c)
{
	list_leave(&c->link);
	buf_fini(&c->tail);
	free(c);
}

/* The last thing that is done: the owner may free us. */
static void
call_end(struct redisnet_call *c, enum redisio_end end, const struct redis_reply *reply)
{
	void (*done)(void *, enum redisio_end, const struct redis_reply *) = c->done;
	void *arg = c->arg;

	call_free(c);
	if (done != NULL)
		done(arg, end, reply);
}

/* c hangs in no list then, or in node->calls. */
static enum redisio_sent
call_send(struct redisnet_call *c, struct node *node, const struct redisio_command *command)
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
	}
	return sent;
}

/* Once more, to another node. */
static void
call_resend(struct redisnet_call *c, struct node *node)
{
	int64_t left_ms = c->due_ms - loop_now_ms(c->net->loop);
	struct buf tail = {0};

	if (c->has_tail)
		buf_add_slice(&tail, buf_slice(&c->tail));
	if (left_ms <= 0)
		call_end(c, REDISIO_TIMEOUT, NULL);
	else if (call_send(c, node,
		     &(struct redisio_command){.argv = c->argv,
			 .argc = c->argc,
			 .tail = c->has_tail ? &tail : NULL,
			 .timeout_ms = left_ms}) != REDISIO_SENT)
		call_end(c, REDISIO_LOST, NULL);
	buf_fini(&tail);
}

/* --- up and down --- */

static struct node *
node_of_slot(const struct redisnet *n, unsigned slot)
{
	return n->slots[slot] == 0 ? NULL : n->nodes[n->slots[slot] - 1];
}

static bool
any_up(const struct redisnet *n)
{
	for (unsigned i = 0; i < n->nodes_count; i++)
		if (n->nodes[i] != NULL && n->nodes[i]->is_up)
			return true;
	return false;
}

bool
redisnet_is_up(const struct redisnet *n)
{
	const struct node *home;

	if (!is_cluster(n) || n->home < 0)
		return any_up(n);
	home = node_of_slot(n, (unsigned)n->home);
	return home != NULL && home->is_up;
}

/* Tells the owner if that has changed. Between enter and leave. */
static void
review(struct redisnet *n, const char *why)
{
	bool is_up = !n->is_closed && redisnet_is_up(n);

	if (n->is_closed || is_up == n->was_up)
		return;
	n->was_up = is_up;
	if (n->handler == NULL)
		return;
	if (is_up && n->handler->on_up != NULL)
		n->handler->on_up(n->arg);
	if (!is_up && n->handler->on_down != NULL)
		n->handler->on_down(n->arg, why);
}

static void
tell_lost(struct redisnet *n)
{
	while (!list_is_empty(&n->lost))
		call_end(list_first(&n->lost, struct redisnet_call, link), REDISIO_LOST, NULL);
}

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

	enter(n);
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
			call_free(c);
		else
			call_resend(c, node);
	}
	review(n, "");
	leave(n);
}

static void
on_node_down(void *arg, const char *why)
{
	struct node *node = arg;
	struct redisnet *n = node->net;
	char reason[200];

	enter(n);
	node_set_up(node, false);
	snprintf(reason, sizeof(reason), "%s", why); /* the node may go meanwhile */
	if (n->url.kind != REDIS_SINGLE)
		want_map(n);
	review(n, reason);
	leave(n);
}

static void
on_node_failed(void *arg, const char *why)
{
	struct node *node = arg;

	if (node->net->url.kind != REDIS_SINGLE)
		want_map(node->net);
}

static const struct redisio_handler node_handler = {
    .on_up = on_node_up, .on_down = on_node_down, .on_failed = on_node_failed};

static struct node *
node_new(struct redisnet *n, const char *host, uint16_t port)
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
static void
node_free(struct node *node)
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

/* host empty: that of whom we have it from. NULL: there are too many. */
static struct node *
node_at(struct redisnet *n, struct slice host, uint16_t port, const char *told_by)
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
	return node_new(n, name, port);
}

/* The next in turn that is up, or NULL. */
static struct node *
node_any(struct redisnet *n)
{
	for (unsigned i = 0; i < n->nodes_count; i++) {
		struct node *node = n->nodes[n->turn++ % n->nodes_count];

		if (node != NULL && node->is_up)
			return node;
	}
	return NULL;
}

/* --- pauses: one node of many --- */

static bool
is_paused(struct node *node)
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
	want_map(node->net);
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
static void
judge(struct node *node, enum redisio_end end, const struct redis_reply *reply)
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

/* --- answers --- */

static void
on_parked_too_long(void *arg)
{
	call_end(arg, REDISIO_TIMEOUT, NULL);
}

/* True: it has been sent on, or waits to be. */
static bool
follow(struct redisnet_call *c, const struct redis_redirect *to, const char *told_by)
{
	struct redisnet *n = c->net;
	struct node *node = node_at(n, to->host, to->port, told_by);

	if (node == NULL)
		return false;
	if (!to->is_ask) {
		n->slots[to->slot] = node->number;
		want_map(n);
	}
	if (c->done == NULL || !c->keeps_words || c->hops++ == REDISNET_HOPS)
		return false;
	c->is_asking = to->is_ask;
	list_leave(&c->link);
	if (node->is_up) {
		call_resend(c, node);
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
	bool is_redirected = is_cluster(n) && end == REDISIO_ANSWERED &&
	    reply->type == REPLY_ERROR && redis_redirect_read(reply, &to);

	redis_node_count(
	    node->seen, result_of(end, reply, is_redirected), clock_mono_us() - c->sent_us);
	enter(n);
	if (is_cluster(n))
		judge(node, end, reply);
	else if (n->url.kind == REDIS_SENTINEL && end == REDISIO_ANSWERED &&
	    reply_is_error(reply, "READONLY"))
		want_map(n);
	if (!is_redirected || !follow(c, &to, node->host))
		call_end(c, end, reply);
	if (is_redirected)
		review(n, "the slot has moved"); /* where home is now may not be up yet */
	leave(n);
}

/* --- the map --- */

struct told {
	struct redisnet *net;
	char by[256]; /* the host */
};

static void
take_range(void *arg, const struct redis_range *range)
{
	struct told *told = arg;
	struct node *node = node_at(told->net, range->host, range->port, told->by);

	if (node == NULL)
		return;
	node->is_wanted = true;
	for (unsigned i = range->first; i <= range->last; i++)
		told->net->slots[i] = node->number;
}

static bool
is_idle(const struct node *node)
{
	return list_is_empty(&node->calls) && list_is_empty(&node->parked);
}

/* Nodes that serve nothing any more go, once nothing is under way there. */
static void
sweep(struct redisnet *n)
{
	bool has_bad = false;

	for (unsigned i = 0; i < n->nodes_count; i++) {
		struct node *node = n->nodes[i];

		if (node != NULL && !node->is_wanted && (is_idle(node) || !node->is_up))
			node_free(node);
		else if (node != NULL &&
		    (!node->is_wanted || !node->is_up || node->paused_until_ms != 0))
			has_bad = true;
	}
	if (has_bad)
		want_map(n);
}

/* Between enter and leave. */
static bool
take_map(struct redisnet *n, const char *told_by, const struct redis_reply *reply)
{
	struct told told = {.net = n};

	if (!redis_map_read(reply, NULL, NULL))
		return false;
	snprintf(told.by, sizeof(told.by), "%s", told_by);
	memset(n->slots, 0, REDIS_SLOTS * sizeof(*n->slots));
	for (unsigned i = 0; i < n->nodes_count; i++)
		if (n->nodes[i] != NULL)
			n->nodes[i]->is_wanted = false;
	redis_map_read(reply, take_range, &told);
	sweep(n);
	tell_lost(n);
	review(n, "its slot is served by nobody, or by a node that is not up");
	return true;
}

static const struct slice map_question[2] = {SLICE_LIT("CLUSTER"), SLICE_LIT("SLOTS")};

static void
on_map(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct node *node = arg;
	struct redisnet *n = node->net;

	n->asked = NULL;
	enter(n);
	if (end != REDISIO_ANSWERED || !take_map(n, node->host, reply))
		redisscout_go(n->scout);
	leave(n);
}

/* Asks a node that is there, or goes to look for one. */
static void
ask_map(struct redisnet *n)
{
	struct node *node = is_cluster(n) ? node_any(n) : NULL;

	if (n->asked != NULL)
		return;
	n->asked_ms = loop_now_ms(n->loop);
	if (node != NULL &&
	    redisio_send(node->io,
		&(struct redisio_command){.argv = map_question,
		    .argc = 2,
		    .timeout_ms = MAP_TIMEOUT_MS,
		    .done = on_map,
		    .arg = node},
		NULL) == REDISIO_SENT)
		n->asked = node;
	else
		redisscout_go(n->scout);
}

static void
on_again(void *arg)
{
	ask_map(arg);
}

/* Soon, but not too often. */
static void
want_map(struct redisnet *n)
{
	int64_t now_ms = loop_now_ms(n->loop), date = n->asked_ms + MAP_LEAST_MS;

	if (!timer_is_armed(&n->again) && !n->is_closed)
		timer_arm(n->loop, &n->again, date > now_ms ? date : now_ms);
}

/* --- what the scout brings --- */

static bool
on_scouted_map(void *arg, const struct redis_url *from, const struct redis_reply *reply)
{
	struct redisnet *n = arg;
	bool is_good;

	enter(n);
	is_good = take_map(n, from->places[0].host, reply);
	leave(n);
	return is_good;
}

static void
move_to(struct redisnet *n, const char *host, uint16_t port)
{
	struct node *old = n->nodes_count == 0 ? NULL : n->nodes[0];

	if (old != NULL && old->port == port && strcmp(old->host, host) == 0)
		return;
	if (n->conf.logs)
		log_info("redis %s: the master is %s:%u", n->url.shown, host, port);
	enter(n);
	if (old != NULL)
		node_free(old);
	node_new(n, host, port);
	tell_lost(n);
	review(n, "another server is the master now");
	leave(n);
}

static bool
take_master(struct redisnet *n, struct slice host, struct slice port)
{
	char name[256];
	uint64_t number;

	if (host.n == 0 || host.n >= sizeof(name) || !slice_to_u64(port, &number) || number < 1 ||
	    number > 65535)
		return false;
	snprintf(name, sizeof(name), "%.*s", SLICE_FMT(host));
	move_to(n, name, (uint16_t)number);
	return true;
}

/* [host, port], or nil. */
static bool
on_scouted_master(void *arg, const struct redis_url *from, const struct redis_reply *reply)
{
	return reply->type == REPLY_ARRAY && reply->count == 2 &&
	    take_master(arg, reply->items[0].text, reply->items[1].text);
}

/* ["message", "+switch-master", "<master> <old host> <old port> <host> <port>"] */
static void
on_switch(void *arg, const struct redis_reply *message)
{
	struct redisnet *n = arg;
	struct slice rest, words[5];

	if (message->type != REPLY_ARRAY || message->count != 3 ||
	    !slice_eq(message->items[0].text, SLICE_LIT("message")))
		return;
	rest = message->items[2].text;
	for (int i = 0; i < 5; i++) {
		words[i] = slice_of(rest.p, slice_index(rest, ' '));
		rest = slice_skip(rest, words[i].n + (words[i].n < rest.n));
	}
	if (slice_eq(words[0], slice_from(n->url.master)))
		take_master(n, words[3], words[4]);
}

static unsigned
count_places(void *arg)
{
	struct redisnet *n = arg;

	return n->url.places_count + (is_cluster(n) ? n->nodes_count : 0);
}

/* Those of the URL, then nodes that were known last. */
static void
place_of(void *arg, unsigned i, struct redis_url *out)
{
	struct redisnet *n = arg;
	unsigned k = i - n->url.places_count;

	if (!is_cluster(n))
		redis_url_sentinel(&n->url, &n->url.places[i], out);
	else if (i >= n->url.places_count && k < n->nodes_count && n->nodes[k] != NULL)
		redis_url_server(&n->url, n->nodes[k]->host, n->nodes[k]->port, out);
	else
		redis_url_server(&n->url, n->url.places[i % n->url.places_count].host,
		    n->url.places[i % n->url.places_count].port, out);
}

static void
send_scout(struct redisnet *n)
{
	const bool cluster = is_cluster(n);
	struct redisscout_conf conf = {.loop = n->loop,
	    .resolver = n->resolver,
	    .reply_max_bytes = cluster ? MAP_REPLY_BYTES : SENTINEL_REPLY_BYTES,
	    .question = {SLICE_LIT("SENTINEL"), SLICE_LIT("get-master-addr-by-name"),
		slice_from(n->url.master)},
	    .question_count = 3,
	    .channel = cluster ? NULL : "+switch-master",
	    .count = count_places,
	    .place = place_of,
	    .on_answer = cluster ? on_scouted_map : on_scouted_master,
	    .on_message = on_switch,
	    .arg = n,
	    .logs = n->conf.logs};

	if (cluster) {
		memcpy(conf.question, map_question, sizeof(map_question));
		conf.question_count = 2;
	}
	n->scout = redisscout_new(&conf);
	redisscout_go(n->scout);
}

/* --- the interface --- */

struct redisnet *
redisnet_new(struct loop *l, struct resolver *resolver, const struct redisio_conf *conf,
    const struct redisio_handler *h, void *arg, const char **why_out)
{
	struct redisnet *n = must_calloc(1, sizeof(*n));

	if (redis_url_parse(conf->url, &n->url, why_out) != 0) {
		free(n);
		return NULL;
	}
	n->loop = l;
	n->resolver = resolver;
	n->conf = *conf;
	n->conf.url = NULL;
	n->handler = h;
	n->arg = arg;
	n->home = -1;
	n->asked_ms = loop_now_ms(l);
	list_init(&n->lost);
	timer_init(&n->again, on_again, n);
	if (is_cluster(n)) {
		n->slots = must_calloc(REDIS_SLOTS, sizeof(*n->slots));
		if (n->conf.reply_max_bytes < MAP_REPLY_BYTES)
			n->conf.reply_max_bytes = MAP_REPLY_BYTES;
	}
	n->conf.wants_master = n->url.kind == REDIS_SENTINEL;
	if (n->url.kind == REDIS_SINGLE)
		node_new(n, n->url.places[0].host, n->url.places[0].port);
	else
		send_scout(n);
	return n;
}

static void
free_calls(struct link *list)
{
	while (!list_is_empty(list))
		call_free(list_first(list, struct redisnet_call, link));
}

void
redisnet_free(struct redisnet **np)
{
	struct redisnet *n = *np;

	*np = NULL;
	if (n == NULL)
		return;
	n->is_closed = true;
	timer_disarm(&n->again);
	for (unsigned i = 0; i < n->nodes_count; i++)
		if (n->nodes[i] != NULL)
			node_free(n->nodes[i]);
	free_calls(&n->lost);
	redisscout_free(&n->scout);
	if (n->in_callback == 0)
		net_destroy(n);
}

void
redisnet_set_home(struct redisnet *n, struct slice key)
{
	n->home = (int)redis_slot(key);
}

const char *
redisnet_name(const struct redisnet *n)
{
	return n->url.shown;
}

bool
redisnet_has_nodes(const struct redisnet *n)
{
	return is_cluster(n);
}

static const char *
node_trouble(const struct node *node)
{
	if (!node->is_up)
		return redisio_trouble(node->io);
	return node->paused_until_ms != 0 ? "refuses commands, or does not answer in time" : "";
}

/* "1 of 3 nodes in trouble: 10.0.0.3:6379: cannot connect: ..." */
static void
describe_nodes(struct redisnet *n)
{
	unsigned wanted = 0, bad = 0;
	const struct node *one = NULL;

	for (unsigned i = 0; i < n->nodes_count; i++) {
		const struct node *node = n->nodes[i];

		if (node == NULL || !node->is_wanted)
			continue;
		wanted++;
		if (node_trouble(node)[0] == '\0')
			continue;
		bad++;
		one = node;
	}
	if (wanted == 0)
		snprintf(n->trouble, sizeof(n->trouble), "no node of the cluster has answered%s%s",
		    redisscout_trouble(n->scout)[0] == '\0' ? "" : ": ",
		    redisscout_trouble(n->scout));
	else if (bad > 0)
		snprintf(n->trouble, sizeof(n->trouble), "%u of %u nodes in trouble: %s: %s", bad,
		    wanted, redisio_name(one->io), node_trouble(one));
	else
		n->trouble[0] = '\0';
}

static void
describe_master(struct redisnet *n)
{
	const struct node *node = n->nodes_count == 0 ? NULL : n->nodes[0];

	n->trouble[0] = '\0';
	if (node == NULL)
		snprintf(n->trouble, sizeof(n->trouble), "no sentinel has named the master %s%s%s",
		    n->url.master, redisscout_trouble(n->scout)[0] == '\0' ? "" : ": ",
		    redisscout_trouble(n->scout));
	else if (!node->is_up)
		snprintf(n->trouble, sizeof(n->trouble), "%s: %s", redisio_name(node->io),
		    redisio_trouble(node->io));
}

const char *
redisnet_trouble(struct redisnet *n)
{
	switch (n->url.kind) {
	case REDIS_SINGLE:
		return redisio_trouble(n->nodes[0]->io);
	case REDIS_SENTINEL:
		describe_master(n);
		return n->trouble;
	case REDIS_CLUSTER:
		describe_nodes(n);
		return n->trouble;
	}
	bug("kind %d", n->url.kind);
}

/* Where a command goes; NULL: nowhere now. */
static struct node *
node_for(struct redisnet *n, const struct redisio_command *command)
{
	struct slice key;
	struct node *node;

	if (!is_cluster(n))
		return n->nodes_count == 0 ? NULL : n->nodes[0];
	key = redis_command_key(command->argv, command->argc);
	if (key.p == NULL)
		return node_any(n);
	node = node_of_slot(n, redis_slot(key));
	if (node == NULL)
		want_map(n);
	return node == NULL || is_paused(node) ? NULL : node;
}

enum redisio_sent
redisnet_send(
    struct redisnet *n, const struct redisio_command *command, struct redisnet_call **call_out)
{
	struct node *node = node_for(n, command);
	enum redisio_sent sent = REDISIO_DOWN;
	struct redisnet_call *c;

	if (call_out != NULL)
		*call_out = NULL;
	if (node == NULL || !node->is_up)
		return REDISIO_DOWN;
	c = call_new(n, command);
	sent = call_send(c, node, command);
	if (sent != REDISIO_SENT)
		call_free(c);
	else if (call_out != NULL)
		*call_out = c;
	return sent;
}

void
redisnet_cancel(struct redisnet_call **cp)
{
	if (*cp != NULL)
		(*cp)->done = NULL;
	*cp = NULL;
}

#include "event/redisnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "event/redisnet_priv.h"

bool
net_is_cluster(const struct redisnet *n)
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

void
net_enter(struct redisnet *n)
{
	n->in_callback++;
}

void
net_leave(struct redisnet *n)
{
	if (--n->in_callback == 0 && n->is_closed)
		net_destroy(n);
}

/* --- up and down --- */

struct node *
net_node_of_slot(const struct redisnet *n, unsigned slot)
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

	if (!net_is_cluster(n) || n->home < 0)
		return any_up(n);
	home = net_node_of_slot(n, (unsigned)n->home);
	return home != NULL && home->is_up;
}

/* Tells the owner if that has changed. Between enter and leave. */
void
net_review(struct redisnet *n, const char *why)
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

void
net_tell_lost(struct redisnet *n)
{
	while (!list_is_empty(&n->lost))
		net_call_end(list_first(&n->lost, struct redisnet_call, link), REDISIO_LOST, NULL);
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
	timer_init(&n->again, net_on_again, n);
	if (net_is_cluster(n)) {
		n->slots = must_calloc(REDIS_SLOTS, sizeof(*n->slots));
		if (n->conf.reply_max_bytes < MAP_REPLY_BYTES)
			n->conf.reply_max_bytes = MAP_REPLY_BYTES;
	}
	n->conf.wants_master = n->url.kind == REDIS_SENTINEL;
	if (n->url.kind == REDIS_SINGLE)
		net_node_new(n, n->url.places[0].host, n->url.places[0].port);
	else
		net_send_scout(n);
	return n;
}

static void
free_calls(struct link *list)
{
	while (!list_is_empty(list))
		net_call_free(list_first(list, struct redisnet_call, link));
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
			net_node_free(n->nodes[i]);
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
	return net_is_cluster(n);
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

	if (!net_is_cluster(n))
		return n->nodes_count == 0 ? NULL : n->nodes[0];
	key = redis_command_key(command->argv, command->argc);
	if (key.p == NULL)
		return net_node_any(n);
	node = net_node_of_slot(n, redis_slot(key));
	if (node == NULL)
		net_want_map(n);
	return node == NULL || net_node_is_paused(node) ? NULL : node;
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
	c = net_call_new(n, command);
	sent = net_call_send(c, node, command);
	if (sent != REDISIO_SENT)
		net_call_free(c);
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

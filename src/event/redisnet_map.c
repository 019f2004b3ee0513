#include "event/redisnet_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define SENTINEL_REPLY_BYTES 4096
#define MAP_LEAST_MS 1000 /* the map, or the sentinels, are asked at most so often */
#define MAP_TIMEOUT_MS 1000

/* --- the map --- */

struct told {
	struct redisnet *net;
	char by[256]; /* the host */
};

static void
take_range(void *arg, const struct redis_range *range)
{
	struct told *told = arg;
	struct node *node = net_node_at(told->net, range->host, range->port, told->by);

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
			net_node_free(node);
		else if (node != NULL &&
		    (!node->is_wanted || !node->is_up || node->paused_until_ms != 0))
			has_bad = true;
	}
	if (has_bad)
		net_want_map(n);
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
	net_tell_lost(n);
	net_review(n, "its slot is served by nobody, or by a node that is not up");
	return true;
}

static const struct slice map_question[2] = {SLICE_LIT("CLUSTER"), SLICE_LIT("SLOTS")};

static void
on_map(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct node *node = arg;
	struct redisnet *n = node->net;

	n->asked = NULL;
	net_enter(n);
	if (end != REDISIO_ANSWERED || !take_map(n, node->host, reply))
		redisscout_go(n->scout);
	net_leave(n);
}

/* Asks a node that is there, or goes to look for one. */
static void
ask_map(struct redisnet *n)
{
	struct node *node = net_is_cluster(n) ? net_node_any(n) : NULL;

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

void
net_on_again(void *arg)
{
	ask_map(arg);
}

/* Soon, but not too often. */
void
net_want_map(struct redisnet *n)
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

	net_enter(n);
	is_good = take_map(n, from->places[0].host, reply);
	net_leave(n);
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
	net_enter(n);
	if (old != NULL)
		net_node_free(old);
	net_node_new(n, host, port);
	net_tell_lost(n);
	net_review(n, "another server is the master now");
	net_leave(n);
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

	return n->url.places_count + (net_is_cluster(n) ? n->nodes_count : 0);
}

/* Those of the URL, then nodes that were known last. */
static void
place_of(void *arg, unsigned i, struct redis_url *out)
{
	struct redisnet *n = arg;
	unsigned k = i - n->url.places_count;

	if (!net_is_cluster(n))
		redis_url_sentinel(&n->url, &n->url.places[i], out);
	else if (i >= n->url.places_count && k < n->nodes_count && n->nodes[k] != NULL)
		redis_url_server(&n->url, n->nodes[k]->host, n->nodes[k]->port, out);
	else
		redis_url_server(&n->url, n->url.places[i % n->url.places_count].host,
		    n->url.places[i % n->url.places_count].port, out);
}

void
net_send_scout(struct redisnet *n)
{
	const bool cluster = net_is_cluster(n);
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

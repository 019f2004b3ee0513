/* event/redisnet_priv.h - the insides of a net, for its four files: the handle (redisnet.c), calls (redisnet_call.c), nodes
 * (redisnet_node.c), and who asks where they are (redisnet_map.c).
 *
* One handle, three kinds. A *node* is one server with its connection. Of a single server there is one,
 * from the beginning; of sentinels there is one at a time, where the scout says; of a cluster there is one
 * for each master of the map, and for each host that a redirection named.
 *
 * A call is sent to a node and its answer judged (on_answer). In a cluster it keeps a copy of its words,
 * so that it can follow a redirection; where that node's connection is not there yet, it is parked until
 * it is, or its time is over.
 *
 * Nothing is told to the owner from within his own calls, and the memory of a net that was freed in a
 * callback goes when the callback returns (enter, leave). */
#ifndef EVENT_REDISNET_PRIV_H
#define EVENT_REDISNET_PRIV_H

#include "event/rediscluster.h"
#include "event/redisnet.h"
#include "event/redisnode.h"
#include "event/redisscout.h"
#include "event/redisurl.h"

#define NODES_MAX 1000
#define MAP_REPLY_BYTES ((size_t)4 << 20)

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

/* --- redisnet.c --- */

bool net_is_cluster(const struct redisnet *n);
/* Around all that may call the owner, who may free the net: its memory goes with the last net_leave. */
void net_enter(struct redisnet *n);
void net_leave(struct redisnet *n);
/* NULL: nobody serves it, as far as is known. */
struct node *net_node_of_slot(const struct redisnet *n, unsigned slot);
/* Tells the owner if it is up or down now and was not. */
void net_review(struct redisnet *n, const char *why);
/* Ends the calls of nodes that went. */
void net_tell_lost(struct redisnet *n);

/* --- redisnet_call.c --- */

/* With a copy of the words where they may be needed again. */
struct redisnet_call *net_call_new(struct redisnet *n, const struct redisio_command *command);
void net_call_free(struct redisnet_call *c);
/* The last thing that is done with it: the owner may free the net. */
void net_call_end(struct redisnet_call *c, enum redisio_end end, const struct redis_reply *reply);
/* Not SENT: the call hangs in no list, and is the caller's still. */
enum redisio_sent net_call_send(
    struct redisnet_call *c, struct node *node, const struct redisio_command *command);
/* Once more, to another node; ends it where that cannot be. */
void net_call_resend(struct redisnet_call *c, struct node *node);

/* --- redisnet_node.c --- */

/* NULL: there are NODES_MAX. */
struct node *net_node_new(struct redisnet *n, const char *host, uint16_t port);
/* What is under way there counts as lost; net_tell_lost tells it. */
void net_node_free(struct node *node);
/* The one of that place, made if need be; host empty: that of whom we have it from. NULL: there are too many. */
struct node *net_node_at(struct redisnet *n, struct slice host, uint16_t port, const char *told_by);
/* Behind a command that was sent: asks what memory it uses, when somebody is to. */
void net_node_measure(struct node *node);
/* The next in turn that is up, or NULL. */
struct node *net_node_any(struct redisnet *n);
/* False once in a while for one that is: that command is the one that tries. */
bool net_node_is_paused(struct node *node);
/* What an answer, or none, says about its node. */
void net_node_judge(struct node *node, enum redisio_end end, const struct redis_reply *reply);

/* --- redisnet_map.c --- */

/* The map, or the sentinels, are asked soon, but not too often. */
void net_want_map(struct redisnet *n);
/* net->again fires. */
void net_on_again(void *arg);
/* Where no server is known yet: the net's beginning. */
void net_send_scout(struct redisnet *n);

#endif

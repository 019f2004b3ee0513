#include "event/redisnet.h"

#include <stdlib.h>

#include "base/mem.h"

struct redisnet {
	struct redisio *io;
};

struct redisnet *
redisnet_new(struct loop *l, struct resolver *resolver, const struct redisio_conf *conf,
    const struct redisio_handler *h, void *arg, const char **why_out)
{
	struct redisnet *n = must_calloc(1, sizeof(*n));

	n->io = redisio_new(l, resolver, conf, h, arg, why_out);
	if (n->io != NULL)
		return n;
	free(n);
	return NULL;
}

void
redisnet_free(struct redisnet **np)
{
	struct redisnet *n = *np;

	*np = NULL;
	if (n == NULL)
		return;
	redisio_free(&n->io);
	free(n);
}

void
redisnet_set_home(struct redisnet *n, struct slice key)
{
}

bool
redisnet_is_up(const struct redisnet *n)
{
	return redisio_is_up(n->io);
}

const char *
redisnet_trouble(const struct redisnet *n)
{
	return redisio_trouble(n->io);
}

const char *
redisnet_name(const struct redisnet *n)
{
	return redisio_name(n->io);
}

bool
redisnet_has_nodes(const struct redisnet *n)
{
	return false;
}

enum redisio_sent
redisnet_send(
    struct redisnet *n, const struct redisio_command *command, struct redisnet_call **call_out)
{
	struct redisio_call *call;
	enum redisio_sent sent = redisio_send(n->io, command, &call);

	if (call_out != NULL)
		*call_out = (struct redisnet_call *)(void *)call;
	return sent;
}

void
redisnet_cancel(struct redisnet_call **cp)
{
	struct redisio_call *call = (struct redisio_call *)(void *)*cp;

	redisio_cancel(&call);
	*cp = NULL;
}

#include "event/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define REST_MAX 65536 /* more than any queue holds; a flood ends nevertheless */
#define BATCH 64
#define SHORTAGE_PAUSE_MS 100

struct listener {
	struct loop *loop;
	int fd;
	struct event readable;
	struct timer resume; /* after a shortage of descriptors */
	bool paused, starved;
	bool told;     /* of the shortage that lasts */
	bool inherits; /* whoever is accepted comes without delay (TCP_NODELAY) by itself */
	bool in_callback, closed; /* freed in a callback: its memory goes when that ends */
	void (*accepted)(void *arg, int fd, const struct address *peer);
	void *arg;
};

static void
listener_arm(struct listener *ls)
{
	bool want = !ls->paused && !ls->starved;

	if (want == (event_pending(&ls->readable, EV_READ, NULL) != 0))
		return;
	if ((want ? event_add(&ls->readable, NULL) : event_del(&ls->readable)) != 0)
		bug("arming a listener");
}

static void
on_listener_resume(void *arg)
{
	struct listener *ls = arg;

	ls->starved = false;
	listener_arm(ls);
}

/* Errors of one connection, which has gone before it was accepted; accept(2) passes on those of the
 * network, too. */
static bool
is_lost_connection(int e)
{
	switch (e) {
	case ECONNABORTED:
	case EINTR:
	case EPERM:
	case EPROTO:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

/* What accept could not do: nothing waits (done), one connection was lost (go on), or the machine
 * is short (pause). */
static bool
listener_trouble(struct listener *ls, int e)
{
	if (is_lost_connection(e))
		return true;
	if (e == EAGAIN || e == EWOULDBLOCK) {
		ls->inherits = true; /* nobody is left who came before the socket was told */
		return false;
	}
	if (!ls->told)
		log_warn("accept: %s; trying again every %d ms", strerror(e), SHORTAGE_PAUSE_MS);
	ls->told = true;
	ls->starved = true;
	listener_arm(ls);
	timer_arm(ls->loop, &ls->resume, loop_now_ms(ls->loop) + SHORTAGE_PAUSE_MS);
	return false;
}

static void
send_without_delay(int fd)
{
	const int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* only slower without */
}

/* False: no more for now. */
static bool
accept_one(struct listener *ls)
{
	struct address peer = {.len = sizeof(peer.u)};
	int fd = accept4(ls->fd, &peer.u.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return listener_trouble(ls, errno);
	ls->told = false;
	if (!ls->inherits && peer.u.sa.sa_family != AF_UNIX)
		send_without_delay(fd);
	ls->accepted(ls->arg, fd, &peer);
	return true;
}

static void
accept_some(struct listener *ls, int most)
{
	ls->in_callback = true;
	for (int i = 0; i < most && !ls->paused && !ls->closed; i++)
		if (!accept_one(ls))
			break;
	ls->in_callback = false;
	if (ls->closed)
		free(ls);
}

static void
on_listener_readable(evutil_socket_t fd, short what, void *arg)
{
	accept_some(arg, BATCH);
}

void
listener_accept_rest(struct listener *ls)
{
	accept_some(ls, REST_MAX);
}

struct listener *
listener_new(struct loop *l, int fd,
    void (*accepted)(void *arg, int fd, const struct address *peer), void *arg)
{
	struct listener *ls = must_calloc(1, sizeof(*ls));

	ls->loop = l;
	ls->fd = fd;
	ls->accepted = accepted;
	ls->arg = arg;
	send_without_delay(fd);
	timer_init(&ls->resume, on_listener_resume, ls);
	event_assign(
	    &ls->readable, loop_base(l), fd, EV_READ | EV_PERSIST, on_listener_readable, ls);
	if (event_add(&ls->readable, NULL) != 0) {
		free(ls);
		return NULL;
	}
	return ls;
}

void
listener_free(struct listener **lp)
{
	struct listener *ls = *lp;

	if (ls == NULL)
		return;
	timer_disarm(&ls->resume);
	event_del(&ls->readable);
	ls->closed = true;
	if (!ls->in_callback)
		free(ls);
	*lp = NULL;
}

void
listener_pause(struct listener *ls, bool pause)
{
	ls->paused = pause;
	listener_arm(ls);
}

#include "event/drain.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

struct drain {
	struct event writable;
	struct timer deadline;
	int fd;
	struct buf rest;
	size_t at;
};

static _Atomic unsigned drains;

static void
close_with_reset(int fd)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)); /* unix sockets have none */
	close(fd);
}

static void
drain_end(struct drain *d, bool whole)
{
	timer_disarm(&d->deadline);
	event_del(&d->writable);
	if (whole)
		close(d->fd);
	else
		close_with_reset(d->fd);
	buf_fini(&d->rest);
	free(d);
	atomic_fetch_sub(&drains, 1);
}

static void
on_drain_writable(evutil_socket_t fd, short what, void *arg)
{
	struct drain *d = arg;

	while (d->at < d->rest.n) {
		ssize_t sent = send(fd, d->rest.p + d->at, d->rest.n - d->at, MSG_NOSIGNAL);

		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (sent < 0) {
			drain_end(d, false);
			return;
		}
		d->at += (size_t)sent;
	}
	drain_end(d, true);
}

static void
on_drain_deadline(void *arg)
{
	drain_end(arg, false);
}

void
drain_start(struct loop *l, int fd, struct buf *rest, size_t at)
{
	struct drain *d;

	if (atomic_fetch_add(&drains, 1) >= DRAINS_MAX) {
		atomic_fetch_sub(&drains, 1);
		buf_fini(rest);
		close_with_reset(fd);
		return;
	}
	d = must_calloc(1, sizeof(*d));
	d->fd = fd;
	d->at = at;
	d->rest = *rest;
	*rest = (struct buf){0};
	timer_init(&d->deadline, on_drain_deadline, d);
	timer_arm(l, &d->deadline, loop_now_ms(l) + DRAIN_MS);
	event_assign(&d->writable, loop_base(l), fd, EV_WRITE | EV_PERSIST, on_drain_writable, d);
	if (event_add(&d->writable, NULL) != 0)
		bug("event_add: %s", strerror(errno));
}

#include "event/stream.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "event/stream_priv.h"

static void on_stream_event(evutil_socket_t fd, short what, void *arg);

/* --- plain sockets --- */

static ssize_t
plain_result(struct stream *s, ssize_t n)
{
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
		return STREAM_AGAIN;
	s->error = errno;
	return STREAM_ERROR;
}

static ssize_t
plain_readv(struct stream *s, const struct iovec *iov, int n)
{
	if (n == 1)
		return plain_result(s, recv(s->fd, iov->iov_base, iov->iov_len, 0));
	return plain_result(s, readv(s->fd, iov, n < IOV_MAX ? n : IOV_MAX));
}

static ssize_t
plain_writev(struct stream *s, const struct iovec *iov, int n, bool more)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov,
	    .msg_iovlen = n < IOV_MAX ? (size_t)n : IOV_MAX};
	int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);

	if (n == 1)
		return plain_result(s, send(s->fd, iov->iov_base, iov->iov_len, flags));
	return plain_result(s, sendmsg(s->fd, &msg, flags));
}

static void
plain_shutdown(struct stream *s)
{
	shutdown(s->fd, SHUT_WR); /* fails only when the peer has gone already */
}

static const struct stream_transport plain = {
    .readv = plain_readv,
    .writev = plain_writev,
    .shutdown = plain_shutdown,
};

/* --- what is armed --- */

static short
stream_wanted(const struct stream *s)
{
	short flags = 0;

	if (s->connecting)
		return EV_WRITE;
	if (s->transport_wants_read || (s->want_read && !s->transport_holds_read))
		flags |= EV_READ;
	if (s->transport_wants_write || (s->want_write && !s->transport_holds_write))
		flags |= EV_WRITE;
	return flags;
}

/* One event per stream; its flags change only when back-pressure begins or ends. */
void
stream_arm(struct stream *s)
{
	short flags = stream_wanted(s);

	if (flags == s->armed)
		return;
	if (s->armed != 0 && event_del(&s->event) != 0)
		bug("event_del");
	s->armed = 0;
	if (flags == 0)
		return;
	event_assign(&s->event, loop_base(s->loop), s->fd, flags | EV_PERSIST, on_stream_event, s);
	if (event_add(&s->event, NULL) != 0)
		bug("event_add: %s", strerror(errno));
	s->armed = flags;
}

/* --- what the owner is told --- */

/* The outcome of stream_connect, told as on_writable whatever the owner wants. */
static short
finish_connect(struct stream *s, short what)
{
	socklen_t len = sizeof(s->error);

	if (!(what & EV_WRITE))
		return 0;
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &s->error, &len) != 0)
		s->error = errno;
	s->connecting = false;
	s->want_write = true;
	return EV_WRITE;
}

/* A transport that reads ahead holds bytes the kernel knows nothing of: they are announced as
 * steadily as those in the kernel, once per turn, until they are read or not wanted any more. */
static void
announce_pending(struct stream *s)
{
	if (s->want_read && s->transport->has_pending != NULL && s->transport->has_pending(s))
		loop_later(s->loop, s->transport->announcement(s));
}

static void
leave_callback(struct stream *s)
{
	s->in_callback = false;
	if (s->closed)
		free(s);
	else
		announce_pending(s);
}

void
stream_announce(void *arg)
{
	struct stream *s = arg;

	if (!s->want_read || !s->transport->has_pending(s))
		return;
	s->in_callback = true;
	s->handler->on_readable(s->arg);
	leave_callback(s);
}

/* Writable comes first; what is armed is looked at only afterwards, so that a long body costs no change
 * of registration from one piece to the next. An owner that came meanwhile (stream_set_handler) gets no event that was
 * not meant for it: what is still readable comes again in the next turn. */
static void
on_stream_event(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;
	const struct stream_handler *h = s->handler;
	struct loop *l = s->loop;
	void *owner = s->arg;

	s->in_callback = true;
	if (s->connecting)
		what = finish_connect(s, what);
	else if (s->transport->on_event != NULL)
		what = s->transport->on_event(s, what);
	if ((what & EV_WRITE) && s->want_write) {
		s->want_write = false;
		h->on_writable(owner);
		if (!s->closed)
			stream_arm(s);
	}
	if ((what & EV_READ) && !s->closed && s->want_read && s->handler == h && s->arg == owner)
		h->on_readable(owner);
	leave_callback(s);
	loop_breathe(l);
}

/* --- the interface --- */

struct stream *
stream_new(struct loop *l, int fd, const struct stream_transport *transport,
    const struct stream_handler *h, void *arg)
{
	struct stream *s = malloc(sizeof(*s));

	if (s == NULL)
		return NULL;
	*s = (struct stream){.loop = l,
	    .fd = fd,
	    .transport = transport,
	    .handler = h,
	    .arg = arg,
	    .want_read = true};
	return s;
}

struct stream *
stream_open(struct loop *l, int fd, const struct stream_handler *h, void *arg)
{
	struct stream *s = stream_new(l, fd, &plain, h, arg);

	if (s != NULL)
		stream_arm(s);
	return s;
}

struct stream *
stream_connect(struct loop *l, const struct address *to, const struct stream_handler *h, void *arg)
{
	const int one = 1;
	struct stream *s;
	int fd = socket(to->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return NULL;
	if (to->u.sa.sa_family != AF_UNIX)
		setsockopt(
		    fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* only slower without */
	if (connect(fd, &to->u.sa, to->len) != 0 && errno != EINPROGRESS && errno != EINTR)
		goto fail;
	s = stream_new(l, fd, &plain, h, arg);
	if (s == NULL)
		goto fail;
	s->connecting = true;
	stream_arm(s);
	return s;
fail:;
	int e = errno;
	close(fd);
	errno = e;
	return NULL;
}

void
stream_close(struct stream **sp)
{
	struct stream *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	if (s->armed != 0 && event_del(&s->event) != 0)
		bug("event_del");
	if (s->transport->free != NULL)
		s->transport->free(s);
	if (s->fd >= 0)
		close(s->fd);
	s->closed = true;
	if (!s->in_callback)
		free(s);
}

void
stream_reset(struct stream **sp)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	if (*sp == NULL)
		return;
	(*sp)->is_reset = true;
	setsockopt(
	    (*sp)->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)); /* unix sockets have none */
	stream_close(sp);
}

void
stream_shutdown_write(struct stream *s)
{
	s->transport->shutdown(s);
}

ssize_t
stream_read(struct stream *s, void *p, size_t n)
{
	struct iovec iov = {.iov_base = p, .iov_len = n};

	return stream_readv(s, &iov, 1);
}

ssize_t
stream_readv(struct stream *s, const struct iovec *iov, int n)
{
	ssize_t got = s->transport->readv(s, iov, n);

	announce_pending(s);
	return got;
}

ssize_t
stream_writev(struct stream *s, const struct iovec *iov, int n, bool more)
{
	size_t offered = 0;
	ssize_t sent;

	for (int i = 0; i < n; i++)
		offered += iov[i].iov_len;
	if (offered == 0)
		return 0;
	sent = s->transport->writev(s, iov, n, more);
	if (sent == STREAM_ERROR)
		return sent;
	if (sent == STREAM_AGAIN || (size_t)sent < offered)
		stream_want_write(s, true);
	return sent;
}

void
stream_want_read(struct stream *s, bool want)
{
	if (s->want_read == want)
		return;
	s->want_read = want;
	stream_arm(s);
	announce_pending(s);
}

bool
stream_wants_read(const struct stream *s)
{
	return s->want_read;
}

void
stream_want_write(struct stream *s, bool want)
{
	if (s->want_write == want)
		return;
	s->want_write = want;
	stream_arm(s);
}

void
stream_hurry(struct stream *s, int unsent_bytes)
{
	const int one = 1;

	/* Unix sockets have neither. */
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(s->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes, sizeof(unsent_bytes));
}

int
stream_error(const struct stream *s)
{
	return s->error;
}

int
stream_fd(const struct stream *s)
{
	return s->fd;
}

void
stream_set_handler(struct stream *s, const struct stream_handler *h, void *arg)
{
	s->handler = h;
	s->arg = arg;
}

bool
stream_is_tls(const struct stream *s)
{
	return s->tls != NULL;
}

bool
stream_has_pending(const struct stream *s)
{
	return s->transport->has_pending != NULL && s->transport->has_pending(s);
}

#include "event/stream.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/tcp.h>
#include <stdlib.h>
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
	return plain_result(s, readv(s->fd, iov, n));
}

static ssize_t
plain_writev(struct stream *s, const struct iovec *iov, int n, bool more)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n};
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

static bool
plain_pending(const struct stream *s)
{
	return false;
}

static void
plain_free(struct stream *s)
{
}

static const struct stream_transport plain = {
    .readv = plain_readv,
    .writev = plain_writev,
    .shutdown = plain_shutdown,
    .has_pending = plain_pending,
    .free = plain_free,
};

/* --- what is armed --- */

/* One event per stream; its flags change only when back-pressure begins or ends. */
void
stream_arm(struct stream *s)
{
	short flags = EV_PERSIST;

	if (s->want_read || s->transport_wants_read)
		flags |= EV_READ;
	if (s->want_write || s->transport_wants_write || s->connecting)
		flags |= EV_WRITE;
	if (flags == s->armed)
		return;
	if (s->armed != 0 && event_del(&s->event) != 0)
		bug("event_del");
	s->armed = 0;
	if (flags == EV_PERSIST)
		return;
	event_assign(&s->event, loop_base(s->loop), s->fd, flags, on_stream_event, s);
	if (event_add(&s->event, NULL) != 0)
		bug("event_add: %s", strerror(errno));
	s->armed = flags;
}

static void
finish_connect(struct stream *s)
{
	socklen_t len = sizeof(s->error);

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &s->error, &len) != 0)
		s->error = errno;
	s->connecting = false;
}

static void
on_stream_event(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	if (s->connecting) {
		if (!(what & EV_WRITE))
			return;
		finish_connect(s);
		stream_arm(s);
		s->handler->on_writable(s->arg);
		return;
	}
	s->in_callback = true;
	if (s->transport->on_event != NULL) {
		what = s->transport->on_event(s, what);
	}
	if ((what & EV_WRITE) && !s->closed && s->want_write) {
		s->want_write = false;
		stream_arm(s);
		s->handler->on_writable(s->arg);
	}
	if ((what & EV_READ) && !s->closed && s->want_read)
		s->handler->on_readable(s->arg);
	s->in_callback = false;
	if (s->closed)
		free(s);
}

/* --- the interface --- */

struct stream *
stream_open(struct loop *l, int fd, const struct stream_handler *h, void *arg)
{
	struct stream *s = malloc(sizeof(*s));

	if (s == NULL)
		return NULL;
	*s = (struct stream){
	    .loop = l, .fd = fd, .transport = &plain, .handler = h, .arg = arg, .want_read = true};
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
	if (connect(fd, &to->u.sa, to->len) != 0 && errno != EINPROGRESS)
		goto fail;
	s = malloc(sizeof(*s));
	if (s == NULL)
		goto fail;
	*s = (struct stream){
	    .loop = l, .fd = fd, .transport = &plain, .handler = h, .arg = arg, .connecting = true};
	s->want_read = true;
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
	s->transport->free(s);
	if (s->armed != 0)
		event_del(&s->event);
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

	return s->transport->readv(s, &iov, 1);
}

ssize_t
stream_readv(struct stream *s, const struct iovec *iov, int n)
{
	return s->transport->readv(s, iov, n);
}

ssize_t
stream_writev(struct stream *s, const struct iovec *iov, int n, bool more)
{
	ssize_t sent = s->transport->writev(s, iov, n, more);
	size_t offered = 0;

	if (sent == STREAM_ERROR)
		return sent;
	for (int i = 0; i < n; i++)
		offered += iov[i].iov_len;
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
	return s->transport->has_pending(s);
}

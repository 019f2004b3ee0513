#include <errno.h>
#include <pthread.h>

#include "base/mem.h"
#include "event/tlsconn_priv.h"

#define OUT_MAX_BYTES (256 * 1024) /* a handshake's flight, or alerts to one who does not read */

void
tls_drop_out(struct tls *t)
{
	buf_fini(&t->out);
	t->out_at = 0;
}

void
tls_break_off(struct stream *s, int error)
{
	s->error = error;
	s->tls->phase = PHASE_BROKEN;
	tls_drop_out(s->tls);
}

ssize_t
tls_socket_send(int fd, const char *p, size_t n)
{
	ssize_t sent;

	do
		sent = send(fd, p, n, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 && errno == EAGAIN ? 0 : sent;
}

bool
tls_flush(struct stream *s)
{
	struct tls *t = s->tls;

	t->holds = false;
	while (tls_has_out(t)) {
		ssize_t sent = tls_socket_send(s->fd, t->out.p + t->out_at, t->out.n - t->out_at);

		if (sent < 0)
			tls_break_off(s, errno);
		if (sent <= 0)
			return false;
		t->out_at += (size_t)sent;
	}
	tls_drop_out(t);
	if (t->ending)
		shutdown(s->fd, SHUT_WR); /* fails only when the peer has gone already */
	return true;
}

void
tls_keep(struct tls *t, const char *p, size_t n)
{
	if (t->out_at > 0) {
		t->out.n -= t->out_at;
		memmove(t->out.p, t->out.p + t->out_at, t->out.n);
		t->out_at = 0;
	}
	buf_add(&t->out, p, n);
}

static int
bio_write(BIO *b, const char *p, int n)
{
	struct tls *t = BIO_get_data(b);
	ssize_t sent = 0;

	BIO_clear_retry_flags(b);
	if (t->is_plain)
		return n; /* an alert would only be noise to that client */
	if (t->gather != NULL) {
		/* Small records only come first, where 16 KiB are gathered: it cannot be full. Past it bytes would overtake. */
		if (t->gather->n + (size_t)n > TLS_GATHER_ROOM)
			bug("more TLS records are gathered than one send has");
		memcpy(t->gather->bytes + t->gather->n, p, (size_t)n);
		t->gather->n += (size_t)n;
		return n;
	}
	if (!tls_has_out(t) && !t->corked)
		sent = tls_socket_send(t->stream->fd, p, (size_t)n);
	if (sent < 0)
		t->stream->error = errno;
	else if (t->out.n - t->out_at + (size_t)n > OUT_MAX_BYTES)
		t->stream->error = ENOBUFS;
	else {
		tls_keep(t, p + sent, (size_t)(n - sent));
		return n;
	}
	return -1;
}

static int
bio_read(BIO *b, char *p, int cap)
{
	struct tls *t = BIO_get_data(b);
	ssize_t got;

	BIO_clear_retry_flags(b);
	do
		got = recv(t->stream->fd, p, (size_t)cap, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		BIO_set_retry_read(b);
	else if (got < 0)
		t->stream->error = errno;
	else if (got == 0)
		BIO_set_flags(b, BIO_FLAGS_IN_EOF);
	else if (!t->heard) {
		t->heard = true;
		t->is_plain = t->ctx != NULL && p[0] >= 'A' && p[0] <= 'Z';
	}
	return (int)got;
}

static long
bio_control(BIO *b, int what, long number, void *p)
{
	if (what == BIO_CTRL_EOF)
		return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
	return what == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

static void
make_bio_method(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
	if (bio_method == NULL || BIO_meth_set_write(bio_method, bio_write) != 1 ||
	    BIO_meth_set_read(bio_method, bio_read) != 1 ||
	    BIO_meth_set_ctrl(bio_method, bio_control) != 1)
		bug("no memory for a BIO_METHOD");
}

BIO *
tls_bio_new(struct tls *t)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *b;

	pthread_once(&once, make_bio_method);
	b = BIO_new(bio_method);
	if (b == NULL)
		return NULL;
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	return b;
}

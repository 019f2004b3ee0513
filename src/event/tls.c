#include "event/tls.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "event/drain.h"
#include "event/tlsconn_priv.h"

static struct task *
tls_announcement(struct stream *s)
{
	return &s->tls->announce;
}

static short
tls_on_event(struct stream *s, short what)
{
	struct tls *t = s->tls;
	bool was_greeting = t->phase == PHASE_GREETING;

	if ((what & EV_WRITE) && tls_has_out(t))
		tls_flush(s);
	if (was_greeting)
		what = tls_greet(s);
	else if (t->phase == PHASE_BROKEN)
		what |= EV_READ | EV_WRITE;
	else if ((what & EV_READ) && t->write_waits) {
		t->write_waits = false;
		what |= EV_WRITE;
	}
	tls_arm(s);
	return s->transport_holds_write ? what & ~EV_WRITE : what;
}

/* --- reading --- */

/* Fills p as far as OpenSSL has or gets it; asks the socket again only in the middle of a record. */
static size_t
read_piece(struct stream *s, char *p, size_t n)
{
	struct tls *t = s->tls;
	size_t filled = 0;

	while (filled < n && t->phase == PHASE_OPEN && !t->starved) {
		size_t got = 0;
		int r;

		tls_forget_errors();
		r = SSL_read_ex(t->ssl, p + filled, n - filled, &got);
		if (r != 1)
			t->starved = tls_wants_more(s, r);
		filled += got;
		if (r == 1 && !SSL_has_pending(t->ssl))
			break;
	}
	return filled;
}

static ssize_t
tls_readv(struct stream *s, const struct iovec *iov, int n)
{
	struct tls *t = s->tls;
	size_t total = 0;

	t->starved = false;
	for (int i = 0; i < n; i++) {
		size_t got = read_piece(s, iov[i].iov_base, iov[i].iov_len);

		total += got;
		if (got < iov[i].iov_len)
			break;
	}
	if (!SSL_in_init(t->ssl))
		t->write_waits = false; /* the other half has come */
	tls_arm(s);
	if (total > 0 || t->phase == PHASE_ENDED)
		return (ssize_t)total;
	return t->phase == PHASE_BROKEN ? STREAM_ERROR : STREAM_AGAIN;
}

/* --- the end --- */

/* Tells the peer that nothing follows, once, if it can be told. */
static void
say_goodbye(struct stream *s)
{
	struct tls *t = s->tls;

	if (t->ending || !t->greeted || t->phase == PHASE_BROKEN)
		return;
	t->ending = true;
	tls_forget_errors();
	if (SSL_shutdown(t->ssl) < 0)
		ERR_clear_error(); /* between two messages of a handshake: the FIN has to do */
}

static void
tls_shutdown(struct stream *s)
{
	struct tls *t = s->tls;

	say_goodbye(s);
	if (!tls_has_out(t))
		shutdown(s->fd, SHUT_WR);
	tls_arm(s);
}

static void
tls_free(struct stream *s)
{
	struct tls *t = s->tls;

	task_cancel(&t->announce);
	if (!s->is_reset)
		say_goodbye(s);
	if (!s->is_reset && t->greeted && tls_has_out(t)) {
		drain_start(s->loop, s->fd, &t->out, t->out_at);
		s->fd = -1;
	}
	tls_drop_out(t);
	SSL_free(t->ssl);
	tls_context_unref(&t->ctx);
	free(t->failure);
	free(t->certificate);
	free(t->certificate_chain);
	free(t);
	s->tls = NULL;
}

static const struct stream_transport tls_transport = {
    .readv = tls_readv,
    .writev = tls_writev,
    .shutdown = tls_shutdown,
    .has_pending = tls_has_pending,
    .announcement = tls_announcement,
    .free = tls_free,
    .on_event = tls_on_event,
};

/* --- the interface --- */

struct stream *
stream_open_tls(
    struct loop *l, int fd, struct tls_context *ctx, const struct stream_handler *h, void *arg)
{
	struct stream *s = stream_new(l, fd, &tls_transport, h, arg);
	struct tls *t = calloc(1, sizeof(*t));
	SSL *ssl = tls_context_connection(ctx);
	BIO *bio = t == NULL ? NULL : tls_bio_new(t);

	if (s == NULL || ssl == NULL || bio == NULL)
		goto fail;
	SSL_set_bio(ssl, bio, bio);
	*t = (struct tls){.ctx = tls_context_ref(ctx), .ssl = ssl, .stream = s};
	task_init(&t->announce, stream_announce, s);
	s->tls = t;
	tls_arm(s);
	return s;
fail:
	BIO_free(bio);
	SSL_free(ssl);
	free(t);
	free(s);
	errno = ENOMEM;
	return NULL;
}

int
stream_attach_tls(struct stream *s, SSL *ssl)
{
	struct tls *t = calloc(1, sizeof(*t));
	BIO *bio = t == NULL ? NULL : tls_bio_new(t);

	if (bio == NULL) {
		SSL_free(ssl);
		free(t);
		errno = ENOMEM;
		return -1;
	}
	SSL_set_bio(ssl, bio, bio);
	*t = (struct tls){.ssl = ssl, .stream = s};
	task_init(&t->announce, stream_announce, s);
	s->tls = t;
	s->transport = &tls_transport;
	s->want_write = true; /* the outcome is told by on_writable */
	tls_greet(s);	      /* the first words; what is wrong with them is told later */
	tls_arm(s);
	return 0;
}

const char *
stream_tls_failure(const struct stream *s)
{
	return s->tls == NULL || s->tls->failure == NULL ? "" : s->tls->failure;
}

enum tls_fault
stream_tls_fault(const struct stream *s)
{
	return s->tls == NULL ? TLS_FAULT_none : s->tls->fault;
}

struct tls_client_certificate
stream_tls_client_certificate(const struct stream *s)
{
	const struct tls *t = s->tls;

	return (struct tls_client_certificate){
	    .own = t == NULL || t->certificate == NULL ? SLICE_NONE : slice_from(t->certificate),
	    .chain = t == NULL || t->certificate_chain == NULL ? SLICE_NONE
							       : slice_from(t->certificate_chain),
	};
}

bool
stream_tls_info(const struct stream *s, struct tls_info *out)
{
	const unsigned char *protocol;
	unsigned protocol_len;
	const SSL *ssl;

	if (s->tls == NULL || !s->tls->greeted)
		return false;
	ssl = s->tls->ssl;
	SSL_get0_alpn_selected(ssl, &protocol, &protocol_len);
	*out = (struct tls_info){
	    .version = SSL_get_version(ssl),
	    .cipher = SSL_get_cipher_name(ssl),
	    .server_name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name),
	    .protocol = slice_of(protocol, protocol_len),
	    .is_resumed = SSL_session_reused(ssl) == 1,
	};
	return true;
}

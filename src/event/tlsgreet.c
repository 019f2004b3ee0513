#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "event/tlsconn_priv.h"

static struct tls_counters counters;

static const char plain_http_answer[] =
    "HTTP/1.1 400 Bad Request\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Length: 58\r\n"
    "Connection: close\r\n"
    "\r\n"
    "This port speaks HTTPS: the address begins with https://.\n";

const struct tls_counters *
tls_counters(void)
{
	return &counters;
}

static void
count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void
answer_plain_http(struct stream *s)
{
	count(&counters.plain);
	/* Best effort: whoever cannot take 200 bytes at once does without. */
	if (tls_socket_send(s->fd, plain_http_answer, sizeof(plain_http_answer) - 1) > 0)
		shutdown(s->fd, SHUT_WR);
}

/* ":base64:" (RFC 9440 section 2.1); nothing, if it cannot be encoded. */
static void
add_certificate(struct buf *b, X509 *x)
{
	unsigned char *der = NULL;
	int n = i2d_X509(x, &der);
	char *text = n <= 0 ? NULL : malloc((size_t)(n + 2) / 3 * 4 + 1);

	if (text != NULL) {
		int length = EVP_EncodeBlock((unsigned char *)text, der, n);

		buf_printf(b, "%s:%.*s:", b->n > 0 ? ", " : "", length, text);
	}
	free(text);
	OPENSSL_free(der);
}

static void
note_certificate(struct tls *t)
{
	X509 *own = SSL_get0_peer_certificate(t->ssl);
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(t->ssl);
	struct buf b = {0};

	if (own == NULL)
		return;
	add_certificate(&b, own);
	t->certificate = must_strndup(b.p, b.n);
	b.n = 0;
	for (int i = 0; i < sk_X509_num(chain); i++)
		add_certificate(&b, sk_X509_value(chain, i));
	if (b.n > 0)
		t->certificate_chain = must_strndup(b.p, b.n);
	buf_fini(&b);
}

static void
greeting_over(struct stream *s)
{
	struct tls *t = s->tls;

	if (t->greeted && t->phase == PHASE_GREETING)
		t->phase = PHASE_OPEN;
	if (t->ctx == NULL)
		return; /* those of listeners are counted */
	if (t->greeted) {
		note_certificate(t);
		count(&counters.handshakes);
		if (SSL_session_reused(t->ssl))
			count(&counters.resumed);
	} else if (t->phase == PHASE_ENDED || s->error != EPROTO)
		count(&counters.left);
	else {
		count(&counters.failed);
		if (t->is_plain)
			answer_plain_http(s);
	}
}

/* One flight is one write. The last of ours (tickets, say) waits for the answer to a request that has come already. */
static int
shake_hands(struct stream *s)
{
	struct tls *t = s->tls;
	int r;

	tls_forget_errors();
	t->corked = true;
	r = SSL_do_handshake(t->ssl);
	t->corked = false;
	t->holds = r == 1 && t->ctx != NULL && tls_has_out(t) && SSL_has_pending(t->ssl);
	if (!t->holds)
		tls_flush(s);
	return r;
}

short
tls_greet(struct stream *s)
{
	struct tls *t = s->tls;

	if (t->phase == PHASE_GREETING) {
		int r = shake_hands(s);

		if (r != 1 && tls_wants_more(s, r) && t->phase == PHASE_GREETING)
			return 0;
		t->greeted = r == 1;
	}
	greeting_over(s);
	return (short)(EV_WRITE | (tls_has_pending(s) ? EV_READ : 0));
}

#include <errno.h>

#include "base/log.h"
#include "base/mem.h"
#include "event/tlsconn_priv.h"

void
tls_arm(struct stream *s)
{
	const struct tls *t = s->tls;
	bool greeting = t->phase == PHASE_GREETING;

	s->transport_wants_write = tls_has_out(t);
	s->transport_wants_read = greeting || t->write_waits;
	s->transport_holds_read = greeting;
	s->transport_holds_write = greeting || t->write_waits || (tls_has_out(t) && !t->holds);
	stream_arm(s);
}

bool
tls_has_pending(const struct stream *s)
{
	const struct tls *t = s->tls;

	switch (t->phase) {
	case PHASE_GREETING:
		return false;
	case PHASE_OPEN:
		return !t->starved && SSL_has_pending(t->ssl);
	case PHASE_ENDED:
	case PHASE_BROKEN:
		return true;
	}
	bug("phase %d", t->phase);
}

/* A client's owner is told in words: what is wrong is his to put right. */
static void
note_failure(struct tls *t, unsigned long error, const char *why)
{
	long verdict = SSL_get_verify_result(t->ssl);
	struct buf text = {0};

	if (t->ctx != NULL || t->failure != NULL)
		return;
	t->fault = verdict != X509_V_OK ? TLS_FAULT_certificate
	    : ERR_GET_REASON(error) > SSL_AD_REASON_OFFSET && ERR_GET_LIB(error) == ERR_LIB_SSL
	    ? TLS_FAULT_alert
	    : TLS_FAULT_protocol;
	if (verdict != X509_V_OK)
		buf_printf(&text, "its certificate is not accepted: %s",
		    X509_verify_cert_error_string(verdict));
	else
		buf_printf(&text, "TLS: %s", why);
	t->failure = must_strndup(text.p, text.n);
	buf_fini(&text);
}

bool
tls_wants_more(struct stream *s, int result)
{
	struct tls *t = s->tls;
	unsigned long error;
	char why[256];

	switch (SSL_get_error(t->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return true;
	case SSL_ERROR_ZERO_RETURN:
		t->phase = PHASE_ENDED;
		return false;
	case SSL_ERROR_SYSCALL:
		tls_break_off(s, s->error != 0 ? s->error : ECONNRESET);
		return false;
	default:
		error = ERR_peek_error();
		tls_complaint(why, sizeof(why));
		log_debug("TLS: fd %d: %s", s->fd, why);
		if (t->greeted && ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
			s->error = ECONNRESET; /* an end that may be somebody else's */
		else
			note_failure(t, error, why);
		tls_break_off(s, s->error != 0 ? s->error : EPROTO);
		return false;
	}
}

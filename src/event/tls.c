/* How a record gets out. OpenSSL makes records; a BIO of ours sends them and never refuses: what
 * the socket does not take is kept in `out` until it does. So a byte that went into a record has been
 * taken, for good: it goes out as it was, whatever the owner does next, and OpenSSL's rule that a
 * refused write be repeated with the same bytes never comes into play. In return no record is begun
 * while `out` holds anything, so it is never more than one send's, and what is left when
 * the owner closes is sent behind its back (event/drain.h).
 *
 * How many go out at once. The records of one write are gathered (the thread's `gather`, a copy that lies in the processor's cache)
 * and sent by one call: 16 KiB at first, twice as much each time the socket takes all, up to GATHER_BYTES; as soon as it
 * refuses any, 16 KiB again, so that a client who reads slowly holds no more of our memory than one record. What a connection
 * says first, or after a pause, goes in small records: the client can use each as soon as its few packets are there, where a full one
 * would have to wait for a second round trip.
 *
 * How one gets in. OpenSSL reads ahead, a record's worth per system call, so bytes may be with it
 * that epoll knows nothing of: tls_has_pending says so, and stream.c announces them.
 *
 * What OpenSSL makes of a handshake in one go is one write, too (shake_hands): it would send each ticket by itself.
 *
 * A handshake message cut in half in mid-connection (a TLS 1.3 key update) makes OpenSSL want to
 * read before it writes: `write_waits` holds the owner's wish to write until there is more. */
#include "event/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "event/drain.h"
#include "event/stream_priv.h"
#include "event/tls_priv.h"
#include "event/tlsclient.h"

#define RECORD_BYTES 16384
#define RECORD_EARLY_BYTES 4096	 /* three packets of most networks */
#define EARLY_BYTES 16384	 /* what goes in these: some ten packets may leave unacknowledged */
#define PAUSE_MS 1000		 /* after which it begins so again */
#define GATHER_BYTES (64 * 1024) /* of the application, in one send */
#define GATHER_ROOM (GATHER_BYTES + GATHER_BYTES / RECORD_EARLY_BYTES * 64) /* with what TLS adds */
#define OUT_MAX_BYTES (256 * 1024) /* a handshake's flight, or alerts to one who does not read */

enum phase { PHASE_GREETING, PHASE_OPEN, PHASE_ENDED, PHASE_BROKEN };

struct tls {
	struct tls_context *ctx; /* own reference; NULL: our side is the client's */
	char *failure;		 /* of a client's, for people; NULL: none */
	enum tls_fault fault;	 /* the same for programs */
	SSL *ssl;
	struct stream *stream;
	struct task announce; /* of what is pending here */
	enum phase phase;     /* of reading; writing goes on after PHASE_ENDED */
	struct buf out;	      /* made, but not yet taken by the socket, from out_at on */
	size_t out_at;
	bool greeted;	       /* the handshake has succeeded */
	bool starved;	       /* what OpenSSL holds is less than a record */
	bool write_waits;      /* for something to be read */
	bool ending;	       /* nothing follows `out` */
	bool corked;	       /* what is made is kept until all of it is there */
	bool holds;	       /* `out` is sent with the record that follows */
	struct gather *gather; /* where records go meanwhile; NULL: out */
	uint32_t stride_bytes; /* of the application, for the next send */
	uint32_t early_bytes;  /* still to go in small records */
	int64_t wrote_ms;
	char *certificate, *certificate_chain; /* the client's, for fields; NULL: none */
	bool is_plain, heard; /* the first byte was no beginning of TLS; it has been looked at */
};

/* Records on their way into one send. */
struct gather {
	size_t n;
	char bytes[GATHER_ROOM];
};

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

/* OpenSSL takes what lies in its queue for the call's own. Clearing an empty one costs more than looking. */
static void
forget_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

/* --- between OpenSSL and the socket --- */

static bool
has_out(const struct tls *t)
{
	return t->out_at < t->out.n;
}

static void
drop_out(struct tls *t)
{
	buf_fini(&t->out);
	t->out_at = 0;
}

static void
break_off(struct stream *s, int error)
{
	s->error = error;
	s->tls->phase = PHASE_BROKEN;
	drop_out(s->tls);
}

/* Bytes sent, 0 when the socket takes none now, -1 (errno). */
static ssize_t
socket_send(int fd, const char *p, size_t n)
{
	ssize_t sent;

	do
		sent = send(fd, p, n, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 && errno == EAGAIN ? 0 : sent;
}

/* True: nothing is held any more. */
static bool
flush(struct stream *s)
{
	struct tls *t = s->tls;

	t->holds = false;
	while (has_out(t)) {
		ssize_t sent = socket_send(s->fd, t->out.p + t->out_at, t->out.n - t->out_at);

		if (sent < 0)
			break_off(s, errno);
		if (sent <= 0)
			return false;
		t->out_at += (size_t)sent;
	}
	drop_out(t);
	if (t->ending)
		shutdown(s->fd, SHUT_WR); /* fails only when the peer has gone already */
	return true;
}

static void
keep(struct tls *t, const char *p, size_t n)
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
		if (t->gather->n + (size_t)n > GATHER_ROOM)
			bug("more TLS records are gathered than one send has");
		memcpy(t->gather->bytes + t->gather->n, p, (size_t)n);
		t->gather->n += (size_t)n;
		return n;
	}
	if (!has_out(t) && !t->corked)
		sent = socket_send(t->stream->fd, p, (size_t)n);
	if (sent < 0)
		t->stream->error = errno;
	else if (t->out.n - t->out_at + (size_t)n > OUT_MAX_BYTES)
		t->stream->error = ENOBUFS;
	else {
		keep(t, p + sent, (size_t)(n - sent));
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

static BIO *
bio_new(struct tls *t)
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

/* --- what is waited for --- */

static void
tls_arm(struct stream *s)
{
	const struct tls *t = s->tls;
	bool greeting = t->phase == PHASE_GREETING;

	s->transport_wants_write = has_out(t);
	s->transport_wants_read = greeting || t->write_waits;
	s->transport_holds_read = greeting;
	s->transport_holds_write = greeting || t->write_waits || (has_out(t) && !t->holds);
	stream_arm(s);
}

static bool
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

static struct task *
tls_announcement(struct stream *s)
{
	return &s->tls->announce;
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

/* What a call of OpenSSL's that did not succeed means. True: it wants to read more. */
static bool
wants_more(struct stream *s, int result)
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
		break_off(s, s->error != 0 ? s->error : ECONNRESET);
		return false;
	default:
		error = ERR_peek_error();
		tls_complaint(why, sizeof(why));
		log_debug("TLS: fd %d: %s", s->fd, why);
		if (t->greeted && ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
			s->error = ECONNRESET; /* an end that may be somebody else's */
		else
			note_failure(t, error, why);
		break_off(s, s->error != 0 ? s->error : EPROTO);
		return false;
	}
}

/* --- the handshake --- */

static void
answer_plain_http(struct stream *s)
{
	count(&counters.plain);
	/* Best effort: whoever cannot take 200 bytes at once does without. */
	if (socket_send(s->fd, plain_http_answer, sizeof(plain_http_answer) - 1) > 0)
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

	forget_errors();
	t->corked = true;
	r = SSL_do_handshake(t->ssl);
	t->corked = false;
	t->holds = r == 1 && t->ctx != NULL && has_out(t) && SSL_has_pending(t->ssl);
	if (!t->holds)
		flush(s);
	return r;
}

/* Returns what the owner should hear of now. */
static short
greet(struct stream *s)
{
	struct tls *t = s->tls;

	if (t->phase == PHASE_GREETING) {
		int r = shake_hands(s);

		if (r != 1 && wants_more(s, r) && t->phase == PHASE_GREETING)
			return 0;
		t->greeted = r == 1;
	}
	greeting_over(s);
	return (short)(EV_WRITE | (tls_has_pending(s) ? EV_READ : 0));
}

static short
tls_on_event(struct stream *s, short what)
{
	struct tls *t = s->tls;
	bool was_greeting = t->phase == PHASE_GREETING;

	if ((what & EV_WRITE) && has_out(t))
		flush(s);
	if (was_greeting)
		what = greet(s);
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

		forget_errors();
		r = SSL_read_ex(t->ssl, p + filled, n - filled, &got);
		if (r != 1)
			t->starved = wants_more(s, r);
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

/* --- writing --- */

/* The bytes of an iovec, record by record. */
struct source {
	const struct iovec *iov;
	int n;
	size_t at; /* in the first */
};

static size_t
source_left(const struct source *from)
{
	size_t left = 0;

	for (int i = 0; i < from->n && left <= GATHER_BYTES; i++)
		left += from->iov[i].iov_len;
	return left - from->at;
}

/* The next record's bytes, at most so many: where they are, if they are in one piece, else gathered in space. Nothing:
 * the source is used up. */
static struct slice
source_next(struct source *from, char *space, size_t most)
{
	size_t filled = 0;

	while (from->n > 0 && filled < most) {
		const char *p = (const char *)from->iov->iov_base + from->at;
		size_t left = from->iov->iov_len - from->at, room = most - filled;
		size_t take = left < room ? left : room;

		from->at += take;
		if (take == left) {
			from->iov++;
			from->n--;
			from->at = 0;
		}
		if (filled == 0 && (take == most || (take > 0 && from->n == 0)))
			return slice_of(p, take);
		memcpy(space + filled, p, take);
		filled += take;
	}
	return slice_of(space, filled);
}

/* True: it went into a record. */
static bool
write_record(struct stream *s, struct slice bytes)
{
	struct tls *t = s->tls;
	size_t taken;
	int r;

	forget_errors();
	if (SSL_in_init(t->ssl))
		t->starved = false; /* it will read, and may then hold more than it did */
	r = SSL_write_ex(t->ssl, bytes.p, bytes.n, &taken);
	t->write_waits = r != 1 && wants_more(s, r);
	if (r == 1)
		return true;
	if (!t->write_waits && t->phase != PHASE_BROKEN)
		break_off(s, s->error != 0 ? s->error : EPIPE);
	return false;
}

/* One record of what comes next. Returns its bytes; 0: there are none, or it could not be made. */
static size_t
write_next(struct stream *s, struct source *from)
{
	static _Thread_local char space[RECORD_BYTES];
	struct tls *t = s->tls;
	struct slice bytes =
	    source_next(from, space, t->early_bytes > 0 ? RECORD_EARLY_BYTES : RECORD_BYTES);

	if (bytes.n == 0 || !write_record(s, bytes))
		return 0;
	t->early_bytes -= bytes.n < t->early_bytes ? (uint32_t)bytes.n : t->early_bytes;
	return bytes.n;
}

/* What the socket does not take of it is kept. */
static void
send_gathered(struct stream *s, const struct gather *g)
{
	struct tls *t = s->tls;
	ssize_t sent =
	    g->n == 0 || t->phase == PHASE_BROKEN ? 0 : socket_send(s->fd, g->bytes, g->n);

	if (sent < 0)
		break_off(s, errno);
	else if (t->phase != PHASE_BROKEN && (size_t)sent < g->n)
		keep(t, g->bytes + sent, g->n - (size_t)sent);
}

/* As many records as one send is to have. Returns the bytes of the application in them; 0: no more for now. */
static size_t
write_gathered(struct stream *s, struct source *from)
{
	static _Thread_local struct gather gather;
	struct tls *t = s->tls;
	size_t total = 0, n;

	gather.n = 0;
	t->gather = &gather;
	while (total < t->stride_bytes && (n = write_next(s, from)) > 0)
		total += n;
	t->gather = NULL;
	send_gathered(s, &gather);
	if (has_out(t))
		t->stride_bytes = RECORD_BYTES;
	else if (total >= t->stride_bytes && t->stride_bytes < GATHER_BYTES)
		t->stride_bytes *= 2;
	return t->phase == PHASE_BROKEN ? 0 : total;
}

/* Returns as write_gathered. What is one record is sent as OpenSSL made it. */
static size_t
write_some(struct stream *s, struct source *from)
{
	struct tls *t = s->tls;
	size_t n;

	if (!t->holds &&
	    source_left(from) > (t->early_bytes > 0 ? RECORD_EARLY_BYTES : RECORD_BYTES))
		return write_gathered(s, from);
	n = write_next(s, from);
	if (t->holds && n > 0)
		flush(s);
	return n;
}

static void
note_pause(struct tls *t, int64_t now_ms)
{
	if (t->stride_bytes == 0 || now_ms - t->wrote_ms >= PAUSE_MS) {
		t->early_bytes = EARLY_BYTES;
		t->stride_bytes = RECORD_BYTES;
	}
	t->wrote_ms = now_ms;
}

static ssize_t
tls_writev(struct stream *s, const struct iovec *iov, int n, bool more)
{
	struct source from = {iov, n, 0};
	struct tls *t = s->tls;
	size_t total = 0, some;

	if (t->phase == PHASE_GREETING)
		return STREAM_AGAIN;
	if (t->ending && t->phase != PHASE_BROKEN) {
		s->error = EPIPE;
		return STREAM_ERROR;
	}
	note_pause(t, loop_now_ms(s->loop));
	if (t->phase != PHASE_BROKEN && (t->holds || flush(s)))
		do
			total += some = write_some(s, &from);
		while (some > 0 && !t->write_waits && (t->holds || !has_out(t)));
	tls_arm(s);
	if (total > 0)
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
	forget_errors();
	if (SSL_shutdown(t->ssl) < 0)
		ERR_clear_error(); /* between two messages of a handshake: the FIN has to do */
}

static void
tls_shutdown(struct stream *s)
{
	struct tls *t = s->tls;

	say_goodbye(s);
	if (!has_out(t))
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
	if (!s->is_reset && t->greeted && has_out(t)) {
		drain_start(s->loop, s->fd, &t->out, t->out_at);
		s->fd = -1;
	}
	drop_out(t);
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
	BIO *bio = t == NULL ? NULL : bio_new(t);

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
	BIO *bio = t == NULL ? NULL : bio_new(t);

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
	greet(s);	      /* the first words; what is wrong with them is told later */
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

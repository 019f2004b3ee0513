#include <errno.h>

#include "event/tlsconn_priv.h"

#define RECORD_BYTES 16384
#define EARLY_BYTES \
	16384 /* so many go in records of TLS_RECORD_EARLY_BYTES: some ten packets may leave unacknowledged */
#define PAUSE_MS 1000 /* after which it begins so again */

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

	for (int i = 0; i < from->n && left <= TLS_GATHER_BYTES; i++)
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

	tls_forget_errors();
	if (SSL_in_init(t->ssl))
		t->starved = false; /* it will read, and may then hold more than it did */
	r = SSL_write_ex(t->ssl, bytes.p, bytes.n, &taken);
	t->write_waits = r != 1 && tls_wants_more(s, r);
	if (r == 1)
		return true;
	if (!t->write_waits && t->phase != PHASE_BROKEN)
		tls_break_off(s, s->error != 0 ? s->error : EPIPE);
	return false;
}

/* One record of what comes next. Returns its bytes; 0: there are none, or it could not be made. */
static size_t
write_next(struct stream *s, struct source *from)
{
	static _Thread_local char space[RECORD_BYTES];
	struct tls *t = s->tls;
	struct slice bytes =
	    source_next(from, space, t->early_bytes > 0 ? TLS_RECORD_EARLY_BYTES : RECORD_BYTES);

	if (bytes.n == 0 || !write_record(s, bytes))
		return 0;
	t->early_bytes -= bytes.n < t->early_bytes ? (uint32_t)bytes.n : t->early_bytes;
	return bytes.n;
}

/* What the socket does not take of it is kept. */
static void
send_gathered(struct stream *s, const struct tls_gather *g)
{
	struct tls *t = s->tls;
	ssize_t sent =
	    g->n == 0 || t->phase == PHASE_BROKEN ? 0 : tls_socket_send(s->fd, g->bytes, g->n);

	if (sent < 0)
		tls_break_off(s, errno);
	else if (t->phase != PHASE_BROKEN && (size_t)sent < g->n)
		tls_keep(t, g->bytes + sent, g->n - (size_t)sent);
}

/* As many records as one send is to have. Returns the bytes of the application in them; 0: no more for now. */
static size_t
write_gathered(struct stream *s, struct source *from)
{
	static _Thread_local struct tls_gather gather;
	struct tls *t = s->tls;
	size_t total = 0, n;

	gather.n = 0;
	t->gather = &gather;
	while (total < t->stride_bytes && (n = write_next(s, from)) > 0)
		total += n;
	t->gather = NULL;
	send_gathered(s, &gather);
	if (tls_has_out(t))
		t->stride_bytes = RECORD_BYTES;
	else if (total >= t->stride_bytes && t->stride_bytes < TLS_GATHER_BYTES)
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
	    source_left(from) > (t->early_bytes > 0 ? TLS_RECORD_EARLY_BYTES : RECORD_BYTES))
		return write_gathered(s, from);
	n = write_next(s, from);
	if (t->holds && n > 0)
		tls_flush(s);
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

ssize_t
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
	if (t->phase != PHASE_BROKEN && (t->holds || tls_flush(s)))
		do
			total += some = write_some(s, &from);
		while (some > 0 && !t->write_waits && (t->holds || !tls_has_out(t)));
	tls_arm(s);
	if (total > 0)
		return (ssize_t)total;
	return t->phase == PHASE_BROKEN ? STREAM_ERROR : STREAM_AGAIN;
}

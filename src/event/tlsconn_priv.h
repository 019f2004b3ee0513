/* event/tlsconn_priv.h - the insides of one TLS connection, shared by its files: tls.c (the stream: reading, its end), tlsgreet.c
 * (the handshake), tlswrite.c (records), tlsstate.c (what a call of OpenSSL's left it in), tlssocket.c (between OpenSSL and the
 * socket).
 *
 * How a record gets out. OpenSSL makes records; a BIO of ours sends them and never refuses: what
 * the socket does not take is kept in `out` until it does. So a byte that went into a record has been
 * taken, for good: it goes out as it was, whatever the owner does next, and OpenSSL's rule that a
 * refused write be repeated with the same bytes never comes into play. In return no record is begun
 * while `out` holds anything, so it is never more than one send's, and what is left when
 * the owner closes is sent behind its back (event/drain.h).
 *
 * How many go out at once. The records of one write are gathered (the thread's `gather`, a copy that lies in the processor's cache)
 * and sent by one call: 16 KiB at first, twice as much each time the socket takes all, up to TLS_GATHER_BYTES; as soon as it
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
#ifndef EVENT_TLSCONN_PRIV_H
#define EVENT_TLSCONN_PRIV_H

#include <openssl/err.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "event/stream_priv.h"
#include "event/tls_priv.h"
#include "event/tlsclient.h"

#define TLS_RECORD_EARLY_BYTES 4096  /* three packets of most networks */
#define TLS_GATHER_BYTES (64 * 1024) /* of the application, in one send */
#define TLS_GATHER_ROOM \
	(TLS_GATHER_BYTES + TLS_GATHER_BYTES / TLS_RECORD_EARLY_BYTES * 64) /* with what TLS adds */

enum tls_phase { PHASE_GREETING, PHASE_OPEN, PHASE_ENDED, PHASE_BROKEN };

struct tls {
	struct tls_context *ctx; /* own reference; NULL: our side is the client's */
	char *failure;		 /* of a client's, for people; NULL: none */
	enum tls_fault fault;	 /* the same for programs */
	SSL *ssl;
	struct stream *stream;
	struct task announce; /* of what is pending here */
	enum tls_phase phase; /* of reading; writing goes on after PHASE_ENDED */
	struct buf out;	      /* made, but not yet taken by the socket, from out_at on */
	size_t out_at;
	bool greeted;		   /* the handshake has succeeded */
	bool starved;		   /* what OpenSSL holds is less than a record */
	bool write_waits;	   /* for something to be read */
	bool ending;		   /* nothing follows `out` */
	bool corked;		   /* what is made is kept until all of it is there */
	bool holds;		   /* `out` is sent with the record that follows */
	struct tls_gather *gather; /* where records go meanwhile; NULL: out */
	uint32_t stride_bytes;	   /* of the application, for the next send */
	uint32_t early_bytes;	   /* still to go in small records */
	int64_t wrote_ms;
	char *certificate, *certificate_chain; /* the client's, for fields; NULL: none */
	bool is_plain, heard; /* the first byte was no beginning of TLS; it has been looked at */
};

/* Records on their way into one send. */
struct tls_gather {
	size_t n;
	char bytes[TLS_GATHER_ROOM];
};

/* OpenSSL takes what lies in its queue for the call's own. Clearing an empty one costs more than looking. */
static inline void
tls_forget_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

static inline bool
tls_has_out(const struct tls *t)
{
	return t->out_at < t->out.n;
}

/* tlssocket.c */

/* A BIO that sends and receives on t->stream. NULL without memory. */
BIO *tls_bio_new(struct tls *t);
/* Bytes sent, 0 when the socket takes none now, -1 (errno). */
ssize_t tls_socket_send(int fd, const char *p, size_t n);
/* Appends to what the socket has not taken; sends that, true: nothing is held any more; forgets it. */
void tls_keep(struct tls *t, const char *p, size_t n);
bool tls_flush(struct stream *s);
void tls_drop_out(struct tls *t);
/* The connection is of no use any more; error is what its owner reads. */
void tls_break_off(struct stream *s, int error);

/* tlsstate.c */

/* What a call of OpenSSL's that did not succeed means. True: it wants to read more. */
bool tls_wants_more(struct stream *s, int result);
/* Tells the loop what the stream waits for. */
void tls_arm(struct stream *s);
/* The transport's has_pending (stream_priv.h). */
bool tls_has_pending(const struct stream *s);

/* tlsgreet.c: goes on with the handshake. Returns what the owner should hear of now. */
short tls_greet(struct stream *s);

/* tlswrite.c: the transport's writev (stream_priv.h). */
ssize_t tls_writev(struct stream *s, const struct iovec *iov, int n, bool more);

#endif

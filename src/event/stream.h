/* event/stream.h - a connected byte stream: plain TCP, a unix socket, or TLS over either, behind
 * one small interface.
 *
 * Never blocks. Owned by one loop. A stream tells its owner when it may be read or written; the
 * owner reads and writes and says what it waits for. Reading stays armed between requests, so that
 * a request on a kept-alive connection costs no change of registration. Closing inside a callback
 * is allowed: the memory goes at the end of the turn.
 */
#ifndef EVENT_STREAM_H
#define EVENT_STREAM_H

#include <sys/types.h>
#include <sys/uio.h>

#include "event/address.h"
#include "event/loop.h"

struct stream;
struct tls_context;

/* What read and write return besides a count. */
enum {
	STREAM_AGAIN = -1, /* nothing now: the callback comes when there is */
	STREAM_ERROR = -2, /* broken: stream_error says why */
};

struct stream_handler {
	void (*on_readable)(void *arg); /* may be read (or has ended, or failed: read tells); again
					   each turn until all is read or it is not wanted */
	void (*on_writable)(void *arg); /* may be written again; after stream_connect: connected, or
					   stream_error says why not */
};

/* Takes over fd, which must be non-blocking. Reading is armed. NULL (errno) leaves fd to the
 * caller. */
struct stream *stream_open(struct loop *l, int fd, const struct stream_handler *h, void *arg);
/* Begins to connect; on_writable tells the outcome (stream_error 0: connected). NULL (errno) when
 * not even that was possible; of a unix socket it may be known at once (ENOENT, ECONNREFUSED;
 * EAGAIN: its queue is full). */
struct stream *stream_connect(
    struct loop *l, const struct address *to, const struct stream_handler *h, void *arg);
/* Closes and sets *sp to NULL. No callback comes after it. */
void stream_close(struct stream **sp);
/* The same, but the peer gets a reset instead of an orderly end: it must not take what it has for
 * the whole. */
void stream_reset(struct stream **sp);
/* No more will be written; reading goes on. */
void stream_shutdown_write(struct stream *s);

/* Bytes read, 0 at the end, or STREAM_AGAIN, STREAM_ERROR. There is room for one byte at least. */
ssize_t stream_read(struct stream *s, void *p, size_t n);
ssize_t stream_readv(struct stream *s, const struct iovec *iov, int n);
/* Bytes taken, or STREAM_AGAIN (on_writable comes), STREAM_ERROR. A short count means: the callback
 * comes, too. What was taken is sent even if the stream is closed next; what was not may be offered
 * again or not, as it is or changed, over TLS, too. more: more will follow at once. */
ssize_t stream_writev(struct stream *s, const struct iovec *iov, int n, bool more);

/* Whether on_readable is wanted. Off is for back-pressure: bytes stay in the kernel. */
void stream_want_read(struct stream *s, bool want);
bool stream_wants_read(const struct stream *s);
/* on_writable once it can be written, though nothing was refused. */
void stream_want_write(struct stream *s, bool want);
/* What is written leaves at once, however little it is; and the kernel refuses more while that many bytes wait in it unsent, so
 * that what is urgent need not stand behind them. */
void stream_hurry(struct stream *s, int unsent_bytes);
/* errno of what broke it, 0 if nothing did. */
int stream_error(const struct stream *s);
int stream_fd(const struct stream *s);
/* Another owner, e.g. a pooled connection lent to the next request. */
void stream_set_handler(struct stream *s, const struct stream_handler *h, void *arg);
/* Whether the far end is TLS. */
bool stream_is_tls(const struct stream *s);
/* Whether there is something to read that the kernel knows nothing of: bytes decrypted already, an
 * end or a failure of TLS. It is announced like all the rest. */
bool stream_has_pending(const struct stream *s);

#endif

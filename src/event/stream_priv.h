/* event/stream_priv.h - the insides of a stream, for stream.c and the transports (tls.c) only. */
#ifndef EVENT_STREAM_PRIV_H
#define EVENT_STREAM_PRIV_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "event/stream.h"

struct tls;

/* How bytes get through. Results as stream_readv and stream_writev. */
struct stream_transport {
	ssize_t (*readv)(struct stream *s, const struct iovec *iov, int n);
	ssize_t (*writev)(struct stream *s, const struct iovec *iov, int n, bool more);
	void (*shutdown)(struct stream *s);
	/* The rest may be NULL. */
	/* Whether reading would give something (bytes, the end, a failure) that no event announces:
	 * then stream.c does, as long as it is wanted. */
	bool (*has_pending)(const struct stream *s);
	/* With has_pending: a task of the transport's own, made with stream_announce and the stream; the transport cancels it. */
	struct task *(*announcement)(struct stream *s);
	/* The owner has left; nothing is armed. May take the descriptor over: fd is -1 then. */
	void (*free)(struct stream *s);
	/* Sees each event first and returns what is left of it for the owner. */
	short (*on_event)(struct stream *s, short what);
};

/* One for each connection, idle ones included: 184 bytes fill a chunk of malloc's, so what only TLS needs is TLS's. */
struct stream {
	struct event event;
	struct loop *loop;
	const struct stream_transport *transport;
	struct tls *tls; /* the TLS transport's, else NULL */
	const struct stream_handler *handler;
	void *arg;
	int fd;
	int error;
	short armed; /* the flags event is added with; 0: not added */
	bool want_read : 1, want_write : 1;
	bool transport_wants_read : 1, transport_wants_write : 1; /* whatever the owner wants */
	bool transport_holds_read : 1,
	    transport_holds_write : 1; /* what the owner wants must wait */
	bool connecting : 1;
	bool in_callback : 1, closed : 1; /* closed in a callback: freed at its end */
	bool is_reset : 1;
};

/* Takes over fd, arms nothing yet. NULL (errno) leaves fd to the caller. */
struct stream *stream_new(struct loop *l, int fd, const struct stream_transport *transport,
    const struct stream_handler *h, void *arg);
/* on_readable, for what is pending in the transport; a task's run, arg is the stream. */
void stream_announce(void *arg);
/* Brings what is armed in line with what is wanted. */
void stream_arm(struct stream *s);

#endif

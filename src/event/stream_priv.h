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
	/* The owner has left; nothing is armed. May take the descriptor over: fd is -1 then. */
	void (*free)(struct stream *s);
	/* Sees each event first and returns what is left of it for the owner. */
	short (*on_event)(struct stream *s, short what);
};

struct stream {
	struct event event;
	short armed; /* the flags event is added with; 0: not added */
	int fd;
	int error;
	bool want_read, want_write;
	bool transport_wants_read, transport_wants_write; /* whatever the owner wants */
	bool transport_holds_read, transport_holds_write; /* what the owner wants must wait */
	bool connecting;
	bool in_callback, closed; /* closed in a callback: freed at its end */
	bool is_reset;
	struct task announce; /* on_readable for what is pending in the transport */
	struct loop *loop;
	const struct stream_transport *transport;
	struct tls *tls; /* the TLS transport's, else NULL */
	const struct stream_handler *handler;
	void *arg;
};

/* Takes over fd, arms nothing yet. NULL (errno) leaves fd to the caller. */
struct stream *stream_new(struct loop *l, int fd, const struct stream_transport *transport,
    const struct stream_handler *h, void *arg);
/* Brings what is armed in line with what is wanted. */
void stream_arm(struct stream *s);

#endif

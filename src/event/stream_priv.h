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
	bool (*has_pending)(const struct stream *s);
	void (*free)(struct stream *s);
	/* May be NULL. Sees each event first (a handshake, a renegotiated want) and returns what is
	 * left of it for the owner. */
	short (*on_event)(struct stream *s, short what);
};

struct stream {
	struct event event;
	short armed; /* the flags event is added with; 0: not added */
	int fd;
	int error;
	bool want_read, want_write;
	bool transport_wants_read, transport_wants_write; /* whatever the owner wants */
	bool connecting;
	bool in_callback, closed; /* closed in a callback: freed at its end */
	bool is_reset;
	struct loop *loop;
	const struct stream_transport *transport;
	struct tls *tls; /* the TLS transport's, else NULL */
	const struct stream_handler *handler;
	void *arg;
};

/* Brings what is armed in line with what is wanted. */
void stream_arm(struct stream *s);

#endif

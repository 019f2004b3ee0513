/* event/proxyproto.h - the PROXY protocol, versions 1 and 2: what a proxy says, before the first byte of
 * a connection, about the client it speaks for. Bytes in, structs out; no I/O.
 *
 * As HAProxy's specification has it (proxy-protocol.txt), and strictly: what is not exactly a header is
 * PROXY_BAD, and a connection that began so has nothing more to say.
 */
#ifndef EVENT_PROXYPROTO_H
#define EVENT_PROXYPROTO_H

#include "base/slice.h"
#include "event/stream.h"

#define PROXY_V1_MAX_BYTES 107
#define PROXY_MAX_BYTES \
	(16 + 16384) /* of version 2, with all its TLVs; the format would allow 64 KiB */
#define PROXY_LINE_BYTES 52

enum proxy_answer { PROXY_WHOLE, PROXY_PARTIAL, PROXY_BAD };

struct proxy_header {
	size_t size; /* what it takes of the bytes */
	bool
	    has_addresses; /* false: LOCAL, UNKNOWN, a unix socket, datagrams: the connection speaks
			       for itself */
	struct address from, to;
};

/* Whether in begins with a header. *why_out: of PROXY_BAD, for people. A checksum among its TLVs (CRC32c)
 * must be right; the other TLVs are passed over. */
enum proxy_answer proxy_parse(struct slice in, struct proxy_header *out, const char **why_out);

/* A header of version 2 as we send it. */
struct proxy_line {
	unsigned n; /* 0: none is sent */
	unsigned char bytes[PROXY_LINE_BYTES];
};
/* from speaks to `to`. from NULL or no IP: the header says LOCAL; to NULL or no IP: 0.0.0.0 or ::. */
void proxy_line_make(struct proxy_line *out, const struct address *from, const struct address *to);
static inline bool
proxy_line_eq(const struct proxy_line *a, const struct proxy_line *b)
{
	return a->n == b->n && memcmp(a->bytes, b->bytes, a->n) == 0;
}

#endif

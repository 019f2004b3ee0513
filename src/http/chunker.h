/* http/chunker.h - writes a body of unknown length in chunks (RFC 9112 section 7.1), without copying it.
 *
 * The writer gathers pieces of payload, the chunker puts frames round them; what a short write took is booked and the
 * rest goes out next time, in the same chunk. Pure: the caller owns the pieces.
 */
#ifndef HTTP_CHUNKER_H
#define HTTP_CHUNKER_H

#include <sys/uio.h>

#include "base/slice.h"

struct chunker {
	char frame[20]; /* size and CRLF of the open chunk */
	uint8_t frame_len, frame_sent;
	uint8_t end_left; /* of the CRLF behind the open chunk's payload, not yet sent */
	bool ending;
	uint64_t left;	       /* payload of the open chunk not yet sent */
	struct slice trailers; /* canonical lines for behind the last chunk; the caller's */
	size_t tail_sent;      /* of the last chunk and what follows it */
};

#define CHUNKER_EXTRA 5 /* pieces it may need besides the payload's */

/* Frames what is to be sent now. The caller has put n pieces of payload at iov[1], leaving iov[0] free and room for
 * CHUNKER_EXTRA pieces in all; last: nothing comes after them. Returns how many pieces from iov[0] on are to be written; *payload_out
 * is how much of the payload is among them. 0: nothing is left to send. */
int chunker_frame(struct chunker *c, struct iovec *iov, int n, bool last, size_t *payload_out);
/* Books sent bytes of what chunker_frame returned. Returns how many of them were payload. */
size_t chunker_sent(struct chunker *c, size_t sent);
/* The last chunk and the trailers have been sent. */
bool chunker_is_done(const struct chunker *c);

#endif

/* http/negotiate.h - what a client accepts: content codings and media types (RFC 9110 section 12). Pure. */
#ifndef HTTP_NEGOTIATE_H
#define HTTP_NEGOTIATE_H

#include "base/buf.h"
#include "http/head.h"

/* clang-format off */
/* Content codings we know, as bits of a mask.
 *        coding    bit  token */
#define ENCODINGS(X)                \
	X(IDENTITY, 1,   "identity")\
	X(GZIP,     2,   "gzip")    \
	X(BR,       4,   "br")      \
	X(ZSTD,     8,   "zstd")
/* clang-format on */

enum encoding {
	ENC_OTHER = 0, /* a coding, or several, that we do not know */
#define X(coding, bit, token) ENC_##coding = bit,
	ENCODINGS(X)
#undef X
};
#define ENC_KNOWN 4 /* how many there are */

#define Q_MAX 1000 /* a q of 1 */

/* A member of an Accept field: what is accepted, and how much. */
struct preference {
	struct slice what;
	bool has_params; /* other than q */
	int q;		 /* in thousandths */
};

/* False if the member is malformed; it then counts as not there. */
bool preference_read(struct slice member, struct preference *out);

/* Accept-Encoding, read. */
struct accept_encoding {
	bool present;
	uint16_t q[ENC_KNOWN]; /* in thousandths, in the order of ENCODINGS; 0: not acceptable */
	uint16_t any_q;	       /* what "*" says of a coding that is not listed; 0 without "*" */
	uint8_t accepted;      /* mask of those with q > 0 */
};

void accept_encoding_read(const struct head *request, struct accept_encoding *out);
/* The best of available (a mask): the greatest q, and among equal ones the first in order (0-terminated, at most
 * ENC_KNOWN long, identity left out). identity where nothing else is both available and accepted, even if it was
 * refused: an answer in an unwanted coding is better than none (RFC 9110 section 12.5.3). */
enum encoding accept_encoding_choose(
    const struct accept_encoding *a, const uint8_t *order, uint8_t available);
#define ACCEPT_ENCODING_MAX 256
/* Writes the normal form, equal for clients that accept the same, and returns its length: the codings with q > 0,
 * known ones first in the order of ENCODINGS, others sorted, then "identity;q=0" if that is refused and, where "*" is
 * accepted, what else is refused. It is a proper value of Accept-Encoding and its own normal form. 0 for a client that
 * takes identity only. ACCEPT_ENCODING_MAX + 1 if there is more than fits. */
size_t accept_encoding_normal(const struct head *request, char out[ACCEPT_ENCODING_MAX]);

/* The coding of a body by its Content-Encoding: ENC_IDENTITY without the field, ENC_OTHER if unknown or several. */
enum encoding encoding_of_body(const struct head *response);
/* "gzip"; "" for ENC_OTHER. */
struct slice encoding_token(enum encoding e);
/* The encoding of that token in any case, x-gzip included; ENC_OTHER if unknown. */
enum encoding encoding_of_token(struct slice token);

/* Type and subtype of a Content-Type, parameters and blanks cut off. */
struct slice media_type_of(struct slice content_type);
/* Whether a type ("text/html", no parameters) falls under a pattern: itself, "text/" with a star, or a star for
 * all; without case. "+json" as a pattern means every type with that suffix. */
bool media_type_matches(struct slice type, struct slice pattern);
/* The q in thousandths that Accept gives this type (most specific range first); Q_MAX without the field. Parameters
 * other than q make a range not match. */
unsigned accept_quality(const struct head *request, struct slice type);
/* Whether the client would rather read HTML than JSON: for error bodies. Without a preference, no. */
bool accept_prefers_html(const struct head *request);

#endif

/* http/storedhead.h - the canonical head that is kept with a stored response (RFC 9111 section 3.1), and what a 304
 * makes of it (sections 3.2 and 4.3.4). Pure.
 *
 * "HTTP/1.1 <status> <reason>" CRLF, one "Name: value" CRLF for each field that is stored, names as the origin wrote
 * them, and an empty line. What is for one hop or one response only is not in it, nor what the origin's no-cache="..."
 * and private="..." name, nor Age (it is worked out for each answer). Date always is.
 */
#ifndef HTTP_STOREDHEAD_H
#define HTTP_STOREDHEAD_H

#include "base/buf.h"
#include "http/cachecontrol.h"
#include "http/head.h"

struct stored_rules {
	bool drop_set_cookie; /* set_cookie is bypass or strip */
	int64_t now_ms;	      /* wall clock; for Date where the origin sent none */
};

/* Whether a field is kept. cc is the response's. */
bool field_is_stored(const struct field *f, struct slice name, const struct cache_control *cc,
    const struct stored_rules *r);
/* The head of a response as it is stored, into an empty b; *as is that head, parsed: it borrows b. False: with a Date it would have
 * more fields than a head can. */
bool stored_head_write(const struct head *response, const struct cache_control *cc,
    const struct stored_rules *r, struct buf *b, struct head *as);
/* The same of a response that is not stored: everything end-to-end, as it came. */
void passing_head_write(const struct head *response, struct buf *b, struct head *as);
/* Whether that is the response's own head, byte for byte: then *as is it, too, and borrows what it does; there is nothing to
 * write. */
bool passing_head_is(const struct head *response, struct head *as);
/* What a 304 (or a 200 to HEAD) makes of a stored head: its fields replace all of the same name, except those
 * that describe the body we have (Content-Length, Content-Encoding, Content-Range), into an empty b; *as as above. cc is the 304's. The caller works out
 * life and verdict from the result anew. False: more fields than a head can have. */
bool stored_head_merge(const struct head *stored, const struct head *fresh,
    const struct cache_control *cc, const struct stored_rules *r, struct buf *b, struct head *as);

#endif

/* http/conditional.h - conditional requests (RFC 9110 section 13) as a cache answers and asks them (RFC 9111
 * section 4.3), and the merging of what comes back. Pure.
 *
 * Entity tags are compared as section 8.8.3.2 says; one that is not written as a tag (no quotes, "w/") is
 * compared byte for byte with the same.
 */
#ifndef HTTP_CONDITIONAL_H
#define HTTP_CONDITIONAL_H

#include "base/buf.h"
#include "http/date.h"
#include "http/head.h"

/* The validators of what is stored. */
struct validators {
	struct slice etag;  /* as written; empty: none */
	int64_t modified_s; /* Last-Modified; DATE_NONE: none */
	int64_t date_s;	    /* Date, or when it was received */
};

enum condition {
	CONDITION_SEND,		/* no condition, or one that is met */
	CONDITION_NOT_MODIFIED, /* answer 304 */
	CONDITION_FORWARD, /* If-Match or If-Unmodified-Since: only the origin may say (RFC 9111 section 4.3.2) */
};

/* For GET and HEAD. Conditions apply only where the stored status is 2xx (RFC 9110 section 13.2.1). */
enum condition condition_judge(
    const struct head *request, const struct validators *v, uint16_t stored_status, int64_t now_s);
/* Whether a Range in the request applies: no If-Range, or one that names exactly what is stored, strongly. */
bool range_condition_holds(const struct head *request, const struct validators *v, int64_t now_s);

bool etag_matches_weakly(struct slice a, struct slice b);
bool etag_matches_strongly(struct slice a, struct slice b);

/* Whether a field of a response goes into the 304 that stands for it (RFC 9110 section 15.4.5): not what describes the
 * content, unless the client needs it as its validator. */
bool field_goes_in_304(const struct head *response, const struct field *f);

/* Appends If-None-Match and If-Modified-Since lines that ask the origin about this response, exactly as it wrote its
 * validators. False if it has none. */
bool conditional_write(const struct head *stored, struct buf *b);
/* Whether a 304 speaks of the stored response (RFC 9111 section 4.3.4): it names no other strong ETag, and without
 * any ETag no other Last-Modified. If not, the origin must be asked again, without conditions. */
bool not_modified_is_about(const struct head *stored, const struct head *not_modified);

/* What a 200 to HEAD says of a stored response to GET (RFC 9111 section 4.3.5). */
enum head_verdict {
	HEAD_SAYS_SAME,	   /* refresh it as by a 304 */
	HEAD_SAYS_CHANGED, /* it is stale from now on */
	HEAD_SAYS_NOTHING, /* nothing in it identifies the content */
};
/* stored_bytes: the stored content's length as it was announced (a stored head does not say it), or LENGTH_UNKNOWN. */
#define LENGTH_UNKNOWN UINT64_MAX
enum head_verdict head_judge(
    const struct head *stored, uint64_t stored_bytes, const struct head *answer);

#endif

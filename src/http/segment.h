/* http/segment.h - a large response kept in parts of equal size: which part a position lies in, and whether what the
 * origin sent is the part that was asked for. Pure.
 *
 * The configuration calls them slices; here they are segments, since a struct slice is a view of bytes. All segments of a
 * whole have the same length but the last. They may be put together only where a strong validator says that they are of one
 * version (RFC 9110 section 15.3.7.3, RFC 9111 section 3.4): a strong ETag, or a Last-Modified that is
 * older than Date (RFC 9110 section 8.8.2.2); the whole's length and a weak ETag must agree, too.
 */
#ifndef HTTP_SEGMENT_H
#define HTTP_SEGMENT_H

#include "http/range.h"

/* What all segments of one version have in common. Borrows from the head it was read from. */
struct segment_version {
	struct slice etag;  /* as written; empty: none */
	int64_t modified_s; /* Last-Modified; DATE_NONE: none, or of no account */
	uint64_t length;    /* of the whole */
};

/* Positions of that segment, the last one cut to the length; UINT64_MAX where the length is not known. */
struct byte_range segment_range(uint64_t size, uint64_t number, uint64_t length);
/* The segment with which an answer to the request is likely to begin, before the length is known: a range counted from the
 * end begins nowhere yet, so it is the first. */
uint64_t segment_wanted(const struct head *request, uint64_t size);
/* The version that these say. Beside a strong ETag no Last-Modified counts: servers may differ in it. */
struct segment_version segment_version_of(struct slice etag, int64_t modified_s, uint64_t length);
/* Whether the response is the part asked for (a last one may be shorter), of a version that can be told from others. Fills
 * *out. now_s: wall clock, for dates. */
bool segment_read(const struct head *response, const struct byte_range *asked, int64_t now_s,
    struct segment_version *out);
bool segment_is_same_version(const struct segment_version *a, const struct segment_version *b);
/* Appends the head that the whole would have had, from that of a part: without what is for one hop; with its Content-Length
 * where status is 200, with Content-Range as a 416 has it where it is 206, for an outline. */
void segment_whole_head(const struct head *part, unsigned status, uint64_t length, struct buf *out);
/* The whole's length by an outline's head. False: it says none. */
bool segment_outline_length(const struct head *outline, uint64_t *out);

#endif

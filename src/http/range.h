/* http/range.h - byte ranges (RFC 9110 section 14): which parts of a whole are asked for, and the heads around
 * them. Pure.
 *
 * A Range that is malformed, in another unit or longer than RANGES_MAX is ignored, as section 14.2 allows: the whole is
 * sent. Ranges that overlap or follow each other are joined (section 15.3.7.2), so that what is sent is never more than the whole and the parts' heads.
 */
#ifndef HTTP_RANGE_H
#define HTTP_RANGE_H

#include "base/buf.h"
#include "http/head.h"

#define RANGES_MAX 16

/* Positions of the first and the last byte. */
struct byte_range {
	uint64_t from, to;
};

struct ranges {
	unsigned count;
	struct byte_range at[RANGES_MAX]; /* as asked for, in that order */
};

enum range_answer {
	RANGE_WHOLE,	     /* no Range that counts: 200 */
	RANGE_PARTS,	     /* 206: one part plainly, several as multipart/byteranges */
	RANGE_UNSATISFIABLE, /* 416 */
};

/* The value of Range against a content of length bytes. RANGE_PARTS sets *out. */
enum range_answer range_judge(struct slice range, uint64_t length, struct ranges *out);
/* The same for a request: only GET, and only one line of Range, counts. If-Range is the caller's (conditional.h). */
enum range_answer range_judge_request(
    const struct head *request, uint64_t length, struct ranges *out);

/* Append a Content-Range line with CRLF: of one part; of a 416. */
void content_range_write(struct buf *b, const struct byte_range *r, uint64_t length);
void content_range_write_unsatisfied(struct buf *b, uint64_t length);

/* multipart/byteranges: content_type is that of the whole (may be empty), boundary the caller's. The body is for each
 * part its head and its bytes, then the end. */
void multipart_type_write(
    struct buf *b, struct slice boundary); /* the Content-Type line of the 206 */
void multipart_part_head(struct buf *b, bool is_first, struct slice boundary,
    struct slice content_type, const struct byte_range *r, uint64_t length);
void multipart_end(struct buf *b, struct slice boundary);
/* Bytes of the whole body. */
uint64_t multipart_length(
    const struct ranges *rs, struct slice boundary, struct slice content_type, uint64_t length);

/* A Content-Range of an origin, strict. */
struct content_range {
	bool has_range; /* false: "*", of a 416 */
	struct byte_range range;
	bool has_length; /* false: "*" */
	uint64_t length;
};
bool content_range_parse(struct slice value, struct content_range *out);

#endif

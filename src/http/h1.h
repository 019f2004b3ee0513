/* http/h1.h - HTTP/1.1 messages from bytes: strict, incremental, without I/O (RFC 9112).
 *
 * A head is judged line by line as it arrives: each byte is looked at once, however the bytes come, and what is wrong is
 * known as soon as its line is. What is ambiguous is refused (design: Strict in): a bare LF or CR, folded lines, blanks
 * before a colon, control characters, repeated or signed lengths, a length beside a transfer coding. What goes through
 * is well-formed, and hop-by-hop fields are marked. The bytes may move between calls: positions are offsets.
 */
#ifndef HTTP_H1_H
#define HTTP_H1_H

#include "base/buf.h"
#include "http/head.h"

/* clang-format off */
/*   fault               status  text */
#define H1_FAULTS(X)                                                                       \
	X(none,              0,   "")                                                      \
	X(bare_lf,           400, "a line does not end in CR LF")                          \
	X(start_line,        400, "the request line is not METHOD TARGET HTTP/1.1")        \
	X(status_line,       400, "the status line is not HTTP/1.1 STATUS REASON")         \
	X(version,           505, "only HTTP/1.0 and HTTP/1.1 are spoken here")            \
	X(field_name,        400, "a field's name is not a token followed by a colon")     \
	X(field_value,       400, "a field's value has a control character")               \
	X(folded,            400, "a field is folded over lines")                          \
	X(target,            400, "the target has a character that does not belong there") \
	X(target_too_long,   414, "the target is longer than limits.target_size")          \
	X(head_too_large,    431, "the head is larger than limits.head_size")              \
	X(too_many_fields,   431, "the head has too many fields")                          \
	X(no_host,           400, "there is no Host field")                                \
	X(repeated_host,     400, "there is more than one Host field")                     \
	X(connection,        400, "Connection names more than 64 fields")                  \
	X(length,            400, "Content-Length is not one decimal number")              \
	X(length_and_coding, 400, "both Content-Length and Transfer-Encoding")             \
	X(coding,            400, "Transfer-Encoding does not end in one chunked")         \
	X(coding_unknown,    501, "a transfer coding is not known here")                   \
	X(coding_in_10,      400, "Transfer-Encoding in an HTTP/1.0 message")
/* clang-format on */
enum h1_fault {
#define X(name, status, text) H1_FAULT_##name,
	H1_FAULTS(X)
#undef X
	    H1_FAULT_COUNT
};
struct h1_fault_row {
	const char *name;
	unsigned status;
	const char *text;
};
extern const struct h1_fault_row h1_faults[H1_FAULT_COUNT];

enum h1_kind { H1_REQUEST, H1_RESPONSE };
enum h1_result { H1_WHOLE, H1_PARTIAL, H1_BAD };

struct h1_limits {
	uint32_t head_bytes;   /* of the whole head */
	uint32_t target_bytes; /* of a request's target */
};

/* One head being parsed. */
struct h1_parser {
	enum h1_kind kind;
	struct h1_limits limits;
	uint32_t line_at; /* where the line begins that is not judged yet */
	uint32_t scanned; /* no line feed between line_at and here */
	bool has_start;	  /* the start line has been taken */
	bool skipped;	  /* the one empty line that may stand before a request */
	bool is_clean;	  /* all of the present line is SCAN_VALUE */
	uint32_t have;	  /* bytes that have come */
	enum h1_fault fault;
	uint32_t fault_at; /* where in the bytes */
};

void h1_parser_init(struct h1_parser *p, enum h1_kind kind, const struct h1_limits *limits);
/* Looks at what is new in the n bytes that have come so far, from the message's first on. H1_WHOLE: *h is complete, its
 * base is bytes. H1_BAD: p->fault. */
enum h1_result h1_parse(struct h1_parser *p, struct head *h, const char *bytes, size_t n);
/* Parses the head of a stored response, as our own text has it; it bears any size. False: it is not a whole, valid head.
 * The head borrows the text. */
bool head_of_stored(struct head *h, struct slice text);

/* How a body is framed (RFC 9112 section 6). */
enum framing_kind { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE };
struct framing {
	enum framing_kind kind;
	uint64_t length; /* FRAMING_LENGTH */
	/* Of a response: in a coding we never asked for, so its bytes are not what its fields say. */
	bool is_coded;
};
/* False: *fault says what is wrong. */
bool h1_request_framing(const struct head *h, struct framing *out, enum h1_fault *fault);
/* A transfer coding other than chunked means: until the connection closes; and is_coded, unless its name is nobody's: then it
 * is a slip of the origin's pen, and the bytes are taken as they are (as RFC 9112 section 6.3 frames them). */
bool h1_response_framing(
    const struct head *h, enum method method, struct framing *out, enum h1_fault *fault);
/* Whether the sender keeps the connection after this message. */
bool h1_keeps_alive(const struct head *h);

/* A chunked body being decoded (RFC 9112 section 7.1). */
#define H1_CHUNK_LINE_MAX 512 /* bytes of a size line with its extensions, which are dropped */
#define H1_TRAILERS_MAX 8192  /* bytes of all trailers */
struct h1_chunked {
	uint64_t left; /* of the chunk's data */
	unsigned state;
	unsigned trailers; /* bytes of them so far */
};
enum chunk_result {
	CHUNK_DATA, /* *payload_out are bytes of the body, in place; call again with the rest */
	CHUNK_MORE, /* more bytes are needed behind those not used */
	CHUNK_END,  /* the body and its trailers are complete */
	CHUNK_BAD
};
void h1_chunked_init(struct h1_chunked *c);
/* *used_out bytes are done with. Trailer fields that may be passed on are appended to trailers as canonical lines; those that
 * would change framing, routing or meaning are dropped (RFC 9110 section 6.5.1). */
enum chunk_result h1_chunked_next(struct h1_chunked *c, struct slice bytes,
    struct slice *payload_out, size_t *used_out, struct buf *trailers);

/* Whether a field may be passed on behind a body. */
bool h1_trailer_passes(enum field_id id);

/* token (RFC 9110 section 5.6.2) */
bool h1_is_token(struct slice s);

#endif

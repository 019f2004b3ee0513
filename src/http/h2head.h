/* http/h2head.h - header sections of HTTP/2 coming in: a request's fields become the text of HTTP/1.1 (RFC 9113 section 8).
 *
 * A request becomes the head that HTTP/1.1 would have sent, and goes through its strict parser like all others: what the
 * exchange, the log and the origin see has one form. What could mean two things is refused before: pseudo-fields, names
 * in upper case, fields of a connection, Host beside another :authority. No I/O, no clock.
 */
#ifndef HTTP_H2HEAD_H
#define HTTP_H2HEAD_H

#include "base/buf.h"
#include "http/priority.h"

/* clang-format off */
/*   fault               status  text */
#define H2_FAULTS(X)                                                                              \
	X(none,              0,   "")                                                             \
	X(pseudo_unknown,    400, "a pseudo-field is not known, or does not belong there")        \
	X(pseudo_repeated,   400, "a pseudo-field comes twice")                                   \
	X(pseudo_late,       400, "a pseudo-field stands behind other fields")                    \
	X(pseudo_missing,    400, ":method, :scheme or :path is missing")                         \
	X(method,            400, ":method is not a token")                                       \
	X(scheme,            400, ":scheme is neither http nor https")                            \
	X(path,              400, ":path is not a path")                                          \
	X(authority,         400, ":authority is not a host")                                     \
	X(protocol,          501, ":protocol is not known here")                                  \
	X(host,              400, "Host and :authority differ")                                   \
	X(field_name,        400, "a field's name is not a token in lower case")                  \
	X(field_value,       400, "a field's value has a control character, or blanks around it") \
	X(connection,        400, "a field that concerns an HTTP/1.1 connection")                 \
	X(length,            400, "Content-Length is not one decimal number, or not the body's length") \
	X(too_large,         431, "the head is larger than limits.head_size")
/* clang-format on */
enum h2_fault {
#define X(name, status, text) H2_FAULT_##name,
	H2_FAULTS(X)
#undef X
};
struct h2_fault_row {
	unsigned status;
	const char *text;
};
extern const struct h2_fault_row h2_faults[];

enum h2_pseudo {
	H2_PSEUDO_method,
	H2_PSEUDO_scheme,
	H2_PSEUDO_authority,
	H2_PSEUDO_path,
	H2_PSEUDO_protocol,
	H2_PSEUDO_COUNT
};

/* A header section coming in, field by field. {0} until h2_head_begin. */
struct h2_head {
	bool is_trailers;
	size_t limit_bytes;
	size_t bytes; /* of names and values so far */
	enum h2_fault fault;
	struct buf text;   /* the request's head as HTTP/1.1 tells it, or trailers' lines */
	struct buf cookie; /* its crumbs, joined */
	struct buf pseudo; /* values of: */
	struct h2_part {
		bool is_there;
		uint32_t at, n;
	} parts[H2_PSEUDO_COUNT];
	bool has_line;	 /* the request line stands in text: no more pseudo-fields */
	bool is_connect; /* extended CONNECT (RFC 8441): a WebSocket, told as an upgrade */
	bool has_length;
	uint64_t length;
	struct priority priority;
};

/* Ready for a section of that kind; keeps memory. */
void h2_head_begin(struct h2_head *h, bool is_trailers, size_t limit_bytes);
/* One field. After a fault, fields are taken and forgotten. */
void h2_head_field(struct h2_head *h, struct slice name, struct slice value);
/* All fields are in. A request's text is whole now unless there is a fault. upgrade_key: for Sec-WebSocket-Key. */
void h2_head_end(struct h2_head *h, struct slice upgrade_key);
/* The section has been dealt with: memory beyond the ordinary is given back. */
void h2_head_rest(struct h2_head *h);
void h2_head_fini(struct h2_head *h);

#endif

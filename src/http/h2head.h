/* http/h2head.h - header sections of HTTP/2 coming in, field by field: a request's head, or trailers (RFC 9113 section 8).
 *
 * A request becomes a head as http/head.h has it, the one that HTTP/1.1 would have sent: Host first, from :authority; Cookie last,
 * of its crumbs; extended CONNECT as an upgrade. What could mean two things is refused by the rows below, and what HTTP/1.1
 * refuses as well by the rules that both share (http/headrules.h): so what the exchange, the log and the origin see has
 * one form and one strictness. No I/O, no clock.
 */
#ifndef HTTP_H2HEAD_H
#define HTTP_H2HEAD_H

#include "base/buf.h"
#include "http/h1.h"
#include "http/h2field.h"
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
	X(too_large,         431, "the head is larger than limits.head_size")                     \
	X(as_http1,          400, "what HTTP/1.1 refuses as well: its status and text")
/* clang-format on */
enum h2_fault {
#define X(name, status, text) H2_FAULT_##name,
	H2_FAULTS(X)
#undef X
};
/* A header section coming in, field by field. {0} until h2_head_begin. */
struct h2_head {
	bool is_trailers;
	size_t limit_bytes, target_bytes;
	size_t bytes; /* of names and values so far */
	enum h2_fault fault;
	enum h1_fault shared; /* with H2_FAULT_as_http1 */
	struct head *head;    /* the request's; its base is text */
	struct buf text;      /* what head's positions are of, or trailers' lines */
	struct buf cookie;    /* its crumbs, joined */
	struct h2_part {
		bool is_there, is_usual; /* H2_VALUE_USUAL */
		uint32_t at, n;		 /* of the value, in text */
	} parts[H2_PSEUDO_COUNT];
	bool has_line;	 /* pseudo-fields are over, and judged */
	bool is_connect; /* extended CONNECT (RFC 8441): a WebSocket, told as an upgrade */
	bool has_length;
	uint64_t length;
	struct priority priority;
};

/* Ready for a section of that kind; keeps memory. limit_bytes: of names and values; target_bytes: of a request's target. */
void h2_head_begin(struct h2_head *h, bool is_trailers, size_t limit_bytes, size_t target_bytes);
/* One field, judged. After a fault, fields are taken and forgotten. */
void h2_head_field(struct h2_head *h, const struct h2_field *f);
/* All fields are in. A request's head is whole now unless there is a fault. upgrade_key: for Sec-WebSocket-Key. */
void h2_head_end(struct h2_head *h, struct slice upgrade_key);
/* How to answer a fault. */
unsigned h2_fault_status(enum h2_fault fault, enum h1_fault shared);
const char *h2_fault_text(enum h2_fault fault, enum h1_fault shared);
/* The section has been dealt with: memory beyond the ordinary is given back. */
void h2_head_rest(struct h2_head *h);
/* No section is to come soon: more is given back. */
void h2_head_sleep(struct h2_head *h);
void h2_head_fini(struct h2_head *h);

#endif

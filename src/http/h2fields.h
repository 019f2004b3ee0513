/* http/h2fields.h - the fields of a request as nghttp2's session takes them, of text as HTTP/1.1 has it.
 *
 * Names in lower case, without those that belong to one connection. They point into the text, which must last as long.
 */
#ifndef HTTP_H2FIELDS_H
#define HTTP_H2FIELDS_H

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "http/head.h"

#define H2_FIELDS_MAX (HEAD_FIELDS_MAX + 32)

struct h2_fields {
	nghttp2_nv nv[H2_FIELDS_MAX];
	size_t count;
	struct buf names; /* where those stand that nv points at */
};

/* Of a request's head with Host, ended by an empty line; says te: trailers. 0, or -1: more fields than we send. Either way
 * h2_fields_fini is due. */
int h2_fields_of_head(struct h2_fields *f, struct slice head, bool is_https);
/* Of trailer lines; likewise. */
int h2_fields_of_lines(struct h2_fields *f, struct slice lines);
void h2_fields_fini(struct h2_fields *f);

#endif

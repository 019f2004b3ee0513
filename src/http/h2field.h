/* http/h2field.h - one field of HTTP/2 as it comes, with what is judged of its name and its value alone.
 *
 * A table of fields may keep the judgement beside the field (http/hpack.h), so that one which comes again is not looked at again.
 * What depends on the others of its head is http/h2head.h's. Pure; any thread.
 */
#ifndef HTTP_H2FIELD_H
#define HTTP_H2FIELD_H

#include "http/fields.h"

enum h2_pseudo {
	H2_PSEUDO_method,
	H2_PSEUDO_scheme,
	H2_PSEUDO_authority,
	H2_PSEUDO_path,
	H2_PSEUDO_protocol,
	H2_PSEUDO_COUNT, /* begins with a colon, but is none of these */
	H2_PSEUDO_none	 /* an ordinary field */
};

enum {
	H2_NAME_GOOD = 1,  /* a token in lower case, or a pseudo-field's */
	H2_VALUE_GOOD = 2, /* no control characters, no blanks around it */
	/* Of a pseudo-field: nothing more is to be judged of it. Without, it may be good all the same. */
	H2_VALUE_USUAL = 4,
};

/* Borrowed: see who gives it. */
struct h2_field {
	struct slice name, value;
	uint8_t pseudo; /* enum h2_pseudo */
	uint8_t id;	/* enum field_id */
	uint8_t judged; /* H2_NAME_GOOD and the others */
};

/* Judge f->name, and nothing of its value yet. */
void h2_field_judge_name(struct h2_field *f);
/* Judges f->value, behind the name. */
void h2_field_judge_value(struct h2_field *f);

#endif

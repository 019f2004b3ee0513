/* http/sf.h - structured field values (RFC 9651, and so RFC 8941): the one strict reader and writer.
 *
 * A field is walked member by member without allocation; what is handed out borrows from the text. A walk that
 * ends in SF_BAD makes the whole field bad, the members already seen included: who cannot take that back asks
 * sf_list_is_valid or sf_dict_is_valid first. In a dictionary the last of equal keys counts (the walk shows all).
 */
#ifndef HTTP_SF_H
#define HTTP_SF_H

#include "base/buf.h"
#include "base/slice.h"

enum sf_type {
	SF_INTEGER,
	SF_DECIMAL, /* number in thousandths */
	SF_STRING,  /* text: what stands between the quotes, escapes still in it */
	SF_TOKEN,
	SF_BYTES,   /* text: base64 between the colons */
	SF_BOOLEAN, /* number 0 or 1 */
	SF_DATE,    /* number: seconds since 1970 */
	SF_DISPLAY, /* text: what stands between the quotes, percent-encoded */
	SF_INNER,   /* an inner list; text: what stands between the brackets, for sf_inner_next */
};

struct sf_value {
	enum sf_type type;
	int64_t number;
	struct slice text;
};

struct sf_member {
	struct slice key; /* of a dictionary member or parameter */
	struct sf_value value;
	struct slice params; /* as written, checked; for sf_param_next and sf_param */
};

enum sf_next { SF_MEMBER, SF_END, SF_BAD };

struct sf_walk {
	const char *at, *end;
	bool started;
};

void sf_walk_init(struct sf_walk *w, struct slice text);
/* The next member of a list, of a dictionary, of an inner list (its text), of parameters (their text). */
enum sf_next sf_list_next(struct sf_walk *w, struct sf_member *out);
enum sf_next sf_dict_next(struct sf_walk *w, struct sf_member *out);
enum sf_next sf_inner_next(struct sf_walk *w, struct sf_member *out);
enum sf_next sf_param_next(struct sf_walk *w, struct sf_member *out);
/* A field that is one item; false if it is anything else. */
bool sf_item(struct slice text, struct sf_member *out);

bool sf_list_is_valid(struct slice text);
bool sf_dict_is_valid(struct slice text);
/* The member of that key (the last one). False if there is none, or the field is bad. */
bool sf_dict_get(struct slice text, struct slice key, struct sf_member *out);
/* The parameter of that name. */
bool sf_param(const struct sf_member *m, struct slice name, struct sf_value *out);

/* The value of a string into out, which has room for v->text.n bytes; returns its length. */
size_t sf_string_copy(const struct sf_value *v, char *out);
/* The value of a byte sequence into out, which has room for v->text.n bytes. False if it is not base64. */
bool sf_bytes_copy(const struct sf_value *v, uint8_t *out, size_t *n_out);

bool sf_is_token(struct slice s);
bool sf_is_key(struct slice s);
/* Appends a string with its quotes; bytes outside printable ASCII, which it cannot hold, become '?'. */
void sf_write_string(struct buf *b, struct slice s);
/* Appends s as a token if it is one, otherwise as a string. */
void sf_write_token_or_string(struct buf *b, struct slice s);
/* Appends a byte sequence with its colons. */
void sf_write_bytes(struct buf *b, const void *p, size_t n);

#endif

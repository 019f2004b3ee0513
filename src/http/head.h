/* http/head.h - the head of one message, parsed: start line and fields (RFC 9110 section 6).
 *
 * A head borrows: every position is an offset from base, so the bytes may move as long as base moves with them.
 * Names known by http/fields.h carry their id, and the first field of each known name is found without a search.
 * Nothing here judges a message; the parsers do (http/h1.h), and what they let through is well-formed.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "base/slice.h"
#include "http/fields.h"

/* More in one message are refused (431 from a client, 502 from an origin). */
#define HEAD_FIELDS_MAX 128

/* clang-format off */
/*  name       safe   idempotent */
#define METHODS(X)                 \
	X(GET,       true,  true)  \
	X(HEAD,      true,  true)  \
	X(POST,      false, false) \
	X(PUT,       false, true)  \
	X(DELETE,    false, true)  \
	X(PATCH,     false, false) \
	X(OPTIONS,   true,  true)  \
	X(TRACE,     true,  true)  \
	X(CONNECT,   false, false) \
	X(QUERY,     true,  true)  \
	X(PURGE,     false, true)  \
	X(PROPFIND,  true,  true)  \
	X(SEARCH,    true,  true)
/* clang-format on */

enum method {
	METHOD_OTHER, /* a token that is none of these: unsafe and not idempotent */
#define X(name, safe, idempotent) METHOD_##name,
	METHODS(X)
#undef X
	    METHOD_COUNT
};

/* One field line. Offsets from the head's base. */
struct field {
	uint32_t name_at, value_at;
	uint16_t name_len, value_len; /* value without blanks around it */
	uint8_t id;		      /* enum field_id */
	bool is_hop;		      /* hop-by-hop: by its name, or because Connection names it */
};

struct head {
	const char *base;
	/* A request's: */
	enum method method;
	uint32_t method_at, target_at;
	uint16_t method_len;
	uint32_t target_len;
	/* A response's: */
	uint16_t status;
	uint32_t reason_at;
	uint16_t reason_len;
	/* Both: */
	uint8_t minor; /* HTTP/1.minor */
	uint16_t count;
	uint32_t size;		    /* bytes from base to the end of the empty line */
	uint8_t first[FIELD_COUNT]; /* index + 1 of the first field of that id; 0: none */
	struct field fields[HEAD_FIELDS_MAX];
};

/* Everything of it but the slots of fields that are not in use. */
static inline void
head_copy(struct head *to, const struct head *from)
{
	memcpy(to, from, offsetof(struct head, fields) + from->count * sizeof(*from->fields));
}

/* The field that has just been put behind the others is found by its id. */
static inline void
head_index_last(struct head *h)
{
	uint8_t id = h->fields[h->count - 1].id;

	if (id != FIELD_OTHER && h->first[id] == 0)
		h->first[id] = (uint8_t)h->count;
}

bool method_is_safe(enum method m);
bool method_is_idempotent(enum method m);
/* The method of that (case-sensitive) token, METHOD_OTHER if it is none of METHODS. */
enum method method_of(struct slice token);

static inline struct slice
field_name(const struct head *h, const struct field *f)
{
	return slice_of(h->base + f->name_at, f->name_len);
}

static inline struct slice
field_value(const struct head *h, const struct field *f)
{
	return slice_of(h->base + f->value_at, f->value_len);
}

static inline struct slice
head_method(const struct head *h)
{
	return slice_of(h->base + h->method_at, h->method_len);
}

static inline struct slice
head_target(const struct head *h)
{
	return slice_of(h->base + h->target_at, h->target_len);
}

static inline struct slice
head_reason(const struct head *h)
{
	return slice_of(h->base + h->reason_at, h->reason_len);
}

/* The first field of a known name, or NULL. */
static inline const struct field *
head_find(const struct head *h, enum field_id id)
{
	return h->first[id] == 0 ? NULL : &h->fields[h->first[id] - 1];
}

/* The next field of the same id after f, or NULL. */
const struct field *head_next(const struct head *h, const struct field *f);
/* The first field called name in any case, known or not, or NULL. */
const struct field *head_find_name(const struct head *h, struct slice name);
/* Whether such a field comes again after f. By name, so it works for unknown ones. */
const struct field *head_next_name(const struct head *h, const struct field *f);

static inline bool
head_has(const struct head *h, enum field_id id)
{
	return h->first[id] != 0;
}

/* The value of the first field of that id; SLICE_NONE if there is none. */
static inline struct slice
head_value(const struct head *h, enum field_id id)
{
	const struct field *f = head_find(h, id);

	return f == NULL ? SLICE_NONE : field_value(h, f);
}

/* Walks the members of a comma-separated list field over all its lines (RFC 9110 section 5.6.1), commas inside quoted
 * strings respected, empty members skipped. Start with {0}; false when there is no more. */
struct list_walk {
	const struct field *field;
	size_t at;
	bool started;
};
bool head_list_next(const struct head *h, enum field_id id, struct list_walk *w, struct slice *out);
bool head_list_holds(const struct head *h, enum field_id id, struct slice member);

/* Whether the list field has this member, compared without case. */
static inline bool
head_list_has(const struct head *h, enum field_id id, struct slice member)
{
	return head_has(h, id) && head_list_holds(h, id, member);
}

#endif

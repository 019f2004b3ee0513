/* event/redisreply.h - what Redis answers, cut out of the bytes that come (RESP, by hiredis' reader).
 *
 * hiredis 0.14 bounds neither the size of a reply nor that of an array that is only announced, so
 * the objects are made here, from a budget per reply; its asynchronous layer is not used, because
 * there a reply nobody asked for ends in an assertion, and no peer may have that power.
 */
#ifndef EVENT_REDISREPLY_H
#define EVENT_REDISREPLY_H

#include "base/buf.h"

enum reply_type {
	REPLY_NIL,
	REPLY_STATUS,
	REPLY_ERROR,
	REPLY_INTEGER,
	REPLY_STRING,
	REPLY_ARRAY,
};

struct redis_reply {
	enum reply_type type;
	int64_t integer;
	struct slice text; /* of a status, an error, a string; a NUL follows that is not counted */
	size_t count;	   /* of an array */
	struct redis_reply *items;
};

/* Whether it is an error that begins with this word, as in "NOAUTH Authentication required." */
bool reply_is_error(const struct redis_reply *r, const char *word);
bool reply_is_status(const struct redis_reply *r, const char *text);

/* The bytes of one connection. */
struct replies;

enum replies_next {
	REPLIES_ONE,	 /* a whole reply: redis_reply_free it */
	REPLIES_PARTIAL, /* more bytes are needed */
	REPLIES_BAD, /* not RESP, or larger than allowed: the connection is of no use any more */
};

/* max_bytes: of one reply, as received and as held. */
struct replies *replies_new(size_t max_bytes);
void replies_free(struct replies **rp);
/* Bytes that came; replies_next tells what they were. */
void replies_feed(struct replies *r, const void *p, size_t n);
enum replies_next replies_next(struct replies *r, struct redis_reply **out);
/* What was bad, for the log. */
const char *replies_error(const struct replies *r);
/* Takes the text's memory out of a reply that is being told, so that it outlives it: the caller's, malloc's; the reply's
 * text is empty then. */
struct buf redis_reply_take_text(const struct redis_reply *r);
void redis_reply_free(struct redis_reply **rp);

#endif

/* server/respond_priv.h - what the files that write an answer's head share: respond.c (the step; answers from an object),
 * respond_form.c (what of the object goes out), respond_own.c (answers of our own), respond_lines.c (lines of any answer).
 *
 * All on the exchange's worker; lines are appended to x->out.
 */
#ifndef SERVER_RESPOND_PRIV_H
#define SERVER_RESPOND_PRIV_H

#include "server/exchange_priv.h"

/* What of the object goes out, and in which form. */
struct respond_form {
	uint64_t length; /* of the whole; BODY_LENGTH_UNKNOWN */
	bool bodyless, is_not_modified;
	enum range_answer ranged;
	struct ranges ranges;
	struct compress_plan plan;
};

/* Conditional, then range, then coding: RFC 9110 section 13.2.2 gives the order. */
void respond_choose_form(struct exchange *x, struct respond_form *f);
/* Length of the object's own body; BODY_LENGTH_UNKNOWN while it is. */
uint64_t respond_source_length(const struct body *b);
/* The origin's answer to a HEAD: that no body came says nothing of its length. */
bool respond_is_head_of_origin(const struct exchange *x);

/* Writes the head of an answer of our own (x->status, x->own_fields, x->own_body) and hands it over. */
enum exchange_next respond_own(struct exchange *x);

void respond_start_line(struct exchange *x, struct slice reason);
void respond_add_date(struct exchange *x, struct buf *out);
void respond_add_age(struct exchange *x);
void respond_add_limits(struct exchange *x);
/* Which fields are put in, set and dropped; NULL: none. */
const struct headers *respond_header_rules(const struct exchange *x);
/* Those of them that are put in. origin: the fields that are there already; NULL: none. */
void respond_add_security(struct exchange *x, const struct head *origin);
/* What differs from answer to answer. */
void respond_add_own_lines(struct exchange *x);
/* Hands the head to the client; the body follows by STEP_deliver. */
enum exchange_next respond_reply(
    struct exchange *x, bool has_body, bool has_length, uint64_t length);

#endif

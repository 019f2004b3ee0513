/* server/handler.h - what the handler of a ROUTE_HANDLER may do besides answering at once: fields, and answering later.
 *
 * A handler that answers later leaves a struct later with the exchange. It gets one call, on the exchange's worker: either its
 * owner answers by later_answer(), or on_over tells that the exchange ended before (the client left) and nobody waits any more.
 */
#ifndef SERVER_HANDLER_H
#define SERVER_HANDLER_H

#include "server/exchange.h"

struct later {
	struct exchange *x; /* NULL: not begun, answered, or over */
	void (*on_over)(struct later *l);
	/* what the exchange would have done at its end */
	void (*retire)(void *arg);
	void *retire_arg;
};

/* The answer will come. on_over runs when the turn of the loop ends in which the exchange did; it may free l. */
void later_begin(struct later *l, struct exchange *x, void (*on_over)(struct later *l));
/* Answers; l is free for another use. Nothing happens when l->x is NULL. */
void later_answer(struct later *l, unsigned status, const char *content_type, struct slice body);

/* One more line of the answer to come, both literals: exchange_add_field(x, "Allow", "GET, HEAD"). */
void exchange_add_field(struct exchange *x, const char *name, const char *value);

#endif

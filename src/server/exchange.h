/* server/exchange.h - the life of one request, as a list of steps and one loop that walks it (server/exchange.c).
 *
 * An exchange belongs to one worker. Callbacks note what arrived and call exchange_wake; nothing else moves it on.
 */
#ifndef SERVER_EXCHANGE_H
#define SERVER_EXCHANGE_H

#include "http/head.h"
#include "server/client.h"

struct exchange;
struct site;
struct worker;

/* A new exchange for the request whose head is about to be parsed into exchange_head(). */
struct exchange *exchange_new(struct worker *w, struct client *c, bool is_admin);
struct head *exchange_head(struct exchange *x);
/* The head is whole and stays where head->base points until client_done: walk. The exchange may be over when this returns. */
void exchange_begin(struct exchange *x);
/* It is over, and neither it nor what it calls is under way on the stack: its memory goes at once instead of when the
 * loop's turn ends, so that the next of the same turn has it while it is warm. Else nothing happens. */
void exchange_bury(struct exchange *x);
/* Something the exchange may wait for has happened: more of the upload, room to write, a turn of the loop. */
void exchange_wake(struct exchange *x);
/* The client has left. */
void exchange_client_gone(struct exchange *x);
/* The request's body is not valid: answered with 400 while nothing has been sent, and what went upstream is cut off. */
void exchange_upload_bad(struct exchange *x);
/* Frees the memory of a spare exchange. */
void exchange_scrap(void *memory);
/* It will not begin: the head was not valid. Frees it. */
void exchange_drop(struct exchange **xp);

/* Its head is not valid, or did not come in time: answers with status instead of walking. */
void exchange_refuse(struct exchange *x, unsigned status, const char *why);
/* The peer is too slow with the request's body, or in taking the response. */
void exchange_upload_slow(struct exchange *x);
void exchange_client_slow(struct exchange *x);

/* For handlers of ROUTE_HANDLER, once: the answer. content_type is a literal; body is copied. */
void exchange_answer(
    struct exchange *x, unsigned status, const char *content_type, struct slice body);
struct worker *exchange_worker(struct exchange *x);
struct slice exchange_path(const struct exchange *x);
struct slice exchange_query(const struct exchange *x);
/* The request's body: a handler is called when it is whole. */
struct slice exchange_body(const struct exchange *x);

#endif

/* upstream/h2link.h - a connection to a server on which HTTP/2 is spoken, shared by the fetches of one worker.
 *
 * The story of a link: made of a connection that has just been connected (and secured), it takes one call until the server
 * has told its settings, then as many as connections.streams and the server allow. Calls are begun and dropped at any time; what is to
 * be sent gathers until the turn ends. It takes no new ones once GOAWAY came, numbers are used up, it is older than
 * connections.life, or the server leaves; without calls it rests in the pool among the idle connections, or is closed.
 *
 * Where calls wait and nothing comes for a while the server gets one PING; a link on which that is not answered is broken.
 * When a link breaks all its calls are told so. It is freed with its connection, never while it has calls.
 */
#ifndef UPSTREAM_H2LINK_H
#define UPSTREAM_H2LINK_H

#include "http/h2client.h"
#include "upstream/ends.h"
#include "upstream/pool.h"

struct h2link;

/* Of a connection, which is the link's from now on; *cp is NULL then. The caller begins a call at once. NULL: no memory. */
struct h2link *h2link_open(struct upconn **cp);
/* One that has room, for whom announce says, begun no earlier than since_ms; NULL: none has. */
struct h2link *h2link_find(
    struct pool *p, struct server *s, const struct proxy_line *announce, int64_t since_ms);
/* Whether there is one, begun no earlier, that will tell soon how many calls it takes. */
bool h2link_is_coming(const struct server_seat *seat, int64_t since_ms);
/* Begins a call on it. 0, or -1: it cannot. */
int h2link_begin(struct h2link *l, struct h2_call *call, const struct h2_call_start *start);
/* Takes no more calls, and is closed behind the last. */
void h2link_retire(struct h2link *l);
/* Something was done with a call that may make something to send. */
void h2link_stir(struct h2link *l);
/* Gives a call up, begun or not. */
void h2link_drop(struct h2link *l, struct h2_call *call);
/* How its connection ended, for calls that are lost. */
enum fetch_end h2link_end(const struct h2link *l);

#endif

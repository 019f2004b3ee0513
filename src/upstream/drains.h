/* upstream/drains.h - the servers of an upstream that an operator has taken out, by name.
 *
 * It belongs to the upstream's name, not to one generation of the configuration: upstreams that follow each other over
 * reloads share one, so an order that meets a reload is heard by both, and a server stays out when the settings around it
 * change. What is remembered is a text: a server's name, or a name of the configuration, which then means all of its
 * addresses, those that come included. Who reads it does so through server_is_drained(), which each upstream brings
 * up to date at its next choice (drains_follow). Nothing is written down: a restart forgets it.
 *
 * Any thread; a lock of its own, taken inside an upstream's, never across a call out.
 */
#ifndef UPSTREAM_DRAINS_H
#define UPSTREAM_DRAINS_H

#include "upstream/target.h"

#define DRAINS_MAX 512 /* texts remembered; beyond that those that name nobody are forgotten */

struct drains *drains_new(void);
/* The last reference frees it. */
void drains_unref(struct drains **dp);
/* From now on those of from are u's. */
void drains_share(struct upstream *u, const struct upstream *from, int64_t now_ms);

/* Whether that text names s. */
bool server_is_called(const struct server *s, const char *text);
/* With u's lock held: remembers the text, or forgets it, and with a name its addresses. The servers know by the next drains_follow(). */
void drains_set(struct upstream *u, const char *text, bool is_drained);
/* With u's lock held: brings server_is_drained() of all servers up to date. A look at one number when nothing has changed. */
void drains_follow(struct upstream *u, int64_t now_ms);
/* With u's lock held: a place has got another name. */
void drains_look(struct server *s);

#endif

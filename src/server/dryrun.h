/* server/dryrun.h - what a request would get: walked through the real steps up to where it would have an effect.
 *
 * Route, admission and look-up run as they do for a client; before a flight is boarded or an answer sent the walk ends, and
 * what the steps made of the request is there to be read. Nothing is asked, refreshed, counted or taken from a limit. Of limits, those
 * tell that count here whoever asks: whose address a client would have is not known.
 */
#ifndef SERVER_DRYRUN_H
#define SERVER_DRYRUN_H

#include "server/worker.h"

struct dryrun;
struct exchange;

/* head: a whole request head; body: what follows it, empty: nothing. Both are copied. NULL: it is not valid HTTP. The worker's
 * thread. */
struct dryrun *dryrun_new(struct worker *w, struct slice head, struct slice body, bool is_tls);
/* The exchange as the steps left it (server/exchange_priv.h), good as long as the dry run. */
const struct exchange *dryrun_exchange(const struct dryrun *d);
/* Sets *dp to NULL; NULL is allowed. */
void dryrun_free(struct dryrun **dp);

#endif

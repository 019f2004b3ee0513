/* server/purging.h - a purge, or a look at what is stored, that somebody asked for: by the admin interface or with the
 * method PURGE. What routes declare is server/purge.h's.
 *
 * The purge holds when purging_go returns. The answer follows when the purge has come as far as it is to (its level) and what
 * it took has been counted: at once for tags, whole URLs and all, by a walk of the census for the rest. An exchange that
 * ends before stops nothing; the audit log is told either way.
 */
#ifndef SERVER_PURGING_H
#define SERVER_PURGING_H

#include "cache/purgelog.h"
#include "cache/census.h"
#include "server/exchange.h"

struct purging;

/* Begins one for the exchange, which is answered by purging_go or, when something was wrong, by its owner after
 * purging_free. via: api or method, for the audit log. */
struct purging *purging_new(struct exchange *x, const char *via);
void purging_free(struct purging **pp);
/* What is meant, as people write it: URLs with or without a scheme, of any host when they begin with "/"; a tag with a star
 * is a pattern. False: it is no URL, or empty. */
bool purging_add(struct purging *p, enum purge_kind kind, struct slice text);
/* Whether anything was added. */
bool purging_has_any(const struct purging *p);

struct purging_way {
	bool soft;	  /* makes stale */
	bool wait;	  /* until every instance has it */
	bool looks;	  /* purges nothing: counts and lists */
	size_t rows_most; /* of that list */
	enum census_sort sort;
	struct census_range ranges[CENSUS_SORTS]; /* what of it is meant; looks only */
};
/* Does it, and answers. Takes over *pp. */
void purging_go(struct purging **pp, const struct purging_way *way);

#endif

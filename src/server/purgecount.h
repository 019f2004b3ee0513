/* server/purgecount.h - what purges take, told before they are taken, and how they are written down. */
#ifndef SERVER_PURGECOUNT_H
#define SERVER_PURGECOUNT_H

#include <jansson.h>

#include "cache/purgelog.h"

struct worker;

/* Whether only a walk of the census can tell. */
bool purges_want_walk(const struct purge *items, size_t count);
/* Objects that these, which want none, would take now. *is_exact_out false: about so many; several may mean the same ones. */
uint64_t purges_count(
    struct worker *w, const struct purge *items, size_t count, bool *is_exact_out);
/* [{"url": ...}, {"tag": ...}] */
json_t *json_of_purges(const struct purge *items, size_t count);

#endif

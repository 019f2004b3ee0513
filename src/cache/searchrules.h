/* cache/searchrules.h - what origins have said lately of the queries of their URLs (No-Vary-Search,
 * http/searchrule.h): by the URL up to its "?", the newest rule.
 *
 * It only tells a look-up under which key a response may lie; the rule that counts is part of that
 * key. A rule that is forgotten, or one of another URL with the same hash, costs a miss. So the
 * table is small and of a fixed size: SETS x WAYS rules, the oldest of a set gives way. Shared by
 * all workers, a mutex for each set. While nobody has said anything, asking is one load.
 */
#ifndef CACHE_SEARCHRULES_H
#define CACHE_SEARCHRULES_H

#include "base/slice.h"

struct searchrules;

struct searchrules *searchrules_new(void);
void searchrules_free(struct searchrules **sp);
/* Whether any is known; most sites have none. */
bool searchrules_any(const struct searchrules *s);
/* The rule for that URL, copied to out, which has room for SEARCH_RULE_MAX bytes; SLICE_NONE if
 * none is known. */
struct slice searchrules_find(struct searchrules *s, struct slice url, char *out);
void searchrules_learn(struct searchrules *s, struct slice url, struct slice rule);

#endif

/* http/searchrule.h - No-Vary-Search (draft-ietf-httpbis-no-vary-search-10): which parameters of a query make a difference
 * to a response, by its own word. Pure.
 *
 * A rule is a text in one normal form: "k" where the order of names does not count, then "p" and the names that do not count,
 * or "e" and the only names that do, sorted, each once, "," behind each. A query simplified by a rule is a text, too: equal
 * for queries that the draft calls equivalent, and different for others. (Two that differ only in bytes that are no UTF-8 are
 * told apart here, which costs no more than a miss.)
 */
#ifndef HTTP_SEARCHRULE_H
#define HTTP_SEARCHRULE_H

#include "base/buf.h"
#include "http/head.h"

#define SEARCH_RULE_MAX 512 /* bytes; a response with a longer one is one for its own query only */
#define SEARCH_PARAMS_MAX 256 /* of a query; with more it is equal to itself only */

/* Appends the rule of a response. False, and out as it was: it has none, a malformed one, one that changes nothing, or too
 * long a one. */
bool search_rule_read(const struct head *response, struct buf *out);
/* Appends the query (without "?") simplified by the rule. False, and out as it was: it has too many parameters. */
bool search_simplify(struct slice rule, struct slice query, struct buf *out);

#endif

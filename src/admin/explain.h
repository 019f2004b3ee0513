/* admin/explain.h - why a request gets what it gets.
 *
 * POST /explain {"url": "https://www.example.com/page", "method": "GET", "headers": ["Cookie: a=1", ...]} answers with what a
 * request of that kind would get now and why, without sending it (server/dryrun.h):
 *   request        method, scheme, host, path, query: in normal form
 *   route          name, number (from 1) of how many, what it does, upstream, whether it caches; null: none
 *   limits         names of the rate limits it would be asked by
 *   key            url and parts, null where nothing is looked up; tags of the route
 *   outcome        status (X-Cache-Status), does, reason, detail (the same in a word, as Cache-Status has it), code (of an
 *                  answer of our own, or null)
 *   stored         each variant in memory: vary, status, bytes, codings, variants (each with its coding, bytes, and whether it is as small as it gets), age, life, left (s), stale windows, validators, tags, hits,
 *                  purged (no, soft, yes), positions in the purge log
 *   last_response  what became of the last response for the key: source, status, stored, why, ago (s); null: not known
 *   is_unshared    the key proved not to be shared lately: requests do not wait for one another
 *   redis          found, and then age and life; null: not asked
 *   purge_log      head: the newest position here; shared: the state of the log that instances share (cache/clerk.h), and, unless that is
 *                  off, coherence, epoch, applied (the newest number that holds here), lag
 */
#ifndef ADMIN_EXPLAIN_H
#define ADMIN_EXPLAIN_H

#include "server/exchange.h"

void explain_serve(struct exchange *x);

#endif

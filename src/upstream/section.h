/* upstream/section.h - from one entry of `upstreams` as written to the upstream as used.
 *
 * The first part is also what the entry is judged by where it is written (upstream/conf.c), so that what was good there
 * cannot fail here.
 */
#ifndef UPSTREAM_SECTION_H
#define UPSTREAM_SECTION_H

#include "upstream/conf.h"
#include "upstream/secure.h"

/* Of "503", "5xx". *bad_out: one that is neither, or NULL. */
struct status_set section_statuses(size_t count, const char *const *texts, const char **bad_out);
/* NULL: no TLS. */
struct secure *section_secure(const struct upstream_tls_conf *c);
/* Nothing that a name of a field or a cookie may not have. */
bool section_is_token(const char *text);
/* "uri", "header:X-User"; the name is borrowed. False: it is none. */
bool section_hash_part(const char *text, struct hash_part *out);
/* What metrics, drains and sessions know a server by; "" where nothing is written. */
const char *section_server_text(const struct upstream_server_conf *s);
/* A new upstream without TLS. NULL (errno E2BIG: too many names): a server is no address. */
struct upstream *section_build(
    const struct upstream_section *s, const struct upstream_conf *c, unsigned workers);

/* The upstream of a section: keep with a reference taken when its settings are the same (then its connections and
 * counters go on), else a new one. keep may be NULL. */
struct upstream *upstream_from(
    const struct upstream_section *s, unsigned workers, struct upstream *keep);

#endif

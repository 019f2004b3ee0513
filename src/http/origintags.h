/* http/origintags.h - what an origin says a response is to be purged by: Cache-Tag (between commas), Surrogate-Key and xkey (between
 * blanks), Cache-Groups (RFC 9875).
 *
 * Tags of the first three are the site's own words and mean the same on every host. A group belongs to its URL's origin alone
 * (RFC 9875 section 2.1), so its tag begins with that: https://www.example.com#group. Pure.
 */
#ifndef HTTP_ORIGINTAGS_H
#define HTTP_ORIGINTAGS_H

#include "base/buf.h"
#include "http/head.h"

/* One tag, and all of one response with a byte more for each. */
#define ORIGIN_TAG_BYTES_MAX 1024
#define ORIGIN_TAGS_BYTES_MAX 16384
#define ORIGIN_TAGS_MAX 1000

/* Adds the response's tags to those that tags holds already, a NUL behind each, none twice. site: scheme "://" authority.
 * False: they are more, or longer, than is kept; tags is then of no use. A Cache-Groups that is no list of strings counts as
 * absent. */
bool origin_tags_add(const struct head *response, struct slice site, struct buf *tags);
/* Adds the tags of the groups that Cache-Group-Invalidation names, likewise, without a bound. Returns how many. */
size_t origin_groups_to_purge(const struct head *response, struct slice site, struct buf *tags);
/* The part of a key or URL that a group belongs to: scheme "://" authority. Empty: it has none. */
struct slice origin_site_of(struct slice url);
#endif

/* cache/conf.h - the directives of the store: `cache:` at the top level, the part that is not about single routes.
 *
 * CACHE_DIRECTIVES is a list rather than a table because server/conf.h puts the general cache rules of routes
 * beside it into one map.
 */
#ifndef CACHE_CONF_H
#define CACHE_CONF_H

#include "conf/table.h"

/* clang-format off */
#define REDIS_DIRECTIVES(X)                                                                                       \
	X(url, string, NULL, "1", "4096", "Which Redis or Valkey: `redis://[[user]:password@]host[:port][/database]` or " \
		"`unix:/path`; take a password from `${file:/path}`. Sentinels: `redis+sentinel://host,host/master`. A cluster: " \
		"`redis+cluster://host,host`. TLS: `rediss://` (and so on), with `?ca=/path` where the authority is not one of " \
		"the system's, `&cert=/path&key=/path` for a certificate of our own, `&name=host` for the name to expect in theirs", .required = true)                           \
	X(timeout, duration, "50ms", "1ms", "10s", "The longest a request waits for one look-up")                 \
	X(state_url, string, NULL, "1", "4096", "Another one for what may not be evicted: the log of purges. Without it, the same") \
	X(prefix, string, "forebay", "1", "64", "What every key in Redis begins with; instances that share a cache share it") \
	X(fetch_lock, duration, "0", "0", "1m", "How long at most an instance waits for another that is fetching the same thing, to find it in Redis then: " \
		"one request to the origin for all instances. `0`: each fetches for itself")                      \
	X(memory_life, duration, "5m", "1s", "365d", "How long at most what was read from Redis is then answered from memory") \
	X(secret, secret, NULL, "16", "4096", "Signs what is kept in Redis (HMAC-SHA256); what does not verify is a miss. "    \
		"The same on all instances")

#define WARM_DIRECTIVES(X)                                                                                        \
	X(base, string, NULL, "8", "1024", "What addresses that begin with `/` belong to, as clients name it: "   \
		"`https://www.example.com`")                                                                      \
	X(urls, strings, NULL, "0", "10000", "Pages: `/`, `/products`, `https://www.example.com/about`")          \
	X(file, string, NULL, "1", "4096", "A file with more of them, one in each line; `#` begins a comment")    \
	X(sitemaps, strings, NULL, "0", "100", "Sitemaps (XML, also with gzip, also those that name others) whose pages are " \
		"asked for; only those of the base's host")                                                       \
	X(top, int, "0", "0", "10000", "So many of the pages that clients asked for most; kept in the state directory for the next start") \
	X(at_start, bool, "yes", NULL, NULL, "Whether this is done when Forebay starts")                          \
	X(every, duration, "0", "0", "30d", "How often it is done again; 0: never")                               \
	X(rate, int, "50", "1", "10000", "At most so many requests a second")                                     \
	X(concurrency, int, "4", "1", "256", "At most so many at a time; fewer while clients use half of an upstream's connections") \
	X(time, duration, "10m", "1s", "1d", "After that what is left is left out")

#define CACHE_DIRECTIVES(X)                                                                                       \
	X(memory, size, "256MiB", "1MiB", "1TiB", "Memory for everything the cache holds: bodies, heads, index")  \
	X(persist, choice(persist_words), "restart", NULL, NULL, "What becomes of it when Forebay stops in good order. `restart`: the next " \
		"process begins with it, handed over by systemd, else by a file in the state directory. `file`: by the file also " \
		"under systemd, so that it outlives a stop and a reboot. `off`: it is gone") \
	X(warm, map(struct warm_conf, warm_table), "off", NULL, NULL, "Pages that are asked for before clients do", .may_be_off = true) \
	X(redis, map(struct redis_conf, redis_table), "off", NULL, NULL, "A second level behind the memory, shared by instances", \
		.may_be_off = true) \
	X(coherence, choice(coherence_words), "eventual", NULL, NULL, "What instances that share a Redis promise about purges. "  \
		"`eventual`: each that is connected has one within milliseconds. `strict`: none answers from memory that may not have it")
/* clang-format on */

enum persist { PERSIST_RESTART, PERSIST_FILE, PERSIST_OFF };
extern const struct conf_word persist_words[];
enum coherence { COHERENCE_EVENTUAL, COHERENCE_STRICT };
extern const struct conf_word coherence_words[];

struct redis_conf {
	struct conf_head conf; /* is_off: no Redis */
	REDIS_DIRECTIVES(CONF_FIELD)
};
struct warm_conf {
	struct conf_head conf; /* is_off: nothing is warmed */
	WARM_DIRECTIVES(CONF_FIELD)
};
extern const struct conf_table redis_table, warm_table;

#endif

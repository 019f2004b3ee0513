/* policy/conf.h - the directives of compression, security headers and rate limits, and what is made of them. */
#ifndef POLICY_CONF_H
#define POLICY_CONF_H

#include "conf/table.h"
#include "policy/compress.h"
#include "policy/headers.h"
#include "policy/limitkey.h"
#include "policy/ratelimit.h"
#include "policy/recompress.h"

/* clang-format off */
#define COMPRESSION_LEVEL_DIRECTIVES(X)                                                                              \
	X(gzip, int, "auto", "1", "9",  "gzip; a response is coded once, while it streams through, and a stored one keeps the result", .words = compression_level_words)  \
	X(br,   int, "auto", "1", "11", "Brotli, likewise", .words = compression_level_words)                        \
	X(zstd, int, "auto", "1", "19", "zstd, likewise", .words = compression_level_words)

#define COMPRESSION_DIRECTIVES(X)                                                                                    \
	X(encodings, choices(compression_encoding_words), "[br, zstd, gzip]", "1", "3", "The codings offered, the best first; what is not stored, and so is coded for each client anew, is sent as zstd before the others where that is among them") \
	X(min_size, size, "256B", "0", "1GiB", "Shorter bodies are left alone", .may_be_bare = true)                  \
	X(types, strings, NULL, "1", "256", "Media types that are compressed, as in `text/*`, `application/json`, `+xml`; " \
		"without it those of text, scripts, fonts and the like")                                             \
	X(levels, map(struct compression_level_conf, compression_level_table), NULL, NULL, NULL, "How hard it tries")

#define RECOMPRESS_DIRECTIVES(X)                                                                                     \
	X(hits, int, "32", "1", "1000000000", "Only what was answered so often since it was stored, and, if that goes on, will be as often again before it expires") \
	X(share, int, "10", "1", "100", "How much of one processor it may take on the average, in percent")          \
	X(max_size, size, "1MiB", "1KiB", "16MiB", "Longer bodies keep what was made while they streamed")

#define HEADERS_DIRECTIVES(X)                                                                                        \
	X(preset, choice(headers_preset_words), NULL, NULL, NULL, "A set of fields: `standard` (where nothing is said), " \
		"`strict` (with a Content-Security-Policy) or `none`")                                               \
	X(server, choice(headers_server_words), NULL, NULL, NULL, "Whether Server, X-Powered-By and the like of the origin are hidden; hide where nothing is said") \
	X(force, pairs, NULL, NULL, NULL, "Fields set whatever the origin says; `off` keeps the origin's from being sent") \
	X(fields, pairs, NULL, NULL, NULL, "A field by its name, set where the origin has not set it; `off`: not added by Forebay", .is_rest = true)

#define RATE_LIMIT_DIRECTIVES(X)                                                                                     \
	X(algorithm, choice(rate_algorithm_words), NULL, NULL, NULL, "How permits come back", .required = true)      \
	X(limit, int, NULL, "1", "1000000000", "Permits in one window", .required = true, .also = "PermitLimit")      \
	X(window, duration, NULL, "1ms", "365d", "How long the window is", .required = true, .also = "Window")                         \
	X(segments, int, NULL, "1", "1000", "Parts of a sliding window; without it limits up to 64 are counted exactly and larger ones in 10", .also = "SegmentsPerWindow") \
	X(semantics, choice(rate_semantics_words), "exact", NULL, NULL, "`dotnet`: a permit comes back up to one segment early, as in .NET; " \
		"SegmentsPerWindow means that too")                                                                  \
	X(align, choice(rate_align_words), "first", NULL, NULL, "When a fixed window begins: with the first request, or by the clock") \
	X(queue, int, "0", "0", "1000000", "Requests of one key that may wait for permits", .also = "QueueLimit")     \
	X(queue_order, choice(rate_order_words), "oldest_first", NULL, NULL, "Who is served first; newest_first displaces the oldest of a full queue", .also = "QueueProcessingOrder") \
	X(queue_timeout, duration, "1m", "1ms", "1d", "The longest a request waits", .words = rate_timeout_words)     \
	X(key, strings, "client", "1", "4", "Whose permits these are: `client` (its address), `header:NAME`, `cookie:NAME`, `route`, or a list of them") \
	X(count, choice(rate_count_words), "allowed", NULL, NULL, "Whether refused requests use permits too")        \
	X(scope, choice(rate_scope_words), "local", NULL, NULL, "Where is counted: in this instance, or in the Redis of `cache.redis` for all instances that share it")                \
	X(untracked, choice(rate_untracked_words), "allow", NULL, NULL, "What happens to a client for whom limits.rate_table has no room") \
	X(shadow, bool, "no", NULL, NULL, "Decide and report, but let everything pass")
/* clang-format on */

extern const struct conf_word compression_level_words[], compression_encoding_words[],
    headers_preset_words[], headers_server_words[], rate_algorithm_words[], rate_semantics_words[],
    rate_align_words[], rate_order_words[], rate_timeout_words[], rate_count_words[],
    rate_scope_words[], rate_untracked_words[];

struct compression_level_conf {
	struct conf_head conf;
	COMPRESSION_LEVEL_DIRECTIVES(CONF_FIELD)
};
struct compression_conf {
	struct conf_head conf; /* is_off: nothing is compressed */
	COMPRESSION_DIRECTIVES(CONF_FIELD)
};
struct recompress_conf {
	struct conf_head conf; /* is_off */
	RECOMPRESS_DIRECTIVES(CONF_FIELD)
};
struct headers_conf {
	struct conf_head conf; /* is_off: nothing is added and nothing hidden */
	HEADERS_DIRECTIVES(CONF_FIELD)
};
struct rate_limit_conf {
	struct conf_head conf; /* its name, too */
	RATE_LIMIT_DIRECTIVES(CONF_FIELD)
};
extern const struct conf_table compression_level_table, compression_table, recompress_table,
    headers_table, rate_limit_table;

/* What a section says. *out borrows from c and mem. */
void compression_rules_from(
    struct arena *mem, const struct compression_conf *c, struct compress_rules *out);
struct recompress_rules recompress_rules_from(const struct recompress_conf *c);
/* One level for headers_compile(): the fields first, then those of force. */
void headers_level_from(struct arena *mem, const struct headers_conf *c, struct headers_level *out);
/* Where rule i of that level stands. */
struct conf_place headers_rule_place(const struct headers_conf *c, size_t rule);
void rate_limit_from(const struct rate_limit_conf *c, struct limit_conf *out);

/* A part of a limit's key. */
struct rate_key_part {
	enum limit_key_kind kind;
	const char *name; /* of the header or cookie, within text; NULL: none */
};
/* Reads "client" or "header:X-Api-Key". NULL, or why it is none. */
const char *rate_key_part_from(const char *text, struct rate_key_part *out);

#endif

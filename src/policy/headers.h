/* policy/headers.h - the fields that every response of a route carries, and those that none does.
 *
 * At configuration load the general settings and the route's are merged and rendered once
 * (headers_compile). For each response the server then copies the origin's fields but those that
 * headers_drops(), and headers_apply() appends the lines that are missing: one copy of bytes where
 * the origin has set none of them, no allocation beyond the buffer. They belong on everything a
 * client gets: hits, 304, and the errors and redirects Forebay makes itself (no origin then).
 *
 * What the origin says itself stands, unless a rule forces its own. Strict-Transport-Security goes
 * out over https alone (RFC 6797 section 7.2). Compiled headers are constant: any thread may use
 * them.
 */
#ifndef POLICY_HEADERS_H
#define POLICY_HEADERS_H

#include "base/buf.h"
#include "http/head.h"

/* clang-format off */
/*   field                      standard strict  value */
#define HEADERS_PRESETS(X)                                                                     \
	X(X_CONTENT_TYPE_OPTIONS,    true,    true,  "nosniff")                                \
	X(X_FRAME_OPTIONS,           true,    true,  "DENY")                                   \
	X(X_XSS_PROTECTION,          true,    true,  "1; mode=block")                          \
	X(REFERRER_POLICY,           true,    true,  "strict-origin-when-cross-origin")        \
	X(PERMISSIONS_POLICY,        true,    true,  "geolocation=(), microphone=(), camera=()") \
	X(STRICT_TRANSPORT_SECURITY, true,    true,  "max-age=31536000")                       \
	X(CONTENT_SECURITY_POLICY,   false,   true,  "default-src 'self'; img-src 'self' data: https:; " \
		"connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; " \
		"frame-ancestors 'none'")

/* What `server: hide` drops: what tells strangers which software to attack. */
#define HEADERS_HIDDEN(X)                                                                      \
	X("Server")                                                                            \
	X("X-Powered-By")                                                                      \
	X("X-AspNet-Version")                                                                  \
	X("X-AspNetMvc-Version")
/* clang-format on */

enum headers_preset {
	HEADERS_PRESET_INHERIT, /* as the level before says; at the first: standard */
	HEADERS_PRESET_NONE,
	HEADERS_PRESET_STANDARD,
	HEADERS_PRESET_STRICT,
};

enum headers_server {
	HEADERS_SERVER_INHERIT, /* as the level before says; at the first: hide */
	HEADERS_SERVER_HIDE,
	HEADERS_SERVER_KEEP,
};

enum header_mode {
	HEADER_SET,   /* `name: value`: where the origin has not set it */
	HEADER_FORCE, /* `force: {name: value}`: instead of the origin's */
	HEADER_OFF,   /* `name: off`: not added by us; the origin's passes */
	HEADER_STRIP, /* `force: {name: off}`: not sent at all */
};

struct header_rule {
	struct slice name;
	struct slice value; /* of SET and FORCE */
	enum header_mode mode;
};

/* One level of the configuration: the general one, then the route's. A later rule of the same name
 * takes the place of an earlier one, a later preset the place of an earlier preset. What an earlier
 * level kept from the origin (FORCE, STRIP, hidden) stays kept from it when a later one sets another
 * value; only OFF lets the origin's in again. */
struct headers_level {
	enum headers_preset preset;
	enum headers_server server;
	const struct header_rule *rules;
	size_t rule_count;
};

#define HEADERS_RULES_MAX 64 /* altogether */
#define HEADERS_VALUE_MAX_BYTES 4096

/* Which rule is wrong, and why (constant text). */
struct headers_error {
	size_t level, rule;
	const char *text;
};

struct headers;

/* Copies what it needs. NULL when a rule is wrong; *error_out then tells which. */
struct headers *headers_compile(
    const struct headers_level *levels, size_t level_count, struct headers_error *error_out);
void headers_free(struct headers **hp);

/* Whether this field of the origin's head is not to be sent on. */
bool headers_drops(const struct headers *h, const struct head *origin, const struct field *f);
/* Appends "Name: value" CRLF for all that must be added to a response of this origin (NULL:
 * Forebay's own) to a client that came by https or not. */
void headers_apply(
    const struct headers *h, const struct head *origin, bool is_https, struct buf *out);

/* The same line by line, for heads that are not written as HTTP/1 and for `forebay explain`. */
struct header_line {
	struct slice name, value;
	uint8_t id;	    /* enum field_id */
	bool is_forced;	    /* the origin's is dropped */
	bool is_https_only; /* Strict-Transport-Security */
};
size_t headers_count(const struct headers *h);
const struct header_line *headers_line(const struct headers *h, size_t i);
bool headers_adds(const struct headers *h, size_t i, const struct head *origin, bool is_https);

#endif

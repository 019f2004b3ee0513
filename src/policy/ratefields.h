/* policy/ratefields.h - telling the client about its limits: the response fields and the 429
 * bodies.
 *
 * One serializer for all spellings, because the draft still moves:
 *   draft-11     RateLimit-Policy, RateLimit (draft-ietf-httpapi-ratelimit-headers-11): all limits,
 * one list each draft-03     RateLimit-Limit, -Remaining, -Reset: the tightest limit, with all
 * policies named x-ratelimit  X-RateLimit-Limit, -Remaining, -Reset: the tightest limit alone off
 * none of them; a refusal still has its Retry-After Seconds are rounded up everywhere, so that who
 * comes back when told to is not early, and Retry-After never points before t. Pure: bytes out, no
 * state. None of these fields may be stored or sent from a stored response; the caller sees to
 * that.
 */
#ifndef POLICY_RATEFIELDS_H
#define POLICY_RATEFIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "policy/ratelimit.h"

/* clang-format off */
/* The values of the directive ratelimit_headers.
 *        name         as written     text */
#define RATE_STYLE_TABLE(X)                                                                   \
	X(draft_11,    "draft-11",    "RateLimit-Policy and RateLimit, the current draft")    \
	X(draft_03,    "draft-03",    "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset") \
	X(x_ratelimit, "x-ratelimit", "X-RateLimit-Limit, -Remaining, -Reset")                \
	X(off,         "off",         "Retry-After on refusals only")
/* clang-format on */
#define RATE_STYLE_ENUM(name, written, text) RATE_STYLE_##name,
enum rate_style { RATE_STYLE_TABLE(RATE_STYLE_ENUM) RATE_STYLES };

/* The style of this name, or RATE_STYLES. */
enum rate_style rate_style_from(struct slice written);

/* What of a limit's fields is the same for all answers; made with the configuration. */
struct rate_label {
	struct slice name;
	struct slice quoted; /* its name as they have it */
	struct slice policy; /* its member of RateLimit-Policy */
	struct slice alone;  /* both lines up to what remains, for an answer that met no other */
};
/* The name is borrowed, the rest lies in mem. */
struct rate_label rate_label_of(
    struct arena *mem, const char *name, uint32_t limit, int64_t window_ms);

/* One limit that the request met, and what it said. */
struct rate_verdict {
	const struct rate_label *label;
	struct limit_answer answer; /* verdict LIMIT_REFUSED: this one refused it */
};

/* Adds the lines that tell of n limits (0: none) and of the refusal if one of them refused. */
void rate_lines_add(
    struct buf *out, enum rate_style style, const struct rate_verdict *met, unsigned n);

/* Seconds for Retry-After: when the last of the limits that refused has permits again; 0 if none
 * did. */
uint64_t rate_retry_s(const struct rate_verdict *met, unsigned n);

/* The body of a refusal, appended to b: RFC 9457 problem details (application/problem+json, type
 * quota-exceeded with violated-policies), or a page for people (text/html, UTF-8, no outside
 * parts). */
#define RATE_PROBLEM_TYPE "https://iana.org/assignments/http-problem-types#quota-exceeded"
void rate_problem_write(struct buf *b, unsigned status, const struct rate_verdict *met, unsigned n);
void rate_page_write(struct buf *b, unsigned status, const struct rate_verdict *met, unsigned n);

#endif

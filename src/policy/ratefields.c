#include "policy/ratefields.h"

#include <stdio.h>

#define SF_INTEGER_MAX 999999999999999ll /* RFC 9651 section 3.3.1 */

static uint64_t
seconds_up(int64_t ms)
{
	int64_t s = ms <= 0 ? 0 : ms / 1000 + (ms % 1000 > 0);

	return (uint64_t)(s > SF_INTEGER_MAX ? SF_INTEGER_MAX : s);
}

enum rate_style
rate_style_from(struct slice written)
{
#define RATE_STYLE_NAME(name, as, text) SLICE_LIT(as),
	static const struct slice names[] = {RATE_STYLE_TABLE(RATE_STYLE_NAME)};
	unsigned i = 0;

	while (i < RATE_STYLES && !slice_eq(names[i], written))
		i++;
	return (enum rate_style)i;
}

uint64_t
rate_retry_s(const struct rate_verdict *met, unsigned n)
{
	uint64_t longest = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct limit_answer *a = &met[i].answer;
		int64_t ms = a->retry_ms > a->reset_ms ? a->retry_ms : a->reset_ms;

		/* "now" would only bring the client back into the same refusal */
		if (a->verdict == LIMIT_REFUSED && seconds_up(ms < 1 ? 1 : ms) > longest)
			longest = seconds_up(ms < 1 ? 1 : ms);
	}
	return longest;
}

/* The fields. */

/* RFC 9651 section 4.1.6; what a string cannot hold becomes "_". */
static void
sf_string_add(struct buf *b, struct slice s)
{
	char *at = buf_room(b, 2 * s.n + 2), *start = at;

	*at++ = '"';
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			*at++ = '\\';
		*at++ = s.p[i] >= 0x20 && s.p[i] < 0x7f ? s.p[i] : '_';
	}
	*at++ = '"';
	b->n += (size_t)(at - start);
}

static void
parameter_add(struct buf *b, char name, uint64_t value)
{
	const char start[] = {';', name, '='};

	buf_add(b, start, sizeof(start));
	buf_add_u64(b, value);
}

struct rate_label
rate_label_of(struct arena *mem, const char *name, uint32_t limit, int64_t window_ms)
{
	struct rate_label l = {.name = slice_from(name)};
	struct buf text = {0};
	size_t quoted;

	sf_string_add(&text, l.name);
	quoted = text.n;
	parameter_add(&text, 'q', limit);
	parameter_add(&text, 'w', seconds_up(window_ms));
	l.policy = arena_copy(mem, buf_slice(&text));
	l.quoted = slice_of(l.policy.p, quoted);
	text.n = 0;
	buf_add_lit(&text, "RateLimit-Policy: ");
	buf_add_slice(&text, l.policy);
	buf_add_lit(&text, "\r\nRateLimit: ");
	buf_add_slice(&text, l.quoted);
	buf_add_lit(&text, ";r=");
	l.alone = arena_copy(mem, buf_slice(&text));
	buf_fini(&text);
	return l;
}

/* Who has least left; of equals the one that stays so for longest. */
static const struct limit_answer *
tightest(const struct rate_verdict *met, unsigned n)
{
	const struct limit_answer *best = &met[0].answer;

	for (unsigned i = 1; i < n; i++) {
		const struct limit_answer *a = &met[i].answer;

		if (a->remaining < best->remaining ||
		    (a->remaining == best->remaining && a->reset_ms > best->reset_ms))
			best = a;
	}
	return best;
}

static void
value_limit(struct buf *b, const struct rate_verdict *met, unsigned n)
{
	buf_add_u64(b, tightest(met, n)->limit);
}

static void
value_limit_policies(struct buf *b, const struct rate_verdict *met, unsigned n)
{
	value_limit(b, met, n);
	for (unsigned i = 0; i < n; i++) {
		buf_add_lit(b, ", ");
		buf_add_u64(b, met[i].answer.limit);
		parameter_add(b, 'w', seconds_up(met[i].answer.window_ms));
	}
}

static void
value_remaining(struct buf *b, const struct rate_verdict *met, unsigned n)
{
	buf_add_u64(b, tightest(met, n)->remaining);
}

static void
value_reset(struct buf *b, const struct rate_verdict *met, unsigned n)
{
	buf_add_u64(b, seconds_up(tightest(met, n)->reset_ms));
}

/* What is left, and when there is more. */
static char *
put_state(char *at, const struct limit_answer *a)
{
	at = u64_write(at, a->remaining);
	if (a->reset_ms > 0)
		at = u64_write(LIT_WRITE(at, ";t="), seconds_up(a->reset_ms));
	return at;
}

static char *
put_policies(char *at, const struct rate_verdict *met, unsigned n)
{
	at = LIT_WRITE(at, "RateLimit-Policy: ");
	for (unsigned i = 0; i < n; i++) {
		at = i == 0 ? at : LIT_WRITE(at, ", ");
		at = bytes_write(at, met[i].label->policy.p, met[i].label->policy.n);
	}
	return LIT_WRITE(at, "\r\n");
}

static char *
put_states(char *at, const struct rate_verdict *met, unsigned n)
{
	at = LIT_WRITE(at, "RateLimit: ");
	for (unsigned i = 0; i < n; i++) {
		at = i == 0 ? at : LIT_WRITE(at, ", ");
		at = bytes_write(at, met[i].label->quoted.p, met[i].label->quoted.n);
		at = put_state(LIT_WRITE(at, ";r="), &met[i].answer);
	}
	return LIT_WRITE(at, "\r\n");
}

#define STATE_MOST (2 * U64_DIGITS + sizeof(", ;r=;t=\r\n"))

/* The same of one limit: what nearly every answer has that has these lines. */
static void
add_alone(struct buf *out, const struct rate_verdict *met)
{
	struct slice alone = met->label->alone;
	char *at = bytes_write(buf_room(out, alone.n + STATE_MOST), alone.p, alone.n);

	at = put_state(at, &met->answer);
	at = LIT_WRITE(at, "\r\n");
	out->n = (size_t)(at - out->p);
}

static void
add_draft_11(struct buf *out, const struct rate_verdict *met, unsigned n)
{
	size_t most = sizeof("RateLimit-Policy: \r\nRateLimit: ");
	char *at;

	for (unsigned i = 0; i < n; i++)
		most += met[i].label->policy.n + met[i].label->quoted.n + STATE_MOST + 2;
	at = buf_room(out, most);
	at = put_policies(at, met, n);
	at = put_states(at, met, n);
	out->n = (size_t)(at - out->p);
}

struct line_maker {
	struct slice name;
	void (*value)(struct buf *b, const struct rate_verdict *met, unsigned n);
};

#define OLDER_LINES 3
/* clang-format off */
static const struct line_maker older[RATE_STYLES][OLDER_LINES] = {
	[RATE_STYLE_draft_03] = {
		{SLICE_LIT("RateLimit-Limit"), value_limit_policies},
		{SLICE_LIT("RateLimit-Remaining"), value_remaining},
		{SLICE_LIT("RateLimit-Reset"), value_reset},
	},
	[RATE_STYLE_x_ratelimit] = {
		{SLICE_LIT("X-RateLimit-Limit"), value_limit},
		{SLICE_LIT("X-RateLimit-Remaining"), value_remaining},
		{SLICE_LIT("X-RateLimit-Reset"), value_reset},
	},
};
/* clang-format on */

void
rate_lines_add(struct buf *out, enum rate_style style, const struct rate_verdict *met, unsigned n)
{
	const struct line_maker *make = older[style];
	uint64_t retry_s = rate_retry_s(met, n);

	if (n == 1 && style == RATE_STYLE_draft_11)
		add_alone(out, met);
	else if (n > 1 && style == RATE_STYLE_draft_11)
		add_draft_11(out, met, n);
	for (unsigned i = 0; n > 0 && i < OLDER_LINES && make[i].value != NULL; i++) {
		buf_add_slice(out, make[i].name);
		buf_add_lit(out, ": ");
		make[i].value(out, met, n);
		buf_add_lit(out, "\r\n");
	}
	if (retry_s > 0) {
		buf_add_lit(out, "Retry-After: ");
		buf_add_u64(out, retry_s);
		buf_add_lit(out, "\r\n");
	}
}

/* The bodies. */

static void
json_string_add(struct buf *b, struct slice s)
{
	buf_add_char(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c < 0x20)
			buf_printf(b, "\\u%04x", c);
		else
			buf_add_char(b, (char)c);
	}
	buf_add_char(b, '"');
}

void
rate_problem_write(struct buf *b, unsigned status, const struct rate_verdict *met, unsigned n)
{
	uint64_t retry_s = rate_retry_s(met, n);
	const char *comma = "";

	buf_printf(b,
	    "{\"type\":\"" RATE_PROBLEM_TYPE "\","
	    "\"title\":\"Too many requests\",\"status\":%u,"
	    "\"detail\":\"More requests than allowed. Try again in %llu second%s.\","
	    "\"violated-policies\":[",
	    status, (unsigned long long)retry_s, retry_s == 1 ? "" : "s");
	for (unsigned i = 0; i < n; i++) {
		if (met[i].answer.verdict != LIMIT_REFUSED)
			continue;
		buf_add_slice(b, slice_from(comma));
		json_string_add(b, met[i].label->name);
		comma = ",";
	}
	buf_add_lit(b, "]}\n");
}

/* Seconds as people say them, never sooner than they are. */
static void
wait_in_words(uint64_t s, char *out, size_t cap)
{
	static const struct {
		uint64_t upto_s, unit_s;
		const char *unit;
	} scale[] = {{120, 1, "second"}, {7200, 60, "minute"}, {172800, 3600, "hour"},
	    {UINT64_MAX, 86400, "day"}};
	unsigned i = 0;
	uint64_t count;

	while (s >= scale[i].upto_s && i < 3)
		i++;
	count = (s + scale[i].unit_s - 1) / scale[i].unit_s;
	snprintf(
	    out, cap, "%llu %s%s", (unsigned long long)count, scale[i].unit, count == 1 ? "" : "s");
}

void
rate_page_write(struct buf *b, unsigned status, const struct rate_verdict *met, unsigned n)
{
	char wait[48];

	wait_in_words(rate_retry_s(met, n), wait, sizeof(wait));
	buf_printf(b,
	    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
	    "<meta name=\"viewport\" content=\"width=device-width\">\n"
	    "<title>%u Too many requests</title>\n"
	    "<h1>Too many requests</h1>\n"
	    "<p>More requests came from you than are allowed here. "
	    "Please try again in %s.</p>\n</html>\n",
	    status, wait);
}

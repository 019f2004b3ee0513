/* Answers of our own: errors, redirects, what handlers say. */
#include "http/fieldrun.h"
#include "http/vary.h"
#include "server/respond_priv.h"

/* clang-format off */
#define STATUSES(X)                                                                              \
	X(100, "Continue") X(101, "Switching Protocols") X(200, "OK") X(201, "Created")          \
	X(202, "Accepted") X(204, "No Content") X(206, "Partial Content")                        \
	X(301, "Moved Permanently") X(302, "Found") X(303, "See Other") X(304, "Not Modified")   \
	X(307, "Temporary Redirect") X(308, "Permanent Redirect") X(400, "Bad Request")          \
	X(401, "Unauthorized") X(403, "Forbidden") X(404, "Not Found") X(405, "Method Not Allowed") \
	X(408, "Request Timeout") X(409, "Conflict") X(410, "Gone") X(411, "Length Required")    \
	X(412, "Precondition Failed") X(413, "Content Too Large") X(414, "URI Too Long")         \
	X(416, "Range Not Satisfiable") X(421, "Misdirected Request") X(429, "Too Many Requests") \
	X(431, "Request Header Fields Too Large") X(451, "Unavailable For Legal Reasons")        \
	X(500, "Internal Server Error") X(501, "Not Implemented") X(502, "Bad Gateway")          \
	X(503, "Service Unavailable") X(504, "Gateway Timeout") X(505, "HTTP Version Not Supported")
/* clang-format on */

const char *
status_phrase(unsigned status)
{
	switch (status) {
#define X(code, phrase) \
	case code:      \
		return phrase;
		STATUSES(X)
#undef X
	default:
		return "";
	}
}

#define RETRY_AFTER_LEAST_S 1
#define RETRY_AFTER_SPREAD_S 3

/* RFC 9110 section 10.2.3. Spread, so that those who were turned away together do not come back together. */
void
exchange_add_retry_after(struct exchange *x)
{
	size_t n = x->request_id.n;
	unsigned spread = n == 0 ? 0 : (unsigned char)x->request_id.p[n - 1];

	buf_add_lit(&x->own_fields, "Retry-After: ");
	buf_add_u64(&x->own_fields, RETRY_AFTER_LEAST_S + spread % RETRY_AFTER_SPREAD_S);
	buf_add_lit(&x->own_fields, "\r\n");
}

enum exchange_next
exchange_own(struct exchange *x, unsigned status, const char *why)
{
	if (status == 503)
		exchange_add_retry_after(x);
	x->answer = ANSWER_OWN;
	x->status = status;
	x->reason = why;
	x->tier = TIER_self;
	x->own_type = NULL;
	return exchange_to(x, STEP_respond);
}

/* An error without a body gets one: problem details (RFC 9457), or a page for people. */
static void
write_error_body(struct exchange *x)
{
	const char *phrase = status_phrase(x->status);

	if (x->own_type != NULL || x->own_body.n > 0 || x->status < 300 || x->status == 304)
		return;
	if (x->head.base != NULL && accept_prefers_html(&x->head)) {
		x->own_type = "text/html; charset=utf-8";
		buf_printf(&x->own_body,
		    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>%u %s</title>"
		    "<h1>%u %s</h1>\n",
		    x->status, phrase, x->status, phrase);
		return;
	}
	if (x->status < 400)
		return;
	x->own_type = "application/problem+json";
	buf_printf(&x->own_body, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u}\n",
	    phrase, x->status);
}

enum exchange_next
respond_own(struct exchange *x)
{
	bool bodyless = x->head.method == METHOD_HEAD || x->status == 304 || x->status == 204;

	write_error_body(x);
	respond_start_line(x, slice_from(status_phrase(x->status)));
	respond_add_date(x, &x->out);
	if (x->own_body.n > 0 && x->own_type != NULL)
		field_line_add(&x->out, SLICE_LIT("Content-Type"), slice_from(x->own_type));
	if (x->tier == TIER_self && x->status >= 400)
		field_line_add(&x->out, SLICE_LIT("Cache-Control"), SLICE_LIT("no-store"));
	buf_add_slice(&x->out, buf_slice(&x->own_fields));
	respond_add_security(x, NULL);
	respond_add_own_lines(x);
	if (!bodyless && x->own_body.n > 0) {
		x->source = body_of(NULL, buf_slice(&x->own_body));
		if (x->source == NULL) {
			x->end = END_body_broken;
			return EXCHANGE_OVER;
		}
	}
	x->send_until = x->own_body.n;
	return respond_reply(x, !bodyless, x->status != 304 && x->status != 204, x->own_body.n);
}

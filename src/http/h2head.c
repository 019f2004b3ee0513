#include "http/h2head.h"

#include <stdlib.h>

#include "base/mem.h"
#include "http/headrules.h"
#include "http/scan.h"

#define BYTES_KEPT 8192
#define PER_FIELD_BYTES 4 /* beside name and value, as HTTP/1.1 writes them */

/* --- beginning and end --- */

void
h2_head_begin(struct h2_head *h, bool is_trailers, size_t limit_bytes, size_t target_bytes)
{
	h->is_trailers = is_trailers;
	h->limit_bytes = limit_bytes;
	h->target_bytes = target_bytes;
	h->bytes = 0;
	h->fault = H2_FAULT_none;
	h->shared = H1_FAULT_none;
	h->text.n = h->cookie.n = 0;
	memset(h->parts, 0, sizeof(h->parts));
	h->has_line = h->is_connect = h->has_length = false;
	h->length = 0;
	h->priority = priority_usual;
	if (is_trailers)
		return;
	if (h->head == NULL)
		h->head = must_malloc(sizeof(*h->head));
	memset(h->head, 0, offsetof(struct head, fields));
}

void
h2_head_rest(struct h2_head *h)
{
	if (h->text.cap + h->cookie.cap > BYTES_KEPT)
		h2_head_fini(h);
}

void
h2_head_sleep(struct h2_head *h)
{
	free(h->head);
	h->head = NULL;
}

void
h2_head_fini(struct h2_head *h)
{
	h2_head_sleep(h);
	buf_fini(&h->text);
	buf_fini(&h->cookie);
}

/* --- faults --- */

unsigned
h2_fault_status(enum h2_fault fault, enum h1_fault shared)
{
	static const unsigned statuses[] = {
#define X(name, status, text) [H2_FAULT_##name] = status,
	    H2_FAULTS(X)
#undef X
	};

	return fault == H2_FAULT_as_http1 ? h1_faults[shared].status : statuses[fault];
}

const char *
h2_fault_text(enum h2_fault fault, enum h1_fault shared)
{
	static const char *const texts[] = {
#define X(name, status, text) [H2_FAULT_##name] = text,
	    H2_FAULTS(X)
#undef X
	};

	return fault == H2_FAULT_as_http1 ? h1_faults[shared].text : texts[fault];
}

static void
fail(struct h2_head *h, enum h2_fault fault)
{
	if (h->fault == H2_FAULT_none)
		h->fault = fault;
}

/* What HTTP/1.1 says of it. */
static void
fail_as_http1(struct h2_head *h, enum h1_fault shared)
{
	if (shared == H1_FAULT_none || h->fault != H2_FAULT_none)
		return;
	h->fault = H2_FAULT_as_http1;
	h->shared = shared;
}

static struct slice
part(const struct h2_head *h, enum h2_pseudo which)
{
	const struct h2_part *p = &h->parts[which];

	if (!p->is_there)
		return SLICE_NONE;
	return p->n == 0 ? SLICE_LIT("") : slice_of(h->text.p + p->at, p->n);
}

static bool
has(const struct h2_head *h, enum h2_pseudo which)
{
	return h->parts[which].is_there;
}

/* --- one field --- */

static const struct slice host_name = SLICE_LIT("host");

static bool
is_visible(struct slice v)
{
	for (size_t i = 0; i < v.n; i++)
		if ((unsigned char)v.p[i] <= ' ' || v.p[i] == 127)
			return false;
	return v.n > 0;
}

static void
take_pseudo(struct h2_head *h, const struct h2_field *f)
{
	struct h2_part *p = &h->parts[f->pseudo];

	if (f->pseudo == H2_PSEUDO_COUNT || h->is_trailers)
		fail(h, H2_FAULT_pseudo_unknown);
	else if (h->has_line)
		fail(h, H2_FAULT_pseudo_late);
	else if (p->is_there)
		fail(h, H2_FAULT_pseudo_repeated);
	if (h->fault != H2_FAULT_none)
		return;
	if (f->pseudo == H2_PSEUDO_authority)
		buf_add_slice(&h->text, host_name);
	*p = (struct h2_part){
	    true, (f->judged & H2_VALUE_USUAL) != 0, (uint32_t)h->text.n, (uint32_t)f->value.n};
	buf_add_slice(&h->text, f->value);
}

/* What nearly every request has, and nothing to be judged of it. */
static bool
has_usual_pseudo(const struct h2_head *h)
{
	const struct h2_part *p = h->parts;

	return p[H2_PSEUDO_method].is_usual && p[H2_PSEUDO_scheme].is_usual &&
	    p[H2_PSEUDO_path].is_usual && p[H2_PSEUDO_authority].is_usual &&
	    !p[H2_PSEUDO_protocol].is_there;
}

/* RFC 9113 sections 8.3.1 and 8.5, RFC 8441 section 4. */
static enum h2_fault
judge_pseudo(struct h2_head *h)
{
	struct slice method = part(h, H2_PSEUDO_method), path = part(h, H2_PSEUDO_path);
	struct slice scheme = part(h, H2_PSEUDO_scheme), host = part(h, H2_PSEUDO_authority);
	bool is_connect = slice_eq(method, SLICE_LIT("CONNECT"));

	if (!has(h, H2_PSEUDO_method))
		return H2_FAULT_pseudo_missing;
	if (!h1_is_token(method))
		return H2_FAULT_method;
	if (has(h, H2_PSEUDO_authority) && (!is_visible(host) || slice_index(host, '@') < host.n))
		return H2_FAULT_authority;
	if (has(h, H2_PSEUDO_protocol) && !is_connect)
		return H2_FAULT_pseudo_unknown;
	if (is_connect && !has(h, H2_PSEUDO_protocol))
		return has(h, H2_PSEUDO_path) || has(h, H2_PSEUDO_scheme) ? H2_FAULT_pseudo_unknown
		    : has(h, H2_PSEUDO_authority)			  ? H2_FAULT_none
									  : H2_FAULT_pseudo_missing;
	if (!has(h, H2_PSEUDO_path) || !has(h, H2_PSEUDO_scheme))
		return H2_FAULT_pseudo_missing;
	if (!slice_ieq(scheme, SLICE_LIT("http")) && !slice_ieq(scheme, SLICE_LIT("https")))
		return H2_FAULT_scheme;
	if (!is_visible(path) ||
	    (path.p[0] != '/' &&
		!(slice_eq(path, SLICE_LIT("*")) && slice_eq(method, SLICE_LIT("OPTIONS")))))
		return H2_FAULT_path;
	if (is_connect && !slice_ieq(part(h, H2_PSEUDO_protocol), SLICE_LIT("websocket")))
		return H2_FAULT_protocol;
	h->is_connect = is_connect;
	return H2_FAULT_none;
}

/* Puts a field whose name and value stand in text already, or are put there. */
static void
put_field(struct h2_head *h, enum field_id id, struct slice name, struct slice value)
{
	size_t at = h->text.n;
	char *p = buf_room(&h->text, name.n + value.n);

	if (name.p + name.n == value.p) { /* as they lie in a table */
		memcpy(p, name.p, name.n + value.n);
	} else {
		memcpy(p, name.p, name.n);
		if (value.n > 0)
			memcpy(p + name.n, value.p, value.n);
	}
	h->text.n += name.n + value.n;
	h->head->base = h->text.p;
	fail_as_http1(h, head_put_field(h->head, id, at, name.n, at + name.n, value.n));
}

/* The request line, and Host of :authority. */
static void
put_line(struct h2_head *h)
{
	const struct h2_part *method = &h->parts[H2_PSEUDO_method];
	const struct h2_part *host = &h->parts[H2_PSEUDO_authority];
	const struct h2_part *target = has(h, H2_PSEUDO_path) ? &h->parts[H2_PSEUDO_path] : host;
	struct h2_part get = {true, true, (uint32_t)h->text.n, 3};

	if (h->is_connect) {
		buf_add_lit(&h->text, "GET");
		method = &get;
	}
	h->head->base = h->text.p;
	h->head->minor = 1;
	fail_as_http1(h, head_put_method(h->head, method->at, method->n));
	fail_as_http1(h, head_put_target(h->head, target->at, target->n, h->target_bytes));
	if (!target->is_usual && scan_target(h->text.p + target->at, target->n) != target->n)
		fail_as_http1(h, H1_FAULT_target);
	if (host->is_there)
		fail_as_http1(h,
		    head_put_field(h->head, FIELD_HOST, host->at - host_name.n, host_name.n,
			host->at, host->n));
}

/* The pseudo-fields are over: what they say stands first. */
static void
end_pseudo(struct h2_head *h)
{
	if (h->has_line || h->is_trailers)
		return;
	h->has_line = true;
	if (!has_usual_pseudo(h))
		fail(h, judge_pseudo(h));
	if (h->fault == H2_FAULT_none)
		put_line(h);
}

/* --- fields --- */

static void
take_length(struct h2_head *h, struct slice value)
{
	if (h->has_length || !slice_to_u64(value, &h->length) || h->length > INT64_MAX)
		fail(h, H2_FAULT_length);
	h->has_length = true;
}

/* Whether the field stands as it is. What does not was seen to, or is at fault. */
static bool
judge_field(struct h2_head *h, enum field_id id, struct slice value)
{
	switch (id) {
	case FIELD_CONNECTION:
	case FIELD_PROXY_CONNECTION:
	case FIELD_KEEP_ALIVE:
	case FIELD_TRANSFER_ENCODING:
	case FIELD_UPGRADE:
		fail(h, H2_FAULT_connection);
		return false;
	case FIELD_TE:
		if (!slice_ieq(value, SLICE_LIT("trailers")))
			fail(h, H2_FAULT_connection);
		return false;
	case FIELD_HOST:
		if (!has(h, H2_PSEUDO_authority))
			return true;
		if (!slice_ieq(value, part(h, H2_PSEUDO_authority)))
			fail(h, H2_FAULT_host);
		return false;
	case FIELD_COOKIE:
		if (h->cookie.n > 0 && value.n > 0)
			buf_add_lit(&h->cookie, "; ");
		buf_add_slice(&h->cookie, value);
		return false;
	case FIELD_CONTENT_LENGTH:
		take_length(h, value);
		return true;
	case FIELD_SEC_WEBSOCKET_KEY:
		return !h->is_connect;
	case FIELD_PRIORITY:
		priority_read(value, &h->priority);
		return true;
	default:
		return true;
	}
}

static void
put_trailer(struct h2_head *h, const struct h2_field *f)
{
	if (!h1_trailer_passes((enum field_id)f->id))
		return;
	buf_add_slice(&h->text, f->name);
	buf_add_lit(&h->text, ": ");
	buf_add_slice(&h->text, f->value);
	buf_add_lit(&h->text, "\r\n");
}

void
h2_head_field(struct h2_head *h, const struct h2_field *f)
{
	h->bytes += f->name.n + f->value.n + PER_FIELD_BYTES;
	if (h->bytes > h->limit_bytes)
		fail(h, H2_FAULT_too_large);
	if (!(f->judged & H2_VALUE_GOOD))
		fail(h, H2_FAULT_field_value);
	if (h->fault != H2_FAULT_none)
		return;
	if (f->pseudo != H2_PSEUDO_none) {
		take_pseudo(h, f);
		return;
	}
	end_pseudo(h);
	if (!(f->judged & H2_NAME_GOOD))
		fail(h, H2_FAULT_field_name);
	if (h->fault != H2_FAULT_none)
		return;
	if (h->is_trailers)
		put_trailer(h, f);
	else if (judge_field(h, (enum field_id)f->id, f->value))
		put_field(h, (enum field_id)f->id, f->name, f->value);
}

/* What HTTP/1.1 has of an extended CONNECT. */
static void
put_upgrade(struct h2_head *h, struct slice key)
{
	put_field(h, FIELD_CONNECTION, SLICE_LIT("connection"), SLICE_LIT("upgrade"));
	put_field(h, FIELD_UPGRADE, SLICE_LIT("upgrade"), SLICE_LIT("websocket"));
	put_field(h, FIELD_SEC_WEBSOCKET_KEY, SLICE_LIT("sec-websocket-key"), key);
}

void
h2_head_end(struct h2_head *h, struct slice upgrade_key)
{
	end_pseudo(h);
	if (h->fault != H2_FAULT_none || h->is_trailers)
		return;
	if (h->cookie.n > 0)
		put_field(h, FIELD_COOKIE, SLICE_LIT("cookie"), buf_slice(&h->cookie));
	if (h->is_connect)
		put_upgrade(h, upgrade_key);
	fail_as_http1(h, head_judge_host(h->head));
	h->head->base = h->text.p;
	h->head->size = (uint32_t)h->text.n;
}

#include "http/h2head.h"

#include "http/h1.h"

const struct h2_fault_row h2_faults[] = {
#define X(name, status, text) [H2_FAULT_##name] = {status, text},
    H2_FAULTS(X)
#undef X
};

#define BYTES_KEPT 8192
#define PER_FIELD_BYTES 4 /* ": " and CR LF */

/* --- in --- */

void
h2_head_begin(struct h2_head *h, bool is_trailers, size_t limit_bytes)
{
	h->is_trailers = is_trailers;
	h->limit_bytes = limit_bytes;
	h->bytes = 0;
	h->fault = H2_FAULT_none;
	h->text.n = h->cookie.n = h->pseudo.n = 0;
	memset(h->parts, 0, sizeof(h->parts));
	h->has_line = h->is_connect = h->has_length = false;
	h->length = 0;
	h->priority = priority_usual;
}

void
h2_head_rest(struct h2_head *h)
{
	if (h->text.cap + h->cookie.cap + h->pseudo.cap > BYTES_KEPT)
		h2_head_fini(h);
}

void
h2_head_fini(struct h2_head *h)
{
	buf_fini(&h->text);
	buf_fini(&h->cookie);
	buf_fini(&h->pseudo);
}

static void
fail(struct h2_head *h, enum h2_fault fault)
{
	if (h->fault == H2_FAULT_none)
		h->fault = fault;
}

static struct slice
part(const struct h2_head *h, enum h2_pseudo which)
{
	const struct h2_part *p = &h->parts[which];

	if (!p->is_there)
		return SLICE_NONE;
	return p->n == 0 ? SLICE_LIT("") : slice_of(h->pseudo.p + p->at, p->n);
}

static bool
has(const struct h2_head *h, enum h2_pseudo which)
{
	return h->parts[which].is_there;
}

static bool
is_lower_token(struct slice name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] >= 'A' && name.p[i] <= 'Z')
			return false;
	return h1_is_token(name);
}

/* RFC 9113 section 8.2.1, and no other control characters either. */
static bool
is_good_value(struct slice v)
{
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if ((c < ' ' && c != '\t') || c == 127)
			return false;
	}
	return v.n == 0 || slice_trim(v).n == v.n;
}

static bool
is_visible(struct slice v)
{
	for (size_t i = 0; i < v.n; i++)
		if ((unsigned char)v.p[i] <= ' ' || v.p[i] == 127)
			return false;
	return v.n > 0;
}

static void
take_pseudo(struct h2_head *h, struct slice name, struct slice value)
{
	static const struct slice names[H2_PSEUDO_COUNT] = {
	    [H2_PSEUDO_method] = SLICE_LIT(":method"),
	    [H2_PSEUDO_scheme] = SLICE_LIT(":scheme"),
	    [H2_PSEUDO_authority] = SLICE_LIT(":authority"),
	    [H2_PSEUDO_path] = SLICE_LIT(":path"),
	    [H2_PSEUDO_protocol] = SLICE_LIT(":protocol"),
	};
	unsigned i = 0;

	while (i < H2_PSEUDO_COUNT && !slice_eq(name, names[i]))
		i++;
	if (i == H2_PSEUDO_COUNT || h->is_trailers)
		fail(h, H2_FAULT_pseudo_unknown);
	else if (h->has_line)
		fail(h, H2_FAULT_pseudo_late);
	else if (h->parts[i].is_there)
		fail(h, H2_FAULT_pseudo_repeated);
	if (h->fault != H2_FAULT_none)
		return;
	h->parts[i] = (struct h2_part){true, (uint32_t)h->pseudo.n, (uint32_t)value.n};
	buf_add_slice(&h->pseudo, value);
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

static void
write_line(struct h2_head *h)
{
	struct slice method = part(h, H2_PSEUDO_method);
	bool is_plain_connect = !h->is_connect && !has(h, H2_PSEUDO_path);

	if (h->is_connect)
		method = SLICE_LIT("GET");
	buf_add_slice(&h->text, method);
	buf_add_char(&h->text, ' ');
	buf_add_slice(&h->text, part(h, is_plain_connect ? H2_PSEUDO_authority : H2_PSEUDO_path));
	buf_add_lit(&h->text, " HTTP/1.1\r\n");
	if (!has(h, H2_PSEUDO_authority))
		return;
	buf_add_lit(&h->text, "host: ");
	buf_add_slice(&h->text, part(h, H2_PSEUDO_authority));
	buf_add_lit(&h->text, "\r\n");
}

/* The pseudo-fields are over: what they say stands first. */
static void
begin_fields(struct h2_head *h)
{
	if (h->has_line || h->is_trailers)
		return;
	h->has_line = true;
	fail(h, judge_pseudo(h));
	if (h->fault == H2_FAULT_none)
		write_line(h);
}

static void
take_length(struct h2_head *h, struct slice value)
{
	if (h->has_length || !slice_to_u64(value, &h->length) || h->length > INT64_MAX)
		fail(h, H2_FAULT_length);
	h->has_length = true;
}

/* Whether the field stands as it is. What does not was seen to, or is at fault. */
static bool
judge_field(struct h2_head *h, enum field_id id, struct slice name, struct slice value)
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
		if (h->cookie.n > 0)
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
add_line(struct buf *text, struct slice name, struct slice value)
{
	buf_add_slice(text, name);
	buf_add_lit(text, ": ");
	buf_add_slice(text, value);
	buf_add_lit(text, "\r\n");
}

void
h2_head_field(struct h2_head *h, struct slice name, struct slice value)
{
	enum field_id id;

	h->bytes += name.n + value.n + PER_FIELD_BYTES;
	if (h->bytes > h->limit_bytes)
		fail(h, H2_FAULT_too_large);
	if (h->fault != H2_FAULT_none)
		return;
	if (!is_good_value(value)) {
		fail(h, H2_FAULT_field_value);
		return;
	}
	if (name.n > 0 && name.p[0] == ':') {
		take_pseudo(h, name, value);
		return;
	}
	begin_fields(h);
	if (h->fault != H2_FAULT_none)
		return;
	if (!is_lower_token(name)) {
		fail(h, H2_FAULT_field_name);
		return;
	}
	id = field_id_of(name);
	if (h->is_trailers ? h1_trailer_passes(id) : judge_field(h, id, name, value))
		add_line(&h->text, name, value);
}

void
h2_head_end(struct h2_head *h, struct slice upgrade_key)
{
	begin_fields(h);
	if (h->fault != H2_FAULT_none || h->is_trailers)
		return;
	if (h->cookie.n > 0)
		add_line(&h->text, SLICE_LIT("cookie"), buf_slice(&h->cookie));
	if (h->is_connect) {
		buf_add_lit(&h->text, "connection: upgrade\r\nupgrade: websocket\r\n");
		add_line(&h->text, SLICE_LIT("sec-websocket-key"), upgrade_key);
	}
	buf_add_lit(&h->text, "\r\n");
}

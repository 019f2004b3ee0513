#include "server/request.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdio.h>

#include "http/conditional.h"
#include "http/fieldrun.h"
#include "http/forwarded.h"
#include "http/offer.h"
#include "server/affinity.h"
#include "server/clientip.h"

/* --- who asks --- */

static void
mapped_bytes(const struct address *a, uint8_t out[16])
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	if (a->u.sa.sa_family == AF_INET6) {
		memcpy(out, &a->u.in6.sin6_addr, 16);
		return;
	}
	memcpy(out, prefix, 12);
	memcpy(out + 12, &a->u.in4.sin_addr, 4);
}

static bool
cidr_holds(const struct cidr *c, const uint8_t bytes[16])
{
	unsigned whole = c->bits / 8, rest = c->bits % 8;

	if (memcmp(c->bytes, bytes, whole) != 0)
		return false;
	return rest == 0 || ((c->bytes[whole] ^ bytes[whole]) >> (8 - rest)) == 0;
}

bool
address_is_in(const struct address *a, const struct cidr *networks, unsigned count)
{
	uint8_t bytes[16];

	if (a->u.sa.sa_family == AF_UNIX)
		return false;
	mapped_bytes(a, bytes);
	for (unsigned i = 0; i < count; i++)
		if (cidr_holds(&networks[i], bytes))
			return true;
	return false;
}

/* A unix socket's peer is on this machine and was let in by the file's mode: trusted when anybody is. */
static bool
is_trusted(const struct site *site, const struct address *a)
{
	if (a->u.sa.sa_family == AF_UNIX)
		return site->trusted_count > 0;
	return address_is_in(a, site->trusted, site->trusted_count);
}

/* An address in X-Forwarded-For: bare, or with a port, IPv6 also in brackets. */
static bool
parse_forwarded_address(struct slice s, struct address *out)
{
	char text[64];
	size_t colon;

	s = slice_trim(s);
	if (s.n > 0 && s.p[0] == '[') {
		size_t close = slice_index(s, ']');
		if (close == s.n)
			return false;
		s = slice_of(s.p + 1, close - 1);
	} else if ((colon = slice_index(s, ':')) < s.n &&
	    slice_index(slice_skip(s, colon + 1), ':') == s.n - colon - 1)
		s.n = colon;
	if (s.n == 0 || s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	*out = (struct address){0};
	if (inet_pton(AF_INET, text, &out->u.in4.sin_addr) == 1) {
		out->u.sa.sa_family = AF_INET;
		out->len = sizeof(out->u.in4);
		return true;
	}
	if (inet_pton(AF_INET6, text, &out->u.in6.sin6_addr) != 1)
		return false;
	out->u.sa.sa_family = AF_INET6;
	out->len = sizeof(out->u.in6);
	return true;
}

struct slice
address_text(struct arena *mem, const struct address *a)
{
	struct client_ip ip = client_ip_of(a);
	char text[CLIENT_IP_TEXT_MAX];

	return arena_copy(mem, client_ip_text(text, &ip));
}

#define PROXIES_MAX 32 /* between the client and us */

/* Backwards through X-Forwarded-For: the nearest address that is no trusted proxy is the client. */
static void
look_through_proxies(struct exchange *x)
{
	struct slice members[PROXIES_MAX], member;
	struct list_walk walk = {0};
	unsigned n = 0, left;

	while (head_list_next(&x->head, FIELD_X_FORWARDED_FOR, &walk, &member))
		members[n++ % PROXIES_MAX] = member;
	left = n < PROXIES_MAX ? n : PROXIES_MAX;
	while (left-- > 0 && is_trusted(x->site, &x->client_address)) {
		struct address a;

		if (!parse_forwarded_address(members[--n % PROXIES_MAX], &a))
			return;
		x->client_address = a;
	}
}

static bool
is_good_id(struct slice id)
{
	if (id.n == 0 || id.n > 128)
		return false;
	for (size_t i = 0; i < id.n; i++) {
		unsigned char c = (unsigned char)id.p[i];
		if (c <= ' ' || c >= 127 || c == '"' || c == '\\')
			return false;
	}
	return true;
}

/* Sixteen digits. Half a byte is spread to a byte, then each made its digit, eight at a time. */
static void
put_hex(char out[16], uint64_t v)
{
	for (int i = 0; i < 2; i++) {
		uint64_t x = i == 0 ? v >> 32 : v & UINT32_MAX, letters;

		x = (x | x << 16) & 0x0000ffff0000ffff;
		x = (x | x << 8) & 0x00ff00ff00ff00ff;
		x = (x | x << 4) & 0x0f0f0f0f0f0f0f0f;
		letters = (x + 0x0606060606060606) >> 4 & 0x0101010101010101; /* 10 and more */
		x = x + 0x3030303030303030 + letters * ('a' - '0' - 10);
		x = htobe64(x);
		memcpy(out + 8 * i, &x, 8);
	}
}

/* 128 bits in hex: the worker's random half, and a count. */
static struct slice
new_id(struct exchange *x)
{
	char *p = arena_alloc(&x->mem, 32);

	memcpy(p, x->worker->request_prefix, 16);
	put_hex(p + 16, x->worker->request_serial++);
	return slice_of(p, 32);
}

/* TLS ends at a proxy before us: the URL is https all the same. */
static void
believe_scheme(struct exchange *x)
{
	struct slice proto = head_value(&x->head, FIELD_X_FORWARDED_PROTO);

	if (slice_eq(proto, SLICE_LIT("https")))
		x->is_https = true;
	else if (slice_eq(proto, SLICE_LIT("http")))
		x->is_https = false;
}

void
request_identify_client(struct exchange *x)
{
	struct slice id = head_value(&x->head, FIELD_X_REQUEST_ID);

	x->client_address = *x->client->peer;
	x->peer_is_trusted = x->site->trusted_count > 0 && is_trusted(x->site, &x->client_address);
	if (x->peer_is_trusted) {
		look_through_proxies(x);
		believe_scheme(x);
	}
	if (x->peer_is_trusted && is_good_id(id))
		x->request_id = id;
	else
		x->request_id = new_id(x);
}

struct slice
exchange_client_ip(struct exchange *x)
{
	if (x->client_ip.p == NULL && x->client_address.len > 0)
		x->client_ip = address_text(&x->mem, &x->client_address);
	return x->client_ip;
}

/* --- the head that goes upstream --- */

#define USUAL_BYTES 512 /* of what is added to a request */

/* What frameworks and servers take for a proxy's word about a request. X-Forwarded-* are more than anybody has listed. */
static bool
is_hearsay(const struct exchange *x, const struct field *f)
{
	static const struct slice family = SLICE_LIT("X-Forwarded-");
	unsigned flags = field_flags((enum field_id)f->id);

	if (flags & F_FORGED)
		return true;
	if (x->peer_is_trusted)
		return false;
	return (flags & F_TOLD) != 0 ||
	    (f->id == FIELD_OTHER && f->name_len > family.n &&
		slice_ieq(slice_of(x->head.base + f->name_at, family.n), family));
}

/* Fields that are written anew, or that would let the client decide for us. */
static bool
stays_behind(const struct exchange *x, const struct field *f)
{
	if (f->is_hop || is_hearsay(x, f))
		return true;
	switch (f->id) {
	case FIELD_HOST:
	case FIELD_CONTENT_LENGTH:
	case FIELD_TRANSFER_ENCODING:
	case FIELD_EXPECT:
	case FIELD_VIA:
	case FIELD_FORWARDED:
	case FIELD_X_FORWARDED_FOR:
	case FIELD_X_FORWARDED_HOST:
	case FIELD_X_FORWARDED_PROTO:
	case FIELD_X_REQUEST_ID:
		return true;
	case FIELD_MAX_FORWARDS:
		return x->head.method == METHOD_OPTIONS;
	case FIELD_ACCEPT_ENCODING:
		return x->asks_identity;
	case FIELD_RANGE:
	case FIELD_IF_RANGE:
		return x->is_shared;
	case FIELD_IF_NONE_MATCH:
	case FIELD_IF_MODIFIED_SINCE:
	case FIELD_IF_MATCH:
	case FIELD_IF_UNMODIFIED_SINCE:
		return x->is_shared && !x->passes_conditions;
	case FIELD_COOKIE:
		return x->route->cache.cookies == COOKIES_STRIP && x->route->cache.is_on;
	default:
		return false;
	}
}

/* A prefix is whole segments: /api is none of /apis. */
static bool
has_prefix(struct slice path, struct slice prefix)
{
	return slice_starts(path, prefix) &&
	    (path.n == prefix.n || prefix.p[prefix.n - 1] == '/' || path.p[prefix.n] == '/');
}

static void
write_target(const struct exchange *x, struct buf *out)
{
	struct slice path = x->url.path;
	const struct route *r = x->route;

	if (r->strip_prefix != NULL && has_prefix(path, slice_from(r->strip_prefix))) {
		path = slice_skip(path, strlen(r->strip_prefix));
		if (r->add_prefix == NULL && (path.n == 0 || path.p[0] != '/'))
			buf_add_char(out, '/');
	}
	if (r->add_prefix != NULL)
		buf_add_slice(out, slice_from(r->add_prefix));
	buf_add_slice(out, path);
	if (x->is_reduced ||
	    (x->route->cache.is_on &&
		(x->head.method == METHOD_GET || x->head.method == METHOD_HEAD)))
		exchange_add_query(x, r, out);
	else if (x->url.has_query) {
		buf_add_char(out, '?');
		buf_add_slice(out, x->url.query);
	}
}

/* A list field that others before us have begun: its lines as one, for our member to follow. */
static void
write_members(const struct exchange *x, struct buf *out, enum field_id id)
{
	for (const struct field *f = head_find(&x->head, id); f != NULL;
	     f = head_next(&x->head, f)) {
		buf_add_slice(out, field_value(&x->head, f));
		buf_add_lit(out, ", ");
	}
}

/* What the last hop could see, and we; each literal ends one line and begins the next. */
static void
write_hops(const struct exchange *x, struct buf *out)
{
	bool trusted = x->peer_is_trusted;
	struct slice proto = head_value(&x->head, FIELD_X_FORWARDED_PROTO);
	struct slice host = head_value(&x->head, FIELD_X_FORWARDED_HOST);
	struct slice scheme = exchange_scheme(x);
	struct client_ip peer = client_ip_of(x->client->peer);
	char text[CLIENT_IP_TEXT_MAX];
	struct slice ip = client_ip_text(text, &peer);
	bool v6 = peer.kind == CLIENT_IP_V6;

	buf_add_lit(out, "Via: ");
	write_members(x, out, FIELD_VIA);
	buf_add_slice(out, x->site->via[x->http_major == 2 ? 2 : x->head.minor > 0]);
	buf_add_lit(out, "\r\nX-Forwarded-For: ");
	if (trusted)
		write_members(x, out, FIELD_X_FORWARDED_FOR);
	buf_add_slice(out, ip);
	buf_add_lit(out, "\r\nX-Forwarded-Proto: ");
	buf_add_slice(out, trusted && proto.n > 0 ? proto : scheme);
	buf_add_lit(out, "\r\nX-Forwarded-Host: ");
	buf_add_slice(out, trusted && host.n > 0 ? host : x->url.authority);
	buf_add_lit(out, "\r\nForwarded: ");
	if (trusted && forwarded_is_valid(&x->head))
		write_members(x, out, FIELD_FORWARDED);
	if (v6)
		buf_add_lit(out, "for=\"[");
	else
		buf_add_lit(out, "for=");
	buf_add_slice(out, ip);
	if (v6)
		buf_add_lit(out, "]\";host=\"");
	else
		buf_add_lit(out, ";host=\"");
	buf_add_slice(out, x->url.authority);
	buf_add_lit(out, "\";proto=");
	buf_add_slice(out, scheme);
	buf_add_lit(out, "\r\nX-Request-Id: ");
	buf_add_slice(out, x->request_id);
	buf_add_lit(out, "\r\n");
}

/* Cookies that the route tells apart, and no others. */
static void
write_cookies(const struct exchange *x, struct buf *out)
{
	const struct names *names = &x->route->cache.cookie_names;
	size_t before = out->n;
	struct slice value;

	for (unsigned i = 0; i < names->count; i++) {
		struct slice name = slice_from(names->items[i]);
		struct cookie_walk walk = {0};

		while (cookie_next(&x->head, name, &walk, &value)) {
			buf_add(
			    out, out->n == before ? "Cookie: " : "; ", out->n == before ? 8 : 2);
			buf_add_slice(out, name);
			buf_add_char(out, '=');
			buf_add_slice(out, value);
		}
	}
	if (out->n > before)
		buf_add_lit(out, "\r\n");
}

/* Fields that count only in part: that part, as it stands in the key. */
static void
write_reduced(const struct exchange *x, struct buf *out)
{
	const struct route_cache *rc = &x->route->cache;

	for (unsigned i = 0; i < rc->offers_count; i++)
		if (x->offered[i] != OFFER_NONE)
			field_line_add(out, slice_from(rc->offers[i].name),
			    slice_from(rc->offers[i].values.items[x->offered[i]]));
	if (rc->cookies == COOKIES_KEY)
		write_cookies(x, out);
}

/* The client's, that is. */
static void
write_fields(const struct exchange *x, struct buf *out)
{
	struct field_run run = {&x->head, out, 0, 0};

	for (const struct field *f = x->head.fields; f < x->head.fields + x->head.count; f++) {
		if (stays_behind(x, f))
			continue;
		if (f->id != FIELD_COOKIE) {
			field_run_add(&run, f);
			continue;
		}
		field_run_end(&run);
		affinity_write_cookies(x, f, out);
	}
	field_run_end(&run);
}

void
request_render(const struct exchange *x, const struct head *validate, const struct byte_range *part,
    struct buf *out)
{
	const struct upload *u = &x->client->upload;
	uint64_t hops;

	buf_room(out, x->head.size + USUAL_BYTES);
	buf_add_slice(out, head_method(&x->head));
	buf_add_char(out, ' ');
	write_target(x, out);
	buf_add_lit(out, " HTTP/1.1\r\nHost: ");
	buf_add_slice(out, x->url.authority);
	buf_add_lit(out, "\r\n");
	write_fields(x, out);
	if (x->asks_identity)
		buf_add_lit(out, "Accept-Encoding: identity\r\n");
	if (x->is_reduced)
		write_reduced(x, out);
	if (x->head.method == METHOD_OPTIONS &&
	    slice_to_u64(head_value(&x->head, FIELD_MAX_FORWARDS), &hops) && hops > 0)
		buf_printf(out, "Max-Forwards: %llu\r\n", (unsigned long long)hops - 1);
	if (validate != NULL)
		conditional_write(validate, out);
	if (part != NULL)
		buf_printf(out, "Range: bytes=%llu-%llu\r\n", (unsigned long long)part->from,
		    (unsigned long long)part->to);
	write_hops(x, out);
	if (x->client->certificate.own.n > 0)
		field_line_add(out, SLICE_LIT("Client-Cert"), x->client->certificate.own);
	if (x->client->certificate.chain.n > 0)
		field_line_add(out, SLICE_LIT("Client-Cert-Chain"), x->client->certificate.chain);
	if (x->is_upgrade) {
		buf_add_lit(out, "Connection: Upgrade\r\n");
		field_line_add(out, SLICE_LIT("Upgrade"), head_value(&x->head, FIELD_UPGRADE));
	}
	if (x->is_query) {
		buf_printf(out, "Content-Length: %zu\r\n\r\n", x->collected.n);
		buf_add_slice(out, buf_slice(&x->collected));
		return;
	}
	if (x->client->has_upload && u->length == BODY_LENGTH_UNKNOWN)
		buf_add_lit(out, "Transfer-Encoding: chunked\r\n");
	else if (x->client->has_upload || head_has(&x->head, FIELD_CONTENT_LENGTH)) {
		buf_add_lit(out, "Content-Length: ");
		buf_add_u64(out, x->client->has_upload ? u->length : 0);
		buf_add_lit(out, "\r\n");
	}
	buf_add_lit(out, "\r\n");
}

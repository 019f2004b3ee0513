#include "event/proxyproto.h"

#include <arpa/inet.h>

#define V2_FIXED_BYTES 16
#define V2_IP4_BYTES 12
#define V2_IP6_BYTES 36
#define V2_UNIX_BYTES 216
#define TLV_HEAD_BYTES 3
#define TLV_CRC32C 0x03
#define CRC_BYTES 4

enum { COMMAND_LOCAL = 0, COMMAND_PROXY = 1 };
enum { FAMILY_NONE = 0, FAMILY_IP4 = 1, FAMILY_IP6 = 2, FAMILY_UNIX = 3 };
enum { TRANSPORT_STREAM = 1, TRANSPORT_DATAGRAM = 2 };

static const unsigned char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static enum proxy_answer
bad(const char **why_out, const char *why)
{
	*why_out = why;
	return PROXY_BAD;
}

/* --- version 1: a line of text --- */

static bool
read_port(struct slice s, uint16_t *out)
{
	uint64_t port;

	if ((s.n > 1 && s.p[0] == '0') || !slice_to_u64(s, &port) || port > 65535)
		return false;
	*out = htons((uint16_t)port);
	return true;
}

static bool
read_address(int family, struct slice host, struct slice port, struct address *out)
{
	char text[INET6_ADDRSTRLEN];

	*out = (struct address){0};
	if (host.n >= sizeof(text) || memchr(host.p, '\0', host.n) != NULL)
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (family == AF_INET) {
		out->u.in4.sin_family = AF_INET;
		out->len = sizeof(out->u.in4);
		return inet_pton(AF_INET, text, &out->u.in4.sin_addr) == 1 &&
		    read_port(port, &out->u.in4.sin_port);
	}
	out->u.in6.sin6_family = AF_INET6;
	out->len = sizeof(out->u.in6);
	return inet_pton(AF_INET6, text, &out->u.in6.sin6_addr) == 1 &&
	    read_port(port, &out->u.in6.sin6_port);
}

/* "TCP4 192.0.2.1 192.0.2.2 4711 443": exactly one blank between them. */
static bool
read_line(struct slice line, struct proxy_header *out)
{
	struct slice words[5];
	int family;

	for (unsigned i = 0; i < 5; i++) {
		size_t n = slice_index(line, ' ');

		if ((n == line.n) != (i == 4))
			return false;
		words[i] = slice_of(line.p, n);
		line = slice_skip(line, n == line.n ? n : n + 1);
	}
	if (slice_eq(words[0], SLICE_LIT("TCP4")))
		family = AF_INET;
	else if (slice_eq(words[0], SLICE_LIT("TCP6")))
		family = AF_INET6;
	else
		return false;
	out->has_addresses = read_address(family, words[1], words[3], &out->from) &&
	    read_address(family, words[2], words[4], &out->to);
	return out->has_addresses;
}

static enum proxy_answer
parse_v1(struct slice in, struct proxy_header *out, const char **why_out)
{
	static const struct slice begin = SLICE_LIT("PROXY "), unknown = SLICE_LIT("UNKNOWN");
	size_t known = in.n < begin.n ? in.n : begin.n, end = slice_index(in, '\n');
	struct slice line;

	if (memcmp(in.p, begin.p, known) != 0)
		return bad(why_out, "no PROXY header");
	if (end == in.n)
		return in.n < PROXY_V1_MAX_BYTES ? PROXY_PARTIAL
						 : bad(why_out, "its line is too long");
	if (end >= PROXY_V1_MAX_BYTES)
		return bad(why_out, "its line is too long");
	if (end <= begin.n || in.p[end - 1] != '\r')
		return bad(why_out, "its line does not end in CR LF");
	line = slice_of(in.p + begin.n, end - 1 - begin.n);
	out->size = end + 1;
	if (slice_starts(line, unknown) && (line.n == unknown.n || line.p[unknown.n] == ' '))
		return PROXY_WHOLE;
	return read_line(line, out) ? PROXY_WHOLE
				    : bad(why_out, "its line names no TCP4 or TCP6 addresses");
}

/* --- version 2: binary --- */

static unsigned
read_u16(const unsigned char *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* CRC32c (Castagnoli) of the header, its own four bytes taken as zero. */
static uint32_t
checksum(const unsigned char *p, size_t n, size_t own_at)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		crc ^= i >= own_at && i < own_at + CRC_BYTES ? 0 : p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

/* From at to the end n of the header: TLVs that fill it exactly. */
static const char *
judge_tlvs(const unsigned char *p, size_t at, size_t n)
{
	size_t crc_at = 0;

	while (at < n) {
		size_t length;

		if (n - at < TLV_HEAD_BYTES ||
		    (length = read_u16(p + at + 1)) > n - at - TLV_HEAD_BYTES)
			return "a TLV is cut off";
		if (p[at] == TLV_CRC32C) {
			if (length != CRC_BYTES || crc_at != 0)
				return "its checksum is malformed";
			crc_at = at + TLV_HEAD_BYTES;
		}
		at += TLV_HEAD_BYTES + length;
	}
	if (crc_at != 0 &&
	    checksum(p, n, crc_at) !=
		((uint32_t)read_u16(p + crc_at) << 16 | read_u16(p + crc_at + 2)))
		return "its checksum is wrong";
	return NULL;
}

static void
take_ip4(const unsigned char *p, size_t at, size_t port_at, struct address *out)
{
	out->u.in4.sin_family = AF_INET;
	out->len = sizeof(out->u.in4);
	memcpy(&out->u.in4.sin_addr, p + at, 4);
	memcpy(&out->u.in4.sin_port, p + port_at, 2);
}

static void
take_ip6(const unsigned char *p, size_t at, size_t port_at, struct address *out)
{
	out->u.in6.sin6_family = AF_INET6;
	out->len = sizeof(out->u.in6);
	memcpy(&out->u.in6.sin6_addr, p + at, 16);
	memcpy(&out->u.in6.sin6_port, p + port_at, 2);
}

static void
take_addresses(const unsigned char *p, unsigned family, struct proxy_header *out)
{
	const unsigned char *a = p + V2_FIXED_BYTES;

	if (family == FAMILY_IP4) {
		take_ip4(a, 0, 8, &out->from);
		take_ip4(a, 4, 10, &out->to);
	} else {
		take_ip6(a, 0, 32, &out->from);
		take_ip6(a, 16, 34, &out->to);
	}
	out->has_addresses = true;
}

/* What a PROXY command says; p has all n bytes. */
static const char *
read_proxied(const unsigned char *p, size_t n, struct proxy_header *out)
{
	static const size_t address_bytes[] = {0, V2_IP4_BYTES, V2_IP6_BYTES, V2_UNIX_BYTES};
	unsigned family = p[13] >> 4, transport = p[13] & 15;
	const char *fault;

	if (family > FAMILY_UNIX || transport > TRANSPORT_DATAGRAM)
		return "its family or transport is unknown";
	if (n - V2_FIXED_BYTES < address_bytes[family])
		return "it is too short for its addresses";
	fault = judge_tlvs(p, V2_FIXED_BYTES + address_bytes[family], n);
	if (fault == NULL && transport == TRANSPORT_STREAM &&
	    (family == FAMILY_IP4 || family == FAMILY_IP6))
		take_addresses(p, family, out);
	return fault;
}

static enum proxy_answer
parse_v2(struct slice in, struct proxy_header *out, const char **why_out)
{
	const unsigned char *p = (const unsigned char *)in.p;
	size_t known = in.n < sizeof(signature) ? in.n : sizeof(signature);
	const char *fault;

	if (memcmp(p, signature, known) != 0)
		return bad(why_out, "no PROXY header");
	if (in.n > 12 && (p[12] >> 4 != 2 || (p[12] & 15) > COMMAND_PROXY))
		return bad(why_out, "its version or command is unknown");
	if (in.n < V2_FIXED_BYTES)
		return PROXY_PARTIAL;
	out->size = V2_FIXED_BYTES + read_u16(p + 14);
	if (out->size > PROXY_MAX_BYTES)
		return bad(why_out, "it is too long");
	if (in.n < out->size)
		return PROXY_PARTIAL;
	if ((p[12] & 15) == COMMAND_LOCAL)
		return PROXY_WHOLE;
	fault = read_proxied(p, out->size, out);
	return fault == NULL ? PROXY_WHOLE : bad(why_out, fault);
}

enum proxy_answer
proxy_parse(struct slice in, struct proxy_header *out, const char **why_out)
{
	*out = (struct proxy_header){0};
	*why_out = "";
	if (in.n == 0)
		return PROXY_PARTIAL;
	return in.p[0] == 'P' ? parse_v1(in, out, why_out) : parse_v2(in, out, why_out);
}

/* --- ours --- */

static bool
is_ip(const struct address *a)
{
	return a != NULL && a->len > 0 &&
	    (a->u.sa.sa_family == AF_INET || a->u.sa.sa_family == AF_INET6);
}

/* What fits into an IPv4 header; the unspecified address does, too. */
static bool
is_ip4(const struct address *a)
{
	return a->u.sa.sa_family == AF_INET || IN6_IS_ADDR_V4MAPPED(&a->u.in6.sin6_addr);
}

static bool
is_nowhere(const struct address *a)
{
	return a->u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->u.in6.sin6_addr);
}

/* The address's last n bytes; an IPv4 one is written as mapped where 16 are wanted. */
static void
put_address(unsigned char *p, size_t n, const struct address *a)
{
	unsigned char all[16] = {[10] = 0xff, [11] = 0xff};

	if (a->u.sa.sa_family == AF_INET)
		memcpy(all + 12, &a->u.in4.sin_addr, 4);
	else
		memcpy(all, &a->u.in6.sin6_addr, 16);
	memcpy(p, all + 16 - n, n);
}

static void
put_port(unsigned char *p, const struct address *a)
{
	memcpy(p, a->u.sa.sa_family == AF_INET ? &a->u.in4.sin_port : &a->u.in6.sin6_port, 2);
}

void
proxy_line_make(struct proxy_line *out, const struct address *from, const struct address *to)
{
	static const struct address nowhere = {
	    .u.in6.sin6_family = AF_INET6, .len = sizeof(struct sockaddr_in6)};
	unsigned char *p = out->bytes;
	size_t n;

	*out = (struct proxy_line){.n = V2_FIXED_BYTES};
	memcpy(p, signature, sizeof(signature));
	p[12] = 0x20 | (is_ip(from) ? COMMAND_PROXY : COMMAND_LOCAL);
	if (!is_ip(from))
		return;
	to = is_ip(to) ? to : &nowhere;
	n = is_ip4(from) && (is_ip4(to) || is_nowhere(to)) ? 4 : 16;
	p[13] = (unsigned char)((n == 4 ? FAMILY_IP4 : FAMILY_IP6) << 4 | TRANSPORT_STREAM);
	p[15] = (unsigned char)(2 * n + 4);
	put_address(p + 16, n, from);
	put_address(p + 16 + n, n, to);
	put_port(p + 16 + 2 * n, from);
	put_port(p + 18 + 2 * n, to);
	out->n = (unsigned)(V2_FIXED_BYTES + 2 * n + 4);
}

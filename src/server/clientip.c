#include "server/clientip.h"

#include <arpa/inet.h>
#include <endian.h>

/* Each octet as text with a dot behind it, the first character lowest. */
#define OCTET(v)                                                     \
	((v) < 10	    ? 0x2e30u + (v)                          \
		: (v) < 100 ? 0x2e3030u + (v) / 10 + ((v) % 10 << 8) \
			    : 0x2e303030u + (v) / 100 + ((v) / 10 % 10 << 8) + ((v) % 10 << 16))
#define OCTETS_4(v) OCTET(v), OCTET((v) + 1u), OCTET((v) + 2u), OCTET((v) + 3u)
#define OCTETS_16(v) OCTETS_4(v), OCTETS_4((v) + 4u), OCTETS_4((v) + 8u), OCTETS_4((v) + 12u)
#define OCTETS_64(v) OCTETS_16(v), OCTETS_16((v) + 16u), OCTETS_16((v) + 32u), OCTETS_16((v) + 48u)
static const uint32_t octets[256] = {
    OCTETS_64(0u), OCTETS_64(64u), OCTETS_64(128u), OCTETS_64(192u)};

static inline char *
put_octet(char *at, unsigned v)
{
	uint32_t text = htole32(octets[v]);

	memcpy(at, &text, 4);
	return at + 2 + (v >= 10) + (v >= 100);
}

/* inet_ntop() prints by a format, which would be a good part of what a line of the log costs. */
static struct slice
v4_text(char text[CLIENT_IP_TEXT_MAX], const uint8_t bytes[4])
{
	char *at = text;

	for (int i = 0; i < 4; i++)
		at = put_octet(at, bytes[i]);
	return slice_of(text, (size_t)(at - text) - 1);
}

struct slice
client_ip_text(char text[CLIENT_IP_TEXT_MAX], const struct client_ip *ip)
{
	switch ((enum client_ip_kind)ip->kind) {
	case CLIENT_IP_V4:
		return v4_text(text, ip->bytes);
	case CLIENT_IP_V6:
		inet_ntop(AF_INET6, ip->bytes, text, CLIENT_IP_TEXT_MAX);
		return slice_from(text);
	case CLIENT_IP_UNIX:
		return SLICE_LIT("unix");
	case CLIENT_IP_NONE:
		break;
	}
	return SLICE_LIT("");
}

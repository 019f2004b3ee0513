/* server/clientip.h - the address of who asked, without its port: small enough to stand in a record, written out when it is read. */
#ifndef SERVER_CLIENTIP_H
#define SERVER_CLIENTIP_H

#include <netinet/in.h>

#include "base/slice.h"
#include "event/stream.h"

#define CLIENT_IP_TEXT_MAX INET6_ADDRSTRLEN

enum client_ip_kind { CLIENT_IP_NONE, CLIENT_IP_UNIX, CLIENT_IP_V4, CLIENT_IP_V6 };

struct client_ip {
	uint8_t kind; /* enum client_ip_kind */
	uint8_t bytes[16];
};

/* IPv4 in IPv6 clothes (::ffff:a.b.c.d) is IPv4; an address without length is none. */
static inline struct client_ip
client_ip_of(const struct address *a)
{
	struct client_ip ip = {.kind = CLIENT_IP_NONE};
	const uint8_t *v6 = a->u.in6.sin6_addr.s6_addr;

	if (a->len == 0)
		return ip;
	if (a->u.sa.sa_family == AF_INET) {
		ip.kind = CLIENT_IP_V4;
		memcpy(ip.bytes, &a->u.in4.sin_addr, 4);
	} else if (a->u.sa.sa_family == AF_UNIX) {
		ip.kind = CLIENT_IP_UNIX;
	} else if (IN6_IS_ADDR_V4MAPPED(&a->u.in6.sin6_addr)) {
		ip.kind = CLIENT_IP_V4;
		memcpy(ip.bytes, v6 + 12, 4);
	} else {
		ip.kind = CLIENT_IP_V6;
		memcpy(ip.bytes, v6, 16);
	}
	return ip;
}

/* As text: "192.0.2.7", "2001:db8::7", "unix", nothing. It lies in text, or is a literal. */
struct slice client_ip_text(char text[CLIENT_IP_TEXT_MAX], const struct client_ip *ip);

#endif

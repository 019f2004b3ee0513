/* event/address.h - where a socket is: an address of the machine's network, or a path. Pure: no name is asked for.
 */
#ifndef EVENT_ADDRESS_H
#define EVENT_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

union sockaddr_any {
	struct sockaddr sa;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
	struct sockaddr_storage any;
};

struct address {
	union sockaddr_any u;
	socklen_t len;
};

/* The address that host already is: "192.0.2.1", "2001:db8::1", "[2001:db8::1]", "fe80::1%eth0", or
 * "unix:/path" (port is not used). False when it is a name, or a path too long for a socket. */
bool address_of_literal(const char *host, uint16_t port, struct address *out);

/* The address to bind or to knock at that text names: "127.0.0.1:8080", "[::1]:8080", "unix:/path", "localhost:8080"; for
 * ":8080" and "*:8080" that of any. False when it is another name, or none at all. */
bool address_of_listener(const char *text, const char *any, struct address *out);

#endif

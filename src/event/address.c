#include "event/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>

#include "base/slice.h"

static bool
literal_unix(const char *path, struct address *out)
{
	size_t n = strlen(path);

	if (n == 0 || n >= sizeof(out->u.un.sun_path))
		return false;
	out->u.un.sun_family = AF_UNIX;
	memcpy(out->u.un.sun_path, path, n + 1);
	out->len = sizeof(out->u.un);
	return true;
}

/* text: without brackets, perhaps with a scope (RFC 4007 section 11). */
static bool
literal_in6(char *text, uint16_t port, struct address *out)
{
	char *scope = strchr(text, '%');

	if (scope != NULL) {
		*scope++ = '\0';
		out->u.in6.sin6_scope_id = if_nametoindex(scope);
		if (out->u.in6.sin6_scope_id == 0)
			return false;
	}
	if (inet_pton(AF_INET6, text, &out->u.in6.sin6_addr) != 1)
		return false;
	out->u.in6.sin6_family = AF_INET6;
	out->u.in6.sin6_port = htons(port);
	out->len = sizeof(out->u.in6);
	return true;
}

bool
address_of_literal(const char *host, uint16_t port, struct address *out)
{
	char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 3];
	size_t n = strlen(host);

	*out = (struct address){0};
	if (strncmp(host, "unix:", 5) == 0)
		return literal_unix(host + 5, out);
	if (inet_pton(AF_INET, host, &out->u.in4.sin_addr) == 1) {
		out->u.in4.sin_family = AF_INET;
		out->u.in4.sin_port = htons(port);
		out->len = sizeof(out->u.in4);
		return true;
	}
	if (n >= sizeof(text))
		return false;
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	}
	memcpy(text, host, n);
	text[n] = '\0';
	return literal_in6(text, port, out);
}

bool
address_of_listener(const char *text, const char *any, struct address *out)
{
	const char *colon = strrchr(text, ':');
	char host[256];
	uint64_t port;

	if (strncmp(text, "unix:", 5) == 0)
		return address_of_literal(text, 0, out);
	if (colon == NULL || !slice_to_u64(slice_from(colon + 1), &port) || port == 0 ||
	    port > 65535 || (size_t)(colon - text) >= sizeof(host))
		return false;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	if (host[0] == '\0' || strcmp(host, "*") == 0)
		return address_of_literal(any, (uint16_t)port, out);
	if (strcmp(host, "localhost") == 0)
		return address_of_literal("127.0.0.1", (uint16_t)port, out);
	return address_of_literal(host, (uint16_t)port, out);
}

#include "event/nameserver.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/slice.h"

#define DNS_PORT 53

/* Parts "host:port"; an IPv6 address has colons of its own and then stands in brackets. */
static bool
read_port(const char *text, size_t *host_len_out, uint64_t *port_out)
{
	const char *colon = strrchr(text, ':');
	bool has_port =
	    colon != NULL && (text[0] == '[' ? colon[-1] == ']' : strchr(text, ':') == colon);

	*port_out = DNS_PORT;
	*host_len_out = has_port ? (size_t)(colon - text) : strlen(text);
	return !has_port ||
	    (slice_to_u64(slice_from(colon + 1), port_out) && *port_out > 0 && *port_out < 65536);
}

bool
nameserver_add(struct buf *list, const char *text)
{
	unsigned char raw[sizeof(struct in6_addr)];
	char host[INET6_ADDRSTRLEN];
	uint64_t port;
	size_t n;
	bool is_six;

	if (!read_port(text, &n, &port))
		return false;
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	if (n >= sizeof(host))
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	is_six = inet_pton(AF_INET6, host, raw) == 1;
	if (!is_six && inet_pton(AF_INET, host, raw) != 1)
		return false;
	buf_printf(list, is_six ? "%s[%s]:%llu" : "%s%s:%llu", list->n > 0 ? "," : "", host,
	    (unsigned long long)port);
	return true;
}

#include "upstream/target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/slice.h"

static int
parse_unix(struct server *s, const char *path)
{
	struct sockaddr_un *un = &s->address.u.un;

	if (strlen(path) >= sizeof(un->sun_path))
		return -1;
	un->sun_family = AF_UNIX;
	strcpy(un->sun_path, path);
	s->address.len = sizeof(*un);
	s->is_literal = true;
	return 0;
}

/* "host:port": the last colon parts them; a literal IPv6 stands in brackets. */
static int
parse_host_port(struct server *s, const char *text)
{
	const char *colon = strrchr(text, ':');
	uint64_t port;
	size_t n;

	if (colon == NULL || !slice_to_u64(slice_from(colon + 1), &port) || port == 0 ||
	    port > 65535)
		return -1;
	n = (size_t)(colon - text);
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']')
		s->host = must_strndup(text + 1, n - 2);
	else
		s->host = must_strndup(text, n);
	s->port = (uint16_t)port;
	if (inet_pton(AF_INET, s->host, &s->address.u.in4.sin_addr) == 1) {
		s->address.u.in4.sin_family = AF_INET;
		s->address.u.in4.sin_port = htons(s->port);
		s->address.len = sizeof(s->address.u.in4);
		s->is_literal = true;
	} else if (inet_pton(AF_INET6, s->host, &s->address.u.in6.sin6_addr) == 1) {
		s->address.u.in6.sin6_family = AF_INET6;
		s->address.u.in6.sin6_port = htons(s->port);
		s->address.len = sizeof(s->address.u.in6);
		s->is_literal = true;
	}
	return s->host[0] == '\0' ? -1 : 0;
}

static int
server_init(struct server *s, struct upstream *u, const struct server_spec *spec)
{
	const char *text = spec->address;

	s->upstream = u;
	s->name = must_strdup(text);
	s->zone = spec->zone == NULL ? NULL : must_strdup(spec->zone);
	s->weight = spec->weight;
	s->hash = XXH3_64bits(text, strlen(text));
	s->seats = must_calloc(u->workers, sizeof(*s->seats));
	for (unsigned i = 0; i < u->workers; i++) {
		s->seats[i].server = s;
		list_init(&s->seats[i].idle);
		list_init(&s->seats[i].waiting);
	}
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(s, text + 5);
	return parse_host_port(s, text);
}

struct upstream *
upstream_new(const struct upstream_conf *conf, const struct server_spec *servers, unsigned count,
    unsigned workers)
{
	struct upstream *u = must_calloc(1, sizeof(*u));

	u->conf = *conf;
	u->conf.name = must_strdup(conf->name);
	u->conf.zone = conf->zone == NULL ? NULL : must_strdup(conf->zone);
	for (unsigned i = 0; i < conf->hash_parts_count; i++)
		if (conf->hash_parts[i].name != NULL)
			u->conf.hash_parts[i].name = must_strdup(conf->hash_parts[i].name);
	u->workers = workers;
	u->servers = must_calloc(count, sizeof(*u->servers));
	random_bytes(&u->random, sizeof(u->random));
	pthread_mutex_init(&u->lock, NULL);
	atomic_init(&u->refs, 1);
	for (; u->servers_count < count; u->servers_count++)
		if (server_init(&u->servers[u->servers_count], u, &servers[u->servers_count]) !=
		    0) {
			u->servers_count++;
			upstream_unref(&u);
			errno = EINVAL;
			return NULL;
		}
	return u;
}

struct upstream *
upstream_ref(struct upstream *u)
{
	atomic_fetch_add(&u->refs, 1);
	return u;
}

void
upstream_unref(struct upstream **up)
{
	struct upstream *u = *up;

	*up = NULL;
	if (u == NULL || atomic_fetch_sub(&u->refs, 1) != 1)
		return;
	for (unsigned i = 0; i < u->servers_count; i++) {
		free(u->servers[i].name);
		free(u->servers[i].zone);
		free(u->servers[i].host);
		free(u->servers[i].seats);
	}
	free(u->servers);
	pthread_mutex_destroy(&u->lock);
	free((char *)(uintptr_t)u->conf.name);
	free((char *)(uintptr_t)u->conf.zone);
	for (unsigned i = 0; i < u->conf.hash_parts_count; i++)
		free((char *)(uintptr_t)u->conf.hash_parts[i].name);
	free(u);
}

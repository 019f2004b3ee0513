/* event/redisurl.h - which Redis is meant, from the URL that the configuration names.
 *
 *   redis://[[user]:password@]host[:port][/database]         one server
 *   redis+sentinel://...@host[:port],host[:port].../master[/database]
 *                                                            the master of that name, asked of these sentinels
 *   redis+cluster://...@host[:port],host[:port]...           a cluster, its map asked of these nodes
 *   unix:/path[?db=N][&user=U][&password=P]                  one server; unix:///path is the same
 *
 * rediss://, rediss+sentinel://, rediss+cluster:// speak TLS (event/tlsclient.h); valkey and valkeys
 * mean the same as redis and rediss. What may follow a URL, as ?name=value&name=value:
 *
 *   ca=/path                              whom to trust, instead of the system's authorities
 *   cert=/path, key=/path                 our own certificate, where the server wants one
 *   name=host                             what the certificate is to be made out to, instead of the host
 *   sentinel_user=U, sentinel_password=P  for the sentinels; the credentials in front are the servers'
 *
 * User, password and values are percent-decoded. The last @ ends the credentials, so that a password may
 * hold one; one in a value is written %40.
 */
#ifndef EVENT_REDISURL_H
#define EVENT_REDISURL_H

#include <stdbool.h>
#include <stdint.h>

#define REDIS_PORT 6379
#define SENTINEL_PORT 26379
#define REDIS_DATABASE_MAX 65535
#define REDIS_PLACES_MAX 16

enum redis_kind { REDIS_SINGLE, REDIS_SENTINEL, REDIS_CLUSTER };

struct redis_place {
	char *host; /* a name, a literal address, or "unix:/path" (event/resolver.h) */
	uint16_t port;
};

struct redis_url {
	enum redis_kind kind;
	/* The server, the sentinels, or some nodes of the cluster. */
	unsigned places_count;
	struct redis_place places[REDIS_PLACES_MAX];
	char *master; /* what the sentinels call it */
	unsigned database;
	char *user, *password; /* NULL: none */
	char *sentinel_user, *sentinel_password;
	bool is_tls;
	char *ca, *cert, *key, *name; /* NULL: not given */
	char *shown;		      /* for the log: without user and password */
};

/* 0 and *out (redis_url_fini it); or -1, *out empty, and *why_out says what is wrong, as a text
 * that lives for ever. */
int redis_url_parse(const char *text, struct redis_url *out, const char **why_out);
/* Wipes the passwords. {0} is an empty one. */
void redis_url_fini(struct redis_url *u);
/* One server of what u means, with its credentials, database and TLS. */
void redis_url_server(
    const struct redis_url *u, const char *host, uint16_t port, struct redis_url *out);
/* One of its sentinels, with theirs. */
void redis_url_sentinel(
    const struct redis_url *u, const struct redis_place *sentinel, struct redis_url *out);

#endif

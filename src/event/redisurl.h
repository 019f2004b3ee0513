/* event/redisurl.h - which Redis is meant, from the URL that the configuration names.
 *
 *   redis://[[user]:password@]host[:port][/database]      valkey:// is the same
 *   unix:/path[?db=N][&user=U][&password=P]               unix:///path is the same
 *
 * User and password are percent-decoded.
 */
#ifndef EVENT_REDISURL_H
#define EVENT_REDISURL_H

#include <stdint.h>

#define REDIS_PORT 6379
#define REDIS_DATABASE_MAX 65535

struct redis_url {
	char *host; /* a name, a literal address, or "unix:/path" (event/resolver.h) */
	uint16_t port;
	unsigned database;
	char *user, *password; /* NULL: none */
	char *shown;	       /* for the log: without user and password */
};

/* 0 and *out (redis_url_fini it); or -1, *out empty, and *why_out says what is wrong, as a text
 * that lives for ever. */
int redis_url_parse(const char *text, struct redis_url *out, const char **why_out);
/* Wipes the password. {0} is an empty one. */
void redis_url_fini(struct redis_url *u);

#endif

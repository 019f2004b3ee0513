#include "event/redisurl.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/slice.h"

#define BAD_PORT "the port of a Redis URL is a number from 1 to 65535"
#define BAD_DATABASE "the database of a Redis URL is a number, as in redis://host:6379/0"
#define BAD_ESCAPE "a % in a Redis URL is followed by two hexadecimal digits (not 00)"

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)ascii_lower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that "%xx" at the beginning of s stands for, or -1; a NUL is none. */
static int
decode_one(struct slice s)
{
	int high, low;

	if (s.n < 3)
		return -1;
	high = hex_digit(s.p[1]);
	low = hex_digit(s.p[2]);
	return high < 0 || low < 0 || (high | low) == 0 ? -1 : high << 4 | low;
}

/* A copy without percent-encoding, or NULL. */
static char *
decode(struct slice s)
{
	char *out = must_malloc(s.n + 1), *at = out;

	while (s.n > 0) {
		int c = s.p[0] == '%' ? decode_one(s) : (unsigned char)s.p[0];

		if (c < 0) {
			free(out);
			return NULL;
		}
		s = slice_skip(s, s.p[0] == '%' ? 3 : 1);
		*at++ = (char)c;
	}
	*at = '\0';
	return out;
}

/* Sets *at to a decoded copy. NULL, or why not. */
static const char *
set_decoded(char **at, struct slice s)
{
	free(*at);
	*at = decode(s);
	return *at == NULL ? BAD_ESCAPE : NULL;
}

static const char *
set_database(struct redis_url *u, struct slice s)
{
	uint64_t n;

	if (!slice_to_u64(s, &n) || n > REDIS_DATABASE_MAX)
		return BAD_DATABASE;
	u->database = (unsigned)n;
	return NULL;
}

/* Cuts s at the first c: what is before it, and *rest what is behind (SLICE_NONE: no c). */
static struct slice
cut(struct slice s, char c, struct slice *rest)
{
	size_t at = slice_index(s, c);

	*rest = at == s.n ? SLICE_NONE : slice_skip(s, at + 1);
	return slice_of(s.p, at);
}

/* "[user]:password" */
static const char *
parse_credentials(struct redis_url *u, struct slice s)
{
	struct slice password, user = cut(s, ':', &password);
	const char *why = NULL;

	if (password.p == NULL)
		return "a Redis URL has a user without a password: write redis://:PASSWORD@host";
	if (user.n > 0)
		why = set_decoded(&u->user, user);
	return why != NULL ? why : set_decoded(&u->password, password);
}

/* "host[:port]", "[v6][:port]" */
static const char *
parse_host(struct redis_url *u, struct slice s)
{
	struct slice host = s, port = SLICE_NONE;
	uint64_t n = REDIS_PORT;

	if (s.n > 0 && s.p[0] == '[') {
		host.n = slice_index(s, ']') + 1;
		if (host.n > s.n)
			return "a [ in a Redis URL has no ]";
		port = slice_skip(s, host.n);
		if (port.n > 0 && port.p[0] != ':')
			return BAD_PORT;
		port = port.n > 0 ? slice_skip(port, 1) : SLICE_NONE;
	} else {
		host = cut(s, ':', &port);
	}
	if (host.n == 0 || host.n > 255 || memchr(host.p, '\0', host.n) != NULL)
		return "a Redis URL names a host, as in redis://127.0.0.1:6379/0";
	if (port.p != NULL && (!slice_to_u64(port, &n) || n < 1 || n > 65535))
		return BAD_PORT;
	u->host = must_strndup(host.p, host.n);
	u->port = (uint16_t)n;
	return NULL;
}

/* Behind "redis://". The last @ ends the credentials, so that a password may hold one. */
static const char *
parse_tcp(struct redis_url *u, struct slice s)
{
	const char *at = s.n == 0 ? NULL : memrchr(s.p, '@', s.n);
	struct slice path, place;
	const char *why = NULL;
	struct buf shown = {0};

	if (at != NULL) {
		why = parse_credentials(u, slice_of(s.p, (size_t)(at - s.p)));
		s = slice_skip(s, (size_t)(at - s.p) + 1);
	}
	place = cut(s, '/', &path);
	if (why == NULL)
		why = parse_host(u, place);
	if (why == NULL && path.n > 0)
		why = set_database(u, path);
	if (why != NULL)
		return why;
	buf_printf(&shown, "%s:%u", u->host, u->port);
	if (u->database != 0)
		buf_printf(&shown, "/%u", u->database);
	u->shown = must_strndup(shown.p, shown.n);
	buf_fini(&shown);
	return NULL;
}

static const char *
parse_option(struct redis_url *u, struct slice option)
{
	struct slice value, name = cut(option, '=', &value);

	if (slice_eq(name, SLICE_LIT("db")) && value.p != NULL)
		return set_database(u, value);
	if (slice_eq(name, SLICE_LIT("user")) && value.p != NULL)
		return set_decoded(&u->user, value);
	if (slice_eq(name, SLICE_LIT("password")) && value.p != NULL)
		return set_decoded(&u->password, value);
	return "a unix: URL of Redis takes ?db=, &user= and &password=";
}

/* Behind "unix:" */
static const char *
parse_unix(struct redis_url *u, struct slice s)
{
	struct slice rest, path, option;
	struct buf host = {0};
	const char *why = NULL;

	if (slice_starts(s, SLICE_LIT("///")))
		s = slice_skip(s, 2);
	path = cut(s, '?', &rest);
	if (path.n < 2 || path.p[0] != '/' || path.n > 100)
		return "a unix: URL of Redis names a path of at most 100 bytes: "
		       "unix:/run/redis.sock";
	buf_printf(&host, "unix:%.*s", SLICE_FMT(path));
	u->host = must_strndup(host.p, host.n);
	u->shown = must_strdup(u->host);
	buf_fini(&host);
	while (why == NULL && rest.n > 0) {
		option = cut(rest, '&', &rest);
		why = parse_option(u, option);
	}
	return why;
}

static const char *
parse(struct redis_url *u, struct slice s)
{
	if (slice_starts(s, SLICE_LIT("redis://")))
		return parse_tcp(u, slice_skip(s, 8));
	if (slice_starts(s, SLICE_LIT("valkey://")))
		return parse_tcp(u, slice_skip(s, 9));
	if (slice_starts(s, SLICE_LIT("unix:")))
		return parse_unix(u, slice_skip(s, 5));
	if (slice_starts(s, SLICE_LIT("rediss://")) || slice_starts(s, SLICE_LIT("valkeys://")))
		return "TLS to Redis is not built in: use redis:// on a network you trust, or a "
		       "tunnel "
		       "such as stunnel or wireguard";
	return "a Redis URL begins with redis:// or unix:/";
}

int
redis_url_parse(const char *text, struct redis_url *out, const char **why_out)
{
	*out = (struct redis_url){0};
	*why_out = parse(out, slice_from(text));
	if (*why_out == NULL)
		return 0;
	redis_url_fini(out);
	return -1;
}

void
redis_url_fini(struct redis_url *u)
{
	free(u->host);
	free(u->user);
	if (u->password != NULL)
		explicit_bzero(u->password, strlen(u->password));
	free(u->password);
	free(u->shown);
	*u = (struct redis_url){0};
}

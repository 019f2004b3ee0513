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
parse_place(struct redis_url *u, struct slice s)
{
	struct slice host = s, port = SLICE_NONE;
	uint64_t n = u->kind == REDIS_SENTINEL ? SENTINEL_PORT : REDIS_PORT;

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
	u->places[u->places_count++] =
	    (struct redis_place){must_strndup(host.p, host.n), (uint16_t)n};
	return NULL;
}

static const char *
parse_places(struct redis_url *u, struct slice s)
{
	const char *why = NULL;

	if (u->kind == REDIS_SINGLE && slice_index(s, ',') < s.n)
		return "several hosts are redis+sentinel:// or redis+cluster://, not one server's "
		       "URL";
	do {
		struct slice rest, one = cut(s, ',', &rest);

		if (u->places_count == REDIS_PLACES_MAX)
			return "a Redis URL names at most 16 hosts";
		why = parse_place(u, one);
		s = rest;
	} while (why == NULL && s.p != NULL);
	return why;
}

/* Behind the first slash. */
static const char *
parse_path(struct redis_url *u, struct slice path)
{
	struct slice database = path;

	if (u->kind == REDIS_CLUSTER)
		return path.n == 0 ? NULL : "a cluster has no databases: nothing follows its hosts";
	if (u->kind == REDIS_SENTINEL) {
		struct slice master = cut(path, '/', &database);

		if (master.n == 0)
			return "a redis+sentinel:// URL names the master behind the hosts, as in "
			       "redis+sentinel://10.0.0.1,10.0.0.2/mymaster";
		if (set_decoded(&u->master, master) != NULL)
			return BAD_ESCAPE;
	}
	return database.n == 0 ? NULL : set_database(u, database);
}

/* "10.0.0.1:6379,10.0.0.2:6379/1" */
static void
show(struct redis_url *u)
{
	struct buf b = {0};

	for (unsigned i = 0; i < u->places_count; i++)
		buf_printf(&b, "%s%s:%u", i == 0 ? "" : ",", u->places[i].host, u->places[i].port);
	if (u->master != NULL)
		buf_printf(&b, "/%s", u->master);
	if (u->database != 0)
		buf_printf(&b, "/%u", u->database);
	u->shown = must_strndup(b.p, b.n);
	buf_fini(&b);
}

/* --- what follows a "?" --- */

struct option {
	const char *name;
	size_t at; /* of a char * in struct redis_url */
	bool of_unix, of_tls, of_sentinel;
};
/* clang-format off */
static const struct option options[] = {
	{"user",              offsetof(struct redis_url, user),              .of_unix = true},
	{"password",          offsetof(struct redis_url, password),          .of_unix = true},
	{"ca",                offsetof(struct redis_url, ca),                .of_tls = true},
	{"cert",              offsetof(struct redis_url, cert),              .of_tls = true},
	{"key",               offsetof(struct redis_url, key),               .of_tls = true},
	{"name",              offsetof(struct redis_url, name),              .of_tls = true},
	{"sentinel_user",     offsetof(struct redis_url, sentinel_user),     .of_sentinel = true},
	{"sentinel_password", offsetof(struct redis_url, sentinel_password), .of_sentinel = true},
};
/* clang-format on */

static const char *
refuse_option(const struct redis_url *u, bool is_unix)
{
	if (is_unix)
		return "a unix: URL of Redis takes ?db=, &user= and &password=";
	if (!u->is_tls && u->kind != REDIS_SENTINEL)
		return "a redis:// URL takes no parameters; with TLS (rediss://) it takes ?ca=, "
		       "&cert=, "
		       "&key= and &name=";
	return "a Redis URL takes ?ca=, &cert=, &key= and &name= with TLS (rediss://), and "
	       "&sentinel_user= and &sentinel_password= with sentinels";
}

static const char *
parse_option(struct redis_url *u, struct slice text, bool is_unix)
{
	struct slice value, name = cut(text, '=', &value);

	if (is_unix && slice_eq(name, SLICE_LIT("db")) && value.p != NULL)
		return set_database(u, value);
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]) && value.n > 0; i++) {
		const struct option *o = &options[i];

		if (slice_eq(name, slice_from(o->name)) &&
		    ((o->of_unix && is_unix) || (o->of_tls && u->is_tls) ||
			(o->of_sentinel && u->kind == REDIS_SENTINEL)))
			return set_decoded((char **)(void *)((char *)u + o->at), value);
	}
	return refuse_option(u, is_unix);
}

static const char *
parse_options(struct redis_url *u, struct slice s, bool is_unix)
{
	const char *why = NULL;

	while (why == NULL && s.n > 0) {
		struct slice rest, option = cut(s, '&', &rest);

		why = parse_option(u, option, is_unix);
		s = rest;
	}
	if (why == NULL && (u->cert == NULL) != (u->key == NULL))
		return "cert and key of a Redis URL belong together";
	return why;
}

/* Behind "redis://" and its kin. */
static const char *
parse_tcp(struct redis_url *u, struct slice s)
{
	const char *at = s.n == 0 ? NULL : memrchr(s.p, '@', s.n);
	struct slice query, path, places;
	const char *why = NULL;

	if (at != NULL) {
		why = parse_credentials(u, slice_of(s.p, (size_t)(at - s.p)));
		s = slice_skip(s, (size_t)(at - s.p) + 1);
	}
	s = cut(s, '?', &query);
	places = cut(s, '/', &path);
	if (why == NULL)
		why = parse_places(u, places);
	if (why == NULL)
		why = parse_path(u, path);
	if (why == NULL)
		why = parse_options(u, query, false);
	if (why == NULL)
		show(u);
	return why;
}

/* Behind "unix:" */
static const char *
parse_unix(struct redis_url *u, struct slice s)
{
	struct slice rest, path;
	struct buf host = {0};

	if (slice_starts(s, SLICE_LIT("///")))
		s = slice_skip(s, 2);
	path = cut(s, '?', &rest);
	if (path.n < 2 || path.p[0] != '/' || path.n > 100)
		return "a unix: URL of Redis names a path of at most 100 bytes: "
		       "unix:/run/redis.sock";
	buf_printf(&host, "unix:%.*s", SLICE_FMT(path));
	u->places[0].host = must_strndup(host.p, host.n);
	u->places_count = 1;
	u->shown = must_strndup(host.p, host.n);
	buf_fini(&host);
	return parse_options(u, rest, true);
}

/* "redis://", "rediss+cluster://", ...: what it says, and *s what is behind it. */
static bool
parse_scheme(struct redis_url *u, struct slice *s)
{
	static const struct {
		struct slice text;
		enum redis_kind kind;
	} ends[] = {{SLICE_LIT("://"), REDIS_SINGLE}, {SLICE_LIT("+sentinel://"), REDIS_SENTINEL},
	    {SLICE_LIT("+cluster://"), REDIS_CLUSTER}};
	struct slice rest;

	if (slice_starts(*s, SLICE_LIT("redis")))
		rest = slice_skip(*s, 5);
	else if (slice_starts(*s, SLICE_LIT("valkey")))
		rest = slice_skip(*s, 6);
	else
		return false;
	u->is_tls = rest.n > 0 && rest.p[0] == 's';
	rest = slice_skip(rest, u->is_tls);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		if (!slice_starts(rest, ends[i].text))
			continue;
		u->kind = ends[i].kind;
		*s = slice_skip(rest, ends[i].text.n);
		return true;
	}
	return false;
}

static const char *
parse(struct redis_url *u, struct slice s)
{
	if (slice_starts(s, SLICE_LIT("unix:")))
		return parse_unix(u, slice_skip(s, 5));
	if (parse_scheme(u, &s))
		return parse_tcp(u, s);
	return "a Redis URL begins with redis://, rediss:// (TLS), redis+sentinel://, "
	       "redis+cluster:// or unix:/";
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

static void
wipe(char *secret)
{
	if (secret != NULL)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

void
redis_url_fini(struct redis_url *u)
{
	for (unsigned i = 0; i < u->places_count; i++)
		free(u->places[i].host);
	free(u->master);
	free(u->user);
	wipe(u->password);
	free(u->sentinel_user);
	wipe(u->sentinel_password);
	free(u->ca);
	free(u->cert);
	free(u->key);
	free(u->name);
	free(u->shown);
	*u = (struct redis_url){0};
}

/* --- one of several --- */

static char *
copy(const char *text)
{
	return text == NULL ? NULL : must_strdup(text);
}

static void
one_of(const struct redis_url *u, const char *host, uint16_t port, struct redis_url *out)
{
	*out = (struct redis_url){.is_tls = u->is_tls,
	    .ca = copy(u->ca),
	    .cert = copy(u->cert),
	    .key = copy(u->key),
	    .name = copy(u->name),
	    .places_count = 1};
	out->places[0] = (struct redis_place){must_strdup(host), port};
}

void
redis_url_server(const struct redis_url *u, const char *host, uint16_t port, struct redis_url *out)
{
	one_of(u, host, port, out);
	out->user = copy(u->user);
	out->password = copy(u->password);
	out->database = u->database;
	if (strncmp(host, "unix:", 5) == 0)
		out->shown = must_strdup(host);
	else
		show(out);
}

void
redis_url_sentinel(
    const struct redis_url *u, const struct redis_place *sentinel, struct redis_url *out)
{
	one_of(u, sentinel->host, sentinel->port, out);
	out->user = copy(u->sentinel_user);
	out->password = copy(u->sentinel_password);
	show(out);
}

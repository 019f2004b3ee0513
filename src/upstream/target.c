#include "upstream/target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/slice.h"
#include "upstream/drains.h"

bool
status_set_has(const struct status_set *set, unsigned status)
{
	return status < STATUS_MOST && (set->bits[status / 64] >> (status % 64)) & 1;
}

bool
status_set_add(struct status_set *set, const char *text)
{
	unsigned first, count = 1;

	if (strlen(text) != 3 || text[0] < '1' || text[0] > '5')
		return false;
	first = (unsigned)(text[0] - '0') * 100;
	if (strcmp(text + 1, "xx") == 0)
		count = 100;
	else if (strspn(text, "0123456789") == 3)
		first = (unsigned)strtoul(text, NULL, 10);
	else
		return false;
	for (unsigned i = first; i < first + count; i++)
		set->bits[i / 64] |= 1ull << (i % 64);
	return true;
}

static int
parse_unix(struct server_entry *s, const char *path)
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
parse_host_port(struct server_entry *s, const char *text)
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

/* The upstream's name goes into it: two upstreams with one secret and one server stay apart. */
void
server_sign(struct server *s)
{
	const struct affinity_conf *c = upstream_affinity(s->upstream);
	unsigned char sum[EVP_MAX_MD_SIZE], text[AFFINITY_TOKEN_LEN + 3];
	struct buf named = {0};
	unsigned n;

	s->hash = XXH3_64bits(s->name, strlen(s->name));
	if (c == NULL)
		return;
	buf_printf(&named, "%s %s", s->upstream->conf.name, s->name);
	if (HMAC(EVP_sha256(), c->secret, (int)strlen(c->secret), (unsigned char *)named.p, named.n,
		sum, &n) == NULL)
		bug("HMAC-SHA256 is not to be had from OpenSSL");
	buf_fini(&named);
	EVP_EncodeBlock(text, sum, 16);
	for (unsigned i = 0; i < AFFINITY_TOKEN_LEN; i++)
		s->token[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : (char)text[i];
	s->token[AFFINITY_TOKEN_LEN] = '\0';
}

static void
server_init(struct server *s, struct upstream *u, struct server_entry *e)
{
	s->upstream = u;
	s->entry = e;
	s->name = must_strdup(e->text);
	server_sign(s);
	s->address = e->address;
	s->weight = e->weight;
	atomic_init(&s->place, e->is_literal ? SERVER_there : SERVER_absent);
	s->seats = must_calloc(u->workers, sizeof(*s->seats));
	for (unsigned i = 0; i < u->workers; i++) {
		s->seats[i].server = s;
		list_init(&s->seats[i].idle);
		list_init(&s->seats[i].waiting);
		list_init(&s->seats[i].links);
	}
}

/* "_service." or "_proto." */
static const char *
skip_label(const char *text)
{
	size_t n = strcspn(text, ".");

	return text[0] == '_' && n > 1 && n < 64 && text[n] == '.' ? text + n + 1 : NULL;
}

const char *
service_domain(const char *service)
{
	const char *proto = skip_label(service), *domain;

	domain = proto == NULL ? NULL : skip_label(proto);
	if (domain == NULL || domain[0] == '\0' || domain[0] == '.' || strlen(service) > 253 ||
	    strpbrk(domain, " \t:/@[]") != NULL || strstr(domain, "..") != NULL)
		return NULL;
	return domain;
}

static void
entry_init_service(struct server_entry *e, const char *domain)
{
	e->is_service = true;
	e->host = must_strdup(domain);
	e->count = SERVICE_PLACES;
}

static int
entry_init(struct server_entry *e, const struct server_spec *spec)
{
	e->zone = spec->zone == NULL ? NULL : must_strdup(spec->zone);
	e->weight = spec->weight;
	e->text = must_strdup(spec->address);
	if (service_domain(e->text) != NULL) {
		entry_init_service(e, service_domain(e->text));
		return 0;
	}
	e->count = 1;
	if (strncmp(e->text, "unix:", 5) == 0)
		return parse_unix(e, e->text + 5);
	if (parse_host_port(e, e->text) != 0)
		return -1;
	e->count = e->is_literal ? 1 : NAME_PLACES;
	return 0;
}

/* 0, or an errno. */
static int
add_entries(struct upstream *u, const struct server_spec *specs, unsigned count)
{
	u->entries = must_calloc(count, sizeof(*u->entries));
	for (unsigned i = 0, next = 0; i < count; i++) {
		struct server_entry *e = &u->entries[u->entries_count++];

		if (entry_init(e, &specs[i]) != 0)
			return EINVAL;
		u->has_priorities |= e->is_service;
		e->first = next;
		next += e->count;
	}
	for (unsigned i = 0; i < count; i++)
		u->servers_count += u->entries[i].count;
	if (u->servers_count > SERVERS_MAX) {
		u->servers_count = 0;
		return E2BIG;
	}
	u->servers = must_calloc(u->servers_count, sizeof(*u->servers));
	for (unsigned i = 0; i < count; i++)
		for (unsigned k = 0; k < u->entries[i].count; k++)
			server_init(&u->servers[u->entries[i].first + k], u, &u->entries[i]);
	return 0;
}

struct upstream *
upstream_new(const struct upstream_conf *conf, const struct server_spec *servers, unsigned count,
    unsigned workers)
{
	struct upstream *u = must_calloc(1, sizeof(*u));
	int e;

	u->conf = *conf;
	u->conf.name = must_strdup(conf->name);
	u->conf.zone = conf->zone == NULL ? NULL : must_strdup(conf->zone);
	u->conf.check.path = conf->check.path == NULL ? NULL : must_strdup(conf->check.path);
	u->conf.check.host = conf->check.host == NULL ? NULL : must_strdup(conf->check.host);
	u->conf.check.body = conf->check.body == NULL ? NULL : must_strdup(conf->check.body);
	if (conf->affinity.cookie != NULL) {
		u->conf.affinity.cookie = must_strdup(conf->affinity.cookie);
		u->conf.affinity.secret = must_strdup(conf->affinity.secret);
	}
	for (unsigned i = 0; i < conf->hash_parts_count; i++)
		if (conf->hash_parts[i].name != NULL)
			u->conf.hash_parts[i].name = must_strdup(conf->hash_parts[i].name);
	u->workers = workers;
	u->hedge_budget = HEDGES_SAVED;
	random_bytes(&u->random, sizeof(u->random));
	u->drains = drains_new();
	pthread_mutex_init(&u->lock, NULL);
	atomic_init(&u->refs, 1);
	e = add_entries(u, servers, count);
	if (e != 0) {
		upstream_unref(&u);
		errno = e;
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
	if (u->secure != NULL)
		u->on_free(u);
	for (unsigned i = 0; i < u->servers_count; i++) {
		free(u->servers[i].name);
		free(u->servers[i].seats);
	}
	for (unsigned i = 0; i < u->entries_count; i++) {
		free(u->entries[i].text);
		free(u->entries[i].zone);
		free(u->entries[i].host);
	}
	free(u->entries);
	free(u->servers);
	drains_unref(&u->drains);
	pthread_mutex_destroy(&u->lock);
	free((char *)(uintptr_t)u->conf.name);
	free((char *)(uintptr_t)u->conf.zone);
	free((char *)(uintptr_t)u->conf.check.path);
	free((char *)(uintptr_t)u->conf.check.host);
	free((char *)(uintptr_t)u->conf.check.body);
	free((char *)(uintptr_t)u->conf.affinity.cookie);
	free((char *)(uintptr_t)u->conf.affinity.secret);
	for (unsigned i = 0; i < u->conf.hash_parts_count; i++)
		free((char *)(uintptr_t)u->conf.hash_parts[i].name);
	free(u);
}

#include "daemon/sockets.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/instance.h"
#include "event/resolver.h"
#include "event/tls.h"

#define BACKLOG 4096

struct sockets {
	unsigned workers, count;
	struct socket_set **sets;
};

struct sockets *
sockets_new(unsigned workers)
{
	struct sockets *s = must_calloc(1, sizeof(*s));

	s->workers = workers;
	return s;
}

static void
set_free(struct socket_set *set)
{
	for (unsigned i = 0; i < set->count; i++)
		close(set->fds[i]);
	if (set->count > 0)
		instance_forget(&set->address);
	if (set->tls != NULL)
		tls_context_unref(&set->tls);
	free(set->fds);
	free(set->name);
	free(set);
}

void
sockets_free(struct sockets **sp)
{
	struct sockets *s = *sp;

	if (s == NULL)
		return;
	for (unsigned i = 0; i < s->count; i++)
		set_free(s->sets[i]);
	free(s->sets);
	free(s);
	*sp = NULL;
}

/* ":8080" is every address of the machine, IPv6 and IPv4; the rest is checked by the configuration. */
static bool
parse_address(const char *name, struct address *out)
{
	struct slice text = slice_from(name);
	char host[256];
	const char *colon;
	uint64_t port;

	if (slice_starts(text, SLICE_LIT("unix:")))
		return address_of_literal(name, 0, out);
	colon = strrchr(name, ':');
	if (colon == NULL || !slice_to_u64(slice_from(colon + 1), &port) || port == 0 ||
	    port > 65535 || (size_t)(colon - name) >= sizeof(host))
		return false;
	memcpy(host, name, (size_t)(colon - name));
	host[colon - name] = '\0';
	if (host[0] == '\0' || strcmp(host, "*") == 0)
		strcpy(host, "::");
	else if (strcmp(host, "localhost") == 0)
		strcpy(host, "127.0.0.1");
	return address_of_literal(host, (uint16_t)port, out);
}

static struct socket_set *
find(struct sockets *s, const char *name)
{
	for (unsigned i = 0; i < s->count; i++)
		if (strcmp(s->sets[i]->name, name) == 0)
			return s->sets[i];
	return NULL;
}

static void
set_tls(struct socket_set *set, struct tls_context *tls)
{
	if (tls != NULL)
		tls_context_ref(tls);
	if (set->tls != NULL)
		tls_context_unref(&set->tls);
	set->tls = tls;
}

struct socket_set *
sockets_open(
    struct sockets *s, const char *name, bool is_admin, struct tls_context *tls, struct buf *why)
{
	struct socket_set *set = find(s, name);
	struct listen_how how = {.backlog = BACKLOG, .unix_mode = 0666};

	if (set != NULL) {
		set->wanted = true;
		set->is_admin = is_admin;
		set_tls(set, tls);
		return set;
	}
	set = must_calloc(1, sizeof(*set));
	set->name = must_strdup(name);
	if (!parse_address(name, &set->address)) {
		buf_printf(why, "%s is not an address to listen on", name);
		set_free(set);
		return NULL;
	}
	how.count = set->address.u.sa.sa_family == AF_UNIX || is_admin ? 1 : s->workers;
	set->fds = must_calloc(how.count, sizeof(*set->fds));
	if (instance_listen(name, &set->address, &how, set->fds, why) != 0) {
		set_free(set);
		return NULL;
	}
	set->count = how.count;
	set->is_admin = is_admin;
	set->wanted = set->fresh = true;
	set_tls(set, tls);
	s->sets = must_realloc(s->sets, (s->count + 1) * sizeof(*s->sets));
	s->sets[s->count++] = set;
	return set;
}

void
sockets_begin(struct sockets *s)
{
	for (unsigned i = 0; i < s->count; i++)
		s->sets[i]->wanted = false;
}

static void
drop_at(struct sockets *s, unsigned i)
{
	set_free(s->sets[i]);
	s->sets[i] = s->sets[--s->count];
}

void
sockets_undo(struct sockets *s)
{
	for (unsigned i = 0; i < s->count;)
		if (s->sets[i]->fresh)
			drop_at(s, i);
		else
			s->sets[i++]->wanted = true;
}

void
sockets_sweep(struct sockets *s)
{
	for (unsigned i = 0; i < s->count;)
		if (!s->sets[i]->wanted)
			drop_at(s, i);
		else
			s->sets[i++]->fresh = false;
}

void
sockets_close_doors(struct sockets *s)
{
	for (unsigned i = 0; i < s->count; i++)
		s->sets[i]->wanted = s->sets[i]->is_admin;
	sockets_sweep(s);
}

unsigned
sockets_count(const struct sockets *s)
{
	return s->count;
}

struct socket_set *
sockets_at(struct sockets *s, unsigned i)
{
	return s->sets[i];
}

int
socket_for(const struct socket_set *set, unsigned worker)
{
	return set->fds[worker % set->count];
}

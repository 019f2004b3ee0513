#include "daemon/sockets.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/instance.h"
#include "event/address.h"
#include "event/tlsexpiry.h"
#include "event/tlsoffer.h"

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
	tls_offer_free(&set->tls);
	tls_offer_free(&set->tls_before);
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

static struct socket_set *
find(struct sockets *s, const char *name)
{
	for (unsigned i = 0; i < s->count; i++)
		if (strcmp(s->sets[i]->name, name) == 0)
			return s->sets[i];
	return NULL;
}

void
sockets_tell_certificates(const struct sockets *s)
{
	tls_expiries_begin();
	for (unsigned i = 0; i < s->count; i++)
		if (s->sets[i]->tls != NULL && s->sets[i]->wanted)
			tls_offer_tell_expiry(s->sets[i]->tls, s->sets[i]->name);
	tls_expiries_publish();
}

bool
sockets_look_at_certificates(struct sockets *s)
{
	bool is_new = false;

	for (unsigned i = 0; i < s->count; i++)
		if (s->sets[i]->tls != NULL)
			is_new |= tls_offer_look(s->sets[i]->tls, s->sets[i]->name);
	if (is_new)
		sockets_tell_certificates(s);
	return is_new;
}

void
sockets_tell_renewed(struct sockets *s)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->sets[i]->tls != NULL)
			tls_offer_tell_used(s->sets[i]->tls, s->sets[i]->name);
}

struct socket_set *
sockets_open(
    struct sockets *s, const char *name, bool is_admin, struct tls_offer **tlsp, struct buf *why)
{
	struct socket_set *set = find(s, name);
	struct listen_how how = {.backlog = BACKLOG, .unix_mode = 0666};
	struct tls_offer *tls = *tlsp;

	*tlsp = NULL;

	if (set != NULL) {
		set->wanted = set->is_opened = true;
		set->is_admin = is_admin;
		set->tls_before = set->tls;
		set->tls = tls;
		return set;
	}
	set = must_calloc(1, sizeof(*set));
	set->name = must_strdup(name);
	set->tls = tls;
	if (!address_of_listener(name, "::", &set->address)) {
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

/* As it was before the round. */
static void
keep_at(struct sockets *s, unsigned i)
{
	struct socket_set *set = s->sets[i];

	set->wanted = true;
	if (!set->is_opened)
		return;
	tls_offer_free(&set->tls);
	set->tls = set->tls_before;
	set->tls_before = NULL;
	set->is_opened = false;
}

void
sockets_undo(struct sockets *s)
{
	for (unsigned i = 0; i < s->count;)
		if (s->sets[i]->fresh)
			drop_at(s, i);
		else
			keep_at(s, i++);
	sockets_tell_certificates(s);
}

void
sockets_sweep(struct sockets *s)
{
	for (unsigned i = 0; i < s->count;)
		if (!s->sets[i]->wanted)
			drop_at(s, i);
		else {
			s->sets[i]->fresh = s->sets[i]->is_opened = false;
			tls_offer_free(&s->sets[i++]->tls_before);
		}
}

void
sockets_close_doors(struct sockets *s)
{
	for (unsigned i = 0; i < s->count; i++)
		s->sets[i]->wanted = s->sets[i]->is_admin;
	sockets_sweep(s);
	sockets_tell_certificates(s);
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

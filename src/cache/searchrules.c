#include "cache/searchrules.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "http/searchrule.h"

#define SETS 256
#define WAYS 4

struct known {
	uint64_t hash; /* of the URL */
	size_t len;
	char *rule; /* own; NULL: free */
};

struct set {
	_Alignas(64) pthread_mutex_t lock;
	unsigned next; /* whose turn it is to give way */
	struct known known[WAYS];
};

struct searchrules {
	_Atomic bool any;
	struct set sets[SETS];
};

struct searchrules *
searchrules_new(void)
{
	struct searchrules *s = aligned_alloc(64, sizeof(*s));

	if (s == NULL)
		abort();
	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < SETS; i++)
		pthread_mutex_init(&s->sets[i].lock, NULL);
	return s;
}

void
searchrules_free(struct searchrules **sp)
{
	struct searchrules *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	for (unsigned i = 0; i < SETS; i++) {
		for (unsigned w = 0; w < WAYS; w++)
			free(s->sets[i].known[w].rule);
		pthread_mutex_destroy(&s->sets[i].lock);
	}
	free(s);
}

static struct known *
find(struct set *set, uint64_t hash)
{
	for (unsigned w = 0; w < WAYS; w++)
		if (set->known[w].rule != NULL && set->known[w].hash == hash)
			return &set->known[w];
	return NULL;
}

bool
searchrules_any(const struct searchrules *s)
{
	return atomic_load_explicit(&s->any, memory_order_relaxed);
}

struct slice
searchrules_find(struct searchrules *s, struct slice url, char *out)
{
	struct known *k;
	struct set *set;
	uint64_t hash;
	size_t n = 0;

	if (!searchrules_any(s))
		return SLICE_NONE;
	hash = hash_bytes(url.p, url.n);
	set = &s->sets[hash % SETS];
	pthread_mutex_lock(&set->lock);
	if ((k = find(set, hash)) != NULL) {
		n = k->len;
		memcpy(out, k->rule, n);
	}
	pthread_mutex_unlock(&set->lock);
	return n > 0 ? slice_of(out, n) : SLICE_NONE;
}

void
searchrules_learn(struct searchrules *s, struct slice url, struct slice rule)
{
	uint64_t hash = hash_bytes(url.p, url.n);
	struct set *set = &s->sets[hash % SETS];
	struct known *k;

	pthread_mutex_lock(&set->lock);
	k = find(set, hash);
	if (k == NULL || !slice_eq(slice_of(k->rule, k->len), rule)) {
		if (k == NULL)
			k = &set->known[set->next++ % WAYS];
		free(k->rule);
		*k = (struct known){hash, rule.n, must_strndup(rule.p, rule.n)};
	}
	pthread_mutex_unlock(&set->lock);
	atomic_store_explicit(&s->any, true, memory_order_relaxed);
}

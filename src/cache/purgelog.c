#include "cache/purgelog.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/key.h"
#include "cache/purgetable.h"

enum strength { HARD, SOFT, STRENGTHS };

struct pattern {
	uint64_t pos;
	enum purge_kind kind; /* PURGE_PREFIX, PURGE_PATTERN or PURGE_TAG_PATTERN */
	enum strength strength;
	size_t len;
	char *what; /* own; without scheme */
};

/* A position once written to a table or to since only grows. A writer writes its entry first and
 * the head last, both with release; a judge reads the head first, so it finds all entries up to the
 * head it read. It may find later ones too: a purge that is being taken in. */
struct purgelog {
	_Atomic uint64_t head;
	_Atomic uint64_t since[STRENGTHS];   /* everything that was fetched before */
	_Atomic uint64_t newest_pattern;     /* no pattern in the list is later */
	struct purge_table exact[STRENGTHS]; /* URLs, or their paths */
	struct purge_table loose[STRENGTHS]; /* likewise, each without its query */
	struct purge_table tags[STRENGTHS];
	pthread_mutex_t writer; /* one purge at a time. Before patterns_lock. */
	void (*see)(void *arg, const struct purge *p, uint64_t pos);
	void *see_arg;
	pthread_rwlock_t patterns_lock;
	_Atomic unsigned patterns_count;
	struct pattern patterns[PURGELOG_PATTERNS_MAX]; /* the oldest first */
};

/* What is judged. */
struct suspect {
	struct slice name, path; /* of its key */
	bool is_loose;		 /* it answers more queries than that of its key */
	struct slice tags;
	uint64_t pos; /* valid up to here, as far as is known */
};

struct purgelog *
purgelog_new(void)
{
	struct purgelog *l = must_calloc(1, sizeof(*l));

	pthread_mutex_init(&l->writer, NULL);
	pthread_rwlock_init(&l->patterns_lock, NULL);
	return l;
}

void
purgelog_free(struct purgelog **pp)
{
	struct purgelog *l = *pp;

	*pp = NULL;
	if (l == NULL)
		return;
	for (unsigned i = 0; i < l->patterns_count; i++)
		free(l->patterns[i].what);
	pthread_rwlock_destroy(&l->patterns_lock);
	pthread_mutex_destroy(&l->writer);
	free(l);
}

static uint64_t
load(const _Atomic uint64_t *at)
{
	return atomic_load_explicit(at, memory_order_acquire);
}

static void
store(_Atomic uint64_t *at, uint64_t pos)
{
	atomic_store_explicit(at, pos, memory_order_release);
}

void
purgelog_watch(
    struct purgelog *l, void (*see)(void *arg, const struct purge *p, uint64_t pos), void *arg)
{
	pthread_mutex_lock(&l->writer);
	l->see = see;
	l->see_arg = arg;
	pthread_mutex_unlock(&l->writer);
}

uint64_t
purgelog_head(const struct purgelog *l)
{
	return load(&l->head);
}

static struct slice
without_query(struct slice name)
{
	return slice_of(name.p, slice_index(name, '?'));
}

/* --- taking purges in --- */

/* Raises since over the first count patterns, which are dropped. Holds the patterns' lock for
 * writing. */
static void
patterns_merge(struct purgelog *l, unsigned count)
{
	unsigned kept = l->patterns_count - count;

	for (unsigned i = 0; i < count; i++) {
		struct pattern *p = &l->patterns[i];

		if (p->pos > load(&l->since[p->strength]))
			store(&l->since[p->strength], p->pos);
		free(p->what);
	}
	memmove(l->patterns, l->patterns + count, kept * sizeof(l->patterns[0]));
	l->patterns_count = kept;
}

/* The same purge again takes the place of the earlier one. */
static void
patterns_forget(struct purgelog *l, const struct pattern *same)
{
	for (unsigned i = 0; i < l->patterns_count; i++) {
		struct pattern *p = &l->patterns[i];

		if (p->kind != same->kind || p->strength != same->strength ||
		    !slice_eq(slice_of(p->what, p->len), slice_of(same->what, same->len)))
			continue;
		free(p->what);
		memmove(p, p + 1, (l->patterns_count - i - 1) * sizeof(*p));
		l->patterns_count--;
		return;
	}
}

/* The end of a pattern that was cut becomes a star. Two, since neither may be a plain one: nor may a backslash stand before them
 * that takes the first one's meaning. */
static void
end_with_star(char *what, size_t len)
{
	size_t n = len - 2;

	while (n > 0 && what[n - 1] == '\\')
		n--;
	memset(what + n, '*', len - n);
}

/* A pattern that is too long is cut and purges all that begins so. */
static struct pattern
pattern_make(const struct purge *p, struct slice what, uint64_t pos)
{
	struct pattern made = {
	    .pos = pos, .kind = p->kind, .strength = p->soft ? SOFT : HARD, .len = what.n};

	if (what.n > PURGELOG_PATTERN_BYTES_MAX) {
		made.len = PURGELOG_PATTERN_BYTES_MAX;
		made.what = must_strndup(what.p, made.len);
		if (p->kind != PURGE_PREFIX)
			end_with_star(made.what, made.len);
	} else
		made.what = must_strndup(what.p, made.len);
	return made;
}

static void
add_pattern(struct purgelog *l, const struct purge *p, struct slice what, uint64_t pos)
{
	struct pattern made = pattern_make(p, what, pos);

	pthread_rwlock_wrlock(&l->patterns_lock);
	patterns_forget(l, &made);
	if (l->patterns_count == PURGELOG_PATTERNS_MAX)
		patterns_merge(l, PURGELOG_PATTERNS_MAX / 2);
	l->patterns[l->patterns_count++] = made;
	pthread_rwlock_unlock(&l->patterns_lock);
	store(&l->newest_pattern, pos);
}

uint64_t
purgelog_add(struct purgelog *l, const struct purge *p)
{
	enum strength strength = p->soft ? SOFT : HARD;
	struct slice what = p->what;
	uint64_t pos;

	pthread_mutex_lock(&l->writer);
	pos = load(&l->head) + 1;
	switch (p->kind) {
	case PURGE_EXACT:
		what = cache_key_name(what);
		purge_table_note(&l->exact[strength], what, pos);
		purge_table_note(&l->loose[strength], without_query(what), pos);
		break;
	case PURGE_PREFIX:
	case PURGE_PATTERN:
		add_pattern(l, p, cache_key_name(what), pos);
		break;
	case PURGE_TAG:
		purge_table_note(&l->tags[strength], what, pos);
		break;
	case PURGE_ALL:
		store(&l->since[strength], pos);
		break;
	case PURGE_TAG_PATTERN:
		add_pattern(l, p, what, pos);
		break;
	}
	if (l->see != NULL)
		l->see(l->see_arg, p, pos);
	store(&l->head, pos);
	pthread_mutex_unlock(&l->writer);
	return pos;
}

/* --- judging --- */

/* How many bytes of the glob make its plain byte at g; 0: none, or not that of c. */
static size_t
glob_byte(struct slice glob, size_t g, char c)
{
	size_t n = g + 1 < glob.n && glob.p[g] == '\\' ? 2 : 1;

	return g < glob.n && glob.p[g + n - 1] == c ? n : 0;
}

/* Whether the glob matches all of s. Linear but for what lies between two stars: the last star
 * takes one byte more when what follows it fails. */
static bool
glob_matches(struct slice glob, struct slice s)
{
	size_t g = 0, i = 0, star = SIZE_MAX, from = 0, n;

	while (i < s.n) {
		if (g < glob.n && glob.p[g] == '*') {
			star = g++;
			from = i;
		} else if ((n = glob_byte(glob, g, s.p[i])) > 0) {
			g += n;
			i++;
		} else if (star != SIZE_MAX) {
			g = star + 1;
			i = ++from;
		} else
			return false;
	}
	while (g < glob.n && glob.p[g] == '*')
		g++;
	return g == glob.n;
}

/* Whether a prefix or pattern may mean a URL that begins so, as far as it says without a star or a query. */
static bool
may_begin(struct slice what, struct slice url)
{
	size_t n = 0;

	while (n < what.n && what.p[n] != '*' && what.p[n] != '\\')
		n++;
	what = without_query(slice_of(what.p, n));
	return slice_starts(url, what) || slice_starts(what, url);
}

static bool
any_tag(struct slice tags, struct slice what, bool (*fits)(struct slice what, struct slice tag))
{
	while (tags.n > 0) {
		struct slice one = slice_cut(&tags, '\0');

		if (fits(what, one))
			return true;
	}
	return false;
}

static bool
pattern_matches(enum purge_kind kind, struct slice what, const struct suspect *x)
{
	struct slice where = slice_starts(what, SLICE_LIT("/")) ? x->path : x->name;

	if (kind == PURGE_TAG_PATTERN)
		return any_tag(x->tags, what, glob_matches);
	if (x->is_loose && may_begin(what, without_query(where)))
		return true;
	return kind == PURGE_PREFIX ? slice_starts(where, what) : glob_matches(what, where);
}

bool
purge_means(const struct purge *p, struct slice key, struct slice tags)
{
	struct suspect x = {.name = cache_key_name(key),
	    .path = cache_key_path(key),
	    .tags = tags,
	    .is_loose = cache_key_is_loose(key)};
	struct slice name = cache_key_name(p->what);

	switch (p->kind) {
	case PURGE_EXACT:
		if (x.is_loose)
			return slice_eq(without_query(name), without_query(x.name)) ||
			    slice_eq(without_query(name), without_query(x.path));
		return slice_eq(name, x.name) || slice_eq(name, x.path);
	case PURGE_TAG:
		return any_tag(tags, p->what, slice_eq);
	case PURGE_ALL:
		return true;
	case PURGE_TAG_PATTERN:
		return pattern_matches(p->kind, p->what, &x);
	case PURGE_PREFIX:
	case PURGE_PATTERN:
		return pattern_matches(p->kind, name, &x);
	}
	return false;
}

static enum purge_verdict
worse(enum purge_verdict a, enum purge_verdict b)
{
	return a > b ? a : b;
}

static enum purge_verdict
judge_patterns(struct purgelog *l, const struct suspect *x)
{
	enum purge_verdict verdict = PURGE_VALID;

	if (load(&l->newest_pattern) <= x->pos)
		return PURGE_VALID;
	pthread_rwlock_rdlock(&l->patterns_lock);
	for (unsigned i = l->patterns_count; i > 0 && l->patterns[i - 1].pos > x->pos; i--)
		if (pattern_matches(l->patterns[i - 1].kind,
			slice_of(l->patterns[i - 1].what, l->patterns[i - 1].len), x))
			verdict = worse(verdict,
			    l->patterns[i - 1].strength == HARD ? PURGE_GONE : PURGE_STALE);
	pthread_rwlock_unlock(&l->patterns_lock);
	return verdict;
}

/* Whether the tables know a later purge of that strength. */
static bool
is_purged(struct purgelog *l, const struct suspect *x, enum strength strength)
{
	struct slice tags = x->tags;

	if (load(&l->since[strength]) > x->pos ||
	    purge_table_knows(&l->exact[strength], x->name, x->pos) ||
	    purge_table_knows(&l->exact[strength], x->path, x->pos))
		return true;
	if (x->is_loose &&
	    (purge_table_knows(&l->loose[strength], without_query(x->name), x->pos) ||
		purge_table_knows(&l->loose[strength], without_query(x->path), x->pos)))
		return true;
	while (tags.n > 0) {
		size_t n = slice_index(tags, '\0');

		if (purge_table_knows(&l->tags[strength], slice_of(tags.p, n), x->pos))
			return true;
		tags = slice_skip(tags, n < tags.n ? n + 1 : n);
	}
	return false;
}

/* Patterns come before since: what is merged between the two looks is then found there. */
static enum purge_verdict
judge(struct purgelog *l, const struct suspect *x)
{
	enum purge_verdict verdict = judge_patterns(l, x);

	if (verdict != PURGE_GONE && is_purged(l, x, HARD))
		return PURGE_GONE;
	return verdict == PURGE_VALID && is_purged(l, x, SOFT) ? PURGE_STALE : verdict;
}

static void
object_raise(struct object *o, uint64_t to)
{
	uint64_t was = atomic_load_explicit(&o->valid_pos, memory_order_relaxed);

	while (was < to &&
	    !atomic_compare_exchange_weak_explicit(
		&o->valid_pos, &was, to, memory_order_release, memory_order_relaxed))
		;
}

enum purge_verdict
purgelog_judge(struct purgelog *l, struct object *o)
{
	uint64_t head = purgelog_head(l);
	struct suspect x = {.pos = load(&o->valid_pos)};

	if (x.pos < head) {
		enum purge_verdict verdict;

		x.name = cache_key_name(object_key(o));
		x.path = cache_key_path(object_key(o));
		x.is_loose = cache_key_is_loose(object_key(o));
		x.tags = object_tags(o);
		if ((verdict = judge(l, &x)) == PURGE_GONE)
			return PURGE_GONE;
		if (verdict == PURGE_STALE)
			atomic_store_explicit(&o->soft_purged, true, memory_order_relaxed);
		object_raise(o, head);
	}
	return atomic_load_explicit(&o->soft_purged, memory_order_relaxed) ? PURGE_STALE
									   : PURGE_VALID;
}

enum purge_verdict
purgelog_judge_parts(struct purgelog *l, struct slice key, struct slice tags, uint64_t log_pos)
{
	struct suspect x = {.name = cache_key_name(key),
	    .path = cache_key_path(key),
	    .is_loose = cache_key_is_loose(key),
	    .tags = tags,
	    .pos = log_pos};

	return log_pos >= purgelog_head(l) ? PURGE_VALID : judge(l, &x);
}

/* --- retiring --- */

bool
purgelog_wants_sweep(const struct purgelog *l)
{
	return l->patterns_count >= PURGELOG_PATTERNS_MAX / 2;
}

void
purgelog_retire(struct purgelog *l, uint64_t up_to)
{
	unsigned count = 0;

	pthread_mutex_lock(&l->writer);
	pthread_rwlock_wrlock(&l->patterns_lock);
	while (count < l->patterns_count && l->patterns[count].pos <= up_to)
		count++;
	patterns_merge(l, count);
	pthread_rwlock_unlock(&l->patterns_lock);
	pthread_mutex_unlock(&l->writer);
}

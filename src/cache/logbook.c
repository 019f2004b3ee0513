#include "cache/logbook.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define BATCH_BYTES (128 * 1024)

struct logbook {
	unsigned pending_first, pending_count;
	struct log_entry *pending[LOGBOOK_PENDING_MAX];
	uint64_t known_end;   /* entries ever known; the last LOGBOOK_KNOWN_MAX are there */
	uint64_t again;	      /* the next of them to be told again */
	uint64_t again_until; /* and where that ends; not beyond again: nothing is */
	struct log_entry *known[LOGBOOK_KNOWN_MAX];
};

static const char letters[] = {[PURGE_EXACT] = 'u',
    [PURGE_PREFIX] = 'p',
    [PURGE_PATTERN] = 'g',
    [PURGE_TAG] = 't',
    [PURGE_ALL] = 'a',
    [PURGE_TAG_PATTERN] = 'm'};

char
log_kind_letter(enum purge_kind kind)
{
	return letters[kind];
}

bool
log_kind_of(char letter, enum purge_kind *out)
{
	for (size_t i = 0; i < sizeof(letters); i++)
		if (letters[i] == letter) {
			*out = (enum purge_kind)i;
			return true;
		}
	return false;
}

/* What is too long: URLs that begin so, as is true of patterns anyway; everything, where a tag is. */
static struct purge
cut(const struct purge *p)
{
	struct purge shorter = *p;

	if (p->what.n <= LOG_WHAT_BYTES_MAX)
		return shorter;
	shorter.kind =
	    p->kind == PURGE_TAG || p->kind == PURGE_TAG_PATTERN ? PURGE_ALL : PURGE_PREFIX;
	shorter.what.n = PURGELOG_PATTERN_BYTES_MAX;
	if (p->kind == PURGE_PATTERN) { /* up to its first star it says how they begin */
		shorter.what.n = slice_index(slice_of(p->what.p, shorter.what.n), '*');
		shorter.what.n = slice_index(shorter.what, '\\');
	}
	if (shorter.kind == PURGE_ALL)
		shorter.what = SLICE_NONE;
	return shorter;
}

struct log_entry *
log_entry_new(uint64_t instance, uint64_t serial, const struct purge *p)
{
	struct purge shorter = cut(p);
	struct log_entry *e = must_malloc(sizeof(*e) + shorter.what.n + 1);

	*e = (struct log_entry){.instance = instance,
	    .serial = serial,
	    .kind = shorter.kind,
	    .soft = shorter.soft,
	    .len = shorter.what.n};
	if (e->len > 0)
		memcpy(e->what, shorter.what.p, e->len);
	return e;
}

struct purge
log_entry_purge(const struct log_entry *e)
{
	return (struct purge){.kind = e->kind, .soft = e->soft, .what = slice_of(e->what, e->len)};
}

struct logbook *
logbook_new(void)
{
	return must_calloc(1, sizeof(struct logbook));
}

static struct log_entry **
pending_slot(const struct logbook *b, unsigned i)
{
	return (struct log_entry **)&b->pending[(b->pending_first + i) % LOGBOOK_PENDING_MAX];
}

static struct log_entry *
pending_take(struct logbook *b)
{
	struct log_entry *e = *pending_slot(b, 0);

	b->pending_first = (b->pending_first + 1) % LOGBOOK_PENDING_MAX;
	b->pending_count--;
	return e;
}

void
logbook_free(struct logbook **bp)
{
	struct logbook *b = *bp;

	*bp = NULL;
	if (b == NULL)
		return;
	while (b->pending_count > 0)
		free(pending_take(b));
	for (unsigned i = 0; i < LOGBOOK_KNOWN_MAX; i++)
		free(b->known[i]);
	free(b);
}

bool
logbook_add_pending(struct logbook *b, struct log_entry *e)
{
	bool has_room = b->pending_count < LOGBOOK_PENDING_MAX;

	if (!has_room) {
		while (b->pending_count > 0)
			free(pending_take(b));
		e->kind = PURGE_ALL;
		e->soft = false;
		e->len = 0;
	}
	*pending_slot(b, b->pending_count++) = e;
	return has_room;
}

void
logbook_add_known(struct logbook *b, struct log_entry *e)
{
	struct log_entry **slot = &b->known[b->known_end++ % LOGBOOK_KNOWN_MAX];

	free(*slot);
	*slot = e;
}

unsigned
logbook_pending(const struct logbook *b)
{
	return b->pending_count;
}

struct log_entry *
logbook_pending_at(const struct logbook *b, unsigned i)
{
	return *pending_slot(b, i);
}

/* --- telling --- */

static uint64_t
known_begin(const struct logbook *b)
{
	return b->known_end < LOGBOOK_KNOWN_MAX ? 0 : b->known_end - LOGBOOK_KNOWN_MAX;
}

void
logbook_tell_again(struct logbook *b)
{
	b->again = known_begin(b);
	b->again_until = b->known_end;
}

bool
logbook_is_telling_again(const struct logbook *b)
{
	return b->again < b->again_until;
}

bool
logbook_has_forgotten(const struct logbook *b)
{
	return known_begin(b) > 0;
}

static bool
batch_add(struct logbook_batch *out, const struct log_entry *e, size_t *bytes)
{
	if (out->count == LOGBOOK_BATCH_MAX || *bytes > BATCH_BYTES)
		return false;
	out->entries[out->count++] = e;
	*bytes += e->len + sizeof(*e);
	return true;
}

static void
next_known(struct logbook *b, struct logbook_batch *out)
{
	uint64_t at = b->again;
	size_t bytes = 0;

	if (at < known_begin(b)) /* more came meanwhile than are kept */
		at = known_begin(b);
	out->is_again = true;
	while (at < b->again_until && batch_add(out, b->known[at % LOGBOOK_KNOWN_MAX], &bytes))
		at++;
	out->known_next = at;
}

bool
logbook_next(struct logbook *b, struct logbook_batch *out)
{
	size_t bytes = 0;

	out->count = 0;
	out->is_again = false;
	if (logbook_is_telling_again(b))
		next_known(b, out);
	if (out->count > 0)
		return true;
	out->is_again = false;
	b->again = b->again_until;
	for (unsigned i = 0; i < b->pending_count; i++) {
		const struct log_entry *e = *pending_slot(b, i);

		if (!batch_add(out, e, &bytes))
			break;
		out->serial = e->serial;
	}
	return out->count > 0;
}

void
logbook_told(struct logbook *b, const struct logbook_batch *batch)
{
	if (batch->is_again) {
		b->again = batch->known_next;
		return;
	}
	while (b->pending_count > 0 && (*pending_slot(b, 0))->serial <= batch->serial)
		logbook_add_known(b, pending_take(b));
}

#include "server/purging.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/url.h"
#include "server/audit.h"
#include "server/exchange_priv.h"
#include "server/handler.h"
#include "server/inventory.h"
#include "server/purge.h"
#include "server/purgecount.h"

struct purging {
	struct worker *worker;
	struct exchange *x; /* until purging_go */
	const char *via;
	struct later later;
	struct purge *items; /* before purging_go what.p is an offset into texts */
	size_t count;
	struct buf texts;
	struct purging_way way;
	struct purge_ticket ticket;
	struct census_ask ask;
	unsigned awaited; /* of those two */
	uint64_t taken;
	bool is_exact;
	json_t *audit, *objects;
};

struct purging *
purging_new(struct exchange *x, const char *via)
{
	struct purging *p = must_calloc(1, sizeof(*p));

	p->worker = x->worker;
	p->x = x;
	p->via = via;
	return p;
}

void
purging_free(struct purging **pp)
{
	struct purging *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	census_ask_fini(&p->ask);
	json_decref(p->audit);
	json_decref(p->objects);
	buf_fini(&p->texts);
	free(p->items);
	free(p);
}

/* --- what is meant --- */

static bool
take_start(struct slice *s, struct slice start)
{
	if (s->n < start.n || !slice_ieq(slice_of(s->p, start.n), start))
		return false;
	*s = slice_skip(*s, start.n);
	return true;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Host and port as keys have them: in lower case, without the port that the scheme has anyway. */
static void
add_host(struct slice host, struct slice own_port, struct buf *out)
{
	if (own_port.n > 0 && slice_ends(host, own_port))
		host.n -= own_port.n;
	for (size_t i = 0; i < host.n; i++)
		buf_add_char(out, lower(host.p[i]));
}

/* In normal form. What is not a path, as half of one may be, stays as it is: false. */
static bool
add_path(struct slice path, struct buf *out)
{
	char *space = must_malloc(3 * path.n + 1);
	struct slice normal = path;
	bool is_good = path.n > 0 && url_path_normal(path, space, &normal) == URL_GOOD;

	buf_add_slice(out, is_good ? normal : path);
	free(space);
	return is_good;
}

static bool
add_url(struct slice text, enum purge_kind kind, struct buf *out)
{
	struct slice own_port = SLICE_NONE, rest;
	size_t host_n = 0, path_n;

	if (take_start(&text, SLICE_LIT("http://")))
		own_port = SLICE_LIT(":80");
	else if (take_start(&text, SLICE_LIT("https://")))
		own_port = SLICE_LIT(":443");
	while (host_n < text.n && text.p[host_n] != '/' && text.p[host_n] != '?')
		host_n++;
	add_host(slice_of(text.p, host_n), own_port, out);
	rest = slice_skip(text, host_n);
	if (kind == PURGE_PATTERN) {
		buf_add_slice(out, rest);
		return text.n > 0;
	}
	rest.n = slice_index(rest, '#');
	path_n = slice_index(rest, '?');
	if (path_n == 0 && kind == PURGE_EXACT)
		buf_add_char(out, '/');
	else if (!add_path(slice_of(rest.p, path_n), out) && kind == PURGE_EXACT)
		return false;
	buf_add_slice(out, slice_skip(rest, path_n));
	return text.n > 0;
}

bool
purging_add(struct purging *p, enum purge_kind kind, struct slice text)
{
	size_t at = p->texts.n;
	bool is_good = true;

	if (kind == PURGE_TAG || kind == PURGE_TAG_PATTERN) {
		is_good = text.n > 0;
		buf_add_slice(&p->texts, text);
		if (slice_index(text, '*') < text.n)
			kind = PURGE_TAG_PATTERN;
	} else if (kind != PURGE_ALL)
		is_good = add_url(text, kind, &p->texts);
	p->items = must_realloc(p->items, (p->count + 1) * sizeof(*p->items));
	p->items[p->count++] = (struct purge){
	    .kind = kind, .what = slice_of((const char *)(uintptr_t)at, p->texts.n - at)};
	return is_good;
}

bool
purging_has_any(const struct purging *p)
{
	return p->count > 0;
}

/* --- the answer --- */

static void
add_result(const struct purging *p, json_t *o)
{
	json_object_set_new(o, "count", json_integer((json_int_t)p->taken));
	json_object_set_new(o, "exact", json_boolean(p->is_exact));
	if (p->way.looks)
		return;
	json_object_set_new(o, "soft", json_boolean(p->way.soft));
	json_object_set_new(o, "level", json_string(purge_level_names[p->ticket.level]));
}

/* Whether there are other instances to tell. */
static bool
is_shared(const struct purging *p)
{
	struct clerk_status s;

	clerk_status(p->worker->commons->clerk, &s);
	return s.state != CLERK_off;
}

static void
tell(struct purging *p)
{
	json_t *o = json_object();
	char *text;

	add_result(p, o);
	if (p->way.looks) {
		json_object_set_new(o, "bytes", json_integer((json_int_t)p->ask.bytes));
		json_object_set(o, "objects", p->objects);
	} else
		json_object_set_new(o, "shared", json_boolean(is_shared(p)));
	text = json_dumps(o, JSON_COMPACT);
	later_answer(&p->later, !p->way.looks && p->ticket.level == PURGE_JOURNALLED ? 202 : 200,
	    "application/json", slice_from(text));
	free(text);
	json_decref(o);
}

static void
note_end(struct purging *p)
{
	if (--p->awaited > 0)
		return;
	if (!p->way.looks) {
		add_result(p, p->audit);
		audit_write(&p->audit);
	}
	tell(p);
	purging_free(&p);
}

static void
on_purging_told(struct purge_ticket *t)
{
	note_end(CONTAINER_OF(t, struct purging, ticket));
}

static void
on_purging_counted(struct census_ask *a)
{
	struct purging *p = CONTAINER_OF(a, struct purging, ask);

	p->taken = a->count;
	p->is_exact = a->is_exact;
	note_end(p);
}

/* On the census' thread. */
static void
on_purging_prepare(struct census_ask *a)
{
	struct purging *p = CONTAINER_OF(a, struct purging, ask);

	p->objects = inventory_of(a);
	census_ask_fini(a);
}

static void
on_purging_over(struct later *l)
{
	/* The purge goes on; what is answered then is answered to nobody. */
}

/* --- doing it --- */

static void
settle_texts(struct purging *p)
{
	for (size_t i = 0; i < p->count; i++) {
		p->items[i].what.p = p->texts.p + (uintptr_t)p->items[i].what.p;
		p->items[i].soft = p->way.soft;
	}
}

/* What is purged softly stays, and is counted afterwards. */
static void
order(struct purging *p)
{
	struct census *c = p->worker->commons->census;
	bool walks = p->way.looks || purges_want_walk(p->items, p->count);

	p->awaited = walks ? 2 : 1;
	p->ticket.done = on_purging_told;
	if (!walks)
		p->taken = purges_count(p->worker, p->items, p->count, &p->is_exact);
	else if (!p->way.soft)
		census_begin(c, &p->ask);
	purge_order(p->worker, p->items, p->count,
	    p->way.wait || clerk_is_strict(p->worker->commons->clerk), &p->ticket);
	if (walks)
		census_go(c, &p->ask);
	else if (!p->way.soft && p->taken > 0)
		census_hurry(c);
}

void
purging_go(struct purging **pp, const struct purging_way *way)
{
	struct purging *p = *pp;
	struct exchange *x = p->x;

	*pp = NULL;
	p->way = *way;
	p->x = NULL;
	settle_texts(p);
	later_begin(&p->later, x, on_purging_over);
	p->ask = (struct census_ask){.items = p->items,
	    .items_count = p->count,
	    .sort = way->sort,
	    .now_ms = loop_now_ms(p->worker->loop),
	    .reply_to = p->worker->mailbox,
	    .done = on_purging_counted};
	if (way->looks) {
		memcpy(p->ask.ranges, way->ranges, sizeof(p->ask.ranges));
		p->ask.rows_most = way->rows_most;
		p->ask.prepare = on_purging_prepare;
		p->awaited = 1;
		census_go(p->worker->commons->census, &p->ask);
		return;
	}
	p->audit = audit_entry("purge", p->via, x);
	json_object_set_new(p->audit, "what", json_of_purges(p->items, p->count));
	order(p);
}

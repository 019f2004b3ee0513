/* An answer to POST that answers later GETs of the same URL (RFC 9110 section 9.3.3).
 *
 * It is newer than what the POST itself purges, its own URL first of all, but no newer than any other purge since the
 * request went out. So the position it is kept with is the one behind the POST's own purges, provided that nothing else was
 * purged in between; otherwise it is not kept. */
#include "http/origintags.h"
#include "server/fill_priv.h"

/* Whether no purge since the request went out means it, by what it will be stored with: the response's own tags, too. Where
 * it says which parameters of its query count it answers other URLs as well: then there has been none at all. */
static bool
is_unpurged(const struct fill *f, const struct head *h)
{
	struct purgelog *purges = f->worker->commons->purges;
	struct buf tags = {0};
	bool is_it;

	if (head_has(h, FIELD_NO_VARY_SEARCH))
		return purgelog_head(purges) == f->log_pos;
	buf_add_slice(&tags, buf_slice(&f->tags));
	is_it = origin_tags_add(h, origin_site_of(f->key.text), &tags) &&
	    purgelog_judge_parts(purges, f->key.text, buf_slice(&tags), f->log_pos) == PURGE_VALID;
	buf_fini(&tags);
	return is_it;
}

struct post_claim
fill_post_claim(const struct fill *f, const struct head *h)
{
	struct purgelog *purges = f->worker->commons->purges;
	struct post_claim c = {.taken = f->purges.taken};

	if (!f->keeps_post || h->status != 200 ||
	    !purge_set_is_about(&f->purges, head_value(h, FIELD_CONTENT_LOCATION)))
		return c;
	c.pos = purgelog_head(purges);
	c.holds = is_unpurged(f, h);
	return c;
}

void
fill_post_settle(struct fill *f, const struct post_claim *c)
{
	uint64_t now = purgelog_head(f->worker->commons->purges);

	f->keeps_post = c->holds && now - c->pos == f->purges.taken - c->taken;
	if (f->keeps_post)
		f->log_pos = now;
}

/* An answer to POST that answers later GETs of the same URL (RFC 9110 section 9.3.3).
 *
 * It is newer than what the POST itself purges, its own URL first of all, but no newer than any other purge since the
 * request went out. So the position it is kept with is the one behind the POST's own purges, provided that nothing else was
 * purged in between; otherwise it is not kept. */
#include "server/fill_priv.h"

struct post_claim
fill_post_claim(const struct fill *f, const struct head *h)
{
	struct purgelog *purges = f->worker->commons->purges;
	struct post_claim c = {.taken = f->purges.taken};

	if (!f->keeps_post || h->status != 200 ||
	    !purge_set_is_about(&f->purges, head_value(h, FIELD_CONTENT_LOCATION)))
		return c;
	c.pos = purgelog_head(purges);
	c.holds = purgelog_judge_parts(purges, f->key.text, buf_slice(&f->tags), f->log_pos) ==
	    PURGE_VALID;
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

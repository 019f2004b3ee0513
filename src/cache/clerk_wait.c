/* Who waits for a purge to come far enough. */
#include "cache/clerk_priv.h"

/* The letter goes back. */
static void
on_answered(struct letter *l)
{
	struct clerk_wait *w = CONTAINER_OF(l, struct clerk_wait, letter);

	w->done(w);
}

static void
answer(struct clerk_wait *w)
{
	list_leave(&w->link);
	w->letter.deliver = on_answered;
	mailbox_post(w->reply_to, &w->letter);
}

/* How far it has come. */
static enum purge_level
level_of(struct clerk *c, struct clerk_wait *w)
{
	if (w->serial > c->acked)
		return w->serial <= c->journalled ? PURGE_JOURNALLED : PURGE_HERE;
	if (w->number == 0 && c->is_greeted && !logbook_is_telling_again(c->book))
		w->number = c->acked_number;
	return w->number != 0 && c->confirmed >= w->number ? PURGE_EVERYWHERE : PURGE_APPENDED;
}

static bool
is_enough(const struct clerk *c, const struct clerk_wait *w, int64_t now_ms)
{
	if (now_ms - w->taken_ms >= WAIT_MOST_MS || !c->has_redis)
		return true;
	if (w->is_everywhere)
		return w->level == PURGE_EVERYWHERE;
	return w->level >= PURGE_JOURNALLED || w->serial <= c->given_up;
}

void
clerk_settle_waits(struct clerk *c)
{
	int64_t now_ms = loop_now_ms(c->loop);
	bool polls = false;

	LIST_EACH_SAFE (w, &c->waits, struct clerk_wait, link) {
		enum purge_level level = level_of(c, w);

		if (level > w->level)
			w->level = level;
		if (is_enough(c, w, now_ms))
			answer(w);
		else
			polls |= w->number != 0;
	}
	if (polls && !c->is_polling)
		talk_poll(c);
}

static void
on_wait_posted(struct letter *l)
{
	struct clerk_wait *w = CONTAINER_OF(l, struct clerk_wait, letter);
	struct clerk *c = w->clerk;

	w->taken_ms = loop_now_ms(c->loop);
	list_push_back(&c->waits, &w->link);
	clerk_settle_waits(c);
}

/* Who has no Redis is answered at once. */
void
clerk_await(struct clerk *c, struct clerk_wait *w)
{
	w->level = PURGE_HERE;
	w->number = 0;
	w->clerk = c;
	list_init(&w->link);
	pthread_mutex_lock(&c->lock);
	w->letter.deliver = c->has_redis ? on_wait_posted : on_answered;
	mailbox_post(c->has_redis ? c->mailbox : w->reply_to, &w->letter);
	pthread_mutex_unlock(&c->lock);
}

/* Writes that are on their way: noted in Redis, so that others purge what they name if this process dies with them. */
#include <stdlib.h>

#include "base/mem.h"
#include "cache/clerk_priv.h"

/* Writes that have ended and whose purges wait to be appended. Who is forgotten beyond that is purged once more when this
 * process dies. */
#define INTENTS_OVER_MAX 4096

/* A write that is on its way. */
struct clerk_intent {
	struct clerk *clerk;
	struct letter begun, ended; /* begun first: a mailbox keeps their order */
	struct link link;	    /* ended, and not told so yet */
	bool is_told;
	uint64_t id, serial; /* serial: of the purges it became; 0: none */
	unsigned count;
	struct log_entry *items[];
};

static void
intent_free(struct clerk_intent *i)
{
	list_leave(&i->link);
	for (unsigned k = 0; k < i->count; k++)
		free(i->items[k]);
	free(i);
}

static void
intent_over(struct clerk *c, struct clerk_intent *i)
{
	char key[128];

	if (!list_is_empty(&i->link))
		c->intents_over_count--;
	if (i->is_told && c->is_greeted) {
		log_say_intent_over(
		    &c->command, log_intents_key(&c->keys, c->me.instance, key), i->id, i->count);
		talk_send_and_forget(c);
	}
	intent_free(i);
}

static void
on_intent_begun(struct letter *l)
{
	struct clerk_intent *i = CONTAINER_OF(l, struct clerk_intent, begun);
	struct clerk *c = i->clerk;
	char text[128];
	struct slice key;

	if (!c->is_greeted)
		return;
	i->is_told = true;
	key = log_intents_key(&c->keys, c->me.instance, text);
	for (unsigned said = 0; said < i->count; talk_send_and_forget(c))
		said = log_say_intent(&c->command, key, i->id, i->items, said, i->count);
	log_say_intent_life(&c->command, key);
	talk_send_and_forget(c);
}

/* Not before its purges are in the log: if this process dies between, they are carried out twice, not never. */
static void
on_intent_ended(struct letter *l)
{
	struct clerk_intent *i = CONTAINER_OF(l, struct clerk_intent, ended);
	struct clerk *c = i->clerk;

	if (!i->is_told || i->serial <= c->acked) {
		intent_over(c, i);
		return;
	}
	if (c->intents_over_count == INTENTS_OVER_MAX) {
		intent_free(list_first(&c->intents_over, struct clerk_intent, link));
		c->intents_over_count--;
	}
	list_push_back(&c->intents_over, &i->link);
	c->intents_over_count++;
}

struct clerk_intent *
clerk_intent(struct clerk *c, const struct purge *items, size_t count)
{
	struct clerk_intent *i;

	if (count > LOGBOOK_BATCH_MAX)
		count = LOGBOOK_BATCH_MAX;
	pthread_mutex_lock(&c->lock);
	if (!c->has_redis || count == 0) {
		pthread_mutex_unlock(&c->lock);
		return NULL;
	}
	i = must_calloc(1, sizeof(*i) + count * sizeof(i->items[0]));
	i->clerk = c;
	i->id = ++c->intents;
	i->count = (unsigned)count;
	list_init(&i->link);
	for (size_t k = 0; k < count; k++)
		i->items[k] = log_entry_new(0, 0, &items[k]);
	i->begun.deliver = on_intent_begun;
	i->ended.deliver = on_intent_ended;
	mailbox_post(c->mailbox, &i->begun);
	pthread_mutex_unlock(&c->lock);
	return i;
}

void
clerk_intent_end(struct clerk *c, struct clerk_intent **ip, uint64_t serial)
{
	struct clerk_intent *i = *ip;

	*ip = NULL;
	if (i == NULL)
		return;
	i->serial = serial;
	mailbox_post(c->mailbox, &i->ended);
}

void
clerk_intents_look(struct clerk *c)
{
	LIST_EACH_SAFE (i, &c->intents_over, struct clerk_intent, link)
		if (i->serial <= c->acked)
			intent_over(c, i);
}

void
clerk_intents_drop(struct clerk *c)
{
	while (!list_is_empty(&c->intents_over))
		intent_over(c, list_first(&c->intents_over, struct clerk_intent, link));
}

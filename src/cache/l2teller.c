#include "cache/l2teller.h"

#include <stdlib.h>

#include "base/mem.h"

#define BATCH_MAX 256
#define AGAIN_MS 200

struct untold {
	uint64_t pos;
	char mark[L2_MARK_BYTES];
};

struct l2_teller {
	struct l2_teller_conf conf;
	struct timer again;
	/* The command under way */
	bool is_telling;
	unsigned behind;  /* not 0: it says "all", because of this fall */
	unsigned telling; /* the first so many of the queue are acknowledged with it */
	struct untold last;
	/* What waits */
	uint64_t newest_pos;
	unsigned count;
	struct untold queue[L2_TELLER_QUEUE_MAX]; /* the oldest first */
};

static void
try_again(struct l2_teller *t)
{
	timer_arm(t->conf.loop, &t->again, loop_now_ms(t->conf.loop) + AGAIN_MS);
}

static void
on_told(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct l2_teller *t = arg;

	t->is_telling = false;
	t->conf.on_end(t->conf.arg, end, reply);
	if (end != REDISIO_ANSWERED || reply->type != REPLY_INTEGER || reply->integer <= 0) {
		try_again(t);
		return;
	}
	l2_marks_note_told(t->conf.marks, (uint64_t)reply->integer, t->last.pos, t->last.mark);
	if (t->behind != 0)
		l2_marks_caught_up(t->conf.marks, t->behind);
	t->count -= t->telling;
	memmove(t->queue, t->queue + t->telling, t->count * sizeof(t->queue[0]));
	l2_teller_go(t);
}

/* "all" stands for everything that waits. */
static void
add_marks(struct l2_teller *t, struct l2_words *w)
{
	if (t->behind != 0) {
		t->telling = t->count;
		t->last = (struct untold){.pos = t->newest_pos, .mark = "all"};
		l2_words_add(w, SLICE_LIT("all"));
		return;
	}
	t->telling = t->count < BATCH_MAX ? t->count : BATCH_MAX;
	for (unsigned i = 0; i < t->telling; i++) {
		t->last = t->queue[i];
		l2_words_add(w, slice_from(t->queue[i].mark));
	}
}

void
l2_teller_go(struct l2_teller *t)
{
	struct l2_words w;

	if (t->is_telling)
		return;
	timer_disarm(&t->again);
	t->behind = l2_marks_behind(t->conf.marks);
	if (t->behind == 0 && t->count == 0)
		return;
	l2_words_mark(&w, t->conf.marks, t->conf.set, SLICE_NONE);
	add_marks(t, &w);
	t->is_telling = redisnet_send(t->conf.io,
			    &(struct redisio_command){.argv = w.argv,
				.argc = w.argc,
				.timeout_ms = t->conf.timeout_ms,
				.done = on_told,
				.arg = t},
			    NULL) == REDISIO_SENT;
	if (!t->is_telling)
		try_again(t);
}

void
l2_teller_tell(struct l2_teller *t, const struct purge *p, uint64_t pos)
{
	struct untold *u;

	if (t->count == L2_TELLER_QUEUE_MAX) {
		l2_marks_fall_behind(t->conf.marks);
		t->count = t->is_telling ? t->telling : 0;
	}
	if (t->count < L2_TELLER_QUEUE_MAX) {
		u = &t->queue[t->count++];
		u->pos = pos;
		l2_marks_name(t->conf.marks, p->kind, p->what, u->mark);
	}
	t->newest_pos = pos;
	l2_teller_go(t);
}

static void
on_again(void *arg)
{
	l2_teller_go(arg);
}

struct l2_teller *
l2_teller_new(const struct l2_teller_conf *conf)
{
	struct l2_teller *t = must_calloc(1, sizeof(*t));

	t->conf = *conf;
	timer_init(&t->again, on_again, t);
	return t;
}

void
l2_teller_free(struct l2_teller **tp)
{
	struct l2_teller *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	timer_disarm(&t->again);
	free(t);
}

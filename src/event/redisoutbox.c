#include "event/redisoutbox.h"

#include <stdlib.h>

#include "base/mem.h"

#define JOIN_BYTES 16384 /* short commands share a piece up to this size */

/* Bytes to be written. */
struct piece {
	struct link link;
	struct buf bytes;
	size_t written;
	bool is_taken; /* an argument taken over: nothing is added to it */
};

void
redis_outbox_init(struct redis_outbox *o)
{
	list_init(&o->pieces);
	o->bytes = 0;
}

bool
redis_outbox_is_empty(const struct redis_outbox *o)
{
	return list_is_empty(&o->pieces);
}

static struct piece *
piece_new(struct redis_outbox *o)
{
	struct piece *p = must_calloc(1, sizeof(*p));

	list_push_back(&o->pieces, &p->link);
	return p;
}

static void
piece_free(struct piece *p)
{
	list_leave(&p->link);
	buf_fini(&p->bytes);
	free(p);
}

void
redis_outbox_drop(struct redis_outbox *o)
{
	while (!list_is_empty(&o->pieces))
		piece_free(list_first(&o->pieces, struct piece, link));
	o->bytes = 0;
}

/* The piece that short text is added to. */
static struct buf *
join(struct redis_outbox *o)
{
	struct piece *last =
	    list_is_empty(&o->pieces) ? NULL : CONTAINER_OF(o->pieces.prev, struct piece, link);

	if (last == NULL || last->is_taken || last->bytes.n >= JOIN_BYTES)
		last = piece_new(o);
	return &last->bytes;
}

static void
put_length(struct buf *b, char kind, size_t n)
{
	buf_add_char(b, kind);
	buf_add_u64(b, n);
	buf_add_lit(b, "\r\n");
}

void
redis_outbox_add(struct redis_outbox *o, const struct redisio_command *command)
{
	struct buf *b = join(o);
	size_t before = b->n;
	struct piece *taken;

	put_length(b, '*', command->argc + (command->tail != NULL));
	for (unsigned i = 0; i < command->argc; i++) {
		put_length(b, '$', command->argv[i].n);
		buf_add_slice(b, command->argv[i]);
		buf_add_lit(b, "\r\n");
	}
	if (command->tail != NULL)
		put_length(b, '$', command->tail->n);
	o->bytes += b->n - before;
	if (command->tail == NULL)
		return;
	taken = piece_new(o);
	taken->bytes = *command->tail;
	taken->is_taken = true;
	*command->tail = (struct buf){0};
	b = join(o);
	buf_add_lit(b, "\r\n");
	o->bytes += taken->bytes.n + 2;
}

void
redis_outbox_forget(struct redis_outbox *o, size_t n)
{
	o->bytes -= n;
	while (!list_is_empty(&o->pieces)) {
		struct piece *p = list_first(&o->pieces, struct piece, link);
		size_t left = p->bytes.n - p->written;

		if (n < left) {
			p->written += n;
			return;
		}
		n -= left;
		piece_free(p);
	}
}

int
redis_outbox_offer(const struct redis_outbox *o, struct iovec *iov, int most, size_t *bytes_out)
{
	int k = 0;

	*bytes_out = 0;
	LIST_EACH (p, &o->pieces, struct piece, link) {
		if (k == most)
			break;
		iov[k].iov_base = p->bytes.p + p->written;
		iov[k].iov_len = p->bytes.n - p->written;
		*bytes_out += iov[k++].iov_len;
	}
	return k;
}

size_t
redis_outbox_need(const struct redisio_command *command)
{
	size_t n = 16 + (command->tail == NULL ? 0 : command->tail->n + 24);

	for (unsigned i = 0; i < command->argc; i++)
		n += command->argv[i].n + 24;
	return n;
}

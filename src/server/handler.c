#include "server/handler.h"

#include "server/exchange_priv.h"

/* The exchange's memory is about to go. */
static void
on_exchange_retired(void *arg)
{
	struct later *l = arg;
	void (*retire)(void *) = l->retire;
	void *retire_arg = l->retire_arg;

	l->x = NULL;
	l->on_over(l);
	retire(retire_arg);
}

void
later_begin(struct later *l, struct exchange *x, void (*on_over)(struct later *l))
{
	*l = (struct later){
	    .x = x, .on_over = on_over, .retire = x->retire.run, .retire_arg = x->retire.arg};
	x->retire.run = on_exchange_retired;
	x->retire.arg = l;
}

void
later_answer(struct later *l, unsigned status, const char *content_type, struct slice body)
{
	struct exchange *x = l->x;

	if (x == NULL)
		return;
	x->retire.run = l->retire;
	x->retire.arg = l->retire_arg;
	l->x = NULL;
	exchange_answer(x, status, content_type, body); /* nothing, if it is over */
}

void
exchange_add_field(struct exchange *x, const char *name, const char *value)
{
	buf_printf(&x->own_fields, "%s: %s\r\n", name, value);
}

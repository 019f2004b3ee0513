/* LINK: event/mailbox event/loop base/clock base/mem */
#include "event/mailbox.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"

#define SENDERS 4
#define EACH 20000

/* What one thread posts: numbered letters, each its own memory. */
struct sender {
	pthread_t thread;
	struct mailbox *box;
	unsigned index;
};

struct numbered {
	struct letter letter;
	unsigned sender, number;
};

static struct loop *the_loop;
static unsigned next_number[SENDERS], delivered, expected;

static void
on_numbered(struct letter *self)
{
	struct numbered *n = CONTAINER_OF(self, struct numbered, letter);

	assert_int_equal(n->number, next_number[n->sender]++);
	free(n);
	if (++delivered == expected)
		loop_stop(the_loop);
}

static void
post(struct mailbox *m, unsigned sender, unsigned number)
{
	struct numbered *n = malloc(sizeof(*n));

	*n = (struct numbered){{.deliver = on_numbered}, sender, number};
	mailbox_post(m, &n->letter);
}

static void *
send_all(void *arg)
{
	struct sender *s = arg;

	for (unsigned i = 0; i < EACH; i++)
		post(s->box, s->index, i);
	return NULL;
}

static void
start_counting(unsigned n)
{
	memset(next_number, 0, sizeof(next_number));
	delivered = 0;
	expected = n;
}

static void
letters_of_many_threads_all_arrive_each_sender_s_in_order(void **state)
{
	struct sender senders[SENDERS];
	struct mailbox *m;

	the_loop = loop_new();
	m = mailbox_new(the_loop);
	start_counting(SENDERS * EACH);
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){.box = m, .index = i};
		assert_int_equal(
		    pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
	}
	loop_run(the_loop);
	assert_int_equal(delivered, SENDERS * EACH);
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(senders[i].thread, NULL);
	mailbox_free(&m);
	assert_null(m);
	loop_free(&the_loop);
}

static void
letters_still_inside_are_delivered_when_the_box_goes(void **state)
{
	struct mailbox *m;

	the_loop = loop_new();
	m = mailbox_new(the_loop);
	start_counting(3);
	for (unsigned i = 0; i < 3; i++)
		post(m, 0, i);
	assert_int_equal(delivered, 0);
	mailbox_free(&m);
	assert_int_equal(delivered, 3);
	loop_free(&the_loop);
}

/* A letter that goes round: each delivery posts it again, to the other of two boxes. */
struct ball {
	struct letter letter;
	struct mailbox *to;
	unsigned left;
};

static void
on_ball(struct letter *self)
{
	struct ball *b = CONTAINER_OF(self, struct ball, letter);

	if (b->left-- == 0)
		loop_stop(the_loop);
	else
		mailbox_post(b->to, self);
}

static void
a_letter_may_be_posted_again_from_its_delivery(void **state)
{
	struct ball b = {.letter.deliver = on_ball, .left = 1000};
	struct mailbox *m;

	the_loop = loop_new();
	b.to = m = mailbox_new(the_loop);
	mailbox_post(m, &b.letter);
	loop_run(the_loop);
	assert_int_equal(b.left, UINT32_MAX);
	mailbox_free(&m);
	loop_free(&the_loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(letters_of_many_threads_all_arrive_each_sender_s_in_order),
	    cmocka_unit_test(letters_still_inside_are_delivered_when_the_box_goes),
	    cmocka_unit_test(a_letter_may_be_posted_again_from_its_delivery),
	};

	return cmocka_run_group_tests_name("event/mailbox", tests, NULL, NULL);
}

#include "event/mailbox.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"

struct mailbox {
	struct letter *_Atomic newest; /* a stack; emptied whole and turned round by the reader */
	int fd;
	struct event readable;
};

static void
deliver_all(struct mailbox *m)
{
	struct letter *stack = atomic_exchange_explicit(&m->newest, NULL, memory_order_acquire);
	struct letter *oldest = NULL, *next;

	for (; stack != NULL; stack = next) {
		next = stack->next;
		stack->next = oldest;
		oldest = stack;
	}
	for (; oldest != NULL; oldest = next) {
		next = oldest->next;
		oldest->deliver(oldest);
	}
}

static void
on_mailbox_readable(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	/* The count says nothing that the stack does not; EAGAIN only means somebody else's
	 * spurious wake-up. */
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
		bug("read of an eventfd");
	deliver_all(arg);
}

struct mailbox *
mailbox_new(struct loop *l)
{
	struct mailbox *m = must_calloc(1, sizeof(*m));

	m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (m->fd < 0)
		goto fail;
	if (event_assign(&m->readable, loop_base(l), m->fd, EV_READ | EV_PERSIST,
		on_mailbox_readable, m) != 0 ||
	    event_add(&m->readable, NULL) != 0)
		goto fail_fd;
	return m;
fail_fd:
	close(m->fd);
fail:
	free(m);
	return NULL;
}

void
mailbox_settle(struct mailbox *m)
{
	deliver_all(m);
}

void
mailbox_free(struct mailbox **mp)
{
	struct mailbox *m = *mp;

	if (m == NULL)
		return;
	deliver_all(m);
	event_del(&m->readable);
	close(m->fd);
	free(m);
	*mp = NULL;
}

void
mailbox_post(struct mailbox *m, struct letter *letter)
{
	const uint64_t one = 1;
	struct letter *head = atomic_load_explicit(&m->newest, memory_order_relaxed);

	do
		letter->next = head;
	while (!atomic_compare_exchange_weak_explicit(
	    &m->newest, &head, letter, memory_order_release, memory_order_relaxed));
	/* A full counter (EAGAIN) means that the reader is being woken anyway. */
	if (head == NULL && write(m->fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		bug("write to an eventfd");
}

/* base/list.h - a doubly linked list through a member of its elements.
 *
 * The list owns nothing. A link that is in no list points at itself, so leaving twice does no harm.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link {
	struct link *next, *prev;
};

#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Walks the elements; LIST_EACH_SAFE allows the current one to leave. */
#define LIST_EACH(it, head, type, member)                                                \
	for (type *it = CONTAINER_OF((head)->next, type, member); &it->member != (head); \
	     it = CONTAINER_OF(it->member.next, type, member))
#define LIST_EACH_SAFE(it, head, type, member)                              \
	for (type *it = CONTAINER_OF((head)->next, type, member),           \
		  *it##_next = CONTAINER_OF(it->member.next, type, member); \
	     &it->member != (head);                                         \
	     it = it##_next, it##_next = CONTAINER_OF(it##_next->member.next, type, member))

static inline void
list_init(struct link *l)
{
	l->next = l->prev = l;
}

static inline bool
list_is_empty(const struct link *head)
{
	return head->next == head;
}

/* Whether this element is in some list. */
static inline bool
list_has(const struct link *l)
{
	return l->next != l;
}

static inline void
list_insert_before(struct link *at, struct link *l)
{
	l->next = at;
	l->prev = at->prev;
	at->prev->next = l;
	at->prev = l;
}

static inline void
list_push_back(struct link *head, struct link *l)
{
	list_insert_before(head, l);
}

static inline void
list_push_front(struct link *head, struct link *l)
{
	list_insert_before(head->next, l);
}

static inline void
list_leave(struct link *l)
{
	l->next->prev = l->prev;
	l->prev->next = l->next;
	list_init(l);
}

/* All of from goes to the end of to; from is empty afterwards. */
static inline void
list_splice_back(struct link *to, struct link *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_first(head, type, member) \
	(list_is_empty(head) ? NULL : CONTAINER_OF((head)->next, type, member))

#endif

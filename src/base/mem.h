/* base/mem.h - allocations that the daemon cannot do without.
 *
 * Two kinds of memory. What is small and ours (configuration, one record per connection, per
 * worker) is taken with must_*: when the machine has none left, the process says so and aborts, and
 * systemd starts it again; half a daemon helps nobody. What is sized by a peer or by the cache
 * (bodies, objects, queues) is taken with malloc or from the cache's own memory, and its lack ends
 * one request or one store.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <stdnoreturn.h>
#include <string.h>

void *must_malloc(size_t n);
void *must_calloc(size_t count, size_t each);
void *must_realloc(void *p, size_t n);
char *must_strdup(const char *s);
/* A NUL-terminated copy of n bytes. */
char *must_strndup(const char *s, size_t n);

/* For what is some hundred bytes: a call of the library's, which knows the processor. Where the compiler knows how much it is, it
 * repeats a store of eight bytes more than a hundred times. */
static inline void
mem_clear(void *p, size_t n)
{
	__asm__("" : "+r"(n));
	memset(p, 0, n);
}

/* An invariant of ours is broken: says where, aborts. Never reached by anything a peer can send. */
#define bug(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)
noreturn void bug_at(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif

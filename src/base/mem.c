#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

noreturn void
bug_at(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "forebay: bug at %s:%d: ", file, line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

static void *
must(void *p, size_t n)
{
	if (p == NULL && n > 0) {
		fprintf(stderr, "forebay: out of memory (%zu bytes)\n", n);
		abort();
	}
	return p;
}

void *
must_malloc(size_t n)
{
	return must(malloc(n), n);
}

void *
must_calloc(size_t count, size_t each)
{
	return must(calloc(count, each), count * each);
}

void *
must_realloc(void *p, size_t n)
{
	return must(realloc(p, n), n);
}

char *
must_strdup(const char *s)
{
	return must_strndup(s, strlen(s));
}

char *
must_strndup(const char *s, size_t n)
{
	char *copy = must_malloc(n + 1);

	memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

/* A stage for the admin's handlers: an exchange that nobody sent, and the answer it was given. Objects of the server
 * that the handlers only pass by are played here. */
#ifndef ADMIN_STAGE_H
#define ADMIN_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/exchange_priv.h"

static struct {
	struct exchange x;
	struct worker worker;
	struct commons commons;
	unsigned answers, retired;
	unsigned status;
	const char *type;
	struct buf body;
} stage;

void
exchange_answer(struct exchange *x, unsigned status, const char *content_type, struct slice body)
{
	assert_ptr_equal(x, &stage.x);
	stage.answers++;
	stage.status = status;
	stage.type = content_type;
	stage.body.n = 0;
	buf_add_slice(&stage.body, body);
	buf_add_char(&stage.body, '\0');
}

struct worker *
exchange_worker(struct exchange *x)
{
	return x->worker;
}

struct head *
exchange_head(struct exchange *x)
{
	return &x->head;
}

static void
on_stage_retired(void *arg)
{
	stage.retired++;
}

/* A request for the handler under test. */
static struct exchange *
stage_request(enum method m)
{
	struct exchange *x = &stage.x;

	buf_fini(&x->own_fields);
	memset(x, 0, sizeof(*x));
	x->worker = &stage.worker;
	x->head.method = m;
	x->head.base = "";
	x->retire.run = on_stage_retired;
	x->retire.arg = x;
	stage.worker.commons = &stage.commons;
	stage.answers = stage.retired = stage.status = 0;
	return x;
}

/* Holds a page of docs/ to the tables it is written from. FOREBAY_WRITE_DOCS=1 writes it. */
static inline void
assert_page(const char *path, void (*reference)(struct buf *b))
{
	static char page[1 << 20];
	struct buf b = {0};
	FILE *f;
	size_t n;

	reference(&b);
	if (getenv("FOREBAY_WRITE_DOCS") != NULL) {
		f = fopen(path, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(b.p, 1, b.n, f), b.n);
		fclose(f);
	}
	f = fopen(path, "r");
	if (f == NULL)
		fail_msg("%s is missing: FOREBAY_WRITE_DOCS=1 writes it", path);
	n = fread(page, 1, sizeof(page), f);
	fclose(f);
	if (n != b.n || memcmp(page, b.p, n) != 0)
		fail_msg("%s is not what the tables say: FOREBAY_WRITE_DOCS=1 writes it", path);
	buf_fini(&b);
}

#endif

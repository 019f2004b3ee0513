/* LINK: server/rendered cache/object cache/body cache/slab http/negotiate http/head http/fields base/buf base/hash base/mem */
#include "server/rendered.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/hash.h"
#include "cache/slab.h"

#define HEAD                                                                                      \
	"HTTP/1.1 200 OK\r\nServer: origin\r\nVary: Cookie\r\nETag: \"v1\"\r\nDate: Thu, 01 Jan " \
	"2026 00:00:00 GMT\r\n\r\n"

static struct slab *slab;
static const struct rendered_for plain = {.route = (const struct route *)1};
static const struct rendered_for other_route = {.route = (const struct route *)2};

static int
begin(void **state)
{
	hash_seed();
	slab = slab_new(1 << 20);
	return slab == NULL;
}

static int
end(void **state)
{
	slab_free_all(&slab);
	return 0;
}

static struct object *
make(const char *head)
{
	struct object_parts parts = {.key = SLICE_LIT("http\na\n/"), .head = slice_from(head)};
	const char *etag = strstr(head, "ETag: ");
	struct object *o;

	if (etag != NULL) {
		parts.facts.etag_at = (uint32_t)(etag + 6 - head);
		parts.facts.etag_len = (uint16_t)(strstr(etag, "\r\n") - etag - 6);
	}
	parts.body = body_of(slab, SLICE_LIT("body"));
	o = object_new(slab, &parts);
	body_unref(&parts.body);
	return o;
}

/* What is written for that use; an empty text if nothing is. */
static struct slice
written(const struct rendered_table *t, const struct object *o, const struct rendered_for *use)
{
	static struct buf out;
	struct body *body;

	out.n = 0;
	if (!rendered_write(t, o, use, &out, &body))
		return SLICE_NONE;
	return buf_slice(&out);
}

static void
assert_text(struct slice is, const char *expected)
{
	assert_int_equal(is.n, strlen(expected));
	assert_memory_equal(is.p, expected, is.n);
}

static void
a_text_comes_back_whatever_it_leaves_out_or_adds(void **state)
{
	static const char *const texts[] = {
	    "HTTP/1.1 200 OK\r\nServer: origin\r\nVary: Cookie\r\nETag: \"v1\"\r\nDate: Thu, 01 "
	    "Jan "
	    "2026 00:00:00 GMT\r\n",
	    "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nVary: "
	    "Cookie, "
	    "Accept-Encoding\r\nX-Frame-Options: DENY\r\n",
	    "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
	    "Content-Encoding: gzip\r\nETag: W/\"v1\"\r\nVary: Accept-Encoding\r\n",
	    "HTTP/1.1 200 Fine\r\nServer: origin\r\n",
	    "",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct rendered_table *t = rendered_table_new(1);
		struct object *o = make(HEAD);

		assert_int_equal(written(t, o, &plain).n, 0);
		rendered_keep(t, o, &plain, slice_from(texts[i]), 0);
		assert_text(written(t, o, &plain), texts[i]);
		assert_int_equal(written(t, o, &other_route).n, 0);
		object_unref(&o);
		rendered_table_free(&t);
	}
}

static void
objects_that_differ_in_their_tags_share_one_rendering(void **state)
{
	struct rendered_table *t = rendered_table_new(1);
	struct object *a = make(HEAD),
		      *b = make("HTTP/1.1 200 OK\r\nServer: elsewhere\r\n"
				"Vary: Cookie\r\nETag: W/\"2\"\r\nDate: now\r\n\r\n");

	rendered_keep(t, a, &plain,
	    SLICE_LIT("HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
		      "ETag: W/\"v1\"\r\nVary: *\r\n"),
	    0);
	rendered_keep(t, b, &plain,
	    SLICE_LIT("HTTP/1.1 200 OK\r\nServer: elsewhere\r\nDate: now\r\nETag: W/\"2\"\r\n"
		      "Vary: *\r\n"),
	    0);
	assert_int_equal(atomic_load(&a->rendered), atomic_load(&b->rendered));
	assert_text(written(t, b, &plain),
	    "HTTP/1.1 200 OK\r\nServer: elsewhere\r\nDate: now\r\nETag: W/\"2\"\r\nVary: *\r\n");
	object_unref(&a);
	object_unref(&b);
	rendered_table_free(&t);
}

static void
another_configuration_finds_nothing_and_renders_anew(void **state)
{
	struct rendered_table *old = rendered_table_new(1), *next = rendered_table_new(2);
	struct object *o = make(HEAD);

	rendered_keep(old, o, &plain, SLICE_LIT("HTTP/1.1 200 OK\r\n"), 0);
	assert_int_equal(written(next, o, &plain).n, 0);
	rendered_keep(next, o, &plain, SLICE_LIT("HTTP/1.1 200 OK\r\nServer: origin\r\n"), 0);
	assert_text(written(next, o, &plain), "HTTP/1.1 200 OK\r\nServer: origin\r\n");
	assert_int_equal(written(old, o, &plain).n, 0);
	object_unref(&o);
	rendered_table_free(&old);
	rendered_table_free(&next);
}

static void
a_rendering_for_a_variant_comes_with_its_body(void **state)
{
	struct rendered_table *t = rendered_table_new(1);
	struct object *o = make(HEAD);
	struct body *coded = body_of(slab, SLICE_LIT("coded")), *body = NULL;
	struct buf out = {0};

	assert_int_equal(object_add_variant(o, ENC_BR, &coded), 0);
	rendered_keep(t, o, &plain, SLICE_LIT("HTTP/1.1 200 OK\r\n"), ENC_BR);
	rendered_keep(t, o, &other_route, SLICE_LIT("HTTP/1.1 200 OK\r\n"), 0);
	assert_true(rendered_write(t, o, &plain, &out, &body));
	assert_ptr_equal(body, object_find_variant(o, ENC_BR)->body);
	assert_true(rendered_write(t, o, &other_route, &out, &body));
	assert_ptr_equal(body, o->body);
	buf_fini(&out);
	object_unref(&o);
	rendered_table_free(&t);
}

static void
a_fourth_use_is_rendered_each_time(void **state)
{
	struct rendered_table *t = rendered_table_new(1);
	struct object *o = make(HEAD);

	for (uintptr_t i = 1; i <= 4; i++) {
		const struct rendered_for use = {.route = (const struct route *)i};

		rendered_keep(t, o, &use, SLICE_LIT("HTTP/1.1 200 OK\r\n"), 0);
		assert_int_equal(written(t, o, &use).n > 0, i <= 3);
	}
	object_unref(&o);
	rendered_table_free(&t);
}

static void
a_table_takes_no_more_than_its_bound(void **state)
{
	struct rendered_table *t = rendered_table_new(1);
	static char text[4096];
	unsigned kept = 0;

	for (unsigned i = 0; i < 1000; i++) {
		struct object *o = make(HEAD);

		memset(text, 'x', sizeof(text));
		memcpy(text, &i, sizeof(i));
		rendered_keep(t, o, &plain, slice_of(text, sizeof(text)), 0);
		kept += written(t, o, &plain).n > 0;
		object_unref(&o);
	}
	assert_int_equal(kept, RENDERED_TEXT_MAX_BYTES / sizeof(text));
	rendered_table_free(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_text_comes_back_whatever_it_leaves_out_or_adds),
	    cmocka_unit_test(objects_that_differ_in_their_tags_share_one_rendering),
	    cmocka_unit_test(another_configuration_finds_nothing_and_renders_anew),
	    cmocka_unit_test(a_rendering_for_a_variant_comes_with_its_body),
	    cmocka_unit_test(a_fourth_use_is_rendered_each_time),
	    cmocka_unit_test(a_table_takes_no_more_than_its_bound),
	};

	return cmocka_run_group_tests(tests, begin, end);
}

/* LINK: cache/census cache/tagcounts cache/store cache/store_room cache/store_shard cache/store_walk cache/index cache/object cache/body cache/slab cache/purgelog cache/key event/mailbox event/loop http/vary http/negotiate http/head http/fields base/buf base/clock base/hash base/log base/mem base/thread */
#include "cache/census.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define MIB ((size_t)1 << 20)

struct scene {
	struct loop *loop;
	struct mailbox *box;
	struct store *store;
	struct purgelog *log;
	struct census *census;
};

static void
begin(struct scene *s, size_t limit_bytes)
{
	s->loop = loop_new();
	s->box = mailbox_new(s->loop);
	s->store = store_new(limit_bytes);
	s->log = purgelog_new();
	s->census = census_new(s->store, s->log);
}

static void
end(struct scene *s)
{
	census_free(&s->census);
	mailbox_free(&s->box);
	loop_free(&s->loop);
	store_free(&s->store);
	purgelog_free(&s->log);
}

/* Page n, fetched now. tags: a bar behind each. */
static struct object *
store_page(struct scene *s, unsigned n, const char *tags)
{
	char key[64], tags_text[256];
	struct body *b = body_of(store_slab(s->store), SLICE_LIT("body"));
	struct object_parts parts = {.head = SLICE_LIT("HTTP/1.1 200 OK\r\n\r\n"), .body = b};
	struct object *o;

	parts.key = slice_of(key, (size_t)snprintf(key, sizeof(key), "http://a.test/page/%u", n));
	parts.hash = cache_key_of(parts.key).hash;
	parts.tags = slice_of(tags_text, strlen(tags));
	for (size_t i = 0; i <= parts.tags.n; i++)
		tags_text[i] = tags[i] == '|' ? '\0' : tags[i];
	parts.facts.log_pos = purgelog_head(s->log);
	o = object_new(store_slab(s->store), &parts);
	body_unref(&b);
	assert_non_null(o);
	assert_true(store_put(s->store, o));
	return o;
}

static void
store_pages(struct scene *s, unsigned from, unsigned to, const char *tags)
{
	for (; from < to; from++) {
		struct object *o = store_page(s, from, tags);

		object_unref(&o);
	}
}

static struct purge
purge_of(enum purge_kind kind, const char *what)
{
	return (struct purge){.kind = kind, .what = slice_from(what)};
}

static void
purge(struct scene *s, enum purge_kind kind, const char *what)
{
	struct purge p = purge_of(kind, what);

	purgelog_add(s->log, &p);
}

struct asked {
	struct census_ask ask;
	struct loop *loop;
};

static void
on_done(struct census_ask *a)
{
	loop_stop(((struct asked *)a)->loop);
}

static struct asked
asked_of(struct scene *s, const struct purge *items, size_t count)
{
	return (struct asked){.loop = s->loop,
	    .ask = {.items = items, .items_count = count, .reply_to = s->box, .done = on_done}};
}

static void
await(struct scene *s, struct asked *a)
{
	census_go(s->census, &a->ask);
	loop_run(s->loop);
}

/* How many there are that p means. */
static unsigned
look(struct scene *s, enum purge_kind kind, const char *what)
{
	struct purge p = purge_of(kind, what);
	struct asked a = asked_of(s, &p, 1);

	await(s, &a);
	assert_true(a.ask.is_exact);
	return (unsigned)a.ask.count;
}

static unsigned
tag_count(struct scene *s, const char *tag, bool is_exact)
{
	bool exact;
	uint64_t count = census_tag_count(s->census, slice_from(tag), &exact);

	assert_int_equal(exact, is_exact);
	return (unsigned)count;
}

static void
tags_are_counted_as_objects_come_and_go(void **state)
{
	struct scene s;
	struct object *o;

	begin(&s, 16 * MIB);
	store_pages(&s, 0, 100, "all|low|");
	store_pages(&s, 100, 150, "all|");
	assert_int_equal(tag_count(&s, "all", true), 150);
	assert_int_equal(tag_count(&s, "low", true), 100);
	assert_int_equal(tag_count(&s, "none", true), 0);
	store_pages(&s, 0, 10, "all|"); /* in place of others */
	assert_int_equal(tag_count(&s, "low", true), 90);
	o = store_page(&s, 150, "all|");
	store_remove(s.store, o);
	object_unref(&o);
	assert_int_equal(tag_count(&s, "all", true), 150);
	end(&s);
}

static void
a_purged_tag_counts_from_nothing(void **state)
{
	struct scene s;

	begin(&s, 16 * MIB);
	store_pages(&s, 0, 100, "all|");
	purge(&s, PURGE_TAG, "all");
	assert_int_equal(tag_count(&s, "all", true), 0);
	store_pages(&s, 200, 203, "all|");
	assert_int_equal(tag_count(&s, "all", true), 3);
	assert_int_equal(look(&s, PURGE_TAG, "all"), 3); /* takes the others out */
	assert_int_equal(store_usage(s.store).objects, 3);
	assert_int_equal(tag_count(&s, "all", true), 3);
	purge(&s, PURGE_ALL, "");
	assert_int_equal(tag_count(&s, "all", true), 0);
	end(&s);
}

static void
a_count_that_others_purges_may_have_changed_says_so(void **state)
{
	struct scene s;

	begin(&s, 16 * MIB);
	store_pages(&s, 0, 100, "all|");
	assert_int_equal(look(&s, PURGE_ALL, ""), 100); /* no walk is on its way now */
	purge(&s, PURGE_PREFIX, "/page/1");
	assert_int_equal(tag_count(&s, "all", false), 100);
	assert_int_equal(look(&s, PURGE_ALL, ""), 89);
	assert_int_equal(tag_count(&s, "all", true), 89);
	end(&s);
}

static void
more_tags_than_there_is_room_for_are_counted_as_far_as_possible(void **state)
{
	struct scene s;
	char tags[64];
	unsigned exact = 0;

	begin(&s, 4 * MIB);
	store_pages(&s, 0, 50, "wide|");
	for (unsigned n = 100; n < 2100; n++) {
		snprintf(tags, sizeof(tags), "one:%u|", n);
		store_pages(&s, n, n + 1, tags);
	}
	assert_int_equal(tag_count(&s, "wide", true), 50);
	for (unsigned n = 100; n < 2100; n++) {
		bool is_exact;
		uint64_t count;

		snprintf(tags, sizeof(tags), "one:%u", n);
		count = census_tag_count(s.census, slice_from(tags), &is_exact);
		assert_true(count <= 1 && (count == 1 || !is_exact));
		exact += is_exact;
	}
	assert_true(exact > 0 && exact < 2000);
	end(&s);
}

static void
a_purge_counts_what_it_took_and_nothing_that_was_gone(void **state)
{
	struct purge p = purge_of(PURGE_PREFIX, "a.test/page/1");
	struct scene s;
	struct asked a;
	struct object *o;

	begin(&s, 16 * MIB);
	store_pages(&s, 0, 200, "all|"); /* 111 of them begin with 1 */
	o = store_page(&s, 1, "other|");
	purge(&s, PURGE_TAG, "other");
	a = asked_of(&s, &p, 1);
	census_begin(s.census, &a.ask);
	purgelog_add(s.log, &p);
	store_pages(&s, 10, 20, "all|"); /* a worker was faster: these are there again */
	await(&s, &a);
	assert_int_equal(a.ask.count, 110);
	assert_true(a.ask.is_exact);
	assert_int_equal(store_usage(s.store).objects, 99);
	object_unref(&o);
	end(&s);
}

static void
tags_are_purged_by_patterns_too(void **state)
{
	struct scene s;

	begin(&s, 16 * MIB);
	store_pages(&s, 0, 3, "vehicle:7:door|");
	store_pages(&s, 3, 5, "x|vehicle:8:door|");
	store_pages(&s, 5, 6, "vehicle:*:door|");
	assert_int_equal(look(&s, PURGE_TAG_PATTERN, "vehicle:7:*"), 3);
	assert_int_equal(look(&s, PURGE_TAG_PATTERN, "vehicle:*"), 6);
	assert_int_equal(look(&s, PURGE_TAG_PATTERN, "vehicle:\\*:*"), 1);
	purge(&s, PURGE_TAG_PATTERN, "*:8:*");
	assert_int_equal(look(&s, PURGE_ALL, ""), 4);
	end(&s);
}

static void
what_is_listed_is_the_greatest(void **state)
{
	struct scene s;
	struct asked a;

	begin(&s, 16 * MIB);
	for (unsigned n = 0; n < 100; n++) {
		struct object *o = store_page(&s, n, "");

		o->hit_count = n * 37 % 100;
		object_unref(&o);
	}
	a = asked_of(&s, NULL, 0);
	a.ask.rows_most = 10;
	a.ask.sort = CENSUS_BY_HITS;
	await(&s, &a);
	assert_int_equal(a.ask.count, 100);
	assert_int_equal(a.ask.rows_count, 10);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(a.ask.rows[i]->hit_count, 99 - i);
	census_ask_fini(&a.ask);
	end(&s);
}

static void
who_waits_when_it_stops_is_answered(void **state)
{
	struct scene s;
	struct asked a;

	begin(&s, 16 * MIB);
	store_pages(&s, 0, 10, "");
	a = asked_of(&s, NULL, 0);
	census_begin(s.census, &a.ask);
	census_stop(s.census);
	loop_run(s.loop);
	assert_false(a.ask.is_exact);
	end(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tags_are_counted_as_objects_come_and_go),
	    cmocka_unit_test(a_purged_tag_counts_from_nothing),
	    cmocka_unit_test(a_count_that_others_purges_may_have_changed_says_so),
	    cmocka_unit_test(more_tags_than_there_is_room_for_are_counted_as_far_as_possible),
	    cmocka_unit_test(a_purge_counts_what_it_took_and_nothing_that_was_gone),
	    cmocka_unit_test(tags_are_purged_by_patterns_too),
	    cmocka_unit_test(what_is_listed_is_the_greatest),
	    cmocka_unit_test(who_waits_when_it_stops_is_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

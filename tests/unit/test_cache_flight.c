/* LINK: cache/flight cache/purgelog cache/object cache/body cache/slab cache/key event/loop event/mailbox base/clock base/hash base/mem */
#include "cache/flight.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"
#include "event/loop.h"

#define WORKERS 3
#define NOW_MS INT64_C(43200000)

/* Workers without threads: their loops' put-off work and their letters are carried out by settle(). */
static struct loop *loops[WORKERS];
static struct mailbox *boxes[WORKERS];
static struct flights *flights;
static struct purgelog *purges;

struct asker {
	struct flight_rider rider;
	unsigned woken;
	bool leaves; /* when it is woken */
};

static void
on_asker_wake(struct flight_rider *r)
{
	struct asker *a = CONTAINER_OF(r, struct asker, rider);

	a->woken++;
	if (a->leaves)
		flight_leave(r);
}

static struct asker
asker_on(unsigned worker)
{
	return (struct asker){.rider = {.worker = worker, .wake = on_asker_wake}};
}

/* Askers stand where they are from now on. */
static void
ready(struct asker *a)
{
	list_init(&a->rider.link);
}

static void
settle(void)
{
	for (int round = 0; round < 4; round++)
		for (unsigned i = 0; i < WORKERS; i++) {
			mailbox_settle(boxes[i]);
			loop_settle(loops[i]);
		}
}

static struct cache_key
key_of(const char *text)
{
	struct slice s = slice_from(text);

	return (struct cache_key){.text = s, .hash = hash_bytes(s.p, s.n)};
}

static enum flight_role
board(struct asker *a, const char *key)
{
	struct cache_key k = key_of(key);

	ready(a);
	return flight_board(
	    flights, &k, SLICE_NONE, &a->rider, NOW_MS, purges, SLICE_LIT("news\0"));
}

/* A response that is still growing. The caller's reference to body and object. */
static struct object *
arriving(struct body **body_out)
{
	struct object_parts parts = {.head = SLICE_LIT("HTTP/1.1 200 OK\r\n\r\n")};

	*body_out = parts.body = body_new(NULL, BODY_LENGTH_UNKNOWN);
	return object_new(NULL, &parts);
}

static int
begin(void **state)
{
	struct flight_world world = {WORKERS, loops, boxes};

	for (unsigned i = 0; i < WORKERS; i++) {
		loops[i] = loop_new();
		boxes[i] = mailbox_new(loops[i]);
	}
	flights = flights_new(&world);
	purges = purgelog_new();
	return 0;
}

static int
end(void **state)
{
	settle();
	flights_free(&flights);
	purgelog_free(&purges);
	for (unsigned i = 0; i < WORKERS; i++) {
		mailbox_free(&boxes[i]);
		loop_free(&loops[i]);
	}
	return 0;
}

static void
the_first_leads_and_the_others_ride(void **state)
{
	struct asker a = asker_on(0), b = asker_on(0), c = asker_on(2), other = asker_on(1);

	assert_int_equal(board(&a, "http://a.test/"), FLIGHT_LEADS);
	assert_int_equal(board(&b, "http://a.test/"), FLIGHT_RIDES);
	assert_int_equal(board(&c, "http://a.test/"), FLIGHT_RIDES);
	assert_int_equal(board(&other, "http://a.test/2"), FLIGHT_LEADS);
	assert_true(a.rider.is_leader && !b.rider.is_leader && !c.rider.is_leader);
	assert_ptr_equal(a.rider.flight, c.rider.flight);
	assert_int_equal(flight_riders(a.rider.flight), 3);
	flight_close(a.rider.flight);
	flight_close(other.rider.flight);
	flight_leave(&a.rider);
	flight_leave(&b.rider);
	flight_leave(&c.rider);
	flight_leave(&other.rider);
	flight_leave(&other.rider); /* leaving twice does no harm */
}

static void
all_workers_hear_of_the_response_once_a_turn(void **state)
{
	struct asker a = asker_on(0), b = asker_on(1), c = asker_on(1), late = asker_on(2);
	struct body *body;
	struct object *o = arriving(&body);

	board(&a, "k");
	board(&b, "k");
	board(&c, "k");
	flight_publish(a.rider.flight, o);
	for (int i = 0; i < 10; i++)
		flight_progress(a.rider.flight);
	assert_int_equal(a.woken + b.woken + c.woken, 0); /* never from within */
	settle();
	assert_int_equal(a.woken, 1);
	assert_int_equal(b.woken, 1);
	assert_int_equal(c.woken, 1);
	assert_int_equal(board(&late, "k"), FLIGHT_RIDES);
	assert_int_equal(flight_state(late.rider.flight), FLIGHT_RESPONSE);
	assert_ptr_equal(flight_object(late.rider.flight), o);
	flight_close(a.rider.flight);
	flight_leave(&a.rider);
	flight_leave(&b.rider);
	flight_leave(&c.rider);
	flight_leave(&late.rider);
	object_unref(&o);
	body_unref(&body);
}

static void
riders_may_leave_when_they_are_woken(void **state)
{
	struct asker askers[5];

	for (unsigned i = 0; i < 5; i++) {
		askers[i] = asker_on(1);
		askers[i].leaves = i % 2 == 0;
		board(&askers[i], "k");
	}
	flight_fail(askers[0].rider.flight, 7);
	settle();
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(askers[i].woken, 1);
	assert_null(askers[0].rider.flight);
	assert_int_equal(flight_state(askers[1].rider.flight), FLIGHT_FAILED);
	assert_int_equal(flight_fault(askers[1].rider.flight), 7);
	assert_int_equal(flight_riders(askers[1].rider.flight), 2);
	flight_leave(&askers[1].rider);
	flight_leave(&askers[3].rider);
}

static void
what_is_not_for_everybody_is_remembered_for_a_while(void **state)
{
	struct asker a = asker_on(0), b = asker_on(1), c = asker_on(1), d = asker_on(0);
	struct cache_key k = key_of("k");
	struct body *body;
	struct object *o = arriving(&body);

	board(&a, "k");
	board(&b, "k");
	flight_disband(a.rider.flight, o, NOW_MS + 1000);
	settle();
	assert_int_equal(b.woken, 1);
	assert_int_equal(flight_state(b.rider.flight), FLIGHT_DISBANDED);
	assert_int_equal(board(&c, "k"), FLIGHT_ALONE);
	assert_true(c.rider.is_leader);
	assert_int_equal(flight_riders(c.rider.flight), 1);
	assert_true(flights_is_unshared(flights, k.hash, NOW_MS + 999));
	assert_false(flights_is_unshared(flights, k.hash, NOW_MS + 1000));
	ready(&d);
	assert_int_equal(
	    flight_board(flights, &k, SLICE_NONE, &d.rider, NOW_MS + 1000, purges, SLICE_NONE),
	    FLIGHT_LEADS);
	flight_close(d.rider.flight);
	flight_leave(&a.rider);
	flight_leave(&b.rider);
	flight_leave(&c.rider);
	flight_leave(&d.rider);
	object_unref(&o);
	body_unref(&body);
}

static void
what_could_be_kept_after_all_is_gathered_for_again(void **state)
{
	struct asker a = asker_on(0), b = asker_on(1);
	struct cache_key k = key_of("k");
	struct body *body;
	struct object *o = arriving(&body);

	board(&a, "k");
	flight_disband(a.rider.flight, o, NOW_MS + 1000);
	flights_share_again(flights, k.hash + 16384); /* another key of the same slot */
	assert_true(flights_is_unshared(flights, k.hash, NOW_MS));
	flights_share_again(flights, k.hash);
	assert_int_equal(board(&b, "k"), FLIGHT_LEADS);
	flight_disband(b.rider.flight, o, 0); /* nothing to remember, and nothing forgotten */
	assert_false(flights_is_unshared(flights, k.hash, NOW_MS));
	settle();
	flight_leave(&a.rider);
	flight_leave(&b.rider);
	object_unref(&o);
	body_unref(&body);
}

static void
who_asks_after_a_purge_does_not_board_what_began_before(void **state)
{
	struct purge by_tag = {.kind = PURGE_TAG, .what = SLICE_LIT("news")};
	struct purge softly = {.kind = PURGE_EXACT, .soft = true, .what = SLICE_LIT("a.test/x")};
	struct asker a = asker_on(0), b = asker_on(0), c = asker_on(1), d = asker_on(2);

	board(&a, "http://a.test/x");
	purgelog_add(purges, &by_tag);
	assert_int_equal(board(&b, "http://a.test/x"), FLIGHT_LEADS);
	assert_ptr_not_equal(a.rider.flight, b.rider.flight);
	assert_int_equal(board(&c, "http://a.test/x"), FLIGHT_RIDES);
	assert_true(flight_log_pos(a.rider.flight) < flight_log_pos(b.rider.flight));
	purgelog_add(purges, &softly);
	assert_int_equal(board(&d, "http://a.test/x"), FLIGHT_LEADS);
	flight_close(a.rider.flight); /* long out of the table */
	flight_close(b.rider.flight);
	flight_close(d.rider.flight);
	flight_leave(&a.rider);
	flight_leave(&b.rider);
	flight_leave(&c.rider);
	flight_leave(&d.rider);
}

static void
a_refresh_can_be_boarded_but_not_doubled(void **state)
{
	struct cache_key k = key_of("k");
	struct flight *f = flight_background(flights, &k, SLICE_NONE, 1, purges);
	struct asker a = asker_on(0);

	assert_non_null(f);
	assert_null(flight_background(flights, &k, SLICE_NONE, 2, purges));
	assert_int_equal(flight_riders(f), 0);
	assert_int_equal(flight_read_by_all(f), UINT64_MAX);
	assert_int_equal(board(&a, "k"), FLIGHT_RIDES);
	flight_fail(f, 1);
	flight_unref(&f);
	settle();
	assert_int_equal(a.woken, 1);
	flight_leave(&a.rider);
}

static void
count_room(void *owner)
{
	++*(unsigned *)owner;
}

static void
the_leader_waits_for_the_slowest_wherever_it_is(void **state)
{
	struct asker a = asker_on(0), b = asker_on(1), c = asker_on(2);
	unsigned rooms = 0;
	struct flight *f;

	board(&a, "k");
	board(&b, "k");
	board(&c, "k");
	f = a.rider.flight;
	flight_set_owner(f, &rooms, count_room);
	flight_moved(&a.rider, 1000);
	flight_moved(&b.rider, 300);
	assert_int_equal(flight_read_by_all(f), 0);
	assert_int_equal(flight_read_by_any(f), 1000);
	flight_await_room(f, 200);
	flight_moved(&c.rider, 200);
	settle();
	assert_int_equal(rooms, 0); /* beyond it, not up to it */
	flight_moved(&c.rider, 201);
	settle();
	assert_int_equal(rooms, 1);
	assert_int_equal(flight_read_by_all(f), 201);
	flight_moved(&c.rider, 5000);
	settle();
	assert_int_equal(rooms, 1); /* it asked once */
	flight_await_room(f, 250);
	settle();
	assert_int_equal(rooms, 2); /* all have been there already */
	flight_await_room(f, 400);
	flight_leave(&b.rider);
	settle();
	assert_int_equal(rooms, 3); /* whoever leaves holds nobody back */
	flight_set_owner(f, NULL, NULL);
	flight_await_room(f, 1);
	settle(); /* and nobody is told when there is no owner */
	assert_int_equal(rooms, 3);
	assert_int_equal(flight_read_by_any(f), 5000);
	flight_leave(&c.rider); /* who was ahead is not any more */
	assert_int_equal(flight_read_by_any(f), 1000);
	flight_close(f);
	flight_leave(&a.rider);
}

static void
who_is_too_far_behind_is_given_up(void **state)
{
	struct asker a = asker_on(0), b = asker_on(1);

	board(&a, "k");
	board(&b, "k");
	flight_moved(&a.rider, 1000);
	flight_moved(&b.rider, 10);
	flight_expel(a.rider.flight, 500);
	settle();
	assert_int_equal(b.woken, 1);
	assert_true(flight_is_expelled(&b.rider));
	assert_false(flight_is_expelled(&a.rider));
	flight_close(a.rider.flight);
	flight_leave(&a.rider);
	flight_leave(&b.rider);
}

#define CROWD 60

/* Steps of any length, comings and goings: the ends are always those that a look at everybody finds. */
static void
the_ends_are_right_whoever_moves(void **state)
{
	struct asker askers[CROWD];
	unsigned dice = 1;

	for (unsigned i = 0; i < CROWD; i++) {
		askers[i] = asker_on(i % WORKERS);
		board(&askers[i], "k");
	}
	for (unsigned turn = 0; turn < 20000; turn++) {
		unsigned who = (dice = dice * 1664525 + 1013904223) >> 8 & 63;
		struct asker *a = &askers[who < CROWD ? who : 0];
		struct flight *f = askers[0].rider.flight;
		uint64_t least = UINT64_MAX, most = 0;

		if (who >= CROWD)
			continue;
		if ((dice >> 20) % 16 == 0 && a != askers) {
			flight_leave(&a->rider);
			board(a, "k");
		} else
			flight_moved(&a->rider, a->rider.at + (dice >> 16) % 3);
		for (unsigned i = 0; i < CROWD; i++) {
			least = askers[i].rider.at < least ? askers[i].rider.at : least;
			most = askers[i].rider.at > most ? askers[i].rider.at : most;
		}
		assert_int_equal(flight_read_by_all(f), least);
		assert_int_equal(flight_read_by_any(f), most);
	}
	flight_close(askers[0].rider.flight);
	for (unsigned i = 0; i < CROWD; i++)
		flight_leave(&askers[i].rider);
}

/* --- with threads --- */

#define RIDES 3000

struct crew {
	unsigned worker, led, rode, heard;
	struct asker asker;
	struct task next;
	unsigned left;
};

static void
crew_over(struct crew *w)
{
	flight_leave(&w->asker.rider);
	if (--w->left == 0)
		loop_stop(loops[w->worker]);
	else
		loop_later(loops[w->worker], &w->next);
}

static void
on_crew_wake(struct flight_rider *r)
{
	struct crew *w = CONTAINER_OF(CONTAINER_OF(r, struct asker, rider), struct crew, asker);

	if (flight_state(r->flight) != FLIGHT_RESPONSE)
		return;
	w->heard += flight_object(r->flight) != NULL;
	crew_over(w);
}

/* Boards; who leads publishes and closes at once, so that riders come just before, while and after. */
static void
on_crew_next(void *arg)
{
	struct crew *w = arg;
	struct flight_rider *r = &w->asker.rider;

	switch (board(&w->asker, "busy")) {
	case FLIGHT_LEADS: {
		struct body *body;
		struct object *o = arriving(&body);
		struct flight *f = flight_ref(r->flight);

		w->led++;
		flight_publish(f, o);
		flight_close(f);
		flight_unref(&f);
		object_unref(&o);
		body_unref(&body);
		return;
	}
	case FLIGHT_RIDES:
		w->rode++;
		if (flight_state(r->flight) == FLIGHT_RESPONSE) {
			w->heard += flight_object(r->flight) != NULL;
			crew_over(w);
		}
		return;
	case FLIGHT_ALONE:
		fail();
	}
}

static void *
crew_main(void *arg)
{
	struct crew *w = arg;

	loop_later(loops[w->worker], &w->next);
	loop_run(loops[w->worker]);
	return NULL;
}

static void
nobody_is_left_waiting_by_workers_at_once(void **state)
{
	struct crew crews[WORKERS] = {0};
	pthread_t threads[WORKERS];

	for (unsigned i = 0; i < WORKERS; i++) {
		crews[i].worker = i;
		crews[i].left = RIDES;
		crews[i].asker = (struct asker){.rider = {.worker = i, .wake = on_crew_wake}};
		task_init(&crews[i].next, on_crew_next, &crews[i]);
		assert_int_equal(pthread_create(&threads[i], NULL, crew_main, &crews[i]), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(crews[i].heard, RIDES);
		assert_int_equal(crews[i].led + crews[i].rode, RIDES);
	}
}

#define IN_THE_WORLD(test) cmocka_unit_test_setup_teardown(test, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_THE_WORLD(the_first_leads_and_the_others_ride),
	    IN_THE_WORLD(all_workers_hear_of_the_response_once_a_turn),
	    IN_THE_WORLD(riders_may_leave_when_they_are_woken),
	    IN_THE_WORLD(what_is_not_for_everybody_is_remembered_for_a_while),
	    IN_THE_WORLD(what_could_be_kept_after_all_is_gathered_for_again),
	    IN_THE_WORLD(the_ends_are_right_whoever_moves),
	    IN_THE_WORLD(who_asks_after_a_purge_does_not_board_what_began_before),
	    IN_THE_WORLD(a_refresh_can_be_boarded_but_not_doubled),
	    IN_THE_WORLD(the_leader_waits_for_the_slowest_wherever_it_is),
	    IN_THE_WORLD(who_is_too_far_behind_is_given_up),
	    IN_THE_WORLD(nobody_is_left_waiting_by_workers_at_once),
	};

	hash_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LINK: cache/body cache/slab base/mem */
#include "cache/body.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cache/slab.h"

#define MIB ((size_t)1 << 20)

/* The byte every test expects at that position of a body. */
static char
byte_at(uint64_t at)
{
	return (char)((at * 2654435761u) >> 13);
}

static unsigned
next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*state >> 33);
}

/* Receives n more bytes as a socket would: into what body_space shows, gathered. */
static void
receive(struct body *b, size_t n)
{
	while (n > 0) {
		struct iovec iov[2];
		int places = body_space(b, iov, n);
		uint64_t at = body_length(b);
		size_t got = 0;

		assert_true(places > 0);
		for (int i = 0; i < places; i++)
			for (size_t k = 0; k < iov[i].iov_len && got < n; k++, got++)
				((char *)iov[i].iov_base)[k] = byte_at(at + got);
		body_publish(b, got);
		n -= got;
	}
}

/* Reads and checks what is there, at most limit bytes. Returns how many. */
static size_t
read_some(const struct body *b, struct body_cursor *c, uint64_t limit)
{
	struct iovec iov[8];
	int n = body_peek(b, c, iov, 8, limit);
	size_t got = 0;

	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < iov[i].iov_len; k++, got++)
			if (((char *)iov[i].iov_base)[k] != byte_at(c->at + got))
				fail_msg("wrong byte at %zu", (size_t)c->at + got);
	body_advance(c, got);
	return got;
}

static void
read_all(const struct body *b)
{
	struct body_cursor c = {0};

	while (read_some(b, &c, UINT64_MAX) > 0)
		;
	assert_int_equal(c.at, body_length(b));
}

static void
what_is_received_is_read_back(void **state)
{
	struct slab *slab = slab_new(64 * MIB);
	struct slab *from[] = {NULL, slab};
	const uint64_t lengths[] = {
	    1, 63, 2048, 4000, 8192, 8193, 40000, 65512, 65536, 300000, 3 * MIB + 7};

	for (int s = 0; s < 2; s++)
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
			for (int known = 0; known < 2; known++) {
				struct body *b =
				    body_new(from[s], known ? lengths[i] : BODY_LENGTH_UNKNOWN);

				for (uint64_t left = lengths[i]; left > 0;) {
					size_t n = left < 7001 ? left : 7001;

					receive(b, n);
					left -= n;
				}
				body_end(b, BODY_WHOLE);
				assert_int_equal(body_state(b), BODY_WHOLE);
				assert_int_equal(body_length(b), lengths[i]);
				read_all(b);
				body_unref(&b);
				assert_null(b);
			}
	assert_int_equal(slab_usage(slab).used_bytes, 0);
	slab_free_all(&slab);
}

static void
an_empty_body_holds_no_chunk(void **state)
{
	struct body *b = body_of(NULL, SLICE_LIT(""));
	struct body_cursor c = {0};
	struct iovec iov[1];

	assert_int_equal(body_state(b), BODY_WHOLE);
	assert_int_equal(body_length(b), 0);
	assert_int_equal(body_peek(b, &c, iov, 1, 100), 0);
	assert_int_equal(body_memory_bytes(b), sizeof(*b));
	body_unref(&b);
}

static void
an_announced_length_takes_memory_only_as_it_comes(void **state)
{
	struct slab *slab = slab_new(64 * MIB);
	struct body *b = body_new(slab, (uint64_t)1 << 50);

	receive(b, 1000);
	assert_true(slab_usage(slab).used_bytes <= SLAB_ALLOC_MAX + 256);
	body_end(b, BODY_BROKEN);
	body_unref(&b);
	slab_free_all(&slab);
}

static void
a_stored_body_wastes_little(void **state)
{
	struct slab *slab = slab_new(256 * MIB);

	for (uint64_t length = 100; length < 20 * MIB; length = length * 5 / 4 + 13) {
		struct body *b = body_new(slab, length);

		receive(b, length);
		body_end(b, BODY_WHOLE);
		if (body_memory_bytes(b) > length + length / 6 + 200)
			fail_msg("known length %zu takes %zu", length, body_memory_bytes(b));
		body_unref(&b);
		b = body_new(slab, BODY_LENGTH_UNKNOWN);
		for (uint64_t left = length; left > 0; left -= left < 1000 ? left : 1000)
			receive(b, left < 1000 ? left : 1000);
		body_end(b, BODY_WHOLE);
		if (body_memory_bytes(b) > length * 3 / 2 + 3000)
			fail_msg("unknown length %zu takes %zu", length, body_memory_bytes(b));
		body_unref(&b);
	}
	slab_free_all(&slab);
}

static void
an_appended_body_takes_what_it_needs(void **state)
{
	struct slab *slab = slab_new(16 * MIB);
	static char bytes[50000];
	struct body *b = body_new(slab, BODY_LENGTH_UNKNOWN);

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = byte_at(i);
	assert_int_equal(body_append(b, slice_of(bytes, sizeof(bytes))), 0);
	body_end(b, BODY_WHOLE);
	read_all(b);
	assert_true(body_memory_bytes(b) < 70000);
	body_unref(&b);
	slab_free_all(&slab);
}

static void
room_that_was_not_needed_is_given_back_at_the_end(void **state)
{
	struct slab *slab = slab_new(16 * MIB);
	struct body *b = body_new(slab, BODY_LENGTH_UNKNOWN);
	struct iovec iov[2];
	size_t before;

	receive(b, 100000);
	receive(b, 10);
	before = slab_usage(slab).used_bytes;
	assert_int_equal(body_space(b, iov, 65536), 2);
	assert_true(slab_usage(slab).used_bytes > before);
	body_end(b, BODY_WHOLE);
	assert_int_equal(slab_usage(slab).used_bytes, before);
	read_all(b);
	body_unref(&b);
	slab_free_all(&slab);
}

/* Room for the next bytes, where those before it were read and let go of. */
static size_t
room_for(struct body *b, size_t hint)
{
	struct iovec iov[2];
	int n = body_space(b, iov, hint);

	assert_true(n > 0);
	return iov[n - 1].iov_len;
}

static void
what_only_passes_comes_in_larger_pieces_where_as_much_is_likely_to_come_at_once(void **state)
{
	const uint64_t lengths[] = {BODY_LENGTH_UNKNOWN, 4 * MIB};

	for (int i = 0; i < 2; i++) {
		struct body *b = body_new(NULL, lengths[i]);

		assert_in_range(room_for(b, 16384), 16384, 32768);
		receive(b, room_for(b, 16384));
		assert_in_range(room_for(b, 65536), 16384, 32768);
		receive(b, room_for(b, 65536));
		assert_in_range(room_for(b, 131072), 130000, 131072);
		receive(b, 130000);
		/* what is left of it does, until more is likely again */
		assert_true(room_for(b, 512) < 2000);
		assert_in_range(room_for(b, 16384), 16384, 32768);
		read_all(b);
		body_unref(&b);
	}
}

static void
a_body_for_which_the_slab_has_no_room_goes_on_as_a_passing_one(void **state)
{
	struct slab *slab = slab_new(MIB);
	struct body *b = body_new(slab, BODY_LENGTH_UNKNOWN);

	while (!b->is_passing)
		receive(b, 1000);
	assert_true(body_length(b) > MIB / 2);
	assert_true(slab_usage(slab).page_bytes <= MIB);
	receive(b, 3 * MIB);
	read_all(b);
	body_end(b, BODY_WHOLE);
	body_unref(&b);
	assert_int_equal(slab_usage(slab).used_bytes, 0);
	slab_free_all(&slab);
}

static void
a_cursor_goes_where_it_is_sent(void **state)
{
	struct body *b = body_new(NULL, BODY_LENGTH_UNKNOWN);
	struct body_cursor c = {0};
	const uint64_t places[] = {0, 99999, 1, 32743, 32744, 32745, 65488, 200000, 70000};

	receive(b, 200000);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		body_seek(b, &c, places[i]);
		assert_int_equal(read_some(b, &c, 11), places[i] == 200000 ? 0 : 11);
	}
	body_end(b, BODY_WHOLE);
	body_unref(&b);
}

static void
a_limit_cuts_the_last_piece(void **state)
{
	struct body *b = body_new(NULL, BODY_LENGTH_UNKNOWN);
	struct body_cursor c = {0};
	struct iovec iov[4];

	receive(b, 100000);
	assert_int_equal(body_peek(b, &c, iov, 4, 40000), 2);
	assert_int_equal(iov[0].iov_len + iov[1].iov_len, 40000);
	assert_int_equal(body_peek(b, &c, iov, 1, 40000), 1);
	assert_int_equal(c.at, 0);
	body_end(b, BODY_BROKEN);
	body_unref(&b);
}

static void
what_all_have_read_is_let_go(void **state)
{
	struct body *b = body_new(NULL, BODY_LENGTH_UNKNOWN);
	struct body_cursor c = {0};

	for (int i = 0; i < 1000; i++) {
		struct body_chunk *first;
		int chunks = 0;

		receive(b, 10000);
		read_some(b, &c, UINT64_MAX);
		body_trim(b, c.at);
		for (first = b->chunks->first; first != NULL; first = first->next)
			chunks++;
		assert_true(chunks <= 2);
	}
	body_end(b, BODY_WHOLE);
	assert_int_equal(c.at, 10000000);
	body_unref(&b);
}

/* --- one writer, several readers, as fast as they can --- */

#define STREAM_BYTES (100 * MIB)
#define READERS 3

struct stream {
	struct body *body;
	_Atomic uint64_t read_to[READERS];
	bool is_windowed;
};

struct stream_reader {
	struct stream *stream;
	unsigned number;
	bool ok;
};

static void *
stream_read(void *arg)
{
	struct stream_reader *r = arg;
	struct body_cursor c = {0};
	struct iovec iov[16];
	uint64_t dice = r->number + 1;
	bool right = true;

	for (;;) {
		enum body_state at_first = body_state(r->stream->body);
		int n = body_peek(r->stream->body, &c, iov, 1 + (int)(next_random(&dice) % 16),
		    1 + next_random(&dice) % 200000);
		size_t got = 0;

		if (n == 0 && at_first == BODY_WHOLE)
			break;
		for (int i = 0; i < n; i++) {
			const char *p = iov[i].iov_base;

			for (size_t k = 0; k < iov[i].iov_len; k += 61)
				right &= p[k] == byte_at(c.at + got + k);
			right &= p[iov[i].iov_len - 1] == byte_at(c.at + got + iov[i].iov_len - 1);
			got += iov[i].iov_len;
		}
		body_advance(&c, got);
		if (n == 0)
			sched_yield();
		else
			atomic_store(&r->stream->read_to[r->number], c.at);
	}
	r->ok = right && c.at == STREAM_BYTES;
	body_unref(&(struct body *){body_ref(r->stream->body)});
	return NULL;
}

static uint64_t
slowest(struct stream *s)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < READERS; i++)
		if (atomic_load(&s->read_to[i]) < least)
			least = atomic_load(&s->read_to[i]);
	return least;
}

static void
stream_write(struct stream *s)
{
	uint64_t dice = 42, at = 0;

	while (at < STREAM_BYTES) {
		struct iovec iov[2];
		size_t n = 1 + next_random(&dice) % 100000, got = 0;
		int places;

		if (n > STREAM_BYTES - at)
			n = STREAM_BYTES - at;
		places = body_space(s->body, iov, n);
		assert_true(places > 0);
		for (int i = 0; i < places; i++)
			for (size_t k = 0; k < iov[i].iov_len && got < n; k++, got++)
				((char *)iov[i].iov_base)[k] = byte_at(at + got);
		body_publish(s->body, got);
		at += got;
		while (s->is_windowed && at - slowest(s) > MIB)
			sched_yield();
		if (s->is_windowed)
			body_trim(s->body, slowest(s));
	}
	body_end(s->body, BODY_WHOLE);
}

static void
stream_play(struct slab *slab, bool is_windowed)
{
	struct stream s = {.body = body_new(slab, BODY_LENGTH_UNKNOWN), .is_windowed = is_windowed};
	struct stream_reader readers[READERS];
	pthread_t threads[READERS];

	for (unsigned i = 0; i < READERS; i++) {
		readers[i] = (struct stream_reader){.stream = &s, .number = i};
		assert_int_equal(pthread_create(&threads[i], NULL, stream_read, &readers[i]), 0);
	}
	stream_write(&s);
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(threads[i], NULL);
		assert_true(readers[i].ok);
	}
	body_unref(&s.body);
}

static void
readers_see_every_byte_while_it_is_written(void **state)
{
	struct slab *slab = slab_new(256 * MIB);

	stream_play(slab, false);
	assert_int_equal(slab_usage(slab).used_bytes, 0);
	slab_free_all(&slab);
}

static void
readers_see_every_byte_of_a_windowed_body(void **state)
{
	stream_play(NULL, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_received_is_read_back),
	    cmocka_unit_test(an_empty_body_holds_no_chunk),
	    cmocka_unit_test(
		what_only_passes_comes_in_larger_pieces_where_as_much_is_likely_to_come_at_once),
	    cmocka_unit_test(an_announced_length_takes_memory_only_as_it_comes),
	    cmocka_unit_test(a_stored_body_wastes_little),
	    cmocka_unit_test(an_appended_body_takes_what_it_needs),
	    cmocka_unit_test(room_that_was_not_needed_is_given_back_at_the_end),
	    cmocka_unit_test(a_body_for_which_the_slab_has_no_room_goes_on_as_a_passing_one),
	    cmocka_unit_test(a_cursor_goes_where_it_is_sent),
	    cmocka_unit_test(a_limit_cuts_the_last_piece),
	    cmocka_unit_test(what_all_have_read_is_let_go),
	    cmocka_unit_test(readers_see_every_byte_while_it_is_written),
	    cmocka_unit_test(readers_see_every_byte_of_a_windowed_body),
	};

	return cmocka_run_group_tests_name("cache/body", tests, NULL, NULL);
}

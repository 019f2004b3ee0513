/* LINK: http/chunker http/h1 http/head http/fields base/buf base/mem */
#include "http/chunker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/h1.h"

#define PIECES_MAX 8

/* A writer with a payload to send, and the wire it goes to. */
struct play {
	struct chunker chunker;
	struct slice payload; /* not yet sent */
	struct buf wire;
};

/* One write: offers visible bytes of the payload in pieces of piece bytes, the wire takes at most room. Returns whether
 * there was anything to write. */
static bool
write_once(struct play *p, size_t visible, size_t piece, size_t room)
{
	struct iovec iov[PIECES_MAX + CHUNKER_EXTRA];
	struct slice left = slice_of(p->payload.p, visible < p->payload.n ? visible : p->payload.n);
	bool last = left.n == p->payload.n;
	size_t payload, sent = 0, went;
	int n = 0;

	while (left.n > 0 && n < PIECES_MAX) {
		size_t take = piece < left.n ? piece : left.n;

		iov[1 + n++] = (struct iovec){(void *)(uintptr_t)left.p, take};
		left = slice_skip(left, take);
	}
	last = last && left.n == 0;
	n = chunker_frame(&p->chunker, iov, n, last, &payload);
	for (int i = 0; i < n && sent < room; i++) {
		size_t take = iov[i].iov_len < room - sent ? iov[i].iov_len : room - sent;

		buf_add(&p->wire, iov[i].iov_base, take);
		sent += take;
	}
	went = chunker_sent(&p->chunker, sent);
	assert_true(went <= payload);
	p->payload = slice_skip(p->payload, went);
	return n > 0;
}

/* What a strict reader makes of the wire. */
static void
assert_reads_as(const struct play *p, struct slice body, struct slice trailers)
{
	struct h1_chunked c;
	struct buf got = {0}, end = {0};
	struct slice rest = buf_slice(&p->wire), piece;
	enum chunk_result r;
	size_t used;

	h1_chunked_init(&c);
	while ((r = h1_chunked_next(&c, rest, &piece, &used, &end)) == CHUNK_DATA) {
		buf_add_slice(&got, piece);
		rest = slice_skip(rest, used);
	}
	assert_int_equal(r, CHUNK_END);
	assert_int_equal(rest.n, used);
	assert_true(slice_eq(buf_slice(&got), body));
	assert_true(slice_eq(buf_slice(&end), trailers));
	buf_fini(&got);
	buf_fini(&end);
}

static void
a_body_in_one_write_is_one_chunk_and_the_end(void **state)
{
	struct play p = {.payload = SLICE_LIT("spring flood")};

	assert_true(write_once(&p, SIZE_MAX, 100, SIZE_MAX));
	assert_true(chunker_is_done(&p.chunker));
	assert_true(slice_eq(buf_slice(&p.wire), SLICE_LIT("c\r\nspring flood\r\n0\r\n\r\n")));
	buf_fini(&p.wire);
}

static void
pieces_that_lie_apart_share_a_chunk(void **state)
{
	struct play p = {.payload = SLICE_LIT("spring flood")};

	write_once(&p, SIZE_MAX, 5, SIZE_MAX);
	assert_true(slice_eq(buf_slice(&p.wire), SLICE_LIT("c\r\nspring flood\r\n0\r\n\r\n")));
	buf_fini(&p.wire);
}

static void
an_empty_body_is_the_end_alone(void **state)
{
	struct play p = {0};

	assert_true(write_once(&p, SIZE_MAX, 1, SIZE_MAX));
	assert_true(chunker_is_done(&p.chunker));
	assert_true(slice_eq(buf_slice(&p.wire), SLICE_LIT("0\r\n\r\n")));
	assert_false(write_once(&p, SIZE_MAX, 1, SIZE_MAX));
	buf_fini(&p.wire);
}

static void
nothing_to_send_yet_is_no_chunk(void **state)
{
	struct play p = {.payload = SLICE_LIT("later")};

	assert_false(write_once(&p, 0, 1, SIZE_MAX));
	assert_int_equal(p.wire.n, 0);
	assert_false(chunker_is_done(&p.chunker));
}

static void
what_comes_while_a_chunk_is_open_waits_for_the_next(void **state)
{
	struct play p = {.payload = SLICE_LIT("springflood")};

	write_once(&p, 6, 100, 5); /* "6", CR LF and two bytes */
	write_once(&p, SIZE_MAX, 100, SIZE_MAX);
	assert_true(slice_eq(buf_slice(&p.wire), SLICE_LIT("6\r\nspring\r\n")));
	assert_false(chunker_is_done(&p.chunker));
	write_once(&p, SIZE_MAX, 100, SIZE_MAX);
	assert_reads_as(&p, SLICE_LIT("springflood"), SLICE_NONE);
	buf_fini(&p.wire);
}

static void
trailers_stand_behind_the_last_chunk(void **state)
{
	struct play p = {.payload = SLICE_LIT("x")};

	p.chunker.trailers = SLICE_LIT("Server-Timing: db;dur=53\r\n");
	while (!chunker_is_done(&p.chunker))
		write_once(&p, SIZE_MAX, 1, 3);
	assert_reads_as(&p, SLICE_LIT("x"), SLICE_LIT("Server-Timing: db;dur=53\r\n"));
	buf_fini(&p.wire);
}

static void
a_body_cut_short_never_looks_ended(void **state)
{
	struct play p = {.payload = SLICE_LIT("spring flood")};

	write_once(&p, 6, 100, SIZE_MAX);
	for (int i = 0; i < 4; i++)
		write_once(&p, 0, 100, SIZE_MAX);
	assert_false(chunker_is_done(&p.chunker));
	assert_int_equal(slice_index(buf_slice(&p.wire), '0'), p.wire.n);
	buf_fini(&p.wire);
}

static unsigned
below(uint64_t *seed, unsigned n)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*seed >> 33) % n;
}

/* However the payload comes and however little the socket takes, the reader gets the same. */
static void
short_writes_change_nothing(void **state)
{
	static char body[5000];
	uint64_t seed = 7;

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (char)('a' + i % 26);
	for (int round = 0; round < 2000; round++) {
		struct slice all = slice_of(body, below(&seed, sizeof(body)));
		struct play p = {.payload = all};
		size_t visible = 0, most = 1 + below(&seed, round % 2 ? 9 : 3000);

		p.chunker.trailers = round % 3 ? SLICE_NONE : SLICE_LIT("A: b\r\n");
		while (!chunker_is_done(&p.chunker)) {
			size_t sent = all.n - p.payload.n;

			visible += below(&seed, 700);
			write_once(&p, visible > sent ? visible - sent : 0, 1 + below(&seed, 900),
			    below(&seed, (unsigned)most + 1));
		}
		assert_reads_as(&p, all, p.chunker.trailers);
		buf_fini(&p.wire);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_body_in_one_write_is_one_chunk_and_the_end),
	    cmocka_unit_test(pieces_that_lie_apart_share_a_chunk),
	    cmocka_unit_test(an_empty_body_is_the_end_alone),
	    cmocka_unit_test(nothing_to_send_yet_is_no_chunk),
	    cmocka_unit_test(what_comes_while_a_chunk_is_open_waits_for_the_next),
	    cmocka_unit_test(trailers_stand_behind_the_last_chunk),
	    cmocka_unit_test(a_body_cut_short_never_looks_ended),
	    cmocka_unit_test(short_writes_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

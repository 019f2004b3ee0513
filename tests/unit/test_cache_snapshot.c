/* LINK: cache/snapshot_read cache/snapshot_write cache/key cache/object cache/body cache/slab http/h1 http/head http/fields base/buf base/mem base/hash */
#include "cache/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"
#include "cache/key.h"
#include "cache/slab.h"
#include "http/date.h"

#define HEAD "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nETag: \"abc\"\r\n\r\n"
#define MINUTE_MS 60000
#define MIB ((size_t)1 << 20)
#define BYTES 3000000
#define HEAD_BYTES 120 /* of a snapshot; up to the first record there is nothing */

static const struct snapshot_clocks saved_at = {1785585600000, 5000000, "this boot"};
static const struct l2_stamp no_log;
static struct slab *slab;

static int
begin(void **state)
{
	hash_seed();
	slab = slab_new(64 * MIB);
	return slab == NULL;
}

static int
end(void **state)
{
	slab_free_all(&slab);
	return 0;
}

/* The number is in its key, and how long its body is. */
static struct object *
make(unsigned number, size_t bytes, int64_t life_ms)
{
	char key[64], *body = malloc(bytes + 1);
	int len = snprintf(key, sizeof(key), "http\na.test\n/%u", number);
	struct object_parts parts = {.key = slice_of(key, (size_t)len),
	    .vary = SLICE_LIT("accept\1x\n"),
	    .tags = slice_of("a\0b\0", 4),
	    .head = SLICE_LIT(HEAD),
	    .facts = {.born_ms = saved_at.mono_ms - 1000,
		.age_ms = 500,
		.life_ms = life_ms,
		.fetch_ms = 350,
		.date_s = 784111777,
		.modified_s = DATE_NONE,
		.log_pos = 99,
		.etag_at = 60,
		.etag_len = 5,
		.status = 200,
		.immutable = true}};
	struct object *o;

	memset(body, 'a' + (int)(number % 26), bytes);
	parts.hash = cache_key_of(parts.key).hash;
	parts.body = body_of(slab, slice_of(body, bytes));
	o = object_new(slab, &parts);
	body_unref(&parts.body);
	free(body);
	return o;
}

/* A snapshot of objects 0 to count - 1, the last ranked first. */
static int
save(unsigned count, size_t bytes, const struct l2_stamp *stamp)
{
	int fd = memfd_create("snapshot", MFD_CLOEXEC);
	struct snapshot_writer *w = snapshot_begin(fd);

	for (unsigned i = 0; i < count; i++) {
		struct object *o = make(i, bytes, MINUTE_MS);

		assert_int_equal(snapshot_add(w, o, count - 1 - i, i % 2 == 0), 0);
		object_unref(&o);
	}
	assert_int_equal(snapshot_end(&w, &saved_at, stamp), 0);
	return fd;
}

static struct snapshot_reader *
opened(int fd, const struct snapshot_clocks *now)
{
	struct snapshot_reader *r = NULL;

	assert_int_equal(snapshot_open(fd, now, &r), SNAPSHOT_none);
	return r;
}

static enum snapshot_flaw
flaw_of(int fd)
{
	struct snapshot_reader *r = NULL;
	enum snapshot_flaw flaw = snapshot_open(fd, &saved_at, &r);

	assert_true((r != NULL) == (flaw == SNAPSHOT_none));
	snapshot_close(&r);
	return flaw;
}

static void
what_was_saved_comes_back_as_it_was(void **state)
{
	const struct l2_stamp stamp = {77, 5};
	int fd = save(40, 70000, &stamp);
	struct snapshot_reader *r = opened(fd, &saved_at);
	struct snapshot_item item;
	unsigned n = 0;

	assert_int_equal(snapshot_count(r), 40);
	assert_true(snapshot_stamp(r).epoch == 77 && snapshot_stamp(r).seq == 5);
	for (; snapshot_next(r, true, &item); n++) {
		struct object *was = make(n, 70000, MINUTE_MS), *o;
		struct body_cursor at = {0};
		struct iovec iov;
		uint64_t got = 0;

		o = snapshot_object(r, &item, slab, 3);
		assert_int_equal(item.rank, 39 - n);
		assert_int_equal(item.is_main, n % 2 == 0);
		assert_int_equal(item.left_ms, MINUTE_MS - 1500);
		assert_true(slice_eq(object_key(o), object_key(was)) && o->hash == was->hash);
		assert_true(slice_eq(object_vary(o), object_vary(was)));
		assert_true(slice_eq(object_tags(o), object_tags(was)));
		assert_true(slice_eq(object_head(o), object_head(was)));
		assert_true(slice_eq(object_etag(o), SLICE_LIT("\"abc\"")));
		assert_int_equal(o->facts.log_pos, 3);
		assert_int_equal(o->valid_pos, 3);
		was->facts.log_pos = 3;
#define X(type, name, kept, bits) assert_true(o->facts.name == was->facts.name);
		OBJECT_FACTS(X)
#undef X
		assert_int_equal(o->facts.fetch_ms, 350);
		while (body_peek(o->body, &at, &iov, 1, UINT64_MAX) == 1) {
			assert_int_equal(((char *)iov.iov_base)[0], 'a' + (int)(n % 26));
			got += iov.iov_len;
			body_advance(&at, iov.iov_len);
		}
		assert_int_equal(got, 70000);
		object_unref(&o);
		object_unref(&was);
	}
	assert_int_equal(n, 40);
	snapshot_close(&r);
	close(fd);
}

static void
what_hangs_on_an_object_comes_along(void **state)
{
	int fd = memfd_create("snapshot", MFD_CLOEXEC);
	struct snapshot_writer *w = snapshot_begin(fd);
	struct object *o = make(1, 10, MINUTE_MS), *back;
	struct body *coded = body_of(slab, SLICE_LIT("coded")), *b;
	struct snapshot_reader *r;
	struct snapshot_item item;
	struct body_cursor at = {0};
	struct iovec iov;

	assert_int_equal(object_add_variant(o, 4, &coded), 0);
	atomic_store(&object_find_variant(o, 4)->effort, VARIANT_STRONGEST);
	b = body_new(slab, BODY_LENGTH_UNKNOWN);
	assert_int_equal(body_append(b, SLICE_LIT("chunked")), 0);
	body_set_trailers(b, SLICE_LIT("Sum: 1\r\n"));
	body_end(b, BODY_WHOLE);
	body_unref(&o->body);
	o->body = b;
	atomic_store(&o->hit_count, 17);
	atomic_store(&o->hits, 3);
	atomic_store(&o->soft_purged, true);
	assert_int_equal(snapshot_add(w, o, 0, true), 0);
	object_unref(&o);
	assert_int_equal(snapshot_end(&w, &saved_at, &no_log), 0);
	r = opened(fd, &saved_at);
	assert_true(snapshot_next(r, false, &item));
	back = snapshot_object(r, &item, slab, 0);
	assert_true(slice_eq(body_trailers(back->body), SLICE_LIT("Sum: 1\r\n")));
	assert_int_equal(body_peek(back->body, &at, &iov, 1, 100), 1);
	assert_memory_equal(iov.iov_base, "chunked", 7);
	at = (struct body_cursor){0};
	assert_int_equal(body_peek(object_find_variant(back, 4)->body, &at, &iov, 1, 100), 1);
	assert_memory_equal(iov.iov_base, "coded", 5);
	assert_int_equal(object_find_variant(back, 4)->effort, VARIANT_STRONGEST);
	assert_true(back->hit_count == 17 && back->hits == 3 && back->soft_purged);
	object_unref(&back);
	snapshot_close(&r);
	close(fd);
}

static void
every_flipped_byte_is_seen(void **state)
{
	int fd = save(20, 100000, &no_log);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at += at < HEAD_BYTES ? 1 : 9973) {
		char was, is;

		assert_int_equal(pread(fd, &was, 1, at), 1);
		is = (char)(was ^ 0x10);
		assert_int_equal(pwrite(fd, &is, 1, at), 1);
		if (at < HEAD_BYTES || at >= 4096)
			assert_int_not_equal(flaw_of(fd), SNAPSHOT_none);
		assert_int_equal(pwrite(fd, &was, 1, at), 1);
	}
	assert_int_equal(flaw_of(fd), SNAPSHOT_none);
	close(fd);
}

static void
what_is_cut_off_is_refused_wherever_it_ends(void **state)
{
	int fd = save(20, 100000, &no_log);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	for (off_t size = st.st_size - 1; size > 0; size -= size > 5000 ? 77777 : 100) {
		assert_int_equal(ftruncate(fd, size), 0);
		assert_int_not_equal(flaw_of(fd), SNAPSHOT_none);
	}
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(flaw_of(fd), SNAPSHOT_foreign);
	close(fd);
}

static void
what_was_not_finished_or_is_another_versions_is_told_apart(void **state)
{
	int fd = memfd_create("snapshot", MFD_CLOEXEC);
	struct snapshot_writer *w = snapshot_begin(fd);
	uint32_t version = 2;

	for (unsigned i = 0; i < 30; i++) {
		struct object *o = make(i, 100000, MINUTE_MS);

		snapshot_add(w, o, 0, true);
		object_unref(&o);
	}
	assert_int_equal(flaw_of(fd), SNAPSHOT_foreign);
	assert_int_equal(snapshot_end(&w, &saved_at, &no_log), 0);
	assert_int_equal(flaw_of(fd), SNAPSHOT_none);
	assert_int_equal(pwrite(fd, &version, sizeof(version), 8), sizeof(version));
	assert_int_equal(flaw_of(fd), SNAPSHOT_version);
	close(fd);
}

static void
time_goes_on_over_a_reboot_and_a_wall_clock_that_went_back_says_nothing(void **state)
{
	int fd = save(1, 10, &no_log);
	const struct snapshot_clocks rebooted = {saved_at.wall_ms + 20000, 3000, "the next boot"};
	const struct snapshot_clocks back = {saved_at.wall_ms - 1, 3000, "the next boot"};
	const struct snapshot_clocks same = {
	    saved_at.wall_ms - 3600000, saved_at.mono_ms + 10000, "this boot"};
	const struct snapshot_clocks late = {saved_at.wall_ms + 70000, 3000, ""};
	struct snapshot_reader *r = opened(fd, &rebooted);
	struct snapshot_item item;
	struct object *o;

	assert_true(snapshot_next(r, false, &item));
	assert_int_equal(item.left_ms, MINUTE_MS - 21500);
	o = snapshot_object(r, &item, slab, 0);
	assert_int_equal(object_age_ms(o, 3000), 21500);
	object_unref(&o);
	snapshot_close(&r);
	assert_int_equal(snapshot_open(fd, &back, &r), SNAPSHOT_clock);
	r = opened(fd, &same); /* the wall clock was set back, but the boot is the same */
	assert_true(snapshot_next(r, false, &item));
	assert_int_equal(item.left_ms, MINUTE_MS - 11500);
	snapshot_close(&r);
	r = opened(fd, &late);
	assert_true(snapshot_next(r, false, &item));
	assert_true(item.left_ms < 0);
	snapshot_close(&r);
	close(fd);
}

static void
its_memory_is_free_again_as_it_is_read(void **state)
{
	int fd = save(20, BYTES / 2, &no_log);
	struct snapshot_reader *r = opened(fd, &saved_at);
	struct snapshot_item item;
	struct stat before, after;

	assert_int_equal(fstat(fd, &before), 0);
	while (snapshot_next(r, true, &item))
		;
	assert_int_equal(fstat(fd, &after), 0);
	assert_true(after.st_blocks < before.st_blocks / 2);
	snapshot_close(&r);
	close(fd);
}

static void
a_full_disk_is_told(void **state)
{
	int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
	struct snapshot_writer *w = snapshot_begin(fd);
	struct object *o = make(1, BYTES, MINUTE_MS);

	assert_int_equal(snapshot_add(w, o, 0, true), -1);
	assert_int_equal(snapshot_end(&w, &saved_at, &no_log), -1);
	object_unref(&o);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_saved_comes_back_as_it_was),
	    cmocka_unit_test(what_hangs_on_an_object_comes_along),
	    cmocka_unit_test(every_flipped_byte_is_seen),
	    cmocka_unit_test(what_is_cut_off_is_refused_wherever_it_ends),
	    cmocka_unit_test(what_was_not_finished_or_is_another_versions_is_told_apart),
	    cmocka_unit_test(
		time_goes_on_over_a_reboot_and_a_wall_clock_that_went_back_says_nothing),
	    cmocka_unit_test(its_memory_is_free_again_as_it_is_read),
	    cmocka_unit_test(a_full_disk_is_told),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
